"""pyproject.toml, constraints.txt and environment.yml say the same, and what is installed follows them;
nothing that comes from outside is unpickled."""

import ast
import importlib.metadata
import json
import platform
import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import bnbook
from bnbook import paths

MACHINES = ("x86_64", "aarch64")
LOCK = (paths.ROOT / "constraints.txt").read_text(encoding="utf-8")
TOML = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = TOML["project"]
PYTHON, PATCH = re.fullmatch(r"==(\d+\.\d+)\.\*,>=(\S+)", PROJECT["requires-python"]).groups()
DEPENDENCIES = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]


def pins(lines: list[str], machine: str) -> dict[str, str]:
    """Name to exact version of the lines that apply on Linux on `machine`; anything but
    `name==version` is refused."""
    found = {}
    for line in lines:
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", line
        here = {"platform_machine": machine, "sys_platform": "linux"}
        if requirement.marker is None or requirement.marker.evaluate(here):
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{name} is pinned twice on {machine}"
            found[name] = specifier.version
    return found


def constraints(machine: str) -> dict[str, str]:
    return pins([line.removesuffix(" \\") for line in LOCK.splitlines() if re.match(r"[a-z]", line)], machine)


def test_every_package_is_pinned_with_hashes_from_no_named_registry():
    digest = r"    --hash=sha256:[0-9a-f]{64}"
    entry = rf"[a-z0-9.-]+==[^ ]+(?: ; .+)?(?: \\\n{digest})+\n"
    assert re.fullmatch(rf"(?:#.*\n)+(?:{entry})+", LOCK)
    assert not re.search(r"https?:|--index|--find-links", LOCK)
    assert TOML["build-system"]["requires"] == [f"setuptools=={constraints('x86_64')['setuptools']}"]


@pytest.mark.parametrize("machine", MACHINES)
def test_pyproject_and_constraints_agree(machine):
    direct = pins(DEPENDENCIES, machine)
    pinned = constraints(machine)
    assert direct == {name: pinned.get(name) for name in direct}


def test_the_oldest_python_is_the_one_that_pins_are_found_for_and_make_asks_for():
    """A package may leave out the first releases of a Python: no pin may ask for more than `make` does."""
    lock = (paths.ROOT / "workflow" / "lock.py").read_text(encoding="utf-8")
    makefile = (paths.ROOT / "Makefile").read_text(encoding="utf-8")
    assert f'"--python-version", "{PATCH}"' in lock
    assert f"({PATCH.replace('.', ', ')}) <= sys.version_info" in makefile
    asked = {
        name: importlib.metadata.metadata(name).get("Requires-Python") for name in needed("bnbook", {"test"})
    }
    assert len(asked) > 100
    refused = {name for name, python in asked.items() if python and PATCH not in SpecifierSet(python)}
    assert not refused


def test_both_architectures_have_their_pair_of_torch_and_torchvision():
    pairs = [tuple(constraints(machine)[name] for name in ("torch", "torchvision")) for machine in MACHINES]
    assert pairs == [("2.14.1", "0.29.1"), ("2.9.1", "0.24.1")]


def test_ci_tests_the_oldest_and_the_newest_torch():
    """What is pinned for any machine that both were tested for lies between them."""
    oldest, newest = map(Version, TOML["tool"]["bnbook"]["torch"])
    assert oldest < Version(constraints("x86_64")["torch"]) <= newest
    workflow = yaml.safe_load((paths.ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert list(map(Version, workflow["jobs"]["torch"]["strategy"]["matrix"]["torch"])) == [oldest, newest]
    makefile = (paths.ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"\nTORCH ?= {oldest}\n" in makefile
    (files,) = re.findall(r"addprefix tests/test_,(.+)\)", makefile)
    assert all((paths.ROOT / "tests" / f"test_{name}").exists() for name in files.split())


def test_everything_that_is_needed_in_turn_is_pinned_and_installed_as_pinned():
    machine = platform.machine()
    if machine not in MACHINES:
        pytest.skip("neither x86-64 nor aarch64")
    pinned = constraints(machine)
    installed = {name: importlib.metadata.version(name) for name in needed("bnbook", {"test"}) - {"bnbook"}}
    # A local build, such as 2.14.1+cpu, is the same release.
    assert {name: version.partition("+")[0] for name, version in installed.items()} == {
        name: pinned.get(name) for name in installed
    }


def needed(name: str, extras: set[str], known: set | None = None) -> set[str]:
    """The names of all distributions that `name` requires, itself included, on this machine."""
    known = set() if known is None else known
    key = (canonicalize_name(name), frozenset(extras))
    if key not in known:
        known.add(key)
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                needed(requirement.name, requirement.extras, known)
    return {name for name, _ in known}


def test_what_is_checked_before_a_commit_is_what_lint_checks():
    config = yaml.safe_load((paths.ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repository,) = config["repos"]
    hooks = {hook["id"]: hook for hook in repository["hooks"]}
    assert set(hooks) == {"ruff", "ruff-format", "snakefmt", "nbstripout"}
    for hook in hooks.values():
        for name, version in pins(hook["additional_dependencies"], platform.machine()).items():
            assert constraints("x86_64").get(name, version) == version, name


def test_conda_users_get_the_same_versions():
    environment = yaml.safe_load((paths.ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    assert pip == ["--requirement constraints.txt"]
    python = next(part for part in environment["dependencies"] if str(part).startswith("python"))
    assert python.removeprefix("python=") == PYTHON


def test_one_version_everywhere():
    citation = yaml.safe_load((paths.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == PROJECT["version"] == bnbook.__version__
    assert citation["authors"] == PROJECT["authors"] == [{"name": "bnbook contributors"}]


def test_make_installs_with_the_pins_and_names_no_registry():
    installer = (paths.ROOT / "workflow" / "install.py").read_text(encoding="utf-8")
    assert '[*LOCKED, "-r", str(PINS)]' in installer and 'PINS = Path("constraints.txt")' in installer
    assert 'LOCKED = ["--require-hashes", ' in installer
    makefile = (paths.ROOT / "Makefile").read_text(encoding="utf-8")
    for word in ("--index-url", "--extra-index-url", "--find-links", "http"):
        assert word not in makefile + installer


def test_containers_run_what_readme_and_ci_run():
    """Python's version, the two commands, and what .ci/run installs; Binder's packages as they are pinned."""
    docker = (paths.ROOT / "Dockerfile").read_text(encoding="utf-8")
    readme = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    assert f"FROM docker.io/library/python:{PYTHON}-slim" in docker
    first, second = re.findall(r"^(make \S+) +#", readme, re.MULTILINE)[:2]
    assert f"CMD {json.dumps(first.split())}" in docker and f"docker run bnbook {second}" in docker
    installed = set(re.search(r"--no-install-recommends (.*) \\\n", docker)[1].split())
    ci = (paths.ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert installed == {"git", "make", "chromium-headless-shell", "libatomic1", "fonts-nanum"}
    assert ci.count("--no-install-recommends chromium libatomic1 fonts-nanum ") == 2
    assert f"Python {PYTHON} ({PATCH} or later), make and git are all it takes" in readme
    developing = json.loads((paths.ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert f"AS {developing['build']['target']}\n" in docker
    assert (
        paths.ROOT / ".devcontainer" / developing["build"]["dockerfile"]
    ).resolve() == paths.ROOT / "Dockerfile"
    for command in ("RUN ", "&& "):
        assert f"{command}make .venv/installed" in docker + developing["postCreateCommand"]
    assert (paths.ROOT / "binder" / "runtime.txt").read_text().strip() == f"python-{PYTHON}"
    lines = (paths.ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    binder = pins([line for line in lines if not line.startswith("#")], "x86_64")
    pinned = constraints("x86_64")
    assert binder == {name: pinned[name] for name in binder} and {"torch", "scikit-learn"} <= binder.keys()


# What reads bytes that somebody else may have made, and how it is asked not to run what they say; None:
# it must not be asked at all.
READERS = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    **dict.fromkeys(
        (
            "pickle.load",
            "pickle.loads",
            "joblib.load",
            "pd.read_pickle",
            "pandas.read_pickle",
            "marshal.loads",
        ),
    ),
    **dict.fromkeys(("shelve.open", "yaml.load", "yaml.unsafe_load", "dill.load", "np.fromregex")),
}


def unsafe(source: str) -> list[int]:
    """The lines of a module in which a reader is asked to run what it reads."""
    found = []
    for node in ast.walk(ast.parse(source)):
        name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if name in READERS:
            said = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            asked = READERS[name]
            if asked is None or said.get(asked[0]) is not asked[1]:
                found.append(node.lineno)
    return found


def test_nothing_from_outside_is_unpickled():
    """CIFAR-10's own pickles are read by `datasets.unpickled`, whose test feeds it poison."""
    code = [*(paths.ROOT / "src").rglob("*.py"), *(paths.ROOT / "workflow").glob("*.py")]
    assert len(code) > 100
    found = {str(file): unsafe(file.read_text(encoding="utf-8")) for file in code}
    assert {name: lines for name, lines in found.items() if lines} == {}
    assert unsafe("torch.load(f)\ntorch.load(f, weights_only=False)\npickle.loads(b)\nnp.load(f)") == [
        1,
        2,
        3,
        4,
    ]
    assert unsafe("torch.load(f, weights_only=True)\nnp.load(f, allow_pickle=False)") == []
