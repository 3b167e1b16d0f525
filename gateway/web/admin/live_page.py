"""The live page's files, and the documents that it links to: what is served under which path. They
say nothing of the gateway's data.

Paths are absolute here and relative in the page, which may so be shown below a prefix.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_UPLOT: Final = "uplot-1.6.32"

# Path, file below `static`, type.
FILES: Final = (
    ("/", "index.html", "text/html"),
    ("/page.css", "page.css", "text/css"),
    *((f"/{name}.js", f"{name}.js", "text/javascript") for name in (
        "page", "words", "stream", "plots", "events", "explain",
    )),
    # Under the paths that they have in the source, so that links are the same wherever they lead.
    ("/dashboards/RUNBOOK.md", "documents/runbook.html", "text/html"),
    ("/docs/glossary.md", "documents/glossary.html", "text/html"),
    ("/uplot.css", f"{_UPLOT}/uPlot.min.css", "text/css"),
    ("/uplot.js", f"{_UPLOT}/uPlot.iife.min.js", "text/javascript"),
)  # fmt: skip
PATHS: Final = frozenset(path for path, _, _ in FILES)


def page_routes() -> list[Route]:
    """A route a file; raises FileNotFoundError where one was not packaged."""
    folder = files("gateway.web.admin") / "static"
    return [Route(path, _asset((folder / name).read_bytes(), kind)) for path, name, kind in FILES]


def _asset(body: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return Response(body, media_type=kind)

    return answer
