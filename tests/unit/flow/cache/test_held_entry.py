"""How an entry is held: its head, and the compressed form that is made once."""

from __future__ import annotations

from gateway.adapters.memory import MemoryStore
from gateway.core.cache.entry import Key
from gateway.core.cache.policy import ByPolicy, Windows
from gateway.flow.cache.held_entry import Holding
from tests.doubles.stored import entry_of

KEY = Key("p1", "trn_1")


def holding(local: MemoryStore) -> Holding:
    """One that makes heads by our own rules."""
    return Holding(local, ByPolicy(Windows(), vary=True))


def test_the_compressed_form_is_made_once_and_counted() -> None:
    """Beside the entry, which takes more from then on."""
    local = MemoryStore(1_000_000, lambda: None)
    made = holding(local)
    held = made.render(entry_of(body=b'{"a":"' + b"again " * 500 + b'"}'), 1.0)
    local.put(KEY, held)
    before = local.size

    coded = made.coded(KEY, held)

    assert coded is held.coded
    assert coded is made.coded(KEY, held)
    assert b"content-encoding: gzip\r\n" in coded.head
    assert local.size > before


def test_what_gains_nothing_is_left_as_it_is() -> None:
    """And not tried again."""
    made = holding(MemoryStore(1_000_000, lambda: None))
    held = made.render(entry_of(body=bytes(range(256)) * 8), 1.0)

    assert made.coded(KEY, held) in (held, held.coded)
    assert held.checked_at == 1.0
    assert b"vary: Authorization\r\n" in held.head
