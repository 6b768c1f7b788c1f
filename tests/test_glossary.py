"""The book's own glossary: what it lists, that all Korean of the book keeps to it, and its tips on pages."""

import ast
import json
from collections import Counter

import pytest
import yaml
from bs4 import BeautifulSoup

from bnbook import paper, paths
from bnbook.sphinxext import glossary
from bnbook.sphinxext.builder import address
from bnbook.sphinxext.editions import HANGUL
from tests.test_sphinxext import PAGE, Book, made_up  # noqa: F401  (its numbers and figures are made up for all)

GLOSSARY = paths.BOOK / "glossary.yml"
TERMS = yaml.safe_load(GLOSSARY.read_text(encoding="utf-8"))
CHAPTERS = {address(str(file.relative_to(paths.ROOT).with_suffix(""))) for file in paths.BOOK.glob("*.md")}


def wrong(text: str, page: str = "") -> list[tuple[int, str, str]]:
    return list(glossary.mistakes(text, GLOSSARY, page))


def pages() -> dict[str, list[tuple[int, str, str]]]:
    """The mistakes of every page, by its name."""
    found = {}
    for file in sorted([*paths.BOOK.glob("*.md"), *paths.BOOK.glob("figures/*.md")]):
        name = str(file.relative_to(paths.ROOT).with_suffix(""))
        found[name] = wrong(file.read_text(encoding="utf-8"), address(name))
    for file in sorted(paths.NOTEBOOKS.glob("*.ipynb")):
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        found[f"notebooks/{file.stem}"] = [mistake for text in texts for mistake in wrong(text)]
    return found


def test_every_term_stands_once_and_no_right_word_is_avoided():
    terms = [term for term in TERMS if "en" in term]
    for part in ("en", "ko"):
        assert max(Counter(term[part] for term in terms).values()) == 1
    avoided = Counter(bad for term in TERMS for bad in term.get("avoid", []))
    assert max(avoided.values()) == 1
    assert not {term["ko"] for term in TERMS} & avoided.keys()


def test_meanings_are_in_both_languages_and_need_no_other_word_to_be_avoided():
    explained = [term for term in TERMS if "meaning" in term]
    assert len(explained) > 60
    for term in explained:
        assert term["meaning"].keys() == {"ko", "en"} and "en" in term, term["ko"]
        assert HANGUL.search(term["meaning"]["ko"]) and not HANGUL.search(term["meaning"]["en"])
        assert wrong(term["meaning"]["ko"]) == []
    assert len({glossary.anchor(term) for term in explained}) == len(explained)


def test_each_gloss_names_a_page_of_the_book():
    assert {term["gloss"] for term in TERMS if "gloss" in term} <= CHAPTERS


def test_every_page_keeps_to_the_glossary():
    assert {name: mistakes for name, mistakes in pages().items() if mistakes} == {}


def test_the_claims_keep_to_it():
    """But their rules, which are registered as they are."""
    for name, claim in paper.claims().items():
        for part in ("statement", "paper", "note"):
            assert wrong(claim.get(part, {}).get("ko", "")) == [], name


def test_the_words_in_the_code_keep_to_it():
    for file in sorted((paths.ROOT / "src" / "bnbook").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
                assert wrong(node.value) == [], f"{file}:{node.lineno}"


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("정규화하는 까닭은 이렇다.", "까닭"),
        ("둘을 견주면 다르다.", "견주"),
        ("잔물결이 규제 노릇을 한다.", "노릇"),
        ("통계를 상수로 둔다.", "통계를 "),
        ("통계를\n상수로 둔다.", "통계를 "),
        ("시드(seed)를 바꾼다.", "(seed)"),
        ("인셉션(Inception)을 쓴다.", "(Inception)"),
        ("가장 큰 값은 보폭, 곧 학습률이다.", ", 곧 "),
        ("값마다 다르고, 값마다 정규화한다.", " 값마다"),
    ],
)
def test_the_reviews_words_are_found(text, bad):
    assert bad in [found for _, found, _ in wrong(text)]


@pytest.mark.parametrize(
    "text",
    [
        "통계량을 상수로 둔다. 통계적으로 다르다.",
        "활성화 값마다 정규화한다.",
        "곧바로 확인한다.",
        "배치 정규화(BN)와 그림 1(a)는 그대로다.",
        "정답률이 높다(`accuracy`).",
        "튜닝한 기준 모델(Inception)이다.",
    ],
)
def test_plain_words_are_left_alone(text):
    assert wrong(text) == []


def test_a_gloss_stands_on_its_page_once():
    once = "야코비안(Jacobian)을 구한다."
    assert wrong(once, "jacobian") == []
    assert [bad for _, bad, _ in wrong(once, "mnist")] == ["(Jacobian)"]
    assert [line for line, _, _ in wrong(f"{once}\n{once}", "jacobian")] == [2]


# Tips

TIPPED = """
- {en: gradient, ko: 그래디언트, meaning: {ko: "미분 <벡터>", en: a derivative}}
- {en: learning rate, ko: 학습률, meaning: {ko: 배율, en: a factor}}
- {en: training, ko: 학습}
- {en: step, ko: 스텝, tip: [ko], meaning: {ko: 한 번의 갱신, en: one update}}
"""
CHAPTER = """# {ko}`학습률` {en}`The learning rate`

:::{ko}
`학습률`과 $x$ 학습률은 **학습률**이다. 학습된 것. [그래디언트](other.md)와 그래디언트를 스텝마다 본다.

| 학습률 |
|---|
| 그래디언트 |
:::
:::{en}
Gradients at a learning rate; each step has another gradient.
:::

```{toctree}
glossary
other
```
"""
LIST = "# {ko}`용어집` {en}`Glossary`\n\n```{glossary-table}\n```\n"


@pytest.fixture
def tipped(tmp_path):
    files = {
        "book/index.md": CHAPTER,
        "book/other.md": PAGE,
        "book/glossary.md": LIST,
        "book/glossary.yml": TIPPED,
    }

    def build(edition: str) -> tuple[BeautifulSoup, BeautifulSoup]:
        book = Book(tmp_path / edition, files, edition)
        assert book.warnings == ""
        return tuple(BeautifulSoup(book.page(name), "html.parser") for name in ("index", "glossary"))

    return build


def tips(page: BeautifulSoup) -> list[tuple[str, str, str]]:
    return [(link.get_text(), link["href"], link["title"]) for link in page.select("a.bn-term")]


KOREAN_TIPS = [
    ("학습률", "glossary.html#term-learning-rate", "배율"),
    ("그래디언트", "glossary.html#term-gradient", "미분 <벡터>"),
    ("스텝", "glossary.html#term-step", "한 번의 갱신"),
]
ENGLISH_TIPS = [
    ("Gradients", "glossary.html#term-gradient", "a derivative"),
    ("learning rate", "glossary.html#term-learning-rate", "a factor"),
]


@pytest.mark.parametrize(
    ("edition", "expected"),
    [("ko", KOREAN_TIPS), ("en", ENGLISH_TIPS), ("ko-en", KOREAN_TIPS + ENGLISH_TIPS)],
)
def test_the_first_use_in_a_sentence_is_a_link_with_the_meaning(tipped, edition, expected):
    """Not that in a heading, in code, in a table or in a link; and 학습 in 학습률 is none."""
    page, entries = tipped(edition)
    assert tips(page) == expected
    assert not page.select("h1 .bn-term, table .bn-term, code .bn-term, a .bn-term")
    assert {link["href"].partition("#")[2] for link in page.select("a.bn-term")} <= {
        entry["id"] for entry in entries.select(".bn-glossary > div")
    }
    assert tips(entries) == []


@pytest.mark.parametrize(
    ("edition", "first", "meaning"),
    [("ko", "그래디언트", "미분 <벡터>"), ("en", "gradient", "a derivative"), ("ko-en", "그래디언트", None)],
)
def test_the_list_has_every_meaning_in_the_editions_order(tipped, edition, first, meaning):
    entries = tipped(edition)[1].select(".bn-glossary > div")
    assert entries[0]["id"] == "term-gradient" and len(entries) == 3
    assert entries[0].dfn.get_text() == first
    text = " ".join(entries[0].dd.get_text().split())
    assert text == meaning if meaning else ("미분" in text and "a derivative" in text)
