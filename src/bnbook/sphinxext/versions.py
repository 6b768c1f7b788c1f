"""A figure's versions. Each has an address of its own for ever, `figures/<id>/<hash>`: .svg, .png, .csv, and
.html, a page that says whether the figure has been renewed since.

They lie once, beside the editions: a citation is the same in whichever edition it is copied, and what is kept
for ever is kept once. The ledger, results/published.json, says what has been published (publish.py).
"""

import hashlib
import json
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import bnbook
from bnbook import figures, files, paths
from bnbook.figures import LICENCE
from bnbook.paper import LANGUAGES
from bnbook.sphinxext import policy
from bnbook.sphinxext.editions import EDITIONS, SEPARATOR, languages

AUTHOR = "bnbook contributors"
LEDGER = Path("results", "published.json")  # in the repository
TEMPLATE = paths.BOOK / "_templates" / "figure-version.html"
OWN_SIZE = re.compile(r'(<svg\b[^>]*?) width="[^"]*"([^>]*?) height="[^"]*"')

# What a version has that the one before it had not.
CHANGES = {
    "first": {"ko": "처음 공개", "en": "first published"},
    "records": {"ko": "다른 기록으로 그림", "en": "drawn from other records"},
    "numbers": {"ko": "그림의 숫자가 바뀜", "en": "the plotted numbers changed"},
    "code": {
        "ko": "그리는 코드가 바뀌고 숫자는 그대로",
        "en": "drawn by other code, the numbers are the same",
    },
}
WORDS = {
    "versions": {"ko": "이 그림의 버전", "en": "Versions of this figure"},
    "now": {"ko": "지금 버전", "en": "today’s"},
    "version": {"ko": "결과 {}", "en": "results {}"},
    "published": {"ko": "{} 공개", "en": "published {}"},
    "current": {"ko": "지금 책에 있는 버전이다.", "en": "This is the version in the book today."},
    "renewed": {"ko": "그 뒤에 갱신되었다: {} 버전을 볼 것.", "en": "Renewed since: see {}."},
    "gone": {"ko": "이 그림은 이제 책에 없다.", "en": "This figure is no longer in the book."},
    "elsewhere": {
        "ko": "이 버전의 파일은 공개된 책에 있다.",
        "en": "The files of this version are with the published book.",
    },
    "page": {"ko": "책에서 보기", "en": "See it in the book"},
}

Ledger = dict[str, list[dict[str, Any]]]


def file(content_hash: str, lang: str, kind: str) -> str:
    """What a version's file is called; the English one, and what has no language, by the hash alone."""
    return f"{content_hash}{'' if lang == 'en' else f'.{lang}'}.{kind}"


def read(root: Path) -> Ledger:
    """What the ledger of the repository at `root` says, the oldest version first: {id: [{hash, date, version,
    changed, records, files}]}; `files` are {name: sha256}. Raises files.FileError."""
    ledger = root / LEDGER
    return files.read_json(ledger) if ledger.exists() else {}


def made(name: str, entry: dict[str, Any], exported: Path, texts: Any) -> dict[str, bytes]:
    """The files of a figure's version, by name. `entry` is the manifest's; `exported` holds the figure's
    files; `texts` are its title, caption and alt text, which stay with the picture that they describe."""
    content_hash = entry["hash"]
    found = {file(content_hash, "en", "csv"): (exported / f"{name}.csv").read_bytes()}
    for lang in LANGUAGES:
        svg = (exported / figures.version(name, lang)).read_text(encoding="utf-8")
        found[file(content_hash, lang, "svg")] = fluid(svg).encode()
        found[file(content_hash, lang, "png")] = (exported / figures.column_png(name, lang)).read_bytes()
    said = {
        **{"figure": name, "hash": content_hash, "author": AUTHOR, "licence": LICENCE},
        "records": _digest("\n".join(entry["records"]).encode()),  # records are final: their names will do
        **{part: getattr(texts, part) for part in ("title", "caption", "alt")},
    }
    found[file(content_hash, "en", "json")] = (json.dumps(said, indent=1, ensure_ascii=False) + "\n").encode()
    return found


def fluid(svg: str) -> str:
    """The picture without a width of its own: as wide as the column that it is put into, whatever that is.
    Markdown has no words for a width."""
    return OWN_SIZE.sub(r"\1\2", svg, count=1)


def entry(content_hash: str, found: dict[str, bytes], before: dict[str, Any] | None) -> dict[str, Any]:
    """What the ledger says of a version with the files `found`, after the one `before`; its date is left to
    whoever publishes it."""
    made_of = {
        "hash": content_hash,
        "version": bnbook.__version__,
        "records": json.loads(found[file(content_hash, "en", "json")])["records"],
        "files": {name: _digest(content) for name, content in found.items()},
    }
    return {**made_of, "changed": _changed(before, made_of)}


def _changed(before: dict[str, Any] | None, after: dict[str, Any]) -> list[str]:
    if before is None:
        return ["first"]
    numbers = [one["files"].get(file(one["hash"], "en", "csv")) for one in (before, after)]
    found = [("records", before["records"] != after["records"]), ("numbers", numbers[0] != numbers[1])]
    return [name for name, true in found if true] or ["code"]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write(site: Path, exported: Path, texts: dict[str, Any], ledger: Ledger) -> None:
    """Put the versions of today's figures, those with `texts`, into `site`/figures, and the pages of all that
    the ledger has."""
    manifest = {name: one for name, one in figures.manifest(exported).items() if name in texts}
    for name, one in manifest.items():
        folder = site / "figures" / name
        folder.mkdir(parents=True, exist_ok=True)
        for called, content in made(name, one, exported, texts[name]).items():
            (folder / called).write_bytes(content)
    write_pages(site, ledger, {name: one["hash"] for name, one in manifest.items()})


def write_pages(site: Path, ledger: Ledger, current: dict[str, str]) -> None:
    """A page for every version that lies in `site` or is in the ledger; `current` are the hashes of today."""
    known = {(meta.parent.name, meta.stem) for meta in (site / "figures").glob("*/*.json")}
    known |= {(name, one["hash"]) for name, entries in ledger.items() for one in entries}
    for name, content_hash in sorted(known):
        place = site / "figures" / name / f"{content_hash}.html"
        place.parent.mkdir(parents=True, exist_ok=True)
        published = next((one for one in ledger.get(name, []) if one["hash"] == content_hash), None)
        place.write_text(_page(place, published, current.get(name)), encoding="utf-8")


def _page(place: Path, published: dict[str, Any] | None, current: str | None) -> str:
    """The page of one version, in both languages."""
    name, content_hash = place.parent.name, place.stem
    meta = place.with_suffix(".json")
    said = files.read_json(meta) if meta.exists() else {}
    sections = [_section(place, lang, said, published, current) for lang in LANGUAGES]
    title = SEPARATOR.join(said["title"][lang] for lang in LANGUAGES) if said else name
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    said = {"title": escape(f"{title} ({content_hash})"), "sections": "\n".join(sections)}
    return template.substitute(said, policy=policy.meta(policy.STILL))


def _section(
    place: Path, lang: str, said: dict[str, Any], published: dict[str, Any] | None, current: str | None
) -> str:
    name, content_hash = place.parent.name, place.stem
    title = escape(said["title"][lang]) if said else name
    parts = [f'<section lang="{lang}">', f"<h1>{title}</h1>"]
    if current is None:
        status = WORDS["gone"][lang]
    elif current == content_hash:
        status = WORDS["current"][lang]
    else:
        status = WORDS["renewed"][lang].format(f'<a href="{current}.html"><code>{current}</code></a>')
    page = next(_book_pages(place, lang), None)
    link = f' <a href="{page}">{WORDS["page"][lang]}</a>' if page and current else ""
    parts.append(f'<p class="status">{status}{link}</p>')
    if said:
        parts.append(f'<img src="{file(content_hash, lang, "svg")}" alt="{escape(said["alt"][lang])}">')
        kinds = (("SVG", lang, "svg"), ("PNG", lang, "png"), ("CSV", "en", "csv"))
        links = [f'<a href="{file(content_hash, *kind)}">{label}</a>' for label, *kind in kinds]
        parts.append(f'<p class="files">{" ".join(links)}</p>')
    else:
        parts.append(f"<p>{WORDS['elsewhere'][lang]}</p>")
    facts = [AUTHOR, f"<code>{content_hash}</code>", *_published(published, lang), LICENCE]
    return "\n".join([*parts, f"<p>{' · '.join(facts)}</p>", "</section>"])


def _book_pages(place: Path, lang: str) -> Iterator[str]:
    """Addresses of the figure's page in the book as seen from the version's, the best first."""
    own = [edition for edition in EDITIONS if lang == languages(edition)[0]]
    for edition in [*own, *EDITIONS]:
        if (place.parents[2] / edition / "figures" / f"{place.parent.name}.html").exists():
            yield f"../../{edition}/figures/{place.parent.name}.html"
    if (place.parents[1] / f"{place.parent.name}.html").exists():  # one edition, built alone
        yield f"../{place.parent.name}.html"


def _published(one: dict[str, Any] | None, lang: str) -> list[str]:
    """What the ledger says of a version, in words."""
    if one is None:
        return []
    changed = ", ".join(CHANGES[change][lang] for change in one["changed"])
    date = [WORDS["published"][lang].format(one["date"])] if "date" in one else []
    return [*date, WORDS["version"][lang].format(one["version"]), changed]


def box(name: str, history: list[dict[str, Any]], edition: str, to_root: str) -> str:
    """On the figure's page: its versions, the latest first, each with what changed. `to_root` leads from the
    page to the folder in which the versions' `figures` lie."""
    items = []
    for one in reversed(history):
        spans = []
        for lang in languages(edition):
            now = [WORDS["now"][lang]] if one is history[-1] else []
            spans.append(f'<span lang="{lang}">{" · ".join([*now, *_published(one, lang)])}</span>')
        address = f"{to_root}figures/{name}/{one['hash']}.html"
        items.append(f'<li><a href="{address}"><code>{one["hash"]}</code></a> {SEPARATOR.join(spans)}</li>')
    summary = SEPARATOR.join(
        f'<span lang="{lang}">{WORDS["versions"][lang]}</span>' for lang in languages(edition)
    )
    return (
        f'<details class="bn-columns bn-versions"><summary>{summary}</summary>'
        f"<ol reversed>{''.join(items)}</ol></details>"
    )


def history(name: str, content_hash: str, found: dict[str, bytes], ledger: Ledger) -> list[dict[str, Any]]:
    """The versions of a figure, the oldest first, up to today's, whose files are `found`. It has no date, so
    that the page is the same whether it has been published yet or not."""
    published = ledger.get(name, [])
    others = [one for one in published if one["hash"] != content_hash]
    now = next((one for one in published if one["hash"] == content_hash), None)
    now = now or entry(content_hash, found, published[-1] if published else None)
    return [*others, {key: value for key, value in now.items() if key != "date"}]
