"""The contents: their parts, and what comes before and after a page."""

import re
from types import SimpleNamespace

import pytest
import yaml

from bnbook import paths
from bnbook.sphinxext import contents
from tests.test_sphinxext import PAGE, Book, made_up  # noqa: F401  (its numbers and figures are made up for all)

INDEX = f"""{PAGE}
```{{toctree}}
one
```

```{{toctree}}
:caption: 방법 · Method

two
three
```
"""
LISTED = PAGE + "\n```{toctree}\n:hidden:\n\na\nb\n```\n"


@pytest.fixture
def book(tmp_path):
    pages = {f"book/{name}.md": PAGE for name in ("one", "three", "a", "b")}
    made = Book(tmp_path, {"book/index.md": INDEX, "book/two.md": LISTED, **pages})
    assert made.warnings == ""
    return made


@pytest.mark.parametrize(
    ("edition", "caption"),
    [
        ("ko", "방법"),
        ("en", "Method"),
        ("ko-en", '<span class="bn-ko" lang="ko">방법</span><span class="bn-sep"> · </span>'),
    ],
)
def test_parts_have_their_captions_in_the_editions_languages(book, edition, caption):
    app = SimpleNamespace(
        env=book.env,
        builder=book.env.app.builder,
        config=SimpleNamespace(root_doc="book/index", edition=edition),
    )
    app.builder.__dict__.pop("bn_titles", None)
    parts = contents._parts(app)
    assert parts == [("", ["book/one"]), ("방법 · Method", ["book/two", "book/three"])]
    assert contents._caption(app, parts[1][0]).startswith(caption)
    assert contents._caption(app, parts[0][0]) == ""


@pytest.mark.parametrize(
    ("page", "before", "after"),
    [
        ("index", None, "one"),
        ("one", "index", "two"),
        ("two", "one", "three"),
        ("three", "two", None),
        ("a", None, "b"),
        ("b", "a", None),
    ],
)
def test_to_read_on_leads_from_chapter_to_chapter(book, page, before, after):
    expected = tuple(name and f"book/{name}" for name in (before, after))
    app = SimpleNamespace(env=book.env, config=SimpleNamespace(root_doc="book/index"))
    assert contents.neighbours(app, f"book/{page}") == expected


def test_the_books_own_contents():
    """Captions in both languages; every notebook on the list, in the contents below it, and linked there in
    both languages."""
    toc = yaml.safe_load(paths.BOOK.joinpath("_toc.yml").read_text(encoding="utf-8"))
    captions = [part["caption"] for part in toc["parts"] if "caption" in part]
    assert captions == [
        "방법 · Method",
        "실험 · Experiments",
        "논문 이후 · After the paper",
        "그 뒤 · Afterwards",
        "부록 · Appendix",
    ]
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    assert not [chapter for chapter in chapters if chapter["file"].startswith("notebooks/")]
    below = {chapter["file"]: [page["file"] for page in chapter.get("sections", [])] for chapter in chapters}
    notebooks = {f"notebooks/{file.stem}" for file in paths.NOTEBOOKS.glob("*.ipynb")}
    assert set(below["book/notebooks"]) == notebooks
    listed = re.findall(
        r"\]\(\.\./(\S+)\.ipynb\)", paths.BOOK.joinpath("notebooks.md").read_text(encoding="utf-8")
    )
    assert sorted(listed) == sorted([*notebooks, *notebooks])
