"""What is asked, and what is answered."""

from __future__ import annotations

from gateway.core.cache.entry import Key
from gateway.core.http.cache_status import Handling
from gateway.core.vocabulary import Detail, Outcome, Tier
from gateway.flow.answer import FRESH, HIT, L1, Answer, Ask, new_answer
from tests.doubles.stored import entry_of, held_of
from tests.unit.flow.house import CALLER


def test_the_short_way_to_a_hit_makes_the_same() -> None:
    """In fewer steps than the constructor."""
    held = held_of(entry_of())

    answer = new_answer(Answer, (held, FRESH, L1, HIT))

    assert answer == Answer(held, Outcome.FRESH, Tier.L1, Handling(Detail.L1))
    assert isinstance(answer, Answer)


def test_what_is_sent_on_is_not_shown() -> None:
    """It may be a credential of another kind."""
    assert "secret" not in repr(Ask(Key("p", "t"), CALLER, extra=((b"x-key", b"secret"),)))
