"""What the book says of itself to machines, all of it from `_config.yml`, pyproject.toml and the references.

`bnbook metadata` writes the files that archives read: CITATION.cff, .zenodo.json, codemeta.json. Chapters and
the start page carry JSON-LD (https://schema.org); a site whose address is known has a sitemap and robots.txt.
What is not known yet (the address, a DOI, the date of a release) is left out everywhere.
"""

import dataclasses
import json
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from docutils import nodes
from pybtex.database import Entry, parse_file
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms import SphinxTransform

from bnbook import files, paths
from bnbook.paper import LANGUAGES, Text
from bnbook.sphinxext.editions import SEPARATOR, Phrase, beside, languages
from bnbook.sphinxext.html import in_script

PAPER = "ioffe2015batch"  # its key in the bibliography
CODE_LICENCE, TEXT_LICENCE = "MIT", "CC-BY-4.0"  # as SPDX has them
TEXT_LICENCE_URL = "https://creativecommons.org/licenses/by/4.0/"
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
HEADER = "# Written by `bnbook metadata` from _config.yml, pyproject.toml and book/references.bib.\n"
# Pages that nobody looks for: what a server shows for one that is missing, the search, frames for others, the
# versions of figures, and of the records all but their index, which leads to each.
UNLISTED = re.compile(r"(^|/)((404|search)\.html$|(_[^/]*|embed|figures/[^/]+|records/[^/]+)/)")


@dataclasses.dataclass(frozen=True)
class Book:
    """The book as a whole; "" is what is not known."""

    title: Text
    abstract: Text
    author: str
    year: str
    version: str  # of code and results
    keywords: tuple[str, ...]
    description: str  # a line, in English
    address: str  # of the site, without a slash at its end
    repository: str
    doi: str
    released: str  # the day of this version, as 2026-11-26


@dataclasses.dataclass(frozen=True)
class Paper:
    """The paper that is rerun."""

    title: str
    authors: tuple[tuple[str, str], ...]  # (given names, family name)
    proceedings: str
    year: str
    pages: tuple[str, str]
    url: str
    arxiv: str  # its number there


def book(source: Path = paths.ROOT) -> Book:
    """The book whose `_config.yml` lies in `source`."""
    config = yaml.safe_load((source / "_config.yml").read_text(encoding="utf-8"))
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = config["book"]
    return Book(
        title=dict(zip(LANGUAGES, config["title"].split(SEPARATOR), strict=True)),
        abstract={lang: " ".join(own["abstract"][lang].split()) for lang in LANGUAGES},
        author=config["author"],
        year=str(config["copyright"]),
        version=project["version"],
        keywords=tuple(project["keywords"]),
        description=project["description"],
        address=(config["html"]["baseurl"] or "").rstrip("/"),
        repository=(config["repository"]["url"] or "").rstrip("/"),
        doi=own["doi"] or "",
        released=str(own["released"] or ""),
    )


def rerun_paper(source: Path = paths.ROOT) -> Paper:
    """The paper, from the bibliography of the book in `source`."""
    entry = references(source)[PAPER]
    first, last = entry.fields["pages"].split("--")
    return Paper(
        title=entry.fields["title"],
        authors=authors(entry),
        proceedings=entry.fields["booktitle"],
        year=entry.fields["year"],
        pages=(first, last),
        url=entry.fields["url"],
        arxiv=ARXIV.search(entry.fields["note"])[1],
    )


def references(source: Path = paths.ROOT) -> dict[str, Entry]:
    """The bibliography of the book in `source`, by key."""
    return dict(parse_file(source / "book" / "references.bib").entries)


def authors(entry: Entry) -> tuple[tuple[str, str], ...]:
    """(given names, family name) of each."""
    return tuple(
        (" ".join([*one.first_names, *one.middle_names]), " ".join(one.last_names))
        for one in entry.persons["author"]
    )


# Files for archives


def archive_files(book: Book, paper: Paper) -> dict[str, str]:
    """Their contents, by name."""
    return {
        "CITATION.cff": HEADER
        + yaml.safe_dump(cff(book, paper), sort_keys=False, allow_unicode=True, width=100),
        ".zenodo.json": json_text(zenodo(book, paper)),
        "codemeta.json": json_text(codemeta(book, paper)),
    }


def write_archive_files(root: Path = paths.ROOT) -> list[Path]:
    """Write them into `root`; their paths."""
    made = archive_files(book(root), rerun_paper(root))
    for name, text in made.items():
        files.write(root / name, text)
    return [root / name for name in made]


def cff(book: Book, paper: Paper) -> dict[str, Any]:
    """The Citation File Format 1.2.0, which GitHub and Zotero read."""
    return known(
        {
            "cff-version": "1.2.0",
            "message": "If you use the book, its figures or its code, please cite it, and the paper that it "
            "reruns.",
            "type": "software",
            "title": book.title["en"],
            "abstract": book.abstract["en"],
            "version": book.version,
            "date-released": book.released,
            "doi": book.doi,
            "url": book.address,
            "repository-code": book.repository,
            "authors": [{"name": book.author}],
            "license": [CODE_LICENCE, TEXT_LICENCE],
            "keywords": list(book.keywords),
            "references": [
                {
                    "type": "conference-paper",
                    "title": paper.title,
                    "authors": [
                        {"family-names": family, "given-names": given} for given, family in paper.authors
                    ],
                    "collection-title": paper.proceedings,
                    "conference": {"name": paper.proceedings.removeprefix("Proceedings of the ")},
                    "year": int(paper.year),
                    "start": paper.pages[0],
                    "end": paper.pages[1],
                    "url": paper.url,
                    "identifiers": [{"type": "other", "value": f"arXiv:{paper.arxiv}"}],
                }
            ],
        }
    )


def zenodo(book: Book, paper: Paper) -> dict[str, Any]:
    """What Zenodo fills its form in with; see https://developers.zenodo.org/#representation."""
    return known(
        {
            "title": book.title["en"],
            "upload_type": "software",
            "description": book.abstract["en"],
            "version": book.version,
            "publication_date": book.released,
            "creators": [{"name": book.author}],
            "license": CODE_LICENCE,
            "notes": f"The code is {CODE_LICENCE}, the text and the figures are {TEXT_LICENCE}.",
            "access_right": "open",
            "keywords": list(book.keywords),
            "related_identifiers": [
                {"scheme": "arxiv", "identifier": f"arXiv:{paper.arxiv}", "relation": "cites"},
                *(
                    {"scheme": "url", "identifier": url, "relation": "isSupplementTo"}
                    for url in (book.address, book.repository)
                    if url
                ),
            ],
        }
    )


def codemeta(book: Book, paper: Paper) -> dict[str, Any]:
    """CodeMeta 3.0, which indexes of software read."""
    return known(
        {
            "@context": "https://w3id.org/codemeta/3.0",
            "@type": "SoftwareSourceCode",
            "name": book.title["en"],
            "alternateName": book.title["ko"],
            "description": book.description,
            "abstract": book.abstract["en"],
            "version": book.version,
            "datePublished": book.released,
            "identifier": doi_url(book),
            "url": book.address,
            "codeRepository": book.repository,
            "author": [_organization(book)],
            "license": [f"https://spdx.org/licenses/{name}" for name in (CODE_LICENCE, TEXT_LICENCE)],
            "keywords": list(book.keywords),
            "programmingLanguage": "Python",
            "referencePublication": linked_paper(paper),
        }
    )


def doi_url(book: Book) -> str:
    return f"https://doi.org/{book.doi}" if book.doi else ""


def known(values: dict[str, Any]) -> dict[str, Any]:
    """What of `values` is not empty."""
    return {key: value for key, value in values.items() if value}


def json_text(values: dict[str, Any]) -> str:
    """`values` as JSON for people to read, too."""
    return json.dumps(values, ensure_ascii=False, indent=2) + "\n"


# JSON-LD


def linked(app: Sphinx, docname: str, description: str, image: str) -> str:
    """The JSON-LD of a page, to stand in a script element; "" for pages that are neither a chapter nor the
    first."""
    if docname == app.config.root_doc:
        found = _book(app) | {"abstract": _in_languages(app, app.bn_book.abstract)}
    elif docname in (listed := chapters(app)):
        found = _chapter(app, docname) | {"position": listed.index(docname) + 1, "description": description}
    else:
        return ""
    return in_script(known({"@context": "https://schema.org", **found, "image": image}))


def chapters(app: Sphinx) -> list[str]:
    """The book's chapters in order: the pages in the first one's contents, but not those that list others."""
    listed = app.env.toctree_includes
    return [docname for docname in listed.get(app.config.root_doc, []) if docname not in listed]


def titles(app: Sphinx, docname: str) -> Text:
    """The title of a page in both languages, whatever the edition."""
    return app.env.bn_titles[docname]


def _chapter(app: Sphinx, docname: str) -> dict[str, Any]:
    title = _in_languages(app, titles(app, docname))
    return {
        "@type": ["Chapter", "ScholarlyArticle"],
        "@id": _address(app, docname),
        "url": _address(app, docname),
        "name": title,
        "headline": title,
        **_common(app),
        "isPartOf": known(_book(app)),
        "citation": linked_paper(app.bn_paper),
    }


def _book(app: Sphinx) -> dict[str, Any]:
    address = _address(app, app.config.root_doc)
    return {
        "@type": "Book",
        "@id": address,
        "url": address,
        "name": _in_languages(app, app.bn_book.title),
        "sameAs": doi_url(app.bn_book),
        **_common(app),
    }


def _common(app: Sphinx) -> dict[str, Any]:
    spoken = list(languages(app.config.edition))
    return {
        "author": _organization(app.bn_book),
        "inLanguage": spoken if len(spoken) > 1 else spoken[0],
        "version": app.bn_book.version,
        "copyrightYear": int(app.bn_book.year),
        "datePublished": app.bn_book.released,
        "license": TEXT_LICENCE_URL,
    }


def _address(app: Sphinx, docname: str) -> str:
    base = app.config.html_baseurl.rstrip("/")
    return f"{base}/{app.builder.get_target_uri(docname)}" if base else ""


def _in_languages(app: Sphinx, text: Text) -> Any:
    """A text, or in the edition of two languages both, each with its language."""
    spoken = languages(app.config.edition)
    if len(spoken) == 1:
        return text[spoken[0]]
    return [{"@language": lang, "@value": text[lang]} for lang in spoken]


def _organization(book: Book) -> dict[str, str]:
    return {"@type": "Organization", "name": book.author}


def linked_paper(paper: Paper) -> dict[str, Any]:
    """The paper in JSON-LD."""
    return {
        "@type": "ScholarlyArticle",
        "@id": paper.url,
        "url": paper.url,
        "sameAs": f"https://arxiv.org/abs/{paper.arxiv}",
        "identifier": {"@type": "PropertyValue", "propertyID": "arXiv", "value": paper.arxiv},
        "name": paper.title,
        "author": _persons(paper.authors),
        "datePublished": paper.year,
        "isPartOf": {"@type": "Book", "name": paper.proceedings},
        "pagination": "-".join(paper.pages),
    }


def linked_reference(entry: Entry) -> dict[str, Any]:
    """Another paper of the bibliography in JSON-LD."""
    arxiv = f"https://arxiv.org/abs/{number}" if (number := entry.fields.get("eprint")) else ""
    doi = f"https://doi.org/{number}" if (number := entry.fields.get("doi")) else ""
    return known(
        {
            "@type": "ScholarlyArticle",
            "url": entry.fields.get("url") or doi or arxiv,
            "sameAs": arxiv,
            "name": entry.fields["title"],
            "author": _persons(authors(entry)),
            "datePublished": entry.fields["year"],
        }
    )


def _persons(names: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    return [{"@type": "Person", "givenName": given, "familyName": family} for given, family in names]


# The site


def write_site_files(site: Path, address: str) -> None:
    """Write sitemap.xml, with the pages that somebody may want to land on, and robots.txt for the site in the
    folder `site`, which is read at `address`; neither where that is unset, since both need whole addresses.

    Search engines ask for robots.txt at the root of a host alone: below another path it is of no effect, and
    the sitemap is to be named to them.
    """
    if not address:
        return
    base = address.rstrip("/")
    listed = sorted(page.relative_to(site).as_posix() for page in site.rglob("*.html"))
    places = ["" if page == "index.html" else page for page in listed if not UNLISTED.search(page)]
    urls = "".join(f"<url><loc>{base}/{quote(place)}</loc></url>\n" for place in places)
    files.write(
        site / "sitemap.xml",
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}</urlset>\n',
    )
    files.write(site / "robots.txt", f"User-agent: *\nAllow: /\nSitemap: {base}/sitemap.xml\n")


class KeepTitles(SphinxTransform):
    """Keeps the titles of pages in both languages, before an edition keeps its own."""

    default_priority = 9  # EditionTransform has 10

    def apply(self, **kwargs: object) -> None:
        if title := self.document.next_node(nodes.title):
            spoken = {phrase["lang"]: phrase.astext() for phrase in title.findall(Phrase)}
            self.env.bn_titles[self.env.docname] = {
                lang: spoken.get(lang, title.astext()) for lang in LANGUAGES
            }


def _configure(app: Sphinx, config: Config) -> None:
    app.bn_book, app.bn_paper = book(Path(app.srcdir)), rerun_paper(Path(app.srcdir))
    app.bn_references = references(Path(app.srcdir))
    config.book_doi, config.book_address = app.bn_book.doi, config.html_baseurl


def _prepare(app: Sphinx) -> None:
    if not hasattr(app.env, "bn_titles"):
        app.env.bn_titles = {}


def _purge(app: Sphinx, env: Any, docname: str) -> None:
    env.bn_titles.pop(docname, None)


def _add(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    image = context["bn_card"]["image"] if context["bn_card"] else ""
    context["bn_linked"] = linked(app, pagename, context["bn_description"], image)


def _finish(app: Sphinx, exception: Exception | None) -> None:
    """A book of one edition is a site by itself."""
    if not exception and app.builder.format == "html" and not beside(app):
        write_site_files(Path(app.outdir), app.config.html_baseurl)


def setup(app: Sphinx) -> None:
    # Citations within pages have them: pages are read again when one of them changes.
    for name in ("book_doi", "book_address"):
        app.add_config_value(name, "", "env", types=[str])
    app.connect("config-inited", _configure)
    app.add_transform(KeepTitles)
    app.connect("builder-inited", _prepare)
    app.connect("env-purge-doc", _purge)
    # After the theme's (900), which describes the page.
    app.connect("html-page-context", _add, priority=950)
    app.connect("build-finished", _finish)
