"""The suite's results as verdicts, by its own rules: a test counts only where those that it
depends on have passed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Results = Mapping[str, bool | list[str]]


@dataclass(frozen=True, slots=True)
class Trial:
    """One test of the suite; `kind` is `required`, `optimal` or `check` (a mere question)."""

    name: str
    kind: str
    depends_on: tuple[str, ...]


def trials(suite: Iterable[Mapping[str, object]]) -> dict[str, Trial]:
    """Those of the suite's that are meant for a cache between client and server."""
    found: dict[str, Trial] = {}
    for part in suite:
        tests = part["tests"]
        assert isinstance(tests, list)
        for test in tests:
            if not test.get("browser_only"):
                name, kind = test["id"], test.get("kind", "required")
                found[name] = Trial(name, kind, tuple(test.get("depends_on", ())))
    return found


def has_passed(name: str, known: Mapping[str, Trial], results: Results) -> bool:
    """Whether it passed, and all that it depends on."""
    return results.get(name) is True and all(
        has_passed(other, known, results) for other in known[name].depends_on
    )


def why_not(name: str, known: Mapping[str, Trial], results: Results) -> str:
    """What went wrong in a test that has not passed, in the suite's words."""
    result = results.get(name)
    if result is True:
        missing = [d for d in known[name].depends_on if not has_passed(d, known, results)]
        return f"depends on {', '.join(missing)}"
    return "not run" if not isinstance(result, list) else ": ".join(map(str, result))


def score(known: Mapping[str, Trial], results: Results) -> dict[str, tuple[int, int]]:
    """By kind how many have passed, and of how many."""
    of = Counter(trial.kind for trial in known.values())
    passed = Counter(
        trial.kind for trial in known.values() if has_passed(trial.name, known, results)
    )
    return {kind: (passed[kind], of[kind]) for kind in of}
