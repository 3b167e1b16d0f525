"""The suite's results are counted by its own rules."""

from __future__ import annotations

from tests.conformance.verdicts import has_passed, score, trials, why_not

SUITE = [
    {
        "tests": [
            {"id": "a", "kind": "optimal"},
            {"id": "b", "depends_on": ["a"]},
            {"id": "c", "kind": "check", "depends_on": ["b"]},
            {"id": "d", "browser_only": True},
        ]
    }
]


def test_a_test_counts_where_what_it_depends_on_has_passed() -> None:
    """However far away; those for browsers are none of ours."""
    known = trials(SUITE)
    all_but_a: dict[str, bool | list[str]] = {"a": ["Assertion", "stale"], "b": True, "c": True}

    assert set(known) == {"a", "b", "c"}
    assert not has_passed("c", known, all_but_a)
    assert why_not("a", known, all_but_a) == "Assertion: stale"
    assert why_not("c", known, all_but_a) == "depends on b"
    assert why_not("b", known, {}) == "not run"
    assert score(known, all_but_a) == {"optimal": (0, 1), "required": (0, 1), "check": (0, 1)}
    assert score(known, dict.fromkeys("abc", True)) == {
        "optimal": (1, 1),
        "required": (1, 1),
        "check": (1, 1),
    }
