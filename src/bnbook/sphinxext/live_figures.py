"""On a figure's own page: its live form, for readers who ask for it.

A click loads the library (book/_static/vendor), the figure's numbers (`drawing.series`) and figure-live.js,
which shows them. Before it nothing of these is asked for, and without JavaScript the button is not there.
Numbers are scripts, since from a local file a page can read nothing else.
"""

import json
import shutil
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from bnbook import figures
from bnbook.sphinxext.builder import relative
from bnbook.sphinxext.editions import SEPARATOR, languages

STATIC = (
    "_static/vendor/uPlot.min.css",
    "_static/figure-live.css",
    "_static/vendor/uPlot.iife.min.js",
)
PROGRAM = "_static/figure-live.js"
WORDS = {
    "open": {"ko": "값 읽고 확대하기", "en": "Read values and zoom"},
    "none": {
        "ko": "이 그림은 이미지나 축이 없는 칸을 담고 있어 값을 읽는 화면이 없다. 모든 값은 CSV에 있다.",
        "en": "This figure has images or panels without axes, and no live form. All of its values are in the "
        "CSV.",
    },
    "failed": {
        "ko": "불러오지 못했다. 인터넷 연결을 확인하고 페이지를 다시 열어야 한다.",
        "en": "This could not be loaded. Check the connection and open the page again.",
    },
}
# What the program says, in the edition's first language.
SAID = {
    "hint": {
        "ko": "점에 마우스를 올리거나 손가락을 대면 값이 나온다. 끌거나 두 손가락을 벌리면 확대된다.",
        "en": "Point at a mark or touch it to read its value. Drag, or spread two fingers, to zoom.",
    },
    "keys": {
        "ko": "왼쪽·오른쪽 화살표로 점을, 위·아래 화살표로 계열을 옮긴다. +와 -로 확대·축소, 0으로 전체.",
        "en": "Left and right arrows move along a series, up and down to the next one. "
        "+ and - zoom, 0 shows all.",
    },
    "series": {"ko": "계열", "en": "Series"},
    "seeds": {"ko": "시드", "en": "Seeds"},
    "seed": {"ko": "시드", "en": "seed"},
    "other": {"ko": "이름 없는 표시", "en": "unnamed marks"},
    "panel": {"ko": "칸", "en": "Panel"},
    "value": {"ko": "값", "en": "value"},
    "in": {"ko": "확대", "en": "Zoom in"},
    "out": {"ko": "축소", "en": "Zoom out"},
    "all": {"ko": "전체", "en": "All"},
    "csv": {"ko": "보이는 값을 CSV로 내려받기", "en": "Download the visible values as CSV"},
}


def box(env: BuildEnvironment, name: str) -> nodes.Node | None:
    """The button, and the place of what it opens; a line where a figure of records has no live form; None for
    an explaining picture."""
    edition = env.config.edition
    if figures.has_live_form(name):
        return nodes.raw("", button(env, name), format="html")
    if figures.FIGURES[name].experiment is None:
        return None
    return nodes.raw("", f'<p class="bn-plot-none">{_said("none", edition)}</p>', format="html")


def _said(word: str, edition: str) -> str:
    return SEPARATOR.join(
        f'<span lang="{lang}">{escape(WORDS[word][lang])}</span>' for lang in languages(edition)
    )


def button(env: BuildEnvironment, name: str) -> str:
    builder, edition = env.app.builder, env.config.edition
    first, *_ = languages(edition)
    wanted = (*STATIC, f"figures/{figures.live_data(name, first)}", PROGRAM)
    parts = " ".join(relative(builder, env.docname, file) for file in wanted)
    said = json.dumps({key: words[first] for key, words in SAID.items()}, ensure_ascii=False)
    return (
        f'<p><button type="button" class="bn-plot-open" hidden data-parts="{escape(parts)}" '
        f'data-failed="{escape(WORDS["failed"][first])}">{_said("open", edition)}</button></p>'
        f'<div class="bn-plots" lang="{first}" hidden data-words="{escape(said)}"></div>'
    )


def _ship(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.format != "html":
        return
    first, *_ = languages(app.config.edition)
    made, shipped = Path(app.srcdir, "build", "figures"), Path(app.outdir, "figures")
    for name in filter(figures.has_live_form, app.bn_figures):
        shutil.copyfile(made / figures.live_data(name, first), shipped / figures.live_data(name, first))


def setup(app: Sphinx) -> None:
    app.connect("build-finished", _ship, priority=501)  # where figures.py has made the folder
