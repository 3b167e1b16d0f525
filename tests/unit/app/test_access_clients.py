"""What the clients file changes while the gateway runs, and what a faulty one does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.adapters.telemetry.observer import Telemetry
from gateway.app.access import Admission, admission_of, clients_watch
from gateway.core.access.caller import digest_of
from gateway.core.budget.window_log import Rate
from gateway.core.errors import AccessRefused
from gateway.settings import Settings, SettingsFault, load
from tests.doubles.clock import FakeClock
from tests.unit.adapters.telemetry.stand_ins import ListLog, samples

USUAL = Rate(100, 60.0)


def text(*keys: str, rate: str = "7/second", token: str = "T") -> str:
    """A clients file: one tenant, a client for each key."""
    clients = (
        f'[[clients]]\nname = "{key}-client"\nkey_sha256 = "{digest_of(key)}"\ntenant = "acme"\n'
        for key in keys
    )
    tenant = f'[[tenants]]\nname = "acme"\nupstream_token = "{token}"\nrate_limit = "{rate}"\n'
    return tenant + "".join(clients)


class House:
    """An admission with its watch, on a file in the test's hands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text(text("one"))
        self.settings: Settings = load(
            None,
            {"GATEWAY_ACCESS__MODE": "clients", "GATEWAY_ACCESS__CLIENTS_FILE": str(path)},
        )
        self.log = ListLog()
        clock = FakeClock()
        self.telemetry = Telemetry(clock, self.log)
        self.admission: Admission = admission_of(self.settings)
        watch = clients_watch(self.settings, self.admission, clock, self.telemetry)
        assert watch is not None
        self.watch = watch
        self.look(text("one"), times=2)

    def look(self, written: str, times: int = 1) -> None:
        """Write the file, and let the watch see it so often."""
        self.path.write_text(written)
        for _ in range(times):
            self.watch.judge(self.watch.file.look())

    def lets_in(self, key: str) -> bool:
        """Whether a caller with this key is let in."""
        try:
            self.admission.callers.admit([f"Bearer {key}".encode()])
        except AccessRefused:
            return False
        return True


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Started with the key `one`."""
    return House(tmp_path / "clients.toml")


def test_a_change_holds_once_it_has_stood(house: House) -> None:
    """Seen once, it may be half written."""
    house.look(text("one", "two"))
    assert not house.lets_in("two")

    house.look(text("one", "two"))

    assert house.lets_in("one")
    assert house.lets_in("two")
    assert house.log.events == ["clients.reloaded"]
    assert house.telemetry.counters.clients["two-client", "limited"] == 0


def test_a_faulty_version_changes_nothing_but_says_so(house: House) -> None:
    """Once, with all faults; the gauge tells as long as it lasts."""
    house.look(text("two") + "x = 1\ny = 2\n", times=5)

    assert house.lets_in("one")
    assert not house.lets_in("two")
    assert house.watch.is_content_used is False
    ((_, event, fields),) = house.log.lines
    assert (event, fields["count"]) == ("clients.refused", 2)


async def test_a_change_is_used_once_a_thread_can_be_started_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that may have no more threads for a moment does not stop to look at the file."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def until(condition: Callable[[], bool]) -> None:
        while not condition():
            assert not watching.done() or watching.result()
            await asyncio.sleep(0.01)

    house.path.write_text(text("two"))
    with monkeypatch.context() as moment:
        moment.setattr(threading.Thread, "start", start)
        watching = asyncio.create_task(house.watch.run())
        await until(lambda: house.log.events == ["clients.refused"])
    assert house.lets_in("one")

    await until(lambda: not house.lets_in("one"))
    watching.cancel()

    assert house.lets_in("two")
    assert house.log.events == ["clients.refused", "clients.reloaded"]


def test_the_former_version_mends_it(house: House) -> None:
    """Also one that is exactly what holds."""
    house.look("", times=2)
    house.look(text("one"), times=2)

    assert house.watch.is_content_used is True
    assert house.lets_in("one")
    assert house.log.events == ["clients.refused", "clients.reloaded"]


def test_budget_and_token_change_too(house: House) -> None:
    """For the next call; the partition stays."""
    before = house.admission.callers.admit([b"Bearer one"]).caller

    house.look(text("one", rate="9/second", token="T-NEW"), times=2)

    after = house.admission.callers.admit([b"Bearer one"]).caller
    assert (after.token, after.partition) == ("T-NEW", before.partition)
    assert house.admission.rates.of("acme") == Rate(9, 1.0)
    assert house.admission.tenants == ("acme",)


def test_the_series_of_clients_are_there_at_the_start(house: House) -> None:
    """As those of all other metrics."""
    found = samples(house.telemetry)

    assert found['gateway_client_requests_total{client="one-client",result="served"}'] == 0


def test_another_mode_has_one_tenant_and_no_file() -> None:
    """So there is nothing to watch and no gauge."""
    admission = admission_of(load(None, {}))

    assert (admission.tenants, admission.file) == (("default",), None)


def test_a_file_that_went_bad_since_is_a_settings_fault(house: House) -> None:
    """Between the judgement of the settings and the start."""
    house.path.write_text("")

    with pytest.raises(SettingsFault):
        admission_of(house.settings)
