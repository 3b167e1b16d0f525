"""What the upstream answered, complete and not yet judged."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.http.fields import Headers, first


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer of whoever answers there: lower-case names, body within the bound.

    `is_verbatim`: it passes with what it says of caching, and nothing is said in its place.
    """

    status: int
    headers: Headers
    body: bytes
    is_verbatim: bool = False

    def header(self, name: bytes) -> bytes | None:
        """The first field of that (lower-case) name."""
        return first(self.headers, name)

    @property
    def is_html(self) -> bool:
        """Whether it is a page, by its label or its looks: then the API did not write it."""
        kind = (self.header(b"content-type") or b"").lower()
        if kind.startswith((b"text/html", b"application/xhtml")):
            return True
        return self.body[:64].lstrip().startswith(b"<")
