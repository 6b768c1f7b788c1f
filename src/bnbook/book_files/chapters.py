"""The chapters of a built edition, as paper has them: without what only the web can do."""

import importlib.metadata
import posixpath
import re
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from bs4 import BeautifulSoup, Tag

# Buttons, what scripts fill, what is copied from a page or leads to its files, what tells how to use the site
# (bn-web), and the pictures of the dark.
LEFT_OUT = """script, style, template, button, .headerlink, .bn-figure-links, .bn-choices, .bn-web,
    .toctree-wrapper, .bn-gallery picture, picture.only-dark, details.bn-cite"""
# An attribute that means nothing on paper, or is of an element that was left out.
UNUSED = re.compile(r"data-(?!label$).*|aria-(labelledby|describedby|controls)|title|tabindex|loading|role")
WORDS = {
    "ko": {
        "about": "Ioffe와 Szegedy의 배치 정규화 논문(2015)을 처음부터 다시 실험한 기록",
        "contents": "차례",
        "cover": "표지",
        "built": "{day}에 만든 {version}판",
        "live": "웹에서 읽으면 이 자리에서 두 네트워크를 직접 학습시킬 수 있다.",
    },
    "en": {
        "about": "The experiments of Ioffe and Szegedy’s Batch Normalization paper (2015), from scratch",
        "contents": "Contents",
        "cover": "Cover",
        "built": "Version {version}, made on {day}",
        "live": "Read on the web, this is where the two networks are trained.",
    },
}


@dataclass
class Chapter:
    """A page of the edition: `page` is its address, `name` what the files call it, `part` the part that it
    opens ("" for the others), `body` its text."""

    page: str
    title: str
    part: str
    body: Tag
    ids: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return self.page.removesuffix(".html").removesuffix("/index").replace("/", "-")

    def sections(self) -> Iterator[tuple[str, str]]:
        """The id and the title of each section."""
        for heading in self.body.select("section[id] > h2"):
            yield heading.parent["id"], text(heading)


@dataclass
class Book:
    """An edition; `address` is where it is read on the web, "" where that is unset."""

    folder: Path
    language: str
    title: str
    license: str
    address: str
    day: datetime
    chapters: list[Chapter]

    authors = importlib.metadata.metadata("bnbook")["Author"]

    @property
    def words(self) -> dict[str, str]:
        version = importlib.metadata.version("bnbook")
        day: date = self.day.date()
        return {key: text.format(day=day, version=version) for key, text in WORDS[self.language].items()}

    def link(self, place: Callable[[Chapter, Chapter, str], str]) -> None:
        """Give all links their targets: `place` says what leads from a chapter to an id of a chapter ("" is
        its beginning). What is in no chapter is read on the web; without an address there it is no link."""
        pages = {chapter.page: chapter for chapter in self.chapters}
        figures = {
            figure["id"]: chapter for chapter in self.chapters for figure in chapter.body.select("figure[id]")
        }
        for chapter in self.chapters:
            for link in chapter.body.select("a[href]"):
                parts = urlsplit(link["href"])
                if parts.scheme:
                    continue
                page, target = chapter.page, unquote(parts.fragment)
                if parts.path:
                    page = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path)))
                figure = page.removeprefix("figures/").removesuffix(".html")
                if page in pages and target in pages[page].ids | {""}:
                    link["href"] = place(chapter, pages[page], target)
                elif figure in figures:
                    link["href"] = place(chapter, figures[figure], figure)
                elif self.address and page not in pages:
                    link["href"] = urljoin(self.address, page)
                else:
                    link.name = "span"
                    del link["href"]


def read(folder: Path) -> Book:
    """The edition in `folder`, its chapters in the order of the contents."""
    index = soup(folder / "index.html")
    canonical = index.select_one("link[rel=canonical]")
    chapters, part = [], ""
    for item in index.select("nav.bd-links :is(p.bn-part, li.toctree-l1 > a)"):
        if item.name == "p":
            part = text(item)
            continue
        page = "index.html" if item["href"] == "#" else item["href"]
        chapters.append(chapter(folder, page, part))
        part = ""
    return Book(
        folder,
        folder.name,
        title=text(index.select_one("article h1")),
        license=text(index.select_one(".copyright")),
        address=canonical["href"].removesuffix("index.html") if canonical else "",
        day=datetime.fromtimestamp((folder / "index.html").stat().st_mtime, UTC),
        chapters=chapters,
    )


def chapter(folder: Path, page: str, part: str) -> Chapter:
    whole = soup(folder / page)
    body = whole.select_one("article.bd-article > section")
    set_formulas(body, {path["id"]: path for path in whole.select(".bn-glyphs path")})
    for left in body.select(LEFT_OUT):
        left.decompose()
    for section in body.select("section:not(:has(> :not(h2, span)))"):  # a heading alone
        section.decompose()
    for live in body.select(".bn-train"):
        live.clear()
        live.append(WORDS[folder.name]["live"])
    for outer in body.select("a.image-reference"):
        outer.unwrap()
    for fold in body.select("details"):
        fold.name = "div"
    for title in body.select("summary"):
        title.name, title["class"] = "div", [*title.get("class", []), "bn-fold-title"]
    for image in body.select("img, source"):
        key = "src" if image.name == "img" else "srcset"
        image[key] = posixpath.normpath(posixpath.join(posixpath.dirname(page), image[key]))
    for element in body.find_all(True):
        for name in [name for name in element.attrs if UNUSED.fullmatch(name)]:
            del element[name]
    ids = {element["id"] for element in body.select("[id]")} | {body["id"]}
    return Chapter(page, text(body.h1), part, body, ids)


def set_formulas(body: Tag, glyphs: dict[str, Tag]) -> None:
    """Give every formula the letters that its page keeps in one place, and its attributes their capitals,
    which a parser of HTML takes away."""
    for svg in body.find_all("svg"):
        svg["xmlns"] = "http://www.w3.org/2000/svg"
        for use in svg.find_all("use"):
            letter = copy(glyphs[use["href"].removeprefix("#")])
            del letter["id"]
            letter.attrs |= {name: value for name, value in use.attrs.items() if name != "href"}
            use.replace_with(letter)
        for element in (svg, *svg.find_all("svg")):
            if "viewbox" in element.attrs:
                element["viewBox"] = element.attrs.pop("viewbox")


def soup(file: Path) -> BeautifulSoup:
    return BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")


def text(element: Tag | None) -> str:
    """What `element` says, in one line, without the sign that leads to it."""
    if element is None:
        return ""
    shown = copy(element)
    for sign in shown.select(".headerlink"):
        sign.decompose()
    return " ".join(shown.get_text().split())
