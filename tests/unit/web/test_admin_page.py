"""The live page: its files fit together, and nothing in it comes from elsewhere."""

from __future__ import annotations

import re
from importlib.resources import files

from tests.unit.web.operations import Admin


async def test_the_page_and_its_files_fit_together() -> None:
    """What the page names is served, with its type; nothing comes from elsewhere or inline."""
    admin = Admin()
    page = await admin.ask("/")
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for name in named:
        assert name.startswith("data:") or (await admin.ask(f"/{name}")).status_code == 200
    assert (await admin.ask("/page.js")).headers["content-type"].startswith("text/javascript")
    assert (await admin.ask("/page.css")).headers["content-type"].startswith("text/css")
    assert not re.search(r"<style|style=|\son\w+=|<script>", page.text)


def test_the_script_writes_text_only() -> None:
    """No markup is made from what was received, and what it looks for is in the page."""
    folder = files("gateway.web") / "static"
    script, page = (folder / "page.js").read_text(), (folder / "index.html").read_text()
    wanted = set(re.findall(r'(?:\bat|\bsay|\bshow)\("([\w-]+)"', script))

    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script)
    assert "Storage" not in script
    assert "cookie" not in script
    assert {name for name in wanted if f'id="{name}"' not in page} == set()
    assert len(wanted) > 10
