"""Publishing: what was published stays, byte for byte; and what is cited from it fits where it is pasted."""

import io
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from PIL import Image

from bnbook import cli, figures, files, paths
from bnbook.publish import PublishError, onto_branch, onto_folder
from bnbook.sphinxext import embeds, versions
from bnbook.sphinxext.figures import Cited, citations

FIRST, SECOND = "0123456789ab", "ba9876543210"
SAID = SimpleNamespace(
    title={"ko": "첫 <그림>", "en": "First <picture>"},
    caption={"ko": "오르는 선.", "en": "A line that rises."},
    alt={"ko": "오르는 선", "en": "A rising line"},
)


def today(folder: Path, content_hash: str, number: int = 1, records: tuple[str, ...] = ("r.json",)) -> Path:
    """A site of one figure, as `bnbook book` lays it."""
    exported, site = folder / "exported", folder / "html"
    for language in ("ko", "en"):
        page = site / language / "figures" / "pic-one.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(f"{language} {content_hash}")
    exported.mkdir(exist_ok=True)
    manifest = {"pic-one": {"hash": content_hash, "records": list(records)}}
    (exported / "manifest.json").write_text(json.dumps(manifest))
    (exported / "pic-one.csv").write_text(f"step\n{number}\n")
    for lang in ("ko", "en"):
        svg = f'<svg width="468pt" height="280pt" viewBox="0 0 468 280"><!-- {lang} {content_hash} --></svg>'
        (exported / figures.version("pic-one", lang)).write_text(svg)
        (exported / figures.column_png("pic-one", lang)).write_text(f"{lang} {content_hash}")
    versions.write(site, exported, {"pic-one": SAID}, {})
    return site


def held(folder: Path) -> dict[str, bytes]:
    found = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


class Target:
    """Where the book is published: a folder, or a branch of a repository."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.root = kind, folder / "repository"
        self.folder = folder / "published"
        self.root.mkdir()
        if kind == "branch":
            for name, value in (("user.name", "A"), ("user.email", "a@b.org")):
                self.git("init", "-q"), self.git("config", name, value)
            self.git("commit", "-q", "--allow-empty", "-m", "Begin")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def publish(self, site: Path) -> bool:
        if self.kind == "folder":
            return onto_folder(site, self.folder, self.root)
        return onto_branch(site, "published", self.root)

    def site(self) -> dict[str, bytes]:
        if self.kind == "folder":
            return held(self.folder) if self.folder.exists() else {}
        if not self.git("branch", "--list", "published"):
            return {}
        names = self.git("ls-tree", "-r", "--name-only", "published").splitlines()
        show = ["git", "show"]
        return {
            name: subprocess.run(
                [*show, f"published:{name}"], cwd=self.root, capture_output=True, check=True
            ).stdout
            for name in names
        }

    def ledger(self) -> str:
        file = self.root / versions.LEDGER
        return file.read_text() if file.exists() else ""

    def damage(self, name: str, content: bytes | None) -> None:
        """Changes or deletes a published file, as somebody might."""
        if self.kind == "branch":
            self.git("worktree", "add", "-q", "../damaged", "published")
            place = self.root.parent / "damaged"
        else:
            place = self.folder
        (place / name).unlink() if content is None else (place / name).write_bytes(content)
        if self.kind == "branch":
            subprocess.run(["git", "commit", "-qam", "Damage"], cwd=place, check=True)
            self.git("worktree", "remove", "--force", "../damaged")


@pytest.fixture(params=["folder", "branch"])
def target(request, tmp_path) -> Target:
    return Target(request.param, tmp_path)


def test_a_version_once_published_stays_where_it_was(target, tmp_path):
    assert target.publish(today(tmp_path, FIRST))
    first = target.site()
    kept = {name: text for name, text in first.items() if FIRST in name and not name.endswith(".html")}
    assert {name.partition(".")[2] for name in kept} == {"svg", "ko.svg", "png", "ko.png", "csv", "json"}
    status = BeautifulSoup(first[f"figures/pic-one/{FIRST}.html"], "html.parser").select(".status")
    assert "the version in the book today" in status[1].get_text()

    assert target.publish(today(tmp_path / "later", SECOND, number=2))
    second = target.site()
    assert kept.items() <= second.items() and f"figures/pic-one/{SECOND}.svg" in second
    assert second["ko/figures/pic-one.html"].decode() == f"ko {SECOND}"
    old = BeautifulSoup(second[f"figures/pic-one/{FIRST}.html"], "html.parser")
    assert [line.a["href"] for line in old.select(".status")] == [f"{SECOND}.html"] * 2
    assert "Renewed since" in old.get_text() and "갱신되었다" in old.get_text()
    for link in old.select("a[href], img[src]"):
        to = (Path("/figures/pic-one") / (link.get("href") or link["src"])).resolve()
        assert str(to).lstrip("/") in second
    [before, after] = json.loads(target.ledger())["pic-one"]
    assert (before["hash"], before["changed"]) == (FIRST, ["first"])
    assert (after["hash"], after["changed"]) == (SECOND, ["numbers"])
    # The first comes back: today's again, and nothing is published twice.
    ledger = target.ledger()
    target.publish(today(tmp_path, FIRST))
    assert kept.items() <= target.site().items() and target.ledger() == ledger


def test_to_publish_the_same_again_changes_nothing(target, tmp_path):
    site = today(tmp_path, FIRST)
    assert target.publish(site)
    before, ledger = target.site(), target.ledger()
    assert not target.publish(site)
    assert (target.site(), target.ledger()) == (before, ledger)


def test_published_bytes_win_over_todays(target, tmp_path):
    """Words in a picture may be mended, which its hash does not know of: the published picture stays."""
    target.publish(today(tmp_path, FIRST))
    before = target.site()
    site = today(tmp_path, FIRST)
    (site / "figures" / "pic-one" / f"{FIRST}.ko.svg").write_text("<svg/>")
    target.publish(site)
    assert target.site() == before


@pytest.mark.parametrize("content", [None, b"<svg/>"])
def test_what_is_missing_or_changed_stops_the_next_publishing(target, tmp_path, content):
    target.publish(today(tmp_path, FIRST))
    target.damage(f"figures/pic-one/{FIRST}.svg", content)
    before, ledger = target.site(), target.ledger()
    with pytest.raises(PublishError, match=rf"^figures/pic-one/{FIRST}.svg was published on [^\n]*$"):
        target.publish(today(tmp_path / "later", SECOND))
    assert (target.site(), target.ledger()) == (before, ledger)


def test_an_empty_target_is_not_taken_for_the_last_site(tmp_path):
    onto_folder(today(tmp_path, FIRST), tmp_path / "published", tmp_path)
    with pytest.raises(PublishError, match="is not there in"):
        onto_folder(today(tmp_path, FIRST), tmp_path / "new", tmp_path)
    assert not (tmp_path / "new").exists()


def test_nothing_is_half_written(target, tmp_path, monkeypatch):
    target.publish(today(tmp_path, FIRST))
    before, ledger = target.site(), target.ledger()
    site = today(tmp_path / "later", SECOND)

    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(versions, "write_pages", full)
    places = (target.folder.parent, target.root / "build")
    beside = [sorted(place.iterdir()) for place in places if place.exists()]
    with pytest.raises(OSError, match="No space"):
        target.publish(site)
    assert (target.site(), target.ledger()) == (before, ledger)
    assert [sorted(place.iterdir()) for place in places if place.exists()] == beside


def test_what_lies_beside_the_book_stays(tmp_path):
    folder = tmp_path / "published"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref")
    (folder / "CNAME").write_text("bn.example.org")
    onto_folder(today(tmp_path, FIRST), folder, tmp_path)
    assert (folder / "CNAME").exists() and (folder / ".git" / "HEAD").exists()
    assert (folder / ".nojekyll").exists()


@pytest.mark.parametrize(
    ("branch", "message"), [("a b", "is no name of a branch"), ("main", "is checked out here")]
)
def test_a_branch_that_cannot_be_published_onto(tmp_path, branch, message):
    target = Target("branch", tmp_path)
    target.git("branch", "-m", "main")
    with pytest.raises(PublishError, match=message):
        onto_branch(today(tmp_path, FIRST), branch, target.root)


def test_outside_of_a_repository_there_is_no_branch(tmp_path):
    with pytest.raises(PublishError, match=r"^git rev-parse: [^\n]*$"):
        onto_branch(today(tmp_path, FIRST), "published", tmp_path)


def test_what_changed_is_told_from_records_and_numbers():
    def of(records: str, csv: str) -> dict[str, bytes]:
        return {f"{FIRST}.json": json.dumps({"records": records}).encode(), f"{FIRST}.csv": csv.encode()}

    before = versions.entry(FIRST, of("a", "1"), None)
    tried = {("a", "1"): ["code"], ("b", "1"): ["records"], ("b", "2"): ["records", "numbers"]}
    for (records, csv), changed in tried.items():
        assert versions.entry(FIRST, of(records, csv), before)["changed"] == changed


def test_the_figures_page_lists_its_versions(tmp_path):
    folder = Target("folder", tmp_path)
    folder.publish(today(tmp_path, FIRST))
    later = today(tmp_path / "later", SECOND, number=2)
    found = {file.name: file.read_bytes() for file in (later / "figures" / "pic-one").glob("*[!l]")}
    ledger = versions.read(folder.root)
    history = versions.history("pic-one", SECOND, found, ledger)
    page = BeautifulSoup(versions.box("pic-one", history, "en", "../../"), "html.parser")
    lines = [" ".join(item.get_text().split()) for item in page.select("li")]
    assert lines[0].startswith(f"{SECOND} today’s") and "the plotted numbers changed" in lines[0]
    assert lines[1].startswith(f"{FIRST} published 20") and "first published" in lines[1]
    assert page.a["href"] == f"../../figures/pic-one/{SECOND}.html"
    # Published, the page is the same: else it would never be done.
    folder.publish(later)
    assert versions.history("pic-one", SECOND, found, versions.read(folder.root)) == history


def test_the_committed_ledger_only_grows():
    """What it had at the last commit it still has; and the published branch, where there is one, has it."""
    ledger = versions.read(paths.ROOT)
    git = ["git", "-C", str(paths.ROOT)]
    before = subprocess.run([*git, "show", f"HEAD:{versions.LEDGER.as_posix()}"], capture_output=True)
    if before.returncode == 0:
        for name, published in files.parsed(before.stdout, versions.LEDGER).items():
            assert ledger.get(name, [])[: len(published)] == published
    branch = subprocess.run([*git, "rev-parse", "-q", "--verify", "published"], capture_output=True)
    if branch.returncode == 0:
        for name, published in ledger.items():
            for one in published:
                for file, digest in one["files"].items():
                    blob = subprocess.run(
                        [*git, "show", f"published:figures/{name}/{file}"], capture_output=True
                    )
                    assert versions._digest(blob.stdout) == digest, f"{name}/{file}"


def test_the_command_wants_one_place_to_publish_to(capsys):
    with pytest.raises(SystemExit):
        cli.main(["publish"])
    assert "--onto" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["publish", "--onto", "x", "--branch", "y"])


def test_a_site_that_is_none_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PublishError, match="is no site of this book"):
        onto_folder(tmp_path / "empty", tmp_path / "published", tmp_path)
    with pytest.raises(PublishError, match="name the folder of the published one"):
        onto_folder(tmp_path / "empty", tmp_path / "empty", tmp_path)


# What is pasted


SITE = "https://bn.example.org"
PICTURE = paths.FIGURES / "fig4-ensemble-size.svg"
BLOG = '<!DOCTYPE html><meta name="viewport" content="width=device-width">'


@pytest.fixture
def blog(browser):
    """A page of others, of a width: what is pasted into it is loaded from the published book."""
    wide = versions.fluid(PICTURE.read_text(encoding="utf-8"))
    cited = Cited("fig4", FIRST, (624, 374), SITE, f"{SITE}/en", "2026")
    size = (624, 374)
    frame = embeds.page(
        "en", "T", "A", ["w.svg", "wd.svg", "n.svg", "nd.svg"], size, "Source: " + "word " * 40
    )
    contexts = []

    def answer(route) -> None:
        if route.request.url.endswith(".svg"):
            route.fulfill(body=wide, content_type="image/svg+xml")
        elif "/embed/" in route.request.url:
            route.fulfill(body=frame, content_type="text/html; charset=utf-8")
        else:
            route.fulfill(body=BLOG, content_type="text/html")

    def paste(html: str, width: int):
        context = browser.new_context(viewport={"width": width, "height": 740})
        contexts.append(context)
        page = context.new_page()
        page.route("**/*", answer)
        page.goto("https://blog.example.org/")
        page.evaluate("html => { document.body.innerHTML = html }", html)
        page.wait_for_load_state("networkidle")
        return page

    made = citations(cited, SAID, "en")
    yield paste, made
    for context in contexts:
        context.close()


def sideways(page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize("kind", ["HTML", "Markdown", "HTML (iframe)"])
@pytest.mark.parametrize("width", [360, 1280])
def test_what_is_pasted_fits_the_column(blog, kind, width):
    paste, made = blog
    html = MarkdownIt().render(made[kind]) if kind == "Markdown" else made[kind]
    page = paste(html, width)
    assert sideways(page) <= 0
    shown = page.locator("img, iframe").bounding_box()
    assert shown["width"] >= min(width - 30, 600)
    if "iframe" not in kind:
        assert abs(shown["width"] / shown["height"] - 468 / 280.8) < 0.02  # not squeezed


def test_the_png_is_no_wider_than_a_column():
    """The committed one is for screens of twice the usual resolution."""
    halved = figures._halved((paths.FIGURES / "fig4-ensemble-size.png").read_bytes())
    with Image.open(io.BytesIO(halved)) as picture:
        assert picture.width == 624


@pytest.mark.parametrize("width", [320, 900])
def test_a_frame_shows_all_of_the_figure_and_its_source(blog, width):
    paste, made = blog
    page = paste(made["HTML (iframe)"], width)
    frame = page.frames[1]
    frame.wait_for_selector("img")
    measures = frame.evaluate(
        "() => { const page = document.documentElement, line = document.querySelector('figcaption');"
        "return [page.scrollWidth - innerWidth, page.scrollHeight - innerHeight,"
        " innerHeight - line.getBoundingClientRect().bottom] }"
    )
    assert measures[0] <= 0 and measures[1] <= 0 and measures[2] >= 0
    assert frame.locator("script").count() == 0
    source = frame.evaluate("document.querySelector('img').currentSrc")
    assert source.endswith("/n.svg" if width < 575 else "/w.svg")


def test_a_frame_is_dark_where_its_reader_is(blog):
    paste, made = blog
    page = paste(made["HTML (iframe)"], 900)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("frames[0] !== undefined")
    frame = page.frames[1]
    frame.wait_for_function("document.querySelector('img').currentSrc.endsWith('/wd.svg')")
    assert frame.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
