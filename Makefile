# `make help` says what there is. Everything lives in .venv and build; `make clean` takes build away.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3.11
PROFILE ?= smoke
DATA ?=
COMMIT ?=
CORES ?= all
ON ?=

# Paths are relative, and commands are modules of Python: make cannot have a space in a name, nor can the first
# line of a script, so a checkout in any folder works. For the same reason this checkout's code is what runs, even
# after it was moved or copied together with .venv.
VENV := .venv
PY := $(VENV)/bin/python -m
INSTALLED := $(VENV)/installed
BNBOOK := $(PY) bnbook
export PYTHONPATH := $(CURDIR)/src

.PHONY: help
help:
	@echo "make reproduce               train everything from scratch at PROFILE=smoke (digits, some minutes), build the book"
	@echo "make reproduce PROFILE=cpu   redo the committed runs on MNIST and CIFAR-10 (README says how long; stop and go on at will)"
	@echo "                             with DATA=cifar10 on the original CIFAR-10, which anybody can download"
	@echo "make reproduce PROFILE=paper the plan for many cores or a GPU machine: more learning rates, initialisations, seeds"
	@echo "                             with ON=slurm or ON=kubernetes by the jobs of a cluster (workflow/profiles)"
	@echo "make book                    build the book from the committed records, without training"
	@echo "make book-files              write the built book as PDF, EPUB and zip into build/files (needs Pango)"
	@echo "make figures                 export the figures, README.md's table and the manifest anew from the committed records"
	@echo "make verify                  check that all that a reader sees follows from the records (three minutes)"
	@echo "make test                    run the tests"
	@echo "make test-fast               run those that need no browser, no notebook and no training"
	@echo "make test-torch TORCH=2.13.0 run the tests of what trains under another release of PyTorch"
	@echo "make lint                    check style, types and the direction of imports"
	@echo "make bench                   measure speed and memory"
	@echo "make lock                    write constraints.txt anew, after a change in pyproject.toml (needs uv)"
	@echo "make audit                   ask for known weaknesses of what it pins (needs pip-audit)"
	@echo "make clean                   delete build/, other people's runs in build/results included"

# Exact versions and hashes from constraints.txt; how pip finds them is left to pip's own settings.
$(INSTALLED): pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11, 5) <= sys.version_info < (3, 12))' 2>/dev/null || \
		{ echo "Python 3.11, 3.11.5 or later, is needed: install it, or say PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" workflow/install.py
	@touch $@

.PHONY: reproduce
reproduce: $(INSTALLED)
	@$(BNBOOK) reproduce --profile $(PROFILE) $(if $(DATA),--data $(DATA)) $(if $(COMMIT),--commit) --cores $(CORES) $(if $(ON),--on $(ON))

.PHONY: book
book: $(INSTALLED)
	@$(BNBOOK) book

.PHONY: book-files
book-files: book
	@$(BNBOOK) book-files

.PHONY: figures
figures: $(INSTALLED)
	@$(BNBOOK) probes
	@$(BNBOOK) figures --out results/figures
	@$(BNBOOK) claims --readme
	@$(BNBOOK) manifest

.PHONY: verify
verify: $(INSTALLED)
	@$(BNBOOK) verify

# A process a core; tests/conftest.py says what each gets. With one more, cores have work while a test waits for a
# browser, a kernel or a command; each process may take 2 GB.
PROCESSES ?= auto
PYTEST := $(PY) pytest -n $(PROCESSES) --no-loadscope-reorder

.PHONY: test
test: $(INSTALLED)
	@$(PYTEST)

.PHONY: test-fast
test-fast: $(INSTALLED)
	@$(PYTEST) -m "not slow"

# Another release of PyTorch, with the torchvision that goes with it, in an environment laid over .venv: all else is
# as pinned. What trains is tested; whether records come out to the last bit is asked of the pinned release alone.
TORCH ?= 2.13.0
OVER = build/torch-$(TORCH)
TRAINS := $(addprefix tests/test_,batchnorm.py torch_inputs.py inception.py loop.py train.py augment.py data.py records.py)
.PHONY: test-torch
test-torch: $(INSTALLED)
	@$(PY) venv $(OVER)
	@$(VENV)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > $(OVER)/lib/python3.11/site-packages/pinned.pth
	@$(OVER)/bin/python -m pip --disable-pip-version-check install --quiet torch==$(TORCH) torchvision
	@$(OVER)/bin/python -m pytest -n auto --no-loadscope-reorder $(TRAINS) tests/experiments

.PHONY: lint
lint: $(INSTALLED)
	@$(PY) ruff check .
	@$(PY) ruff format --check --quiet .
	@$(VENV)/bin/python -c "from importlinter.cli import lint_imports_command as main; main()"
	@$(PY) mypy

# uv does it (`pipx install uv`); WITH=--upgrade takes the newest versions of all.
WITH ?=
.PHONY: lock
lock:
	@"$(PYTHON)" workflow/lock.py $(WITH)

.PHONY: audit
audit: $(INSTALLED)
	@pip-audit --requirement constraints.txt --require-hashes --disable-pip --strict

.PHONY: bench
bench: $(INSTALLED)
	@$(BNBOOK) bench $(if $(COMMIT),--commit)

.PHONY: clean
clean:
	rm -rf build
