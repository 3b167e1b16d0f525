"""The documents that the live page and `gateway status` link to, as pages that the gateway serves
itself: they are of the version that runs, and need no network.

Links between these documents stay; what else they name is told by its path.
"""

from __future__ import annotations

import re
from html import escape
from itertools import pairwise
from pathlib import Path
from posixpath import normpath

from markdown_it import MarkdownIt
from markdown_it.token import Token

_ROOT = Path(__file__).resolve().parents[2]
SERVED = ("dashboards/RUNBOOK.md", "docs/glossary.md")
_PAGE = """<!doctype html>
<!-- Made by `make dashboards` from {source}. -->
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>{title} · Training Gateway</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="../page.css">
</head>
<body class="document">
  <nav><a href="../">The live page</a></nav>
  <main>
{body}  </main>
</body>
</html>
"""


def pages() -> dict[str, str]:
    """Each of them by the path of its file."""
    folder = "gateway/web/admin/static/documents"
    return {f"{folder}/{Path(each).stem.lower()}.html": _page(each) for each in SERVED}


def anchor(heading: str) -> str:
    """A heading's id, as GitHub writes it: links are the same there."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _page(source: str) -> str:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse((_ROOT / source).read_text(encoding="utf-8"))
    title = tokens[1].content
    for token, text in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", anchor(text.content))
    for token in tokens:
        token.children = _served_links(token.children or [], source)
    body = parser.renderer.render(tokens, parser.options, {})
    return _PAGE.format(source=source, title=escape(title), body=body)


def _served_links(inline: list[Token], source: str) -> list[Token]:
    """The same with the path of what is not served behind its name, in the place of a link."""
    made: list[Token] = []
    path: str | None = None
    for token in inline:
        if token.type == "link_open":
            path = _unserved(str(token.attrGet("href")), source)
        if path is None or token.type not in ("link_open", "link_close"):
            made.append(token)
        elif token.type == "link_close":
            made.append(Token("text", "", 0, content=f" ({path})"))
            path = None
    return made


def _unserved(href: str, source: str) -> str | None:
    """The path of a document that is not served; None where the link leads somewhere."""
    name = href.partition("#")[0]
    if not name or re.match(r"https?:", name):
        return None
    path = normpath(f"{Path(source).parent.as_posix()}/{name}")
    return None if path in SERVED else path
