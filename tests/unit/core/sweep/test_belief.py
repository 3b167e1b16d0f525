"""How far the list is believed, look by look."""

from __future__ import annotations

import pytest

from gateway.core.sweep.belief import LOOKS, Belief, ListState, Look, SweepStore

AUTO, ALWAYS, NEVER = SweepStore.AUTO, SweepStore.ALWAYS, SweepStore.NEVER
SAME, OTHER, BEHIND = Look.SAME, Look.OTHER, Look.BEHIND


def after(*looks: Look, start: Belief | None = None) -> Belief:
    """The belief after these looks, each at another training."""
    belief = start or Belief()
    for number, look in enumerate(looks):
        belief = belief.after(look, f"t{number}")
    return belief


def test_five_looks_prove_the_list() -> None:
    """Four do not."""
    assert after(*[SAME] * 4).state(AUTO) is ListState.UNPROVEN
    assert after(*[SAME] * 4).missing(AUTO) == 1

    proven = after(*[SAME] * LOOKS)

    assert (proven.state(AUTO), proven.missing(AUTO)) == (ListState.EQUAL, 0)
    assert proven.may_store(AUTO)


@pytest.mark.parametrize("before", [0, 1, LOOKS])
def test_two_looks_with_other_bytes_show_a_different_list(before: int) -> None:
    """One alone stops the storing until more looks have decided: an edit may leave the version."""
    doubted = after(*[SAME] * before, OTHER)
    assert not doubted.may_store(AUTO)
    assert doubted.missing(AUTO) == LOOKS

    different = after(OTHER, start=doubted)

    assert (different.state(AUTO), different.missing(AUTO)) == (ListState.DIFFERENT, 0)
    assert after(*[SAME] * LOOKS, start=different).may_store(AUTO)


def test_a_list_that_was_behind_is_believed_after_two_looks_in_a_row() -> None:
    """It confirms nothing before, and stores nothing before five looks have agreed anew."""
    behind = after(*[SAME] * LOOKS, BEHIND)
    assert (behind.is_behind, behind.about) == (True, f"t{LOOKS}")
    assert behind.state(ALWAYS) is ListState.BEHIND

    once = behind.after(SAME, behind.about)
    again = once.after(BEHIND, "t9")
    twice = once.after(SAME, "t1")

    assert once.is_behind
    assert once.about == ""
    assert again.behind == 2
    assert not twice.is_behind
    assert twice.missing(AUTO) == LOOKS - 2


def test_other_bytes_are_no_sign_that_a_list_is_behind() -> None:
    """A list that writes trainings in another way catches up too."""
    assert not after(BEHIND, OTHER, OTHER).is_behind


def test_settings_decide_for_themselves() -> None:
    """`always` stores without looks, `never` stores nothing; neither makes the first looks."""
    for store, stores in ((ALWAYS, True), (NEVER, False)):
        assert after(OTHER, OTHER).may_store(store) is stores
        assert after().missing(store) == 0
    assert not after(*[SAME] * LOOKS).may_store(NEVER)
    assert not after(BEHIND).may_store(ALWAYS)


def test_after_a_purge_looks_begin_anew() -> None:
    """Whatever had agreed before it."""
    assert after(*[SAME] * LOOKS).purged().missing(AUTO) == LOOKS
