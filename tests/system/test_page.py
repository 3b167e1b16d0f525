"""The live page in a real Chromium, in front of two replicas, a Redis and the simulator."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from tests.support.servers import RedisServer
from tests.system.browser import Sight, browser, looking
from tests.system.commands import Gateway, address, get, simulator

TOKEN = "an-admin-token"
SHOWN = "() => !document.getElementById('shown').hidden"
# What the browser itself says of a connection that failed, which the page then deals with.
OF_NETWORK = ("Failed to load resource", "net::ERR_")


@dataclass(frozen=True, slots=True)
class Stand:
    """What the page looks at."""

    one: Gateway
    other: Gateway
    redis: RedisServer

    def ask(self, training_id: str) -> httpx.Response:
        """As a caller of the first replica."""
        return get(f"{self.one.data}/training/{training_id}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests here."""
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Two replicas, with somebody who asks them a few times a second."""
    with replicas(tmp_path_factory.mktemp("page")) as started:
        yield started


@contextmanager
def replicas(folder: Path) -> Iterator[Stand]:
    """Two replicas with a Redis and a simulator of their own."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder))
        redis.settle()
        upstream = stack.enter_context(simulator(folder, "--limit", "0"))
        shared = {"GATEWAY_REDIS__URL": redis.url, "GATEWAY_REDIS__TIMEOUT": "2s"}
        one, other = (Gateway(folder, address(upstream), **shared) for _ in range(2))
        stack.enter_context(one.process)
        stack.enter_context(other.process)
        yield Stand(one, other, redis)


@pytest.fixture
def traffic(stand: Stand) -> Iterator[None]:
    """Somebody asks the first replica all the while."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.1):
            stand.ask("trn_000001")

    asking = threading.Thread(target=ask)
    asking.start()
    yield
    over.set()
    asking.join()


def own_faults(sight: Sight) -> list[str]:
    """Without those of the network, where it was taken away on purpose."""
    return [each for each in sight.faults if not any(word in each for word in OF_NETWORK)]


@pytest.mark.usefixtures("traffic")
def test_the_plots_move_and_an_invalidation_appears(chromium: Browser, stand: Stand) -> None:
    """The figures are those of the traffic; nothing is asked of anybody else, nothing complains."""
    with looking(chromium, stand.one.admin) as sight:
        sight.until_says("served-more", "requests a second")
        sight.until("() => document.querySelectorAll('.plot canvas').length === 4")
        picture = "() => document.querySelector('#plot-outcomes canvas').toDataURL()"
        before = sight.page.evaluate(picture)
        sight.until(f"before => ({picture})() !== before", before)
        sight.until_says("facts", "2 replicas")

        order = httpx.post(f"{stand.other.admin}/invalidate", json={"ids": ["trn_000001"]})
        sight.until_says("invalidations", "event told by a replica")

        assert order.status_code == 200
        assert "trn_000001" in sight.text("invalidations")
        assert sight.text("state") == "live"
        assert sight.faults == []
        assert sight.elsewhere == []


# Words that a reader knows: the glossary has no section for them.
PLAIN = (
    "The last 15 minutes", "Latency", "median", "99 %", "Event loop late by", "Explain a training",
    "Training", "What happened to it", "Body", "Digest", "Last refusals", "Other events",
)  # fmt: skip
UNLINKED = """() => [...document.querySelectorAll("#shown :is(h2, h3, dt, .key li:not(.when))")]
  .filter((each) => !each.querySelector("a.term")).map((each) => each.textContent)"""
LEADING = """async () => {
  const dead = [];
  for (const { href } of document.querySelectorAll("a.term, #do a")) {
    const [address, section] = href.split("#");
    const text = await (await fetch(address)).text();
    const read = new DOMParser().parseFromString(text, "text/html");
    if (section && !read.getElementById(section)) dead.push(href);
  }
  return dead;
}"""


def test_every_word_leads_to_its_section(chromium: Browser, stand: Stand) -> None:
    """Each heading, figure and line of a plot is a link unless its word is plain, that of the first
    finding too; and where it leads there is such a heading."""
    stand.ask("trn_000004")
    order(stand.one, "mode", mode="frozen")
    with looking(chromium, stand.one.admin) as sight:
        sight.until_says("says", "The mode is frozen")
        sight.page.evaluate("() => { location.hash = 'trn_000004'; }")
        sight.until_says("explained", "What happened to it")
        sight.until("() => document.querySelectorAll('.plot canvas').length === 4")

        unlinked = sight.page.evaluate(UNLINKED)
        assert [each for each in unlinked if not each.startswith(PLAIN)] == []
        assert sight.page.evaluate(LEADING) == []
        assert "Runbook: GatewayModeLeft" in sight.text("do")
        sight.page.click("#do a")
        assert sight.page.url.endswith("/dashboards/RUNBOOK.md#gatewaymodeleft")
        assert sight.page.locator("#gatewaymodeleft").is_visible()
        assert sight.elsewhere == []
    order(stand.one, "mode", mode="normal")


def test_the_words_lead_where_the_documents_are_published(
    chromium: Browser, tmp_path: Path
) -> None:
    """By `admin.docs_url`."""
    docs = "http://127.0.0.1:9/docs-of-ours"
    with simulator(tmp_path) as upstream:
        watched = Gateway(tmp_path, address(upstream), GATEWAY_ADMIN__DOCS_URL=docs)
        with watched.process, looking(chromium, watched.admin) as sight:
            sight.until(SHOWN)
            hrefs = sight.page.eval_on_selector_all("a.term", "all => all.map((each) => each.href)")

        assert len(hrefs) > 20
        assert [each for each in hrefs if not each.startswith(f"{docs}/d")] == []


def test_a_stopped_redis_shows_within_seconds(
    chromium: Browser, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """And its return; the promise is five seconds on a machine that is not busy.

    The replicas are of this test alone: without the data of Redis, the budget counts the whole
    window as spent, so no other test could fill a training for a minute.
    """
    with replicas(tmp_path) as stand, looking(chromium, stand.one.admin) as sight:
        sight.until_says("parts", "connected")
        stand.redis.kill()
        stopped = time.monotonic()
        sight.until_says("says", "Redis is away")
        seconds = time.monotonic() - stopped

        assert seconds < 5 * 10
        record_property("seconds until a stopped Redis showed", round(seconds, 1))
        assert sight.page.get_attribute("#verdict", "data-level") == "watch"
        assert sight.text("whose") == "Redis"
        sight.until_says("news", "Redis: Redis is away")
        stand.redis.start()
        sight.until_says("parts", "connected")
        assert sight.faults == []


def test_a_training_is_explained(chromium: Browser, stand: Stand) -> None:
    """By the field, by its address, and not at all where the id is none."""
    assert stand.ask("trn_000002").status_code == 200
    with looking(chromium, stand.one.admin) as sight:
        sight.until(SHOWN)
        sight.page.fill("#id", "trn_000002")
        sight.page.press("#id", "Enter")
        sight.until_says("explained", "What happened to it")
        told = sight.text("explained")
        sight.page.fill("#id", "no/id")
        sight.page.press("#id", "Enter")
        sight.until("() => document.getElementById('explain-note').textContent.length > 12")

        assert "entry.fetched" in told
        assert "verdict first" in told
        assert "on the first request after" in told
        assert sight.text("explained") == ""
        assert own_faults(sight) == []


def test_an_address_that_names_no_id_does_not_stop_the_page(
    chromium: Browser, stand: Stand
) -> None:
    """What follows its `#` cannot be decoded. The page lives on, and explains nothing."""
    with looking(chromium, f"{stand.one.admin}/#100%") as sight:
        sight.until(SHOWN)
        sight.until("() => document.querySelectorAll('.plot canvas').length === 4")
        time.sleep(1.5)  # a stream that ends begins again in half a second

        assert sight.text("state") == "live"
        assert sight.page.locator("#notice").is_hidden()
        assert sight.faults == []


# For each plot: by how many pixels half of the time at its right end is wider than the room there.
CLIPPED = """() => [...document.querySelectorAll(".plot:has(canvas)")].map((plot) => {
  const text = plot.querySelector("canvas").getContext("2d");
  text.font = "12px system-ui, sans-serif";
  const right = (each) => each.getBoundingClientRect().right;
  const room = right(plot) - right(plot.querySelector(".u-over"));
  return text.measureText("00:00").width / 2 - room;
})"""


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1600)])
def test_nothing_serious_stands_in_anybodys_way(
    chromium: Browser, stand: Stand, scheme: str, width: int
) -> None:
    """axe looks at the whole page, a training explained; nothing is wider than the window, no time
    at the end of an axis wider than its room."""
    stand.ask("trn_000003")
    with looking(chromium, stand.one.admin, scheme=scheme, width=width) as sight:
        sight.until(SHOWN)
        sight.page.evaluate("() => { location.hash = 'trn_000003'; }")
        sight.until_says("explained", "What happened to it")
        sight.until("() => document.querySelectorAll('.plot canvas').length === 4")

        assert sight.violations() == []
        assert sight.page.evaluate("() => document.documentElement.scrollWidth") <= width
        clipped = sight.page.evaluate(CLIPPED)
        assert len(clipped) == 4
        assert max(clipped) <= 0


def test_the_plots_are_read_with_the_keyboard(chromium: Browser, stand: Stand) -> None:
    """An arrow goes back in time and says what was then; Escape comes back."""
    with looking(chromium, stand.one.admin) as sight:
        sight.until("() => document.querySelectorAll('.plot canvas').length === 4")
        sight.page.focus("#plot-calls")
        now = sight.page.get_attribute("#plot-calls", "aria-valuetext") or ""
        sight.page.keyboard.press("Home")
        then = sight.page.get_attribute("#plot-calls", "aria-valuetext") or ""
        sight.page.keyboard.press("Escape")

        assert now.startswith("now: calls ")
        assert not then.startswith("now")
        assert "limit" in then
        assert (sight.page.get_attribute("#plot-calls", "aria-valuetext") or "").startswith("now")


def test_the_page_outlives_the_gateway(chromium: Browser, tmp_path: Path) -> None:
    """With a token, which the page asks for and keeps; it says that it was alone, and goes on."""
    with simulator(tmp_path) as upstream:
        watched = Gateway(tmp_path, address(upstream), GATEWAY_ADMIN__TOKEN=TOKEN)
        with watched.process, looking(chromium, watched.admin) as sight:
            sight.until("() => !document.getElementById('door').hidden")
            sight.page.fill("#token", "wrong")
            sight.page.click("#door button")
            sight.until_says("door-fault", "not the token")
            sight.page.fill("#token", TOKEN)
            sight.page.click("#door button")
            sight.until(SHOWN)
            assert sight.text("state") == "live"
            watched.process.kill()
            sight.until_says("state", "no connection")
            assert "Trying again" in sight.text("notice")
            watched.process.start()
            sight.until_says("notice", "the gateway was started again")
            sight.until_says("state", "live")

            assert own_faults(sight) == []
            assert "old" not in (sight.page.get_attribute("#shown", "class") or "")


def test_a_token_that_is_sent_twice_opens_one_stream(chromium: Browser, tmp_path: Path) -> None:
    """A key that is held down repeats. Each stream takes one of the places of watchers."""
    with simulator(tmp_path) as upstream:
        watched = Gateway(tmp_path, address(upstream), GATEWAY_ADMIN__TOKEN=TOKEN)
        with watched.process, looking(chromium, watched.admin) as sight:
            asked: list[str] = []
            sight.page.on("request", lambda request: asked.append(request.url))
            sight.until("() => !document.getElementById('door').hidden")
            asked.clear()
            sight.page.fill("#token", TOKEN)
            sight.page.focus("#token")
            for _ in range(5):
                sight.page.keyboard.down("Enter")
            sight.until(SHOWN)
            time.sleep(1.0)

            assert [url for url in asked if url.endswith("/live")] == [f"{watched.admin}/live"]


def test_the_page_says_that_no_token_is_configured(chromium: Browser, tmp_path: Path) -> None:
    """On another host than loopback no token can be right: the page says what is to be done."""
    with simulator(tmp_path) as upstream:
        watched = Gateway(tmp_path, address(upstream), GATEWAY_ADMIN__HOST="0.0.0.0")
        with watched.process, looking(chromium, watched.admin) as sight:
            sight.until_says("door-fault", "no `admin.token` is configured")


def test_orders_are_named(chromium: Browser, tmp_path: Path) -> None:
    """By what an operator ordered, in the lists and where a training is explained; a frozen
    gateway is said to be so, though what it does not hold fails."""
    with simulator(tmp_path) as upstream:
        watched = Gateway(tmp_path, address(upstream))
        with watched.process, looking(chromium, watched.admin) as sight:
            get(f"{watched.data}/training/trn_000001")
            order(watched, "invalidate", ids=["trn_000001"])
            sight.until_says("invalidations", "invalidate by an operator's order")
            order(watched, "mode", mode="frozen")
            sight.until_says("happened", "mode frozen by an operator's order")
            failed = get(f"{watched.data}/training/trn_000002").status_code
            sight.until_says("says", "failed in the last minute")
            sight.page.evaluate("() => { location.hash = 'trn_000001'; }")
            sight.until_says("explained", "invalidate by an operator's order")

            assert failed == 503
            assert sight.text("says").startswith("The mode is frozen")
            assert sight.page.get_attribute("#verdict", "data-level") == "watch"
            assert "–" not in sight.text("happened"), "a field with nothing in it"


def order(gateway: Gateway, what: str, **words: object) -> None:
    """Have it done."""
    answer = httpx.post(f"{gateway.admin}/{what}", json=words, trust_env=False, timeout=30)
    assert answer.status_code == 200
