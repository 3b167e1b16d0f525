"""A reply as it came: its fields, and whether it looks like a page."""

from __future__ import annotations

import pytest

from gateway.core.http.fields import Reply


def test_a_header_is_the_first_of_its_name() -> None:
    """A missing one is None."""
    reply = Reply(200, ((b"a", b"1"), (b"a", b"2")), b"")

    assert reply.header(b"a") == b"1"
    assert reply.header(b"b") is None


@pytest.mark.parametrize(
    ("kind", "body", "is_html"),
    [
        (b"text/html", b"{}", True),
        (b"Text/HTML; charset=utf-8", b"", True),
        (b"application/xhtml+xml", b"", True),
        (b"application/json", b"<!DOCTYPE html>", True),
        (b"text/plain", b"\r\n\t <html>", True),
        (b"application/json", b'{"content": "<b>"}', False),
        (b"text/plain", b"html", False),
        (b"", b"", False),
    ],
)
def test_a_page_is_known_by_label_or_looks(kind: bytes, body: bytes, is_html: bool) -> None:
    """Either is enough; tags within JSON are none of it."""
    assert Reply(200, ((b"content-type", kind),), body).is_html is is_html


def test_without_a_label_the_looks_decide() -> None:
    """A missing Content-Type hides no page."""
    assert Reply(503, (), b"<html>").is_html
    assert not Reply(503, (), b"{}").is_html
