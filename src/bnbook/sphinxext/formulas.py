"""Formulas, set when the book is built: pages hold drawings and need neither script nor font for them.

MathJax 3.2.2 runs in V8 (mini-racer), with no browser around it. A formula is an SVG for the eye and MathML
for screen readers. Bad TeX is a warning, which fails the build.
"""

import atexit
import functools
import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from py_mini_racer import JSEvalException, MiniRacer
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

# What of MathJax is needed, in the order in which its parts build on one another.
PARTS = (
    *("core.js", "loader.js", "adaptors/liteDOM.js"),
    *("input/tex-full.js", "output/svg.js", "output/svg/fonts/tex.js"),
)
SHA256 = "94ecf33615a1e59515a5dca928415ac38906a753087120ff84fbae2240b57d75"
INSTALL = "pip install sphinx-mathjax-offline==0.0.2"

BEFORE = "var window = globalThis; var MathJax = {loader: {load: []}, startup: {ready() {}, typeset: false}};"
# Packages that turn errors into red text are left out: an error is thrown.
AFTER = r"""
const _ = MathJax._, adaptor = _.adaptors.liteAdaptor.liteAdaptor();
_.handlers.html_ts.RegisterHTMLHandler(adaptor);
const packages = _.input.tex.AllPackages.AllPackages.filter((name) => !/^no(errors|undefined)$/.test(name));
const page = _.mathjax.mathjax.document("", {
  InputJax: new _.input.tex_ts.TeX({packages, formatError(_, error) { throw new Error(error.message); }}),
  OutputJax: new _.output.svg_ts.SVG({fontCache: "none", font: new _.output.svg.fonts.tex_ts.TeXFont()}),
});
const spoken = new _.core.MmlTree.SerializedMmlVisitor.SerializedMmlVisitor();
const render = (tex, display) => {
  const size = {display, em: 16, ex: 8, containerWidth: 1e6};
  const drawn = page.convert(tex, size);
  const tree = page.convert(tex, {...size, end: _.core.MathItem.STATE.CONVERT});
  return [adaptor.innerHTML(drawn), spoken.visitTree(tree)];
};
"""
# What MathJax leaves in its drawings for scripts that are not there.
TRACES = re.compile(r' (?:data-(?:mml-node|mjx-texclass|c)|xmlns|role|focusable)="[^"]*"')
GLYPH = re.compile(r'<path d="([^"]+)"([^>]*)></path>')  # nothing else in a page's text is written so

log = logging.getLogger(__name__)


class TexError(ValueError):
    """TeX that MathJax does not understand; the message is MathJax's own."""


@functools.cache
def engine() -> MiniRacer:
    """MathJax, loaded once a process."""
    context = MiniRacer()
    atexit.register(context.close)  # later it would wait for a thread that is gone
    context.eval("\n".join([BEFORE, *mathjax(), AFTER]))
    return context


def mathjax() -> list[str]:
    """The parts of MathJax 3.2.2 out of the installed package sphinx-mathjax-offline.

    Raises: ExtensionError where the package is missing or the files are not those that were tried.
    """
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None:
        raise ExtensionError(f"sphinx-mathjax-offline is not installed: {INSTALL}")
    folder = Path(spec.origin).parent / "static" / "mathjax"
    code = [(folder / part).read_bytes() for part in PARTS]
    found = hashlib.sha256(b"".join(code)).hexdigest()
    if found != SHA256:
        raise ExtensionError(f"MathJax in {folder} has sha256 {found}, not {SHA256}: {INSTALL}")
    return [part.decode("utf-8") for part in code]


@functools.cache
def formula(tex: str, display: bool = False) -> str:
    """The formula as HTML: `<svg>` to be seen, `<math>` to be read out. Raises: TexError."""
    try:
        svg, mathml = engine().call("render", tex, display)
    except JSEvalException as error:
        message = re.search(r"Error: (.*)", str(error))
        raise TexError(message[1] if message else "not understood") from None
    drawn = TRACES.sub("", svg).replace("<svg", '<svg aria-hidden="true"', 1)
    return drawn + re.sub(r">\s+<", "><", re.sub(r' data-[a-z-]+="[^"]*"', "", mathml))


def visit_inline(translator: Any, node: nodes.math) -> None:
    opening = translator.starttag(node, "span", "", CLASS="math notranslate nohighlight")
    translator.body.append(f"{opening}{_set(node, node.astext())}</span>")
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.math_block) -> None:
    """The formula in a box that scrolls, and its number, which does not."""
    translator.body.append(translator.starttag(node, "div", CLASS="math notranslate nohighlight"))
    # TeX takes \\ outside of an environment for nothing.
    lines = r"\begin{split}%s\end{split}" if r"\\" in node.astext() and not node["nowrap"] else "%s"
    translator.body.append(f'<div class="bn-formula">{_set(node, lines % node.astext(), True)}</div>')
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, _("Link to this equation"))
        translator.body.append("</span>")
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def _set(node: nodes.Element, tex: str, display: bool = False) -> str:
    try:
        return formula(tex, display)
    except TexError as error:
        log.warning("TeX: %s in %r", error, tex, location=node)
        return ""


def _share_glyphs(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Letters stand in a page once (layout.html), however many formulas draw them."""
    shapes: dict[str, int] = {}

    def use(found: re.Match) -> str:
        return f'<use href="#glyph-{shapes.setdefault(found[1], len(shapes))}"{found[2]}></use>'

    if doctree is not None:
        context["body"] = GLYPH.sub(use, context["body"])
    context["bn_glyphs"] = [{"id": f"glyph-{number}", "shape": shape} for shape, number in shapes.items()]


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", _share_glyphs)
    # Sphinx takes a renderer that is not its own over its own.
    app.add_html_math_renderer("svg", (visit_inline, None), (visit_block, None))
