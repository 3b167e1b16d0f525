"""The findings as a table that a person reads: a row a question, a column a target."""

from __future__ import annotations

from collections.abc import Sequence

from tests.torture.running import Verdict

_WORDS = {True: "yes", False: "**no**", None: ""}


def table(verdicts: Sequence[Verdict]) -> str:
    """Markdown; checks and targets in the order in which they come."""
    targets = list(dict.fromkeys(verdict.target.name for verdict in verdicts))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for verdict in verdicts:
        for finding in verdict.findings:
            row = rows.setdefault((verdict.check.name, finding.question), {})
            said = f"{_WORDS[finding.holds]} ({finding.figure})"
            row[verdict.target.name] = said if finding.holds is not None else finding.figure
    lines = [_line("case", *targets), _line("---", *("---" for _ in targets))]
    lines += [
        _line(question, *(row.get(name, "") for name in targets))
        for (_, question), row in rows.items()
    ]
    return "\n".join(lines) + "\n"


def failures(verdicts: Sequence[Verdict]) -> str:
    """Each check that a target fails: why it matters, and how to see it by hand."""
    parts = []
    for verdict in verdicts:
        failed = [each for each in verdict.findings if each.holds is False]
        if failed:
            parts.append(
                "\n".join(
                    [
                        f"{verdict.target.name}, {verdict.check.name}: {verdict.check.why}",
                        *(f"  {each.question}: {each.figure}" for each in failed),
                        "  by hand, once this prints its words and waits:",
                        f"    {_held(verdict)}",
                        *(f"    {command}" for command in verdict.check.by_hand),
                    ]
                )
            )
    return "\n\n".join(parts)


def _held(verdict: Verdict) -> str:
    chosen = f"--target '{verdict.target.name}' --check '{verdict.check.name}' --hold"
    return f'make torture ARGS="{chosen}"'


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
