"""One doctree node for HTML elements that docutils has no word for, such as `<div lang=...>`, and JSON in
script elements.

The node's children stay ordinary nodes, so that references, numbers and languages inside them still resolve.
"""

import json
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Tag(nodes.General, nodes.Inline, nodes.TextElement):
    """An HTML element: `tag`, its children, and `attributes` as HTML has them."""


def tag(name: str, *children: nodes.Node | str, classes: str = "", ids: str = "", **attributes: str) -> Tag:
    """`tag("td", "x", classes="a b", data_label="y")` is `<td class="a b" data-label="y">x</td>`."""
    node = Tag("", "", name=name, html={key.replace("_", "-"): value for key, value in attributes.items()})
    node["classes"] = classes.split()
    node["ids"] = ids.split()
    node += [nodes.Text(child) if isinstance(child, str) else child for child in children]
    return node


def inline(directive: SphinxDirective, text: str) -> list[nodes.Node]:
    """Markdown within a line. HTML in it is shown as text: part of it may come from a record."""
    parsed = nodes.inline("", "", *directive.state.inline_text(text.strip(), directive.lineno)[0])
    for html in list(parsed.findall(nodes.raw)):
        html.replace_self(nodes.Text(html.astext()))
    return parsed.children


def script(kind: str, content: Any, classes: str = "") -> str:
    """`content` as JSON in a script element."""
    named = f' class="{classes}"' if classes else ""
    return f'<script type="{kind}"{named}>{in_script(content)}</script>'


def in_script(content: Any) -> str:
    """`content` as JSON, in which nothing can end the element that it stands in, or begin another."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _visit(translator: Any, node: Tag) -> None:
    translator.body.append(translator.starttag(node, node["name"], "", **node["html"]))


def _depart(translator: Any, node: Tag) -> None:
    translator.body.append(f"</{node['name']}>")


def setup(app: Sphinx) -> None:
    app.add_node(Tag, html=(_visit, _depart))
