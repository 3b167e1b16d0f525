"""The corners of HEAD and 304."""

from __future__ import annotations

from tests.torture.check import Check, Finding
from tests.torture.stand import Setting, Stand

ONE, TWO = "trn_000001", "trn_000002"


async def _heads(stand: Stand) -> list[Finding]:
    head = await stand.get(ONE, method="HEAD")
    whole = await stand.get(ONE)
    again = await stand.get(ONE, method="HEAD")
    calls = await stand.calls(ONE)
    same = again.fields.get("content-length") == str(len(whole.body))
    return [
        Finding(
            "HEAD first: the GET after it has its body",
            head.status == 200 and not head.body and whole.training.get("id") == ONE,
            f"{len(whole.body)} bytes",
        ),
        Finding("  both together cost one call", calls == 1, f"{calls} calls"),
        Finding(
            "  HEAD says the length that GET has",
            same,
            f"{again.fields.get('content-length', 'none')}",
        ),
    ]


async def _conditions(stand: Stand) -> list[Finding]:
    await stand.upstream.answers(etag="strong")
    first = await stand.get(TWO)
    tag = first.fields.get("etag", "")
    asked = {
        "the tag": tag,
        "weak": f"W/{tag}",
        "in a list": f'"other", {tag}',
        "any": "*",
    }
    got = {what: await stand.get(TWO, If_None_Match=value) for what, value in asked.items()}
    right = [
        what
        for what, answer in got.items()
        if answer.status == 304 and not answer.body and answer.fields.get("etag") == tag
    ]
    other = await stand.get(TWO, If_None_Match='"other"')
    return [
        Finding(
            "If-None-Match (the tag, weak, in a list, *): 304 with the tag",
            len(right) == len(asked),
            ", ".join(right) or "none",
        ),
        Finding(
            "  another tag: the whole answer", other.training.get("id") == TWO, f"{other.status}"
        ),
    ]


CHECKS = (
    Check(
        "HEAD",
        "the empty body of a HEAD is stored for the GET, or HEAD is stored apart and paid twice",
        (
            "curl -sI -H 'Authorization: Bearer alice-token' $URL/training/trn_000001",
            "curl -si -H 'Authorization: Bearer alice-token' $URL/training/trn_000001; echo",
            "curl -sI -H 'Authorization: Bearer alice-token' $URL/training/trn_000001; asked",
        ),
        Setting(),
        _heads,
    ),
    Check(
        "304",
        "validators are compared as texts",
        (
            'order answers \'{"etag": "strong"}\'',
            "tag=$(tag trn_000002)",
            'for each in "$tag" "W/$tag" "\\"other\\", $tag" "*" "\\"other\\""; '
            'do given "$each" trn_000002; done',
        ),
        Setting(),
        _conditions,
    ),
)
