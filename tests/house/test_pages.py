"""What people read: links lead somewhere, the README is short, pages agree with it and the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.core.vocabulary import Detail, Problem
from gateway.web.problems import status_of
from tests.house.sources import ROOT

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "dashboards/*.md", "helm/*/*.md", ".github/*.md")
    for path in ROOT.glob(pattern)
)
README = (ROOT / "README.md").read_text()
PROMISES = (ROOT / "docs/promises.md").read_text()
ANSWERS = (ROOT / "docs/answers.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
FOLDERS = {path.name for path in (ROOT / "gateway").rglob("*") if path.is_dir()}
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# A word that is in the contract and that no answer has.
UNUSED = {Detail.THROTTLED}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """To a file that is there, and to a heading in it."""
    targets = LINK.findall(FENCED.sub("", page.read_text()))

    assert [each for each in targets if not _leads_somewhere(page, each)] == []


def test_the_readme_is_short() -> None:
    """A newcomer reads it to the end."""
    assert len(README.splitlines()) <= 200


def test_the_page_for_callers_is_short() -> None:
    """A caller has other things to do than to read about a gateway."""
    assert len((ROOT / "docs/calling.md").read_text().splitlines()) <= 60


def test_the_first_screen_names_the_two_commands() -> None:
    """What starts it and what tests it, with the time and the disk that each takes."""
    screen = "\n".join(README.splitlines()[:24])

    for command in ("make run", "make test"):
        (row,) = re.findall(rf"^\| `{command}` \|.*\| (.*) \|$", screen, re.M)
        assert re.search(r"seconds|minutes", row)
        assert re.search(r"[MG]B of disk", row)


def test_each_page_is_one_step_from_the_readme() -> None:
    """Nobody has to guess that a page exists."""
    linked = {target.partition("#")[0] for target in LINK.findall(README)}
    pages = {str(path.relative_to(ROOT)) for path in PAGES if path.parent.name != ".github"}

    assert pages - linked == {"README.md"}


def test_each_promise_is_in_both_tables_with_one_figure() -> None:
    """A row of the README is a section of docs/promises.md, and its figure stands there."""
    rows = dict(
        re.findall(r"^\| \[.*?\]\(docs/promises\.md#([^)]+)\).*? \| (.*) \|$", README, re.M)
    )
    sections = {
        _anchor(heading): " ".join(text.split())
        for heading, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PROMISES, re.M | re.S)
    }

    assert list(rows) == list(sections)
    measured = {name: figure for name, figure in rows.items() if "<!-- benchmark -->" not in figure}
    assert {name for name, figure in measured.items() if figure not in sections[name]} == set()
    assert len(rows) - len(measured) == 1


def test_each_promise_names_tests_that_are_there() -> None:
    """Paths of the repository, or a module to run."""
    tests = re.findall(r"^\*\*Tests\.\*\*(.*?)\n(?:\n|\Z)", PROMISES, re.M | re.S)
    named = [re.findall(r"`(tests/[^`]+)`", text) for text in tests]

    assert len(tests) == len(re.findall(r"^## ", PROMISES, re.M))
    assert all(named)
    assert [path for paths in named for path in paths if not (ROOT / path).exists()] == []


def test_the_readme_has_the_figures_of_the_benchmark() -> None:
    """What a hit costs beside nginx and Varnish is what docs/benchmark.md says."""
    (line,) = re.findall(r"<!-- benchmark -->(.*?)<!-- end of benchmark -->", README)
    table = (ROOT / "docs/benchmark.md").read_text().partition("## In short")[2]
    (row,) = re.findall(
        r"^\| hit, headers repeated \| (.*?) \|$", table.partition("\n## ")[0], re.M
    )
    ours, nginx, _, varnish, _ = row.split(" | ")

    assert line == f"{ours} µs of CPU; nginx {nginx}, Varnish {varnish}"


def test_the_cost_of_a_hit_is_one_figure() -> None:
    """The README has it from the benchmark, the page about capacity reckons with it."""
    (readme,) = re.findall(r"<!-- benchmark -->([0-9.]+) µs", README)
    capacity = (ROOT / "docs/capacity.md").read_text()

    assert set(re.findall(r"([0-9.]+) µs", capacity)) == {readme}
    assert "µs" not in (ROOT / "docs/running.md").read_text()


def test_each_problem_is_explained_with_its_status() -> None:
    """docs/answers.md has each word of an error, and no other."""
    rows = re.findall(r"^\| ([\d, ]+) \| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", ANSWERS, re.M)
    explained = {
        word: {int(each) for each in statuses.split(", ")}
        for statuses, words in rows
        for word in re.findall(r"`([^`]+)`", words)
    }

    assert explained.keys() == set(Problem)
    assert {str(word) for word in Problem if status_of(word) not in explained[word]} == set()


def test_each_detail_of_cache_status_is_explained() -> None:
    """In the table below its heading."""
    table = ANSWERS.partition("| `detail` |")[2].partition("\n\n")[0]
    words = {
        word for row in table.splitlines() for word in re.findall(r"`([^`]+)`", row.split(" | ")[0])
    }

    assert words - {"not-stored-…"} == set(Detail) - UNUSED


def test_each_module_that_architecture_names_is_there() -> None:
    """By its folders and its name, as in `flow/request/response_selection` or `lua/store.lua`."""
    prose = FENCED.sub("", ARCHITECTURE)
    named = set(re.findall(r"`(?:gateway/)?([a-z]+(?:/[a-z_0-9]+)+)(?:\.(?:py|lua))?`", prose))
    ours = {name for name in named if name.partition("/")[0] in FOLDERS and "/test_" not in name}
    files = {f"/{path.with_suffix('')}" for path in (ROOT / "gateway").rglob("*")}

    assert [name for name in ours if not any(file.endswith(f"/{name}") for file in files)] == []
    assert len(ours) > 40


def _leads_somewhere(page: Path, target: str) -> bool:
    if re.match(r"https?:", target):
        return True
    name, _, anchor = target.partition("#")
    path = page.parent / name if name else page
    if not path.exists():
        return False
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", path.read_text()), re.M) if anchor else []
    return not anchor or anchor in map(_anchor, headings)


def _anchor(heading: str) -> str:
    """As GitHub writes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
