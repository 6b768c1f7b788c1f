"""The directive `bnfigure`: a figure with its texts, its files, and what a reader needs to cite it.

A figure's numbered place is its chapter. Its own page, `figures/<id>`, is where it always is as it is today;
beside that page lie its files `figures/<id>.svg`, `.png`, `.csv`. A citation has the address of the version
that was cited (versions.py), which stays as it is. Wherever a figure is named, it has the number of its place
and, if it is the counterpart of one of the paper's, that one's: "Fig. 51 (the paper's Figure 2)".
"""

import contextlib
import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import yaml
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxContentsFilter
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

import bnbook
from bnbook import figures, files, paths
from bnbook.claims import ClaimResult
from bnbook.drawing import korean
from bnbook.figures import LICENCE
from bnbook.paper import LANGUAGES
from bnbook.sphinxext import citations as citing
from bnbook.sphinxext import claims, columns, data, embeds, live_figures, numbers, records, versions
from bnbook.sphinxext.builder import address as page_address
from bnbook.sphinxext.builder import relative
from bnbook.sphinxext.editions import beside, joined, languages, pair
from bnbook.sphinxext.html import inline, tag
from bnbook.sphinxext.versions import AUTHOR

FILES = ("svg", "png", "csv")
PHONE = "(max-width: 575px)"
SHOWN = re.compile(r'figures\.show\("([^"]+)"')  # in a notebook's cell: its output is that figure
SIZE = re.compile(r'<svg [^>]*width="([\d.]+)pt" height="([\d.]+)pt"')
ESCAPED = re.compile(r"\\([^\w\s])")  # a mark that Markdown is to leave alone

WORDS = {
    "number": {"ko": "그림 {}", "en": "Fig. {}"},
    "paper": {"ko": "(논문 그림 {})", "en": "(the paper's Figure {})"},
    "explained": {"ko": "설명하는 곳", "en": "Explained in"},
    "drawn": {"ko": "그리는 노트북", "en": "Drawn by the notebook"},
    "claim": {"ko": "이 그림으로 보는 주장", "en": "The claim that it bears on"},
    "claims": {"ko": "이 그림으로 보는 주장", "en": "The claims that it bears on"},
    "state": {"ko": "상태", "en": "State"},
    "fresh": {"ko": "최신. 기록, 코드, 그림이 서로 맞는다", "en": "fresh: records, code and picture agree"},
    "stale": {
        "ko": "갱신됨. 저장소에 있는 그림은 지금의 기록이나 코드와 맞지 않아, 여기서 다시 그렸다",
        "en": "drawn again for this page: the picture in the repository does not agree with today’s records "
        "or code",
    },
    "cite": {"ko": "이 그림 인용하기", "en": "Cite this figure"},
    "image": {"ko": "그림 복사", "en": "Copy image"},
    "caption": {"ko": "캡션", "en": "Caption"},
    "records": {"ko": "기록", "en": "Records"},
    "code": {"ko": "코드", "en": "Code"},
    "page": {"ko": "고정 주소", "en": "Permanent page"},
}

log = logging.getLogger(__name__)


class FigureError(ValueError):
    """A figure that does not exist, or one without its texts."""


@dataclasses.dataclass(frozen=True)
class Texts:
    """Title, caption and alt text of a figure, each {"ko", "en"}, with all numbers filled in; `paper` is the
    figure of the paper whose counterpart it is ("1a"), or ""."""

    title: dict[str, str]
    caption: dict[str, str]
    alt: dict[str, str]
    paper: str


def texts(source: Path, name: str) -> Texts:
    """The texts of the figure `name` from its page in the folder `source`; raises FigureError or
    UnknownNumber."""
    if name not in figures.FIGURES:
        raise FigureError(f"no figure {name!r}; there are {', '.join(figures.FIGURES)}")
    path = source / f"{page(name)}.md"
    try:
        entry = figures.texts(path)
    except (OSError, KeyError, yaml.YAMLError) as error:
        raise FigureError(f"{path.name} has no texts of its figure: {error}") from None
    for part in ("title", "caption", "alt"):
        for lang in LANGUAGES:
            if not entry.get(part, {}).get(lang):
                raise FigureError(f"{path.name} has no {part} ({lang}) for {name!r}")
    return Texts(
        paper=str(entry.get("paper", "")),
        **{
            part: {
                # The caption alone is Markdown.
                lang: numbers.fill(entry[part][lang], markdown=part == "caption").strip()
                for lang in LANGUAGES
            }
            for part in ("title", "caption", "alt")
        },
    )


def export_figures(folder: Path = paths.BUILD / "figures") -> dict[str, dict[str, Any]]:
    """Exports all figures, and the versions that pages show, into `folder` where out of date; their manifest,
    by id (see `figures.export_all`).

    What is not as the last export left it, since that was interrupted or somebody changed a file, is made
    from nothing. Raises MissingRecord and UntranslatedText.
    """
    stamp = folder / "manifest.stamp"
    state = data.fingerprint(korean.CATALOGUE, *sorted(paths.BOOK.glob("figures/*.md")))
    before, _, left = stamp.read_text().partition(" ") if stamp.exists() else ("", "", "")
    if left != _exported(folder):
        shutil.rmtree(folder, ignore_errors=True)
    elif before == state:
        return figures.manifest(folder)
    made = figures.export_all(folder, numbers.results())
    figures.export_versions(folder, numbers.results())
    files.write(stamp, f"{state} {_exported(folder)}")
    return made


def _exported(folder: Path) -> str:
    """A hash over what lies in `folder`, manifest and all."""
    return data.contents(*(file for file in sorted(folder.glob("*")) if file.suffix != ".stamp"))


def _folder(app: Sphinx) -> Path:
    """Where this book's figures are exported."""
    return Path(app.srcdir) / "build" / "figures"


class FigureDirective(SphinxDirective):
    """```` ```{bnfigure} <id> ``` ````; `:unnumbered:` for a copy outside of the figure's chapter."""

    required_arguments = 1
    option_spec: ClassVar = {"unnumbered": directives.flag}

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        self.env.note_dependency(str(source(self.env) / f"{page(name)}.md"))
        try:
            found = texts(source(self.env), name)
        except ValueError as error:
            log.warning("bnfigure %s: %s", name, error, location=self.get_location())
            return []
        numbers.note_dependency(self.env)
        own_page = self.env.docname == page(name)
        if own_page:
            self.env.bn_figure_pages[self.env.docname] = open_graph(name, found, self.config.edition)
        box = tag("div", classes="bn-figure-box bn-figure-page" if own_page else "bn-figure-box")
        box += self.figure(name, found, numbered=not own_page and "unnumbered" not in self.options)
        if own_page:
            box += self.places(name)
        box += self.links(name, own_page)
        if own_page and (live := live_figures.box(self.env, name)):
            box += live
        box += nodes.raw("", cite_box(name, found, self.env, is_open=own_page), format="html")
        if own_page:
            box += columns.box(self.env, _folder(self.env.app) / f"{name}.csv")
            box += self.versions(name, found)
        return [box]

    def figure(self, name: str, found: Texts, *, numbered: bool) -> nodes.Element:
        image = picture(self.env.app, name, joined(found.alt, self.config.edition))
        # Sphinx has the number at the beginning of a numbered one, in the edition's first language.
        first = languages(self.config.edition)[0] if numbered else ""
        caption = by_language(
            lambda lang: [
                *label(name, found, lang, numbered=lang != first),
                *inline(self, found.caption[lang]),
            ]
        )
        if not numbered:
            text = tag("p", tag("span", *caption, classes="caption-text"))
            return tag("figure", image, tag("figcaption", text), classes="bn-figure")
        figure = nodes.figure("", image, nodes.caption("", "", *caption), names=[name], classes=["bn-figure"])
        self.set_source_info(figure)
        self.state.document.note_explicit_target(figure, figure)
        return figure

    def places(self, name: str) -> list[nodes.Node]:
        """Lines with the chapter that explains the figure, the notebook that draws it, the claims that it
        bears on, and whether it is what records and code give today."""
        lines = [tag("p", *pair(WORDS["explained"]), ": ", Place(figure=name), classes="bn-figure-place")]
        if notebook := drawn_in(source(self.env) / "notebooks").get(name):
            link = Place(docname=f"notebooks/{notebook}")
            lines.append(tag("p", *pair(WORDS["drawn"]), ": ", link, classes="bn-figure-place"))
        lines += self.borne_on([claim for claim in claims.board() if claim.figure == name])
        content_hash = self.env.app.bn_figures[name]["hash"]
        state = WORDS["fresh" if is_committed(name, content_hash) else "stale"]
        words = (*pair(WORDS["state"]), ": ", *pair(state), " ", nodes.literal("", content_hash))
        lines.append(tag("p", *words, classes="bn-figure-state"))
        return lines

    def borne_on(self, found: list[ClaimResult]) -> list[nodes.Node]:
        """The claims with their verdicts: one in a line, several in a list."""
        shown = []
        for claim in found:
            said = by_language(lambda lang, claim=claim: inline(self, claim.statement[lang]))
            shown.append((claims.link(self.env, claim, said), " ", claims.pill(claim.verdict)))
        if len(shown) == 1:
            return [tag("p", *pair(WORDS["claim"]), ": ", *shown[0], classes="bn-figure-claim")]
        rows = tag("ul", *(tag("li", *line) for line in shown))
        return [tag("div", *pair(WORDS["claims"]), ":", rows, classes="bn-figure-claim")] if shown else []

    def versions(self, name: str, found: Texts) -> nodes.Node:
        """The versions that the figure has had. Raw HTML, so that search does not find it."""
        root, entry = source(self.env), self.env.app.bn_figures[name]
        if (ledger := root / versions.LEDGER).exists():
            self.env.note_dependency(str(ledger))
        made = versions.made(name, entry, _folder(self.env.app), found)
        history = versions.history(name, entry["hash"], made, versions.read(root))
        box = versions.box(name, history, self.config.edition, to_root(self.env))
        return nodes.raw("", box, format="html")

    def links(self, name: str, own_page: bool) -> nodes.Element:
        own = {kind: f"figures/{name}.{kind}" for kind in FILES}
        line = tag("p", classes="bn-figure-links")
        for kind, target in own.items():
            line += [Link("", kind.upper(), target=target, kind=kind), nodes.Text(" ")]
        others = {"records": records.target(self.env.app, name), "code": code_file(name)}
        if not self.env.app.bn_figures[name]["records"]:
            del others["records"]  # a picture that explains
        for kind, target in others.items():
            line += [Link("", "", *pair(WORDS[kind]), target=target, kind=kind), nodes.Text(" ")]
        if not own_page:
            line += Link("", "", *pair(WORDS["page"]), target=f"figures/{name}.html", kind="page")
        return line


class GalleryDirective(SphinxDirective):
    """```` ```{bngallery} ``` ````: all figures, small, each linked to its page."""

    def run(self) -> list[nodes.Node]:
        numbers.note_dependency(self.env)
        items = []
        # In the order of the contents, which may have changed since they were exported.
        for name in filter(self.env.app.bn_figures.__contains__, figures.FIGURES):
            self.env.note_dependency(str(source(self.env) / f"{page(name)}.md"))
            try:
                found = texts(source(self.env), name)
            except ValueError as error:
                log.warning("bngallery: %s: %s", name, error, location=self.get_location())
                continue
            # The title beside it names the picture, which is why it has no alt text of its own.
            image = picture(self.env.app, name, alt="", narrow=False)
            title = Link("", "", *titled(name, found), target=f"figures/{name}.html", kind="page")
            items.append(tag("li", image, title))
        return [tag("ul", *items, classes="bn-gallery")]


class Image(nodes.General, nodes.Element):
    """The figure in the language of the edition, by day and by night, and `narrow` for a phone too; linked to
    the figure's page."""


class Number(nodes.Inline, nodes.Element):
    """ "Fig. 3": the number of `figure` in its chapter, in the language `lang`; known when all is read."""


class Place(nodes.Inline, nodes.Element):
    """A link to the section that explains `figure`, or to the page `docname`, by its title."""


class Link(nodes.Inline, nodes.TextElement):
    """A link to a file of the edition, at `target` from the edition's root."""


class FigureReference(SphinxRole):
    """``{fig}`<id>` ``: "Fig. 3", linked."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        options = {"refdomain": "std", "reftype": "numref", "reftarget": self.text, "refexplicit": False}
        reference = addnodes.pending_xref("", refdoc=self.env.docname, refwarn=True, **options)
        reference += nodes.literal("", self.text, classes=["xref", "std", "std-numref"])
        self.set_source_info(reference)
        return [reference], []


class FigureTitle(SphinxRole):
    """``{figtitle}`<id>` ``: the figure's title, for the heading of its page."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        numbers.note_dependency(self.env)
        self.env.note_dependency(str(source(self.env) / f"{page(self.text)}.md"))
        try:
            return titled(self.text, texts(source(self.env), self.text)), []
        except ValueError as error:
            log.warning("figtitle %s: %s", self.text, error, location=self.get_location())
            return [nodes.Text(self.text)], []


class Places(SphinxPostTransform):
    """Makes each `Place` a link; what stands before it goes with one that there is not."""

    default_priority = 20

    def run(self, **kwargs: object) -> None:
        for place in list(self.document.findall(Place)):
            here = self.env.bn_figure_places.get(place.get("figure"), ("", []))
            docname, section = (place["docname"], []) if "docname" in place else here
            if docname not in self.env.titles:
                place.parent.parent.remove(place.parent)
                continue
            title = [child.deepcopy() for child in self.env.titles[docname].children]
            if section:
                title += [nodes.Text(" › "), *(child.deepcopy() for child in section)]
            builder = self.app.builder
            target = relative(builder, self.env.docname, builder.get_target_uri(docname))
            anchor = f"#{place['figure']}" if "figure" in place else ""
            place.replace_self(nodes.reference("", "", *title, refuri=target + anchor, internal=True))


def by_language(made: Callable[[str], list[nodes.Node]]) -> list[nodes.Node]:
    """What `made` gives for each language, as a pair."""
    return pair({lang: lang for lang in LANGUAGES}, made)


def label(name: str, found: Texts, lang: str, *, numbered: bool = True) -> list[nodes.Node]:
    """What a figure is called before its title or caption: "Fig. 51 (the paper's Figure 2) "."""
    parts: list[nodes.Node | str] = [Number(figure=name, lang=lang)] if numbered else []
    if found.paper:
        parts.append(f"{' ' if numbered else ''}{WORDS['paper'][lang].format(found.paper)}")
    return [tag("span", *parts, classes="bn-figure-label"), nodes.Text(" ")] if parts else []


def titled(name: str, found: Texts) -> list[nodes.Node]:
    """A figure's title, with what it is called."""
    return by_language(lambda lang: [*label(name, found, lang), nodes.Text(found.title[lang])])


def drawn_in(folder: Path) -> dict[str, str]:
    """{figure: the notebook in `folder` that shows it}."""
    return {
        name: path.stem
        for path in sorted(folder.glob("*.ipynb"))
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        for name in SHOWN.findall("".join(cell["source"]))
    }


def source(env: Any) -> Path:
    """The folder with the book's sources."""
    return Path(env.srcdir)


def page(name: str) -> str:
    """The document that is the figure's own page."""
    return f"book/figures/{name}"


def code_file(name: str) -> str:
    """Where an edition keeps the code that draws the figure; as .txt, so that browsers show it."""
    room, module = figures.source(name).parts[-2:]
    return f"code/{room}.{module}.txt"


def picture(app: Sphinx, name: str, alt: str, narrow: bool = True) -> Image:
    """The figure's image; the page being read depends on it."""
    for file in shown(name, app.config.edition):
        app.env.note_dependency(str(_folder(app) / file))
    return Image(name=name, alt=alt, narrow=narrow)


def shown(name: str, edition: str) -> list[str]:
    """The figure's files that the edition's pages show, in its first language: wide, narrow; light, dark."""
    lang = languages(edition)[0]
    return [
        figures.version(name, lang, narrow=narrow, dark=dark)
        for narrow in (False, True)
        for dark in (False, True)
    ]


def size(svg: Path) -> tuple[int, int]:
    """Width and height of a figure in CSS pixels. matplotlib writes points."""
    with svg.open(encoding="utf-8") as stream:
        found = SIZE.search(stream.read(2000))
    return round(float(found[1]) * 4 / 3), round(float(found[2]) * 4 / 3)


def open_graph(name: str, found: Texts, edition: str) -> dict[str, str]:
    """What other sites show of the figure's page."""
    return {
        "id": name,
        "title": joined(found.title, edition),
        "description": joined(found.alt, edition),
        "svg": f"figures/{name}.svg",
        "png": f"figures/{name}.png",
    }


def to_root(env: Any) -> str:
    """From the page being read to the folder that the site's address names: "../../"."""
    return "../" * (page_address(env.docname).count("/") + beside(env.app))


def is_committed(name: str, content_hash: str) -> bool:
    """Whether the figure in the repository has this content: its records and code are those of today."""
    return figures.manifest(paths.FIGURES).get(name, {}).get("hash") == content_hash


@dataclasses.dataclass(frozen=True)
class Cited:
    """The version of a figure that is cited: its id, its content hash, its size in CSS pixels; the addresses
    of the site and of the edition whose embed page is taken; the year, and the book's DOI or ""."""

    name: str
    content_hash: str
    size: tuple[int, int]
    site: str
    edition: str
    year: str
    doi: str = ""


def citations(cited: Cited, found: Texts, lang: str) -> dict[str, str]:
    """Ready-made citations in one language, by name.

    Blogs strip `<figure>`, so that alt text and a plain line carry the source. Pictures fit the column they
    are put into: in HTML by their style; in Markdown, which has none, the SVG has no width of its own, and
    the PNG, for those who take no SVG, is as wide as a column.
    """
    title, alt, caption = (" ".join(part[lang].split()) for part in (found.title, found.alt, found.caption))
    caption = ESCAPED.sub(r"\1", caption)  # it may be pasted where nobody reads Markdown
    at = f"{cited.site}/figures/{cited.name}"
    page = f"{at}/{cited.content_hash}.html"
    svg, png = (f"{at}/{versions.file(cited.content_hash, lang, kind)}" for kind in ("svg", "png"))
    version = f"{citing.WORDS['results'][lang]} {bnbook.__version__} ({cited.content_hash})"
    word, named = citing.WORDS["source"][lang], citing.quoted(title, lang)
    markdown = f"{word}: [{AUTHOR}, {citing.markdown_alt(named)}]({page}), {version}, {LICENCE}"
    plain = f"{word}: {AUTHOR}, {named}, {page}, {version}, {LICENCE}"
    width, height = cited.size
    image = (
        f'<img src="{svg}" alt="{escape(alt)}" width="{width}" height="{height}" '
        'style="max-width:100%;height:auto">'
    )
    entry = {"author": AUTHOR, "title": title, "year": cited.year, "url": page, "doi": cited.doi}
    entry["note"] = f"{version}, {LICENCE}"
    return {
        "Markdown": f"[![{citing.markdown_alt(alt)}]({svg})]({page})\n\n{markdown}",
        "Markdown (PNG)": f"[![{citing.markdown_alt(alt)}]({png})]({page})\n\n{markdown}",
        "HTML": f'<a href="{page}">{image}</a>\n'
        f'<p>{word}: <a href="{page}">{AUTHOR}, {escape(named)}</a>, {version}, {LICENCE}</p>',
        "HTML (iframe)": embeds.frame(f"{cited.edition}/{embeds.address(cited.name)}", title, cited.size),
        "BibTeX": citing.bibtex("misc", f"bnbook-{cited.name}-{lang}", entry),
        WORDS["caption"][lang]: f"{title}. {caption} ({plain})",
        word: plain,
    }


def cite_box(name: str, found: Texts, env: Any, *, is_open: bool) -> str:
    """The box with the citations. Raw HTML, so that search does not find it."""
    app, config = env.app, env.config

    def cited(lang: str, site: str) -> Cited:
        return Cited(
            name,
            app.bn_figures[name]["hash"],
            size(_folder(app) / figures.version(name, lang)),
            site,
            f"{site}/{lang}" if beside(app) else site,
            str(config.copyright),
            getattr(config, "book_doi", ""),
        )

    return citing.box(
        app,
        name,
        WORDS["cite"],
        lambda lang, site: citations(cited(lang, site), found, lang),
        of_site=True,
        lead=lambda lang, site: image_button(cited(lang, site), lang, to_root(env)),
        is_open=is_open,
    )


def image_button(cited: Cited, lang: str, to_root: str) -> str:
    """Copies the picture itself. Hidden until the page's script has found that the browser can."""
    svg = f"{to_root}figures/{cited.name}/{versions.file(cited.content_hash, lang, 'svg')}"
    width, height = cited.size
    return (
        f'<p class="bn-cite-image" hidden><button type="button" class="bn-button bn-copy-image" '
        f'data-svg="{svg}" data-width="{width}" data-height="{height}" '
        f'data-copied="{citing.WORDS["copied"][lang]}">'
        f"{WORDS['image'][lang]}</button></p>"
    )


def _visit_image(translator: Any, node: Image) -> None:
    builder = translator.builder
    docname, name = builder.current_docname, node["name"]

    def place(file: str) -> str:
        return relative(builder, docname, f"figures/{file}")

    wide, wide_dark, narrow, narrow_dark = shown(name, builder.config.edition)
    # In the gallery the title beside it is the same link: one is enough for keyboards and screen readers.
    hidden = "" if node["alt"] else ' tabindex="-1" aria-hidden="true"'
    target = place(wide if docname == page(name) else f"{name}.html")
    parts = [f'<a class="reference internal image-reference" href="{target}"{hidden}>']
    # One of the two is shown, by the theme's own classes; what is not shown and lazy is not loaded.
    for theme, file, narrow_file in (("light", wide, narrow), ("dark", wide_dark, narrow_dark)):
        parts.append(f'<picture class="only-{theme}">')
        if node["narrow"]:
            measures = sized(_folder(builder.app) / narrow_file)
            parts.append(f'<source media="{PHONE}" srcset="{place(narrow_file)}" {measures}>')
        parts.append(
            f'<img class="bn-figure-img only-{theme}" src="{place(file)}" alt="{escape(node["alt"])}" '
            f'{sized(_folder(builder.app) / file)} loading="lazy"></picture>'
        )
    translator.body.append("".join([*parts, "</a>"]))
    raise nodes.SkipNode


def sized(svg: Path) -> str:
    """The attributes that keep the picture's place until it is there."""
    width, height = size(svg)
    return f'width="{width}" height="{height}"'


def _visit_link(translator: Any, node: Link) -> None:
    href = relative(translator.builder, translator.builder.current_docname, node["target"])
    translator.body.append(
        translator.starttag(node, "a", "", href=href, CLASS=f"bn-link bn-link-{node['kind']}")
    )


def _depart_link(translator: Any, node: Link) -> None:
    translator.body.append("</a>")


def _visit_number(translator: Any, node: Number) -> None:
    env = translator.builder.env
    docname, _ = env.bn_figure_places.get(node["figure"], ("", []))
    number = env.toc_fignumbers.get(docname, {}).get("figure", {}).get(node["figure"])
    if number:
        translator.body.append(WORDS["number"][node["lang"]].format(".".join(map(str, number))))
    raise nodes.SkipNode


def _prepare(app: Sphinx) -> None:
    """`env.bn_figure_pages` are the Open Graph texts of the figures' own pages, for the theme; and
    `env.bn_figure_places` (docname, title of the section) of the numbered figures."""
    for name in ("bn_figure_pages", "bn_figure_places"):
        if not hasattr(app.env, name):
            setattr(app.env, name, {})
    app.bn_figures = export_figures(Path(app.srcdir) / "build" / "figures")


def _link_oembed(app: Sphinx, pagename: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Where the site's address is known, a figure's page says where its oEmbed is."""
    base, figure = app.config.html_baseurl.rstrip("/"), app.env.bn_figure_pages.get(pagename)
    if base and figure:
        kind, href = "application/json+oembed", f"{base}/{embeds.address(figure['id'], 'json')}"
        context["metatags"] = context.get("metatags", "") + (
            f'<link rel="alternate" type="{kind}" href="{href}" title="{escape(figure["title"])}"/>'
        )


def _purge(app: Sphinx, env: Any, docname: str) -> None:
    env.bn_figure_pages.pop(docname, None)
    places = env.bn_figure_places.items()
    env.bn_figure_places = {name: place for name, place in places if place[0] != docname}


def _note_places(app: Sphinx, doctree: nodes.document) -> None:
    for figure in doctree.findall(nodes.figure):
        if "bn-figure" in figure["classes"]:
            section = figure.parent
            while not isinstance(section, nodes.section | nodes.document):
                section = section.parent
            title: list[nodes.Node] = []
            # The title of the page itself is there without it.
            if isinstance(section.parent, nodes.section):
                visitor = SphinxContentsFilter(doctree)
                section.next_node(nodes.title).walkabout(visitor)
                title = visitor.get_entry_text()
            app.env.bn_figure_places[figure["ids"][0]] = app.env.docname, title


def _changed(app: Sphinx, env: BuildEnvironment) -> Iterable[str]:
    """All pages where a figure has another number, since the contents of each show it; the figures' own where
    one has another place."""
    shown = (
        {docname: numbered.get("figure") for docname, numbered in env.toc_fignumbers.items()},
        {name: (at, [part.astext() for part in title]) for name, (at, title) in env.bn_figure_places.items()},
    )
    before, env.bn_figures_shown = getattr(env, "bn_figures_shown", (None, None)), shown
    if before[0] != shown[0]:
        return env.found_docs
    return list(env.bn_figure_pages) if before[1] != shown[1] else ()


def _ship(app: Sphinx, exception: Exception | None) -> None:
    """Puts the figures' files where their pages point."""
    if exception or app.builder.format != "html":
        return
    out = Path(app.outdir)
    for folder in (out / "figures", out / "code"):
        folder.mkdir(exist_ok=True)
    for name, exported in app.bn_figures.items():
        for kind in FILES:
            shutil.copyfile(_folder(app) / f"{name}.{kind}", out / "figures" / f"{name}.{kind}")
        for file in shown(name, app.config.edition):
            shutil.copyfile(_folder(app) / file, out / "figures" / file)
        listed = json.dumps(exported["records"], indent=1)
        (out / "figures" / f"{name}.records.json").write_text(listed, encoding="utf-8")
        shutil.copyfile(figures.source(name), out / code_file(name))
        if page(name) in app.env.bn_figure_pages:  # else it lacks texts, and there was a warning
            _ship_embed(app, name)
    columns.ship(out / "figures", list(app.bn_figures))
    if not beside(app):
        ship_versions(out, _folder(app), Path(app.srcdir))


def _ship_embed(app: Sphinx, name: str) -> None:
    """Puts the figure's page for frames, and its oEmbed, into the edition."""
    edition, found = app.config.edition, texts(Path(app.srcdir), name)
    title, lang = joined(found.title, edition), languages(edition)[0]
    content_hash, measures = app.bn_figures[name]["hash"], size(_folder(app) / figures.version(name, lang))
    version = f"{citing.WORDS['results'][lang]} {bnbook.__version__} ({content_hash})"
    said = escape(citing.quoted(title, lang))
    link = f'<a href="../figures/{name}.html" target="_blank" rel="noopener">{AUTHOR}, {said}</a>'
    pictures = [f"../figures/{file}" for file in shown(name, edition)]
    line = f"{citing.WORDS['source'][lang]}: {link}, {version}, {LICENCE}"
    page = embeds.page(lang, title, joined(found.alt, edition), pictures, measures, line)
    answer = None
    if home := app.config.html_baseurl.rstrip("/"):
        at = f"{citing.site_address(app)}/figures/{name}/{versions.file(content_hash, lang, 'png')}"
        url = f"{home}/{embeds.address(name)}"
        answer = embeds.oembed(title, AUTHOR, url, home, measures, (at, *measures))
    embeds.write(Path(app.outdir), name, page, answer)


def ship_versions(site: Path, exported: Path, root: Path) -> None:
    """Puts the versions of the figures in the folder `exported` into `site`, and pages for all that the book
    in `root` has published."""
    found = {}
    for name in figures.manifest(exported):
        with contextlib.suppress(ValueError):  # it lacks texts, and there was a warning
            found[name] = texts(root, name)
    versions.write(site, exported, found, versions.read(root))


def setup(app: Sphinx) -> None:
    app.add_directive("bnfigure", FigureDirective)
    app.add_directive("bngallery", GalleryDirective)
    app.add_role("fig", FigureReference())
    app.add_role("figtitle", FigureTitle())
    app.add_node(Image, html=(_visit_image, None))
    app.add_node(Number, html=(_visit_number, None))
    app.add_node(Place)
    app.add_post_transform(Places)
    app.add_node(Link, html=(_visit_link, _depart_link))
    app.connect("builder-inited", _prepare)
    app.connect("env-purge-doc", _purge)
    app.connect("doctree-read", _note_places)
    app.connect("env-updated", _changed)
    app.connect("html-page-context", _link_oembed)
    app.connect("build-finished", _ship)
