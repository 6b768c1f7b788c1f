"""pyproject.toml, constraints.txt and environment.yml say the same, and what is installed follows them."""

import importlib.metadata
import platform
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import bnbook
from bnbook import paths

MACHINES = ("x86_64", "aarch64")
PROJECT = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DEPENDENCIES = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]


def pins(lines: list[str], machine: str) -> dict[str, str]:
    """Name to exact version of the lines that apply on `machine`; anything but `name==version` is refused."""
    found = {}
    for line in lines:
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", line
        if requirement.marker is None or requirement.marker.evaluate({"platform_machine": machine}):
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{name} is pinned twice on {machine}"
            found[name] = specifier.version
    return found


def constraints(machine: str) -> dict[str, str]:
    lines = (paths.ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return pins([line for line in lines if line and not line.startswith("#")], machine)


@pytest.mark.parametrize("machine", MACHINES)
def test_pyproject_and_constraints_agree(machine):
    direct = pins(DEPENDENCIES, machine)
    pinned = constraints(machine)
    assert direct == {name: pinned.get(name) for name in direct}


def test_both_architectures_have_their_pair_of_torch_and_torchvision():
    pairs = [tuple(constraints(machine)[name] for name in ("torch", "torchvision")) for machine in MACHINES]
    assert pairs == [("2.14.1", "0.29.1"), ("2.9.1", "0.24.1")]


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
    assert pip == ["--constraint constraints.txt", "--editable .[test]"]
    python = next(part for part in environment["dependencies"] if str(part).startswith("python"))
    assert f"=={python.removeprefix('python=')}.*" == PROJECT["requires-python"]


def test_one_version_everywhere():
    citation = yaml.safe_load((paths.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == PROJECT["version"] == bnbook.__version__
    assert citation["authors"] == PROJECT["authors"] == [{"name": "bnbook contributors"}]


def test_make_installs_with_the_pins_and_names_no_registry():
    installer = (paths.ROOT / "workflow" / "install.py").read_text(encoding="utf-8")
    assert '"-c", str(PINS), "-e", ".[test]"' in installer and 'PINS = Path("constraints.txt")' in installer
    makefile = (paths.ROOT / "Makefile").read_text(encoding="utf-8")
    for word in ("--index-url", "--extra-index-url", "--find-links", "http"):
        assert word not in makefile + installer
