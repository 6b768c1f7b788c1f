"""Synthetic results of all experiments, whose truth is known; the built book in a browser."""

import contextlib
import functools
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from filelock import FileLock
from xdist.scheduler import LoadFileScheduling

from bnbook import paths
from bnbook.experiments import PLANNED

matplotlib.use("Agg")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes that test side by side have a core each: threads would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


# Files whose tests take long and need nothing of one another: they are dealt out to processes one by one, the
# other files as wholes, since their tests share what they make. What takes long comes first.
SPREAD = ("test_replay.py",)
LONG = (
    "test_replay.py",
    "test_book.py",
    "test_notebooks.py",
    "test_stepper.py",
    "test_live.py",
    "test_assets.py",
    "test_figures.py",
)
# `make test-fast` leaves these out, and all that looks at the built book.
SLOW = (
    *(*LONG, "test_search.py", "test_skeleton.py", "test_committed.py"),
    *("test_train.py", "test_cli.py", "test_faults.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in SLOW:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


class ByFile(LoadFileScheduling):
    """What a process gets next: a file, or a test of SPREAD."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return nodeid if Path(file).name in SPREAD else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


@pytest.fixture(scope="session")
def synthetic_of(tmp_path_factory) -> Callable[[str], Any]:
    """The results of an experiment by name, made once: those of `results(runs)` in its room's `synthetic`."""

    @functools.cache
    def made(experiment: str) -> Any:
        room = importlib.import_module(f"tests.experiments.{experiment}.synthetic")
        return room.results(tmp_path_factory.mktemp(experiment))

    return made


@pytest.fixture(scope="session")
def all_synthetic(synthetic_of) -> dict[str, Any]:
    """The results of all experiments that have some, as `claims.results` gives them."""
    rooms = {path.parent.name for path in Path(__file__).parent.glob("experiments/*/synthetic.py")}
    return {name: synthetic_of(name) for name in PLANNED if name in rooms}


@pytest.fixture(scope="session")
def synthetic(synthetic_of):
    """Those of Section 4.1, in whose terms most tests of what is shared are written."""
    return synthetic_of("mnist_activation_shift")


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """A run that is made within a test sets the whole process to flush denormal numbers; the next test does
    without."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)


DESK = {"width": 1280, "height": 900}


# The shell draws as the browser does, without a browser around it: in four fifths of the time.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="session")
def html(tmp_path_factory) -> Path:
    """The folder with the three editions; built from the committed records where none is given, once for all
    processes that test side by side."""
    given = os.environ.get("BNBOOK_HTML")
    if given:
        return Path(given).resolve()
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    built = shared / "built"
    with FileLock(f"{built}.lock"):
        if not built.exists():
            subprocess.run([sys.executable, "-m", "bnbook", "book"], check=True)
            built.write_text(str(paths.BUILD / "html"))
        return Path(built.read_text())


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Chromium, as the reader's browser; skips where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        message = (
            f"no browser found: install one of {', '.join(BROWSERS)} to run the tests of the built pages"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with contextlib.ExitStack() as opened:
        try:
            playwright = opened.enter_context(sync_api.sync_playwright())
        except Exception as error:  # what it raises where its own program ends at once
            pytest.fail(f"playwright does not start ({error}); a bare Debian needs libatomic1 for it")
        started = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        # Playwright waits by text that it evaluates in the page, which the policy of our pages refuses.
        started.new_context = functools.partial(started.new_context, bypass_csp=True)
        yield started
        started.close()


@pytest.fixture
def open_page(html: Path, browser) -> Iterator:
    """Opens an address below html/ in a fresh context: open_page("ko/index.html", viewport=..., ...)."""
    contexts = []

    def opener(address: str, **options):
        context = browser.new_context(**{"viewport": DESK, **options})
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{html.as_uri()}/{address}")
        return page

    yield opener
    for context in contexts:
        context.close()
