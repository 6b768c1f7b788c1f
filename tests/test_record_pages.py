"""The pages of the records, made from records whose truth is known, also in a browser."""

import dataclasses
import re
import shutil
import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import ClassVar

import pytest
from bs4 import BeautifulSoup
from sphinx.testing.util import SphinxTestApp

from bnbook import paths
from bnbook.experiments import EXPERIMENTS, PLANNED
from bnbook.experiments.mnist_activation_shift.protocol import Config
from bnbook.sphinxext import claims, data
from bnbook.sphinxext import records as pages
from tests.records import PROVENANCE, write_finished

FIGURE = "fig1-multiverse"
CURVES = {
    "evaluation": {
        "step": [1, 10, 100],
        "train_loss": [2.0, 0.2, 0.01],
        "test_accuracy": [0.1, None, 0.9],
    }
}
EVIL = "<script>alert('x')</script>"


def config(**values) -> Config:
    given = {
        "variant": "bn",
        "recipe": 1,
        "batch_size": 60,
        "steps": 100,
        "data": "mnist",
        "train_on": "train",
    }
    sizes = {"evaluate_growth": 1.5, "evaluate_every": 10, "probe_growth": 2.0, "probe_every": 10}
    return Config(**given | sizes | {"init_std": 0.1, "lr": 0.3} | values)


class Claim:
    id = "c-4.1-speed"
    figure = FIGURE
    statement: ClassVar = {"ko": "더 빠르다.", "en": "It is faster."}


@pytest.fixture(autouse=True)
def one_claim(monkeypatch) -> None:
    monkeypatch.setattr(claims, "board", lambda: [Claim()])


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three records, of two configurations; the first has arrays."""
    runs = tmp_path / "results" / "runs"
    final = {"chance_accuracy": 0.1, "test_accuracy": 0.9, "test_accuracy_population": 0.9123}
    write_finished(runs, config(), 0, CURVES, final, {"percentiles": [[1.0, 2.0], [3.0, 4.0]]})
    write_finished(runs, config(), 10, CURVES, {"chance_accuracy": 0.1, "test_accuracy": 0.8})
    write_finished(runs, config(lr=3.0), 0, {}, {"chance_accuracy": 0.1, "validation_accuracy": 0.7})
    return runs


def book(runs: Path, repository: str = "", editions=("ko", "en", "ko-en")) -> pages.Book:
    """A book whose figure is drawn from the records of the first configuration."""
    drawn = [f"results/runs/{file.relative_to(runs)}" for file in runs.glob(f"*/*/{config().run_id}/*.json")]
    title = {"ko": "여러 설정", "en": "Other settings"}
    return pages.Book(pages.homes(editions), {FIGURE: {"title": title, "records": drawn}}, repository)


@pytest.fixture
def made(runs: Path, tmp_path: Path) -> Path:
    pages.export(runs, tmp_path / "made", book(runs))
    return tmp_path / "made"


def soup(file: Path) -> BeautifulSoup:
    return BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")


def of(made: Path, one: Config, seed: int) -> Path:
    return made / one.experiment / one.variant / one.run_id / f"seed-{seed}.html"


def words(page: BeautifulSoup) -> str:
    return " ".join(page.get_text(" ").split())


def test_a_page_shows_what_the_record_says(made: Path, runs: Path) -> None:
    file = of(made, config(), 0)
    page, said = soup(file), words(soup(file))
    rows = {
        row.th.get_text(strip=True): [cell.get_text() for cell in row.select("td")]
        for row in page.select("tr")
    }
    assert rows["lr"][0] == "0.3" and "학습률 learning rate (constant; plain SGD)" in " ".join(
        rows["lr"][1].split()
    )
    assert set(config().to_dict()) | {"seed"} <= set(rows)
    assert "test_accuracy_population 91.23%" in said and "All 100 steps were run." in said
    for value in (PROVENANCE["code_commit"], "a processor, 1 thread", "torch 0", "2026-01-01T00:00:00+00:00"):
        assert value in said
    assert "percentiles 2 × 2" in said
    links = {link["href"]: link.get_text() for link in page.select("a")}
    assert links[f"../../../../ko/figures/{FIGURE}.html"] == "여러 설정"
    assert links[f"../../../../en/figures/{FIGURE}.html"] == "Other settings"
    assert "It is faster." in links.values()
    assert not page.select("script") and not page.select("[style], [onclick]")
    for kind in ("json", "npz"):
        copied = file.with_suffix(f".{kind}")
        assert (
            f"seed-0.{kind}" in links
            and copied.read_bytes() == (runs / copied.relative_to(made)).read_bytes()
        )
    assert "No figure is drawn from it." in words(soup(of(made, config(lr=3.0), 0)))


def test_indexes_and_the_figures_page_lead_to_the_records_with_their_end_values(made: Path) -> None:
    index = soup(made / "mnist_activation_shift" / "index.html")
    rows = [" ".join(row.get_text(" ").split()) for row in index.select("tbody tr")]
    assert rows == [
        "lr 0.3 test_accuracy_population, test_accuracy 0 91.23% 10 80.00%",
        "lr 3 validation_accuracy 0 70.00%",
    ]
    figure = soup(made / "figures" / f"{FIGURE}.html")
    assert [link.get_text(" ", strip=True) for link in figure.select(".runs a")] == ["0 91.23%", "10 80.00%"]
    assert any(link["href"].endswith(f"en/figures/{FIGURE}.records.json") for link in figure.select("a"))
    every = soup(made / "index.html")
    assert {"mnist_activation_shift/index.html", f"figures/{FIGURE}.html"} <= {
        a["href"] for a in every.select("a")
    }


def test_all_links_among_the_records_lead_somewhere(made: Path) -> None:
    found = 0
    for file in made.rglob("*.html"):
        for node in soup(file).select("a[href], link[rel=stylesheet]"):
            target = (file.parent / node["href"].partition("?")[0]).resolve()
            if target.is_relative_to(made):
                found += 1
                assert target.is_file(), f"{file.name}: {node['href']}"
    assert found > 30


@pytest.mark.parametrize(("out", "up"), [("html/ko-en", "../"), ("html", "")])
def test_an_edition_leads_to_the_records_beside_it_or_to_its_own(out: str, up: str) -> None:
    app = SimpleNamespace(outdir=out, config=SimpleNamespace(edition="ko-en"))
    assert pages.target(app, FIGURE) == f"{up}records/figures/{FIGURE}.html"
    assert pages.target(app) == f"{up}records/index.html"


def test_an_edition_that_is_made_alone_has_the_records_within_it(runs: Path, tmp_path: Path) -> None:
    index = "# {ko}`책` {en}`Book`\n\n:::{ko}\n{records}`목록`\n:::\n:::{en}\n{records}`the list`\n:::\n"
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "index.md").write_text(index, encoding="utf-8")
    shutil.copy(paths.BOOK / "glossary.yml", tmp_path / "book")
    shutil.copy(paths.ROOT / "_config.yml", tmp_path)
    parts = [f"bnbook.sphinxext.{name}" for name in ("html", "builder", "editions", "records")]
    (tmp_path / "conf.py").write_text(
        f"extensions = {['myst_nb', *parts]}\nmyst_enable_extensions = ['colon_fence']\n"
        "nb_execution_mode = 'off'\n"
        "root_doc = 'book/index'\nexclude_patterns = ['results', 'out']\nhtml_title = 'x · y'\n"
    )
    app = SphinxTestApp("html", tmp_path, builddir=tmp_path / "out", confoverrides={"language": "ko"})
    app.bn_figures = book(runs).figures
    try:
        app.build()
        out, warnings = Path(app.outdir), app.warning.getvalue()
    finally:
        app.cleanup()
    assert warnings == ""
    links = [link for link in soup(out / "index.html").select("a") if link.get_text() in ("목록", "the list")]
    assert [link["href"] for link in links] == ["records/index.html"] * 2
    record = of(out / "records", config(), 0)
    figure = soup(record).find("a", string="Other settings")["href"]
    assert (record.parent / figure).resolve() == (out / "figures" / f"{FIGURE}.html").resolve()


def test_a_curve_is_drawn_where_its_values_are() -> None:
    loss, accuracy = pages.charts(CURVES)
    assert (loss.kind, loss.log, accuracy.kind, accuracy.log) == ("loss", True, "accuracy", False)
    places = dict((words, at) for at, words in accuracy.y)
    ticks = dict((words, at) for at, words in accuracy.x)
    ((column, line, last),) = accuracy.lines
    assert (column, last) == ("test_accuracy", "90.00%")
    # What was not measured parts the line.
    _, second = re.findall(r"M([\d.]+) ([\d.]+)", line)
    share = (places["0%"] - float(second[1])) / (places["0%"] - places["100%"])
    assert share == pytest.approx(0.9, abs=0.002) and float(second[0]) == ticks["100"]
    decades = dict((words, at) for at, words in loss.y)
    middle = re.findall(r"L([\d.]+) ([\d.]+)", loss.lines[0][1])[-1]
    assert float(middle[1]) == pytest.approx(decades["0.01"], abs=0.1)


def test_columns_that_measure_alike_share_a_chart() -> None:
    columns = ["step", "train_seconds", "layer_1", "layer_2", "naive.float32", "ours.float32", "output_size"]
    made = pages.charts({"probe": {name: [1.0, 2.0] for name in columns}, "empty": {"step": [1]}})
    drawn = {chart.kind: [line[0] for line in chart.lines] for chart in made}
    assert drawn == {
        "layer": ["layer_1", "layer_2"],
        "float32": ["naive.float32", "ours.float32"],
        "size": ["output_size"],
    }


def test_what_is_in_a_record_is_text(runs: Path) -> None:
    record = write_finished(runs, config(), 1, CURVES, {"chance_accuracy": 0.1, "test_accuracy": 0.5})
    evil = dataclasses.replace(
        record,
        config=record.config | {"norm_backend": EVIL, EVIL: 1},
        curves={EVIL: {"step": [1, 2], EVIL: [1.0, 2.0]}},
        final=record.final | {EVIL: 1.0},
        provenance=PROVENANCE | {"hardware": EVIL, EVIL: EVIL, "code_commit": '" onclick="x'},
    )
    for _, text in pages.pages([evil], runs, book(runs, "https://example.org/r")):
        assert "<script" not in text
        assert not BeautifulSoup(text, "html.parser").select("[onclick]")
    index = pages.environment().get_template("all.html")
    assert "<script" not in index.render(
        book=book(runs), experiments={}, root="", rooms={EVIL: []}, figures={}
    )


def test_pages_are_made_again_only_when_something_changed(made: Path, runs: Path) -> None:
    page = of(made, config(), 0)
    before = page.stat().st_mtime_ns
    pages.export(runs, made, book(runs))
    assert page.stat().st_mtime_ns == before
    whole = page.read_bytes()
    page.write_bytes(whole[:100])
    pages.export(runs, made, book(runs))
    assert page.read_bytes() == whole
    write_finished(runs, config(), 11, CURVES, {"chance_accuracy": 0.1, "test_accuracy": 0.85})
    pages.export(runs, made, book(runs))
    assert "85.00%" in page.read_text(encoding="utf-8")


def test_the_site_gets_them_and_nothing_where_there_are_none(made: Path, runs: Path, tmp_path: Path) -> None:
    pages.place(made, tmp_path / "site" / "records")
    assert of(tmp_path / "site" / "records", config(), 0).with_suffix(".npz").exists()
    assert not list((tmp_path / "site").rglob("*.stamp"))
    pages.export(tmp_path / "no runs", tmp_path / "nothing", book(runs))
    pages.place(tmp_path / "nothing", tmp_path / "empty")
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(
    ("editions", "ko", "en"),
    [(["ko", "en", "ko-en"], "ko", "en"), (["ko-en"], "ko-en", "ko-en"), (["en"], "en", "en")],
)
def test_pages_lead_to_the_editions_that_there_are(editions: list[str], ko: str, en: str) -> None:
    assert pages.homes(editions) == {"ko": f"../{ko}/", "en": f"../{en}/"}


def test_a_record_leads_to_itself_in_the_repository_at_its_commit(
    runs: Path, tmp_path: Path, monkeypatch
) -> None:
    """Where the address of the repository is set, for records that are committed."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "records"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    address = "https://example.org/owner/bn"
    name = of(Path(), config(), 0).with_suffix(".json").as_posix()
    assert book(runs, address).source(name) == f"{address}/blob/{head.stdout.strip()}/results/runs/{name}"
    assert book(runs, address).source(name.replace("seed-0", "seed-5")) == ""
    assert book(runs).source(name) == ""
    pages.export(runs, tmp_path / "made", book(runs, address))
    links = [link["href"] for link in soup(of(tmp_path / "made", config(), 0)).select("a")]
    assert book(runs, address).source(name) in links and f"{address}/tree/{'0' * 40}" in links


def test_every_field_of_every_configuration_is_explained_in_both_languages() -> None:
    known = set()
    for room in PLANNED.values():
        experiment = EXPERIMENTS[room.protocol.EXPERIMENT]
        for name, meaning in pages.meanings(
            experiment, getattr(room.protocol.Config, "recipe", None)
        ).items():
            assert meaning.get("ko") and meaning.get("en"), f"book/records.yml does not say what {name} is"
            known.add(name)
    words = data.read(pages.MEANINGS)
    assert set(words["fields"]) == known, "book/records.yml explains a field that there is not"
    for name, own in words["experiments"].items():
        assert set(own) <= set(pages.meanings(EXPERIMENTS[name], None))
    comment = pages.meanings(EXPERIMENTS["mnist_activation_shift"], None)["lr"]["code"]
    assert comment == "constant; plain SGD"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_pages_fit_and_are_accessible(made: Path, browser, width: int, scheme: str) -> None:
    """From file:// and from http:// under a sub-path."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    seen = ["index.html", "mnist_activation_shift/index.html", f"figures/{FIGURE}.html"]
    seen.append(of(made, config(), 0).relative_to(made).as_posix())
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page, failed = context.new_page(), []
    # axe fetches styles again, which a page from file:// may not; one that is left gives up the rest.
    page.on(
        "requestfailed",
        lambda request: (
            request.resource_type != "xhr"
            and request.failure not in (None, "net::ERR_ABORTED")
            and failed.append(request.url)
        ),
    )
    page.on("response", lambda response: response.status >= 400 and failed.append(response.url))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=made.parent)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for root in (made.as_uri(), f"http://127.0.0.1:{server.server_port}/{made.name}"):
            for address in seen:
                page.goto(f"{root}/{address}")
                assert page.evaluate("document.documentElement.scrollWidth") <= width, address
                assert page.evaluate("getComputedStyle(document.body).maxWidth") != "none", "no styles"
                found = axe.run(page).response["violations"]
                assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], address
            page.get_by_role("link", name="기록 Records").click()
            page.wait_for_load_state("networkidle")
            page.get_by_role("link", name="mnist_activation_shift").click()
            page.wait_for_load_state("networkidle")
            page.get_by_role("link", name="10 80.00%").click()
            page.wait_for_load_state("networkidle")  # before the server goes
            assert page.url.endswith("seed-10.html")
        server.shutdown()
    context.close()
    assert failed == []


def test_a_page_leads_to_the_seeds_around_its_own_and_to_the_list_of_all(tmp_path, monkeypatch):
    """However many there are: a page that listed all would grow with their number."""
    runs = tmp_path / "runs"
    for seed in range(30):
        write_finished(runs, config(), seed, {}, {"chance_accuracy": 0.1, "test_accuracy": 0.9})
    monkeypatch.setattr(pages, "NEAR", 3)
    pages.export(runs, tmp_path / "pages", pages.Book({"ko": "", "en": ""}, {}, ""))
    for seed, shown in ((0, range(7)), (2, range(7)), (15, range(12, 19)), (29, range(23, 30))):
        (file,) = (tmp_path / "pages").rglob(f"seed-{seed}.html")
        block = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser").select_one(".siblings")
        assert [int(one.text) for one in block.select(".seed")] == list(shown)
        assert int(block.select_one("[aria-current] .seed").text) == seed
        link = block.select("a")[-1]
        assert "30" in link.text and (file.parent / link["href"]).resolve().exists()
