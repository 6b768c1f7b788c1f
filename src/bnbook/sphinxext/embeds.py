"""A figure for a frame in somebody else's page: `embed/<id>.html`, in the language of the edition, without
scripts; and where the site's address is known `embed/<id>.json`, for oEmbed (https://oembed.com)."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from bnbook import paths
from bnbook.sphinxext import policy

TEMPLATE = paths.BOOK / "_templates" / "figure-embed.html"
LINE = 80  # pixels under the picture, for its source where it takes three lines
# A frame no wider than this shows the picture that is drawn for phones.
NARROW = "(max-width: 575px)"
DARK = "(prefers-color-scheme: dark)"


def address(name: str, kind: str = "html") -> str:
    """From the root of the edition."""
    return f"embed/{name}.{kind}"


def frame(url: str, title: str, size: tuple[int, int]) -> str:
    """What shows `url`, a figure's embed page, in a page of others: never wider than their column."""
    width, height = size
    return (
        f'<iframe src="{escape(url)}" title="{escape(title)}" width="{width}" height="{height + LINE}" '
        'style="border:0;max-width:100%" loading="lazy"></iframe>'
    )


def page(lang: str, title: str, alt: str, pictures: Sequence[str], size: tuple[int, int], source: str) -> str:
    """The embed page. `pictures` are addresses: wide and light, wide and dark, narrow and light, narrow and
    dark; `source` is the line under the picture, as HTML."""
    wide, wide_dark, narrow, narrow_dark = pictures
    chosen = ((f"{DARK} and {NARROW}", narrow_dark), (NARROW, narrow), (DARK, wide_dark))
    sources = [f'<source media="{media}" srcset="{picture}">' for media, picture in chosen]
    width, height = size
    sources.append(f'<img src="{wide}" alt="{escape(alt)}" width="{width}" height="{height}">')
    said = {"language": lang, "title": escape(title), "sources": "\n".join(sources), "source": source}
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(said, policy=policy.meta(policy.STILL))


def oembed(
    title: str, author: str, url: str, home: str, size: tuple[int, int], thumbnail: tuple[str, int, int]
) -> str:
    """What oEmbed answers of a figure, of the type "rich". `url` is its embed page, `home` the edition's
    address, `thumbnail` a picture's address, width and height."""
    width, height = size
    picture, thumbnail_width, thumbnail_height = thumbnail
    said = {
        "version": "1.0",
        "type": "rich",
        "title": title,
        "author_name": author,
        "provider_name": "bnbook",
        "provider_url": home,
        "html": frame(url, title, size),
        "width": width,
        "height": height + LINE,
        "thumbnail_url": picture,
        "thumbnail_width": thumbnail_width,
        "thumbnail_height": thumbnail_height,
    }
    return json.dumps(said, indent=1, ensure_ascii=False) + "\n"


def write(out: Path, name: str, page: str, oembed: str | None) -> None:
    """Put the page, and the oEmbed if there is one, into the edition at `out`."""
    folder = out / "embed"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.html").write_text(page, encoding="utf-8")
    if oembed:
        (folder / f"{name}.json").write_text(oembed, encoding="utf-8")
