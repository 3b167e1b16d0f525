"""A real Chromium that reads the live page as people do, and keeps what went wrong there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
# Seconds for what a busy machine takes its time to do.
PATIENCE = 60.0


@contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium; skips the test where there is none."""
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("no browser; type: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=binary, headless=True, args=list(_FLAGS)
        )
        try:
            yield chromium
        finally:
            chromium.close()


@dataclass(slots=True)
class Sight:
    """A tab that shows the page; `faults` are what its console and its scripts complained of."""

    page: Page
    faults: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def text(self, place: str) -> str:
        """What stands at that id."""
        return (self.page.text_content(f"#{place}") or "").replace("\u00a0", " ")

    def until(self, holds: str, argument: object = None) -> None:
        """Wait until a function of the page is true."""
        self.page.wait_for_function(holds, arg=argument, timeout=PATIENCE * 1_000)

    def until_says(self, place: str, words: str) -> None:
        """Wait until these words stand there."""
        holds = "([place, words]) => document.getElementById(place).textContent.includes(words)"
        self.until(holds, [place, words])

    def violations(self) -> list[str]:
        """What axe finds serious or worse, by rule and place."""
        found: list[dict[str, Any]] = Axe().run(self.page).response["violations"]
        return [
            f"{each['id']}: {node['html'][:200]}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]


@contextmanager
def looking(
    chromium: Browser, url: str, *, scheme: str = "light", width: int = 1024
) -> Iterator[Sight]:
    """A tab of its own at that address, in that colour scheme."""
    context = chromium.new_context(
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": width, "height": 900},
        reduced_motion="reduce",
    )
    sight = Sight(context.new_page())
    wanted = {"error", "warning"}
    sight.page.on("console", _kept(sight.faults, lambda each: each.type in wanted))
    sight.page.on("pageerror", lambda error: sight.faults.append(str(error)))
    sight.page.on(
        "request",
        lambda asked: (
            None if asked.url.startswith((url, "data:")) else sight.elsewhere.append(asked.url)
        ),
    )
    try:
        sight.page.goto(url)
        yield sight
    finally:
        context.close()


def _kept(faults: list[str], counts: Callable[[Any], bool]) -> Callable[[Any], None]:
    return lambda message: faults.append(message.text) if counts(message) else None
