"""The words: as the contract has them, hyphenated, each once."""

from __future__ import annotations

import inspect
import re
from enum import StrEnum

import pytest

from gateway.core import vocabulary
from gateway.core.vocabulary import Cause, Detail, Forward, Outcome, Part, Problem, Purpose, Tier

SETS = [
    kind
    for _, kind in inspect.getmembers(vocabulary, inspect.isclass)
    if issubclass(kind, StrEnum) and kind is not StrEnum
]
each_set = pytest.mark.parametrize("words", SETS, ids=lambda kind: str(kind.__name__))

# As contract.md lists them, in its order where it gives one.
CONTRACT: list[tuple[type[StrEnum], str]] = [
    (
        Outcome,
        "fresh stale-refreshing stale-error stale-shielded negative filled revalidated "
        "collapsed bypassed rejected failed",
    ),
    (Tier, "l1 l2 upstream none"),
    (Purpose, "miss revalidation refresh min-version sweep warm verify write probe retry"),
    (
        Detail,
        "l1 l2 negative stale-refreshing stale-error stale-shielded unchanged changed "
        "throttled frozen batch list catalogue",
    ),
    (Cause, "updated_at event write not_found purge"),
    (
        Problem,
        "bad-id bad-request credential-missing credential-unknown not-permitted no-such-route "
        "method-not-allowed version-not-reached head-too-slow too-large head-too-large "
        "client-rate-limited upstream-invalid "
        "upstream-error upstream-unreachable upstream-refused budget-exhausted "
        "upstream-rate-limited upstream-unavailable frozen shutting-down "
        "too-many-connections redis-unavailable "
        "upstream-timeout only-if-cached internal",
    ),
]


@pytest.mark.parametrize(
    ("words", "listed"), CONTRACT, ids=lambda each: getattr(each, "__name__", "")
)
def test_the_contracts_words(words: type[StrEnum], listed: str) -> None:
    """Dashboards, alerts and callers rely on them: nothing is missing, nothing is added."""
    assert [str(word) for word in words] == listed.split()


@each_set
def test_words_are_lower_case_with_hyphens(words: type[StrEnum]) -> None:
    """The same in header, label and log; only the contract's causes have underscores."""
    between = "_" if words is Cause else "-"

    for word in words:
        assert re.fullmatch(f"[a-z][a-z0-9]*({between}[a-z0-9]+)*", word)
        assert word == word.name.lower().replace("_", between)


@each_set
def test_no_word_occurs_twice(words: type[StrEnum]) -> None:
    """A second name for a value would be an alias, and silently count as the first."""
    assert list(words.__members__) == [word.name for word in words]


def test_forwards_are_rfc_9211s() -> None:
    """Section 2.2 registers what `fwd` may say."""
    registered = {
        "bypass",
        "method",
        "uri-miss",
        "vary-miss",
        "miss",
        "request",
        "stale",
        "partial",
    }

    assert set(Forward) <= registered


def test_a_part_is_a_word_of_a_log_field() -> None:
    """`lookup_ms` and its like: no hyphen, no capital."""
    assert all(part.isidentifier() and part == part.lower() for part in Part)
