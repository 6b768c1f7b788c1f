# `make help` says what there is. Everything lives in .venv and build; `make clean` takes build away.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3.11
PROFILE ?= smoke
COMMIT ?=
CORES ?= all

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
BNBOOK := $(BIN)/bnbook
SNAKEMAKE := $(BIN)/snakemake --snakefile workflow/Snakefile --cores $(CORES) --scheduler greedy --nolock \
	--rerun-incomplete --rerun-triggers mtime --keep-going --quiet all \
	--config profile=$(PROFILE) $(if $(COMMIT),commit=1)

.PHONY: help
help:
	@echo "make reproduce               train everything from scratch at PROFILE=smoke (digits, some minutes), build the book"
	@echo "make reproduce PROFILE=cpu   redo the committed runs on MNIST and CIFAR-10 (README says how long; stop and go on at will)"
	@echo "make reproduce PROFILE=paper the plan for many cores or a GPU machine: more learning rates, initialisations, seeds"
	@echo "make book                    build the book from the committed records, without training"
	@echo "make figures                 export the figures and README.md's table anew from the committed records"
	@echo "make test                    run the tests"
	@echo "make test-fast               run those that need no browser, no notebook and no training"
	@echo "make lint                    check style, types and the direction of imports"
	@echo "make bench                   measure speed and memory"
	@echo "make clean                   delete build/, other people's runs in build/results included"

# Exact versions from constraints.txt; how pip finds them is left to pip's own settings.
$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or say PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing pinned packages into $(VENV): 7 GB with PyTorch, some minutes the first time"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e '.[test]' \
		| awk '/^Collecting/ { printf "." } /^Installing collected/ { printf "\nUnpacking, a minute or so" } { fflush() } END { print "" }'
	@touch $@

.PHONY: reproduce
reproduce: $(INSTALLED)
ifeq ($(PROFILE),smoke)
	@$(BNBOOK) forget --profile smoke
endif
	@echo "== Every experiment at PROFILE=$(PROFILE), from $(if $(filter smoke,$(PROFILE)),scratch,where it stopped); beside it the book"
	@$(SNAKEMAKE)
	@echo "== The runs that the first ones chose"
	@$(SNAKEMAKE)
	@echo "== The runs that those chose, then the notebooks and figures"
	@$(SNAKEMAKE)
	@echo "== This rerun beside the committed results"
	@$(BNBOOK) claims --profile $(PROFILE) --against committed
	@echo "Notebooks: build/rerun/$(PROFILE)   Figures of this rerun: build/results/figures"
	@echo "The book: $(CURDIR)/build/html/index.html"

.PHONY: book
book: $(INSTALLED)
	@$(BNBOOK) book

.PHONY: figures
figures: $(INSTALLED)
	@$(BNBOOK) figures --out results/figures
	@$(BNBOOK) claims --readme

# A process a core; tests/conftest.py says what each gets.
PYTEST := $(BIN)/python -m pytest -n auto --no-loadscope-reorder

.PHONY: test
test: $(INSTALLED)
	@$(PYTEST)

.PHONY: test-fast
test-fast: $(INSTALLED)
	@$(PYTEST) -m "not slow"

.PHONY: lint
lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports
	@$(BIN)/mypy

.PHONY: bench
bench: $(INSTALLED)
	@$(BNBOOK) bench $(if $(COMMIT),--commit)

.PHONY: clean
clean:
	rm -rf build
