"""What the tokens file changes while the gateway runs, and what a faulty one does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.adapters.telemetry.observer import Telemetry
from gateway.app.access import operator_access_of, tokens_watch
from gateway.core.access.caller import digest_of
from gateway.settings import Settings, load
from tests.doubles.clock import FakeClock
from tests.unit.adapters.telemetry.stand_ins import ListLog, samples


def text(*tokens: str, may: str = "invalidate") -> str:
    """A tokens file: one row for each."""
    return "".join(
        f'[[tokens]]\nname = "{token}-row"\nsha256 = "{digest_of(token)}"\nmay = ["{may}"]\n'
        for token in tokens
    )


class House:
    """The operators with their watch, on a file in the test's hands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text(text("one"))
        self.settings: Settings = load(None, {"GATEWAY_ADMIN__TOKENS_FILE": str(path)})
        self.log = ListLog()
        self.telemetry = Telemetry(FakeClock(), self.log)
        self.access = operator_access_of(self.settings)
        watch = tokens_watch(self.access, FakeClock(), self.telemetry)
        assert watch is not None
        self.watch = watch
        self.look(text("one"), times=2)

    def look(self, written: str, times: int = 1) -> None:
        """Write the file, and let the watch see it so often."""
        self.path.write_text(written)
        for _ in range(times):
            self.watch.judge(self.watch.file.look())

    def lets_in(self, token: str) -> bool:
        """Whether the token is an operator's."""
        return self.access.operators.with_token(token) is not None


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Started with the token `one`."""
    return House(tmp_path / "tokens.toml")


def test_a_change_holds_once_it_has_stood(house: House) -> None:
    """Seen once, it may be half written; what is gone from the file is refused at once."""
    assert house.log.events == []
    house.look(text("two"))
    assert (house.lets_in("one"), house.lets_in("two")) == (True, False)

    house.look(text("two"))

    assert (house.lets_in("one"), house.lets_in("two")) == (False, True)
    assert house.log.events == ["tokens.reloaded"]
    assert samples(house.telemetry)['gateway_orders_total{operator="two-row",order="purge"}'] == 0


def test_a_right_taken_away_is_a_change(house: House) -> None:
    """Under the same name and digest."""
    house.look(text("one", may="read"), times=2)

    operator = house.access.operators.with_token("one")
    assert operator is not None
    assert set(operator.may) == {"read"}


def test_without_a_file_there_is_nothing_to_watch() -> None:
    """`admin.token` alone, or nothing: the series are there under the name of each."""
    for given, name in (({}, "loopback"), ({"GATEWAY_ADMIN__TOKEN": "t"}, "admin.token")):
        settings = load(None, given)
        telemetry = Telemetry(FakeClock(), ListLog())
        access = operator_access_of(settings)

        assert tokens_watch(access, FakeClock(), telemetry) is None
        found = samples(telemetry)
        assert found[f'gateway_orders_total{{operator="{name}",order="mode"}}'] == 0
