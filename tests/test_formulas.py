"""Formulas as they are set when the book is built."""

import subprocess
import sys

import pytest
from bs4 import BeautifulSoup
from sphinx.testing.util import SphinxTestApp

from bnbook.sphinxext import formulas

PAGE = """# Title

Inline {math}`x_i`.

```{math}
:label: first
a &= \\frac{b}{c} \\\\
d &= e
```

See {eq}`first`. %s
"""


def page(tmp_path, addition: str = "") -> tuple[BeautifulSoup, str]:
    """A book of one page: the page, and what Sphinx warned of."""
    (tmp_path / "conf.py").write_text(
        'extensions = ["myst_nb", "bnbook.sphinxext.formulas"]\nmyst_enable_extensions = ["dollarmath"]\n'
    )
    (tmp_path / "index.md").write_text(PAGE % addition)
    app = SphinxTestApp(srcdir=tmp_path, buildername="html")
    try:
        app.build()
        return BeautifulSoup((app.outdir / "index.html").read_text(), "html.parser"), app.warning.getvalue()
    finally:
        app.cleanup()


def test_a_formula_is_drawn_and_can_be_read_out(tmp_path):
    shown, warnings = page(tmp_path)
    assert not warnings
    inline, block = shown.select(".math")
    assert inline.select_one("svg")["aria-hidden"] == "true"
    assert [node.get_text() for node in inline.select("math mi")] == ["x", "i"]
    assert len(block.select("math mtr")) == 2 and block.select_one("math mfrac")
    assert not shown.select("script[src*=athjax]")


def test_equations_keep_their_numbers_and_references(tmp_path):
    shown, _ = page(tmp_path)
    block = shown.select_one("div.math")
    assert block.select_one(".eqno").get_text().startswith("(1)")
    reference = next(link for link in shown.select("a.reference") if link.get_text() == "(1)")
    assert reference["href"] == f"#{block['id']}"


@pytest.mark.parametrize(
    ("tex", "message"),
    [
        (r"\foo", r"Undefined control sequence \foo"),
        (r"\frac{a", "Missing close brace"),
        ("a & b", "Misplaced &"),
    ],
)
def test_bad_tex_is_a_warning_with_its_line(tmp_path, tex, message):
    _, warnings = page(tmp_path, f"$${tex}$$")
    assert f"TeX: {message}" in warnings and "index.md:11" in warnings


def test_letters_are_drawn_as_shapes_not_with_the_readers_fonts():
    drawing = formulas.formula(
        r"\hat{x} = \frac{\boldsymbol{x} - \mathcal{B}}{\sqrt{\mathbb{E}}} \text{ if } y"
    )
    assert "<path" in drawing and "<text" not in drawing


def test_a_process_that_has_set_formulas_ends():
    """V8 has threads of its own, for which Python's own end once waited."""
    code = "from bnbook.sphinxext.formulas import formula; formula('x')"
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
