"""What the book tells archives, search engines, feed readers and whoever cites a chapter of it."""

import dataclasses
import json
import multiprocessing
import re
import shutil
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from pybtex.database import parse_string
from selectolax.lexbor import LexborHTMLParser

from bnbook import book, cli, paper, paths
from bnbook.claims import ClaimResult
from bnbook.sphinxext import citations, feed, metadata
from bnbook.sphinxext.citations import NOWHERE
from bnbook.sphinxext.claims import VERDICTS, board
from tests.markup import markup
from tests.test_build import PAGE, pretend

EDITIONS = ("ko", "en", "ko-en")
SITE = "https://example.org/bn"
ATOM = f"{{{feed.ATOM}}}"
SITEMAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
# The Citation File Format 1.2.0, as far as it is used here.
CFF = {
    "cff-version": r"1\.2\.0",
    "message": ".+",
    "type": "software|dataset",
    "title": ".+",
    "abstract": ".+",
    "version": r"\d+\.\d+\.\d+",
    "date-released": r"\d{4}-\d\d-\d\d",
    "doi": r"10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;\-.()\[\]\\]+",
    "url": "https?://.+",
    "repository-code": "https?://.+",
    "license": "MIT|CC-BY-4.0",
    "keywords": ".+",
}
REFERENCE = {
    "type": "conference-paper",
    "title": ".+",
    "collection-title": ".+",
    "year": r"\d{4}",
    "start": r"\d+",
    "end": r"\d+",
    "url": "https?://.+",
}
RELATIONS = {"cites", "isSupplementTo"}  # two of those that Zenodo knows


@pytest.fixture
def known() -> metadata.Book:
    """The book when everything about it is known."""
    return dataclasses.replace(
        metadata.book(),
        address=SITE,
        repository="https://example.org/code",
        doi="10.5281/zenodo.1234567",
        released="2026-12-31",
    )


# Archives


def test_the_files_for_archives_are_of_today() -> None:
    made = metadata.archive_files(metadata.book(), metadata.rerun_paper())
    for name, text in made.items():
        assert (paths.ROOT / name).read_text(encoding="utf-8") == text, f"{name}: run `bnbook metadata`"


def test_the_command_writes_them(tmp_path, monkeypatch, capsys) -> None:
    written = []
    monkeypatch.setattr(metadata.files, "write", lambda file, text: written.append(file.name))
    assert cli.main(["metadata"]) == 0
    assert written == ["CITATION.cff", ".zenodo.json", "codemeta.json"]
    assert "CITATION.cff" in capsys.readouterr().out


def test_what_is_not_known_is_left_out_and_what_is_known_stands_everywhere(known) -> None:
    unknown = dataclasses.replace(known, address="", repository="", doi="", released="")
    paper = metadata.rerun_paper()
    for name, text in metadata.archive_files(unknown, paper).items():
        assert not re.search("example|zenodo.org|None|null", text), name
        assert '""' not in text and "''" not in text, name
    made = metadata.archive_files(known, paper)
    cff = yaml.safe_load(made["CITATION.cff"])
    zenodo, codemeta = json.loads(made[".zenodo.json"]), json.loads(made["codemeta.json"])
    related = [one["identifier"] for one in zenodo["related_identifiers"]]
    assert cff["url"] == codemeta["url"] == SITE and SITE in related
    assert cff["repository-code"] == codemeta["codeRepository"] == "https://example.org/code"
    assert "https://example.org/code" in related
    assert str(cff["date-released"]) == zenodo["publication_date"] == codemeta["datePublished"]
    assert codemeta["identifier"] == f"https://doi.org/{cff['doi']}"
    assert cff["version"] == zenodo["version"] == codemeta["version"] == metadata.book().version
    assert cff["title"] == zenodo["title"] == codemeta["name"]
    assert cff["keywords"] == zenodo["keywords"] == codemeta["keywords"]
    assert cff["license"][0] == zenodo["license"] == "MIT"
    assert [url.rpartition("/")[2] for url in codemeta["license"]] == cff["license"]


@pytest.mark.parametrize("everything", [False, True])
def test_the_citation_file_is_what_its_format_asks_for(known, everything) -> None:
    made = metadata.archive_files(known if everything else metadata.book(), metadata.rerun_paper())
    cff = yaml.safe_load(made["CITATION.cff"])
    assert {"cff-version", "message", "title", "authors"} <= set(cff)  # required
    authors, (reference,) = cff.pop("authors"), cff.pop("references")
    assert authors == [{"name": "bnbook contributors"}]
    assert set(cff) <= set(CFF) and (set(cff) == set(CFF)) == everything
    holds(cff, CFF)
    assert reference.pop("authors") == [
        {"family-names": "Ioffe", "given-names": "Sergey"},
        {"family-names": "Szegedy", "given-names": "Christian"},
    ]
    assert set(reference.pop("conference")) == {"name"}
    assert reference.pop("identifiers") == [{"type": "other", "value": "arXiv:1502.03167"}]
    holds(reference, REFERENCE)
    if everything:
        assert date.fromisoformat(cff["date-released"])


def holds(values: dict, patterns: dict[str, str]) -> None:
    for key, value in values.items():
        assert isinstance(value, str | list) or key == "year", f"{key}: YAML takes it for {type(value)}"
        for one in value if isinstance(value, list) else [value]:
            assert re.fullmatch(patterns[key], str(one), re.DOTALL), f"{key}: {one}"


def test_zenodo_is_told_what_it_knows(known) -> None:
    made = metadata.zenodo(known, metadata.rerun_paper())
    assert {"title", "upload_type", "description", "creators"} <= set(made)
    assert made["upload_type"] == "software" and made["access_right"] == "open"
    assert {one["relation"] for one in made["related_identifiers"]} == RELATIONS


def test_a_date_in_the_configuration_may_stand_without_quotes(tmp_path) -> None:
    text = (paths.ROOT / "_config.yml").read_text(encoding="utf-8")
    (tmp_path / "_config.yml").write_text(text.replace('released: ""', "released: 2026-12-31"))
    assert metadata.book(tmp_path).released == "2026-12-31"


# The ledger and the feeds


def claim(name: str, verdict: str) -> ClaimResult:
    empty = {field.name: None for field in dataclasses.fields(ClaimResult)}
    return ClaimResult(**empty | {"id": name, "verdict": verdict})


def test_the_ledger_gets_what_has_changed_and_keeps_what_it_has(tmp_path) -> None:
    file, why = tmp_path / "verdicts.json", {"ko": "새 기록", "en": "new records"}
    first = feed.record([claim("c-1", "reproduced"), claim("c-2", "not run yet")], why, file, "2026-01-01")
    assert [(one["claim"], one["from"], one["to"]) for one in first] == [
        ("c-1", None, "reproduced"),
        ("c-2", None, "not run yet"),
    ]
    later = [claim("c-1", "reproduced"), claim("c-2", "inconclusive")]
    assert [one["from"] for one in feed.record(later, why, file, "2026-02-01")] == ["not run yet"]
    before = file.read_bytes()
    assert feed.record(later, why, file, "2026-03-01") == [] and file.read_bytes() == before
    assert feed.ledger(file)[:2] == first and len(feed.ledger(file)) == 3


def test_todays_verdicts_are_in_the_ledger() -> None:
    changed = feed.changes(board(), feed.ledger())
    assert changed == [], "say why: bnbook claims --record WHY_KO WHY_EN"


def test_the_ledger_is_whole() -> None:
    known, last = feed.ledger(), {}
    for entry in known:
        assert set(entry) == {"date", "claim", "from", "to", "why"}
        assert date.fromisoformat(entry["date"]) and all(entry["why"][lang] for lang in paper.LANGUAGES)
        assert entry["to"] in VERDICTS and entry["from"] == last.get(entry["claim"]) != entry["to"]
        last[entry["claim"]] = entry["to"]
    assert [entry["date"] for entry in known] == sorted(entry["date"] for entry in known)


def test_the_command_records_with_a_reason(tmp_path, monkeypatch, capsys) -> None:
    file, shown = paths.ROOT / "results" / "verdicts.json", []
    monkeypatch.setattr("bnbook.claims.results", dict)
    monkeypatch.setattr("bnbook.claims.board", lambda results: [claim("c-1", "reproduced")])

    def record(board, why):
        shown.append((board[0].id, why))
        return [{"claim": "c-1", "from": None, "to": "reproduced"}]

    monkeypatch.setattr(feed, "record", record)
    assert cli.main(["claims", "--record", "새 기록", "new records"]) == 0
    assert shown == [("c-1", {"ko": "새 기록", "en": "new records"})]
    assert capsys.readouterr().out.startswith("c-1: new -> reproduced\n") and file.exists()


LEDGER = [
    {"date": "2026-01-01", "claim": name, "from": None, "to": to, "why": {"ko": "처음", "en": "first"}}
    for name, to in (("c-4.1-speed", "reproduced"), ("c-gone", "inconclusive"))
]
LEDGER += [
    {**entry, "date": "2026-02-03", "from": entry["to"], "to": "not reproduced", "why": why}
    for entry, why in zip(
        LEDGER, [{"ko": "<b>왜</b> & 왜", "en": "<b>why</b> & why"}, LEDGER[1]["why"]], strict=True
    )
]


@pytest.mark.parametrize("lang", paper.LANGUAGES)
def test_a_feed_is_what_atom_asks_for(known, lang) -> None:
    top = ElementTree.fromstring(feed.feed(LEDGER, lang, f"{lang}/", SITE, known))
    assert top.tag == f"{ATOM}feed"
    moment = re.compile(r"\d{4}-\d\d-\d\dT00:00:00Z")
    ids = [node.text for node in top.iter(f"{ATOM}id")]
    assert len(ids) == len(set(ids)) == 4 and all(one.startswith("urn:uuid:") for one in ids)
    assert top.findtext(f"{ATOM}author/{ATOM}name") == known.author
    assert top.findtext(f"{ATOM}updated") == "2026-02-03T00:00:00Z"  # of the newest
    entries = top.findall(f"{ATOM}entry")
    assert [one.findtext(f"{ATOM}updated")[:10] for one in entries] == ["2026-02-03"] * 2 + ["2026-01-01"]
    for one in (top, *entries):
        assert one.findtext(f"{ATOM}title") and moment.fullmatch(one.findtext(f"{ATOM}updated"))
        for link in one.findall(f"{ATOM}link"):
            assert link.get("href").startswith(SITE) and link.get("rel") in ("alternate", "self")
    changed = next(one for one in entries if "c-gone" not in one.findtext(f"{ATOM}title"))
    assert changed.find(f"{ATOM}link").get("href") == f"{SITE}/{lang}/claims/c-4.1-speed.html"
    assert changed.findtext(f"{ATOM}summary") == LEDGER[2]["why"][lang]  # as text, whatever is in it
    words = VERDICTS["not reproduced"][1][lang]
    assert f"→ {words}" in changed.findtext(f"{ATOM}title")


def test_ids_stay_when_the_book_moves_and_the_ledger_grows(known) -> None:
    def ids(ledger, address):
        return re.findall("urn:uuid:[-0-9a-f]+", feed.feed(ledger, "en", "en/", address, known).decode())

    assert ids(LEDGER, SITE) == ids(LEDGER, "")
    assert ids(LEDGER[:2], SITE)[-1] == ids(LEDGER, "https://moved.example")[-1]
    assert feed.feed(LEDGER, "en", "en/", "", known).count(b"http") == 1  # the namespace alone
    assert set(ids(LEDGER, SITE)).isdisjoint(
        re.findall("urn:uuid:[-0-9a-f]+", feed.feed(LEDGER, "ko", "ko/", SITE, known).decode())
    )


# Citations


@pytest.mark.parametrize("lang", paper.LANGUAGES)
def test_bibtex_of_a_chapter_and_of_the_book_can_be_read(known, lang) -> None:
    chapter = citations.of_chapter(known, "50% & {8×8} [x]_1", "mnist", lang, f"{SITE}/{lang}/mnist.html")
    whole = citations.of_book(known, lang, f"{SITE}/{lang}/index.html")
    for made, kind, key in (
        (chapter, "incollection", f"bnbook-mnist-{lang}"),
        (whole, "book", f"bnbook-{lang}"),
    ):
        ((found, entry),) = parse_string(made["BibTeX"], "bibtex").entries.items()
        assert (found, entry.type) == (key, kind)
        assert entry.fields["year"] == known.year and entry.fields["url"].startswith(SITE)
        assert made["BibTeX"].startswith("@") == (lang == "en")
        assert len(made) == 3 and all("CC BY 4.0" in text and SITE in text for text in made.values())
    assert r"50\% \& \{8$\times$8\} [x]\_1" in chapter["BibTeX"]
    assert r"\[x\]" in chapter["Markdown"]
    assert "10.5281/zenodo.1234567" in whole["BibTeX"] and "zenodo" not in chapter["BibTeX"]


# Pages


def json_ld(page: LexborHTMLParser) -> list[dict]:
    return [json.loads(node.text()) for node in page.css('script[type="application/ld+json"]')]


@pytest.mark.slow
@pytest.mark.parametrize("edition", EDITIONS)
def test_every_chapter_can_be_cited_and_says_what_it_is(html: Path, edition: str) -> None:
    contents = yaml.safe_load((paths.BOOK / "_toc.yml").read_text(encoding="utf-8"))
    listed = [chapter for part in contents["parts"] for chapter in part["chapters"]]
    chapters = [one["file"].removeprefix("book/") for one in listed if "sections" not in one]
    spoken = edition.split("-")
    for position, name in enumerate(chapters, 1):
        page = markup(html / edition / f"{name}.html")
        (found,) = (one for one in json_ld(page) if "Chapter" in one["@type"])
        assert found["position"] == position and found["@type"] == ["Chapter", "ScholarlyArticle"]
        assert found["inLanguage"] == (spoken if len(spoken) > 1 else spoken[0])
        titles = found["name"] if len(spoken) > 1 else [{"@language": edition, "@value": found["name"]}]
        assert [one["@language"] for one in titles] == spoken
        heading = page.css_first("article h1").text().replace("’", "'")
        assert all(one["@value"] in heading for one in titles), name
        assert found["author"]["name"] == found["isPartOf"]["author"]["name"] == "bnbook contributors"
        assert found["license"] == metadata.TEXT_LICENCE_URL and found["isPartOf"]["@type"] == "Book"
        assert found["citation"]["identifier"]["value"] == "1502.03167"
        assert [one["familyName"] for one in found["citation"]["author"]] == ["Ioffe", "Szegedy"]

        own = "book" if name == "cite" else "chapter"
        (box,) = page.css(f"details.bn-cite#cite-{own}")
        assert ("open" in box.attributes) == (name == "cite")
        blocks = {block.attributes["lang"]: block for block in box.css(".bn-cite-lang")}
        assert list(blocks) == [*spoken, *({"ko", "en"} - set(spoken))]
        for lang, block in blocks.items():
            texts = [text.text() for text in block.css("pre")]
            assert len(texts) == 3 == len(block.css("button.bn-copy"))
            place = "index" if name == "cite" else name
            assert all(f"/{lang}/{place}.html" in text for text in texts)


@pytest.mark.slow
@pytest.mark.parametrize("edition", EDITIONS)
def test_the_json_ld_of_every_page_is_json_and_its_head_is_that_of_its_page(html: Path, edition: str) -> None:
    address = metadata.book().address
    for file in sorted((html / edition).glob("*.html")):
        page = markup(file)
        for found in json_ld(page):
            assert found["@context"] == "https://schema.org" and found["@type"]
        for kind in ("title", "description", "type", "site_name", "locale"):
            said = page.css(f'meta[property="og:{kind}"]')
            assert len(said) == (file.name != "search.html"), f"{file.name}: og:{kind}"
            assert all(one.attributes["content"] for one in said), f"{file.name}: og:{kind}"
        feeds = [link.attributes["href"] for link in page.css('link[type="application/atom+xml"]')]
        assert [link.rpartition("/")[2] for link in feeds] == [
            feed.NAMES[lang] for lang in edition.split("-")
        ]
        assert all((file.parent / link).is_file() for link in feeds)
        if not address:
            assert not page.css('link[rel=canonical], meta[property="og:image"], meta[property="og:url"]')
            assert not any("url" in found for found in json_ld(page))


@pytest.mark.slow
def test_the_start_page_says_which_book_it_is(html: Path) -> None:
    for edition in EDITIONS:
        page = markup(html / edition / "index.html")
        assert [found["@type"] for found in json_ld(page)] == ["Book"]
        assert page.css_first("article > details.bn-cite#cite-book")


@pytest.mark.slow
def test_the_links_of_the_feeds_lead_to_places_that_are_there(html: Path) -> None:
    address = metadata.book().address
    for name in feed.NAMES.values():
        top = ElementTree.fromstring((html / name).read_bytes())
        for link in top.iter(f"{ATOM}link"):
            place, _, anchor = link.get("href").removeprefix(f"{address}/").partition("#")
            if place != name:
                page = (html / place).read_text(encoding="utf-8")
                assert not anchor or f'id="{anchor}"' in page, link.get("href")


@pytest.mark.slow
def test_a_site_without_an_address_has_neither_sitemap_nor_robots(html: Path) -> None:
    there = bool(metadata.book().address)
    assert [(html / name).exists() for name in ("sitemap.xml", "robots.txt")] == [there, there]


# A site whose address is known


@pytest.fixture(scope="module")
def addressed(tmp_path_factory) -> Path:
    """A small book of three editions, read at SITE."""
    root = tmp_path_factory.mktemp("addressed")
    for name in ("_templates", "_static"):
        shutil.copytree(paths.BOOK / name, root / "book" / name)
    for name in ("book/references.bib", "book/glossary.yml"):
        shutil.copy(paths.ROOT / name, root / name)
    config = (paths.ROOT / "_config.yml").read_text(encoding="utf-8")
    config = re.sub('baseurl: ".*"', f'baseurl: "{SITE}/"', config)
    (root / "_config.yml").write_text(
        re.sub("released: .*", "released: 2026-12-31", config), encoding="utf-8"
    )
    (root / "notebooks").mkdir()
    contents = {"format": "jb-book", "root": "book/index", "chapters": [{"file": "book/one"}]}
    (root / "book" / "_toc.yml").write_text(yaml.safe_dump(contents), encoding="utf-8")
    (root / "number.json").write_text("1")
    nasty = PAGE.format(name='</script> & "1"').replace("<", "\\<")
    for name, text in (("index", PAGE.format(name="index")), ("one", nasty)):
        (root / "book" / f"{name}.md").write_text(text, encoding="utf-8")

    def run() -> None:
        pretend(root)
        book.build(root / "site", EDITIONS, source=root)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == 0, (root / "build" / "book" / "en.log").read_text()
    return root / "site"


@pytest.mark.slow
@pytest.mark.parametrize("edition", EDITIONS)
def test_pages_say_at_which_address_they_are_and_where_the_other_languages_are(addressed, edition) -> None:
    file = addressed / edition / "one.html"
    page = markup(file)
    (own,) = page.css("link[rel=canonical]")
    assert own.attributes["href"] == f"{SITE}/{edition}/one.html"
    links = [link.attributes for link in page.css("link[rel=alternate][hreflang]")]
    others = {link["hreflang"]: link["href"] for link in links}
    assert others == {
        "ko": f"{SITE}/ko/one.html",
        "en": f"{SITE}/en/one.html",
        "x-default": f"{SITE}/ko-en/one.html",
    }
    (found,) = json_ld(page)
    assert found["@id"] == found["url"] == f"{SITE}/{edition}/one.html"
    assert found["isPartOf"]["@id"] == f"{SITE}/{edition}/index.html"
    assert found["datePublished"] == "2026-12-31"
    assert "</script>" in json.dumps(found["name"], ensure_ascii=False)  # it did not end the element
    (said,) = page.css('meta[property="og:url"]')
    assert said.attributes["content"] == f"{SITE}/{edition}/one.html"
    assert page.css("details.bn-cite") and not page.css(".bn-cite-unreachable")
    assert NOWHERE not in file.read_text(encoding="utf-8")
    for block in page.css(".bn-cite-lang"):
        place = f"{SITE}/{block.attributes['lang']}/one.html"
        assert all(place in one.text() for one in block.css("pre"))


@pytest.mark.slow
def test_the_sitemap_names_every_page_and_robots_the_sitemap(addressed) -> None:
    top = ElementTree.parse(addressed / "sitemap.xml").getroot()
    assert top.tag == f"{SITEMAP}urlset"
    places = [node.text for node in top.iter(f"{SITEMAP}loc")]
    pages = {f"{SITE}/{edition}/{page}.html" for edition in EDITIONS for page in ("index", "one")}
    assert len(places) == len(set(places)) and set(places) == {f"{SITE}/", *pages}
    assert (addressed / "robots.txt").read_text().splitlines()[-1] == f"Sitemap: {SITE}/sitemap.xml"


@pytest.mark.parametrize("edition", ["ko/", ""])
def test_the_sitemap_leaves_out_versions_and_records(tmp_path, edition) -> None:
    landing = [
        *("index", "mnist", "figures/fig1a-test-accuracy", "claims/c-4.1-speed", "notebooks/00_from_scratch"),
        *("figures-of-speech", "records"),
    ]
    listed = {"records/index.html", *(f"{edition}{page}.html" for page in landing)}
    others = {
        *(f"{edition}{page}.html" for page in ("search", "embed/fig1a-test-accuracy", "_static/macros")),
        *("404.html", "figures/fig1a-test-accuracy/0123abcd.html", "records/figures/fig1a.html"),
        *("records/bn_ensemble/index.html", "records/bn_ensemble/main/abc/seed-1.html"),
    }
    for page in listed | others:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / page).touch()
    metadata.write_site_files(tmp_path, SITE)
    places = ElementTree.parse(tmp_path / "sitemap.xml").getroot().iter(f"{SITEMAP}loc")
    there = {"" if page == "index.html" else page for page in listed}
    assert {node.text for node in places} == {f"{SITE}/{page}" for page in there}


@pytest.mark.slow
def test_the_feeds_say_where_they_are(addressed) -> None:
    for name in feed.NAMES.values():
        top = ElementTree.parse(addressed / name).getroot()
        assert f"{SITE}/{name}" in [link.get("href") for link in top.findall(f"{ATOM}link[@rel='self']")]
