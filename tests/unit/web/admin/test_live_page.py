"""The live page: its files fit together, and nothing in it comes from elsewhere."""

from __future__ import annotations

import re
from importlib.resources import files

from gateway.web.admin.app import FILES, PATHS
from tests.unit.web.operations import Admin

FOLDER = files("gateway.web.admin") / "static"
OWN = [name for _, name, kind in FILES if kind == "text/javascript" and "/" not in name]


async def test_the_page_and_its_files_fit_together() -> None:
    """What page, style and scripts name is served, with its type; nothing is from elsewhere."""
    admin = Admin()
    page = (await admin.ask("/")).text
    named = re.findall(r'(?:src|href)="([^"#]+)"', page)
    for script in OWN:
        named += re.findall(r'from "\./([^"]+)"', (FOLDER / script).read_text())

    for name in named:
        assert name.startswith("data:") or (await admin.ask(f"/{name}")).status_code == 200, name
    for path, _, kind in FILES:
        assert (await admin.ask(path)).headers["content-type"].startswith(kind)
    assert {f"/{name}" for name in OWN} <= PATHS
    assert not re.search(r"https?://", page.replace("http://www.w3.org/2000/svg", ""))


async def test_each_word_leads_to_a_heading_of_a_document_that_is_served() -> None:
    """In the page, and in what its scripts make; headings have the ids that GitHub gives them."""
    admin = Admin()
    page, terms = ((FOLDER / name).read_text() for name in ("index.html", "words.js"))
    linked = re.findall(r'class="term"[^>]* href="([^"]+)"', page)
    words = dict(re.findall(r'"([^"]+)": "([a-z0-9-]+)"', terms))
    linked += [f"docs/glossary.md#{section}" for section in words.values()]

    headings = {
        path: re.findall(r'<h\d id="([^"]+)"', (await admin.ask(path)).text)
        for path, _, _ in FILES
        if path.endswith(".md")
    }

    for each in linked:
        path, _, section = each.partition("#")
        assert not section or section in headings[f"/{path}"], each
    assert len(page.split('class="term"')) > 15
    assert len(words) > 30
    assert {f"/{each.partition('#')[0]}" for each in linked} == headings.keys()


def test_the_documents_lead_nowhere_else() -> None:
    """What they name and is not served is told by its path."""
    documents = [(FOLDER / name).read_text() for path, name, _ in FILES if path.endswith(".md")]
    links = {each for text in documents for each in re.findall(r'href="([^"#]*)', text)}

    served = {"../docs/glossary.md", "../dashboards/RUNBOOK.md"}
    assert links == {"data:,", "../", "../page.css", "", *served}
    assert "See The budget (docs/budget.md)." in "".join(documents)


def test_nothing_is_inline() -> None:
    """The policy that every answer carries forbids it."""
    page = (FOLDER / "index.html").read_text()

    assert not re.search(r"<style|style=|\son\w+=|<script>", page)


def test_the_scripts_write_text_only() -> None:
    """No markup is made from what was received, nothing is kept, and what they look for is in
    the page."""
    page = (FOLDER / "index.html").read_text()
    scripts = "".join((FOLDER / name).read_text() for name in OWN)
    wanted = set(re.findall(r'(?:\bat|\bsay|\bshow|\blist|\bgrade)\("([\w-]+)"', scripts))

    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", scripts)
    assert "Storage" not in scripts
    assert "cookie" not in scripts
    assert {name for name in wanted if f'id="{name}"' not in page} == set()
    assert len(wanted) > 20


def test_the_plotting_library_comes_with_its_licence() -> None:
    """Its version is in the folder's name and in the file."""
    (library,) = (path for path, name, _ in FILES if name.endswith("uPlot.iife.min.js"))
    (folder,) = {name.partition("/")[0] for _, name, _ in FILES if name.startswith("uplot")}
    version = folder.removeprefix("uplot-")

    assert library == "/uplot.js"
    assert f"(v{version})" in (FOLDER / folder / "uPlot.iife.min.js").read_text()[:100]
    assert "MIT" in (FOLDER / folder / "LICENSE").read_text()
