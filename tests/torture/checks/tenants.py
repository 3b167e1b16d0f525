"""Who may see what: stored, collapsed, revalidated, revoked, rotated."""

from __future__ import annotations

import asyncio

from tests.torture.caller import Answer
from tests.torture.check import Check, Finding
from tests.torture.stand import ALICE, BOB, STRANGER, Setting, Stand

ONE = "trn_000001"
CALL = 0.5
NEW_TOKEN = "alices-new-token"


def _is_of(organisation: str, answer: Answer) -> bool:
    return f"[{organisation}/" in str(answer.training.get("content", ""))


async def _stored(stand: Stand) -> list[Finding]:
    await stand.get(ONE, ALICE)
    bob, stranger, nobody = [await stand.get(ONE, token) for token in (BOB, STRANGER, None)]
    return [
        Finding("Bob gets his own, not what Alice stored", _is_of("bob", bob), f"{bob.status}"),
        Finding(
            "a caller without a key, or with a wrong one, gets 401",
            (stranger.status, nobody.status) == (401, 401),
            f"{stranger.status}, {nobody.status}",
        ),
    ]


async def _collapsed(stand: Stand) -> list[Finding]:
    await stand.upstream.latency(CALL)
    alice = asyncio.create_task(stand.get(ONE, ALICE))
    await asyncio.sleep(CALL / 4)
    bob, *strangers = await asyncio.gather(
        stand.get(ONE, BOB), *(stand.get(ONE, STRANGER) for _ in range(5))
    )
    calls = (await stand.upstream.stats()).by_status.get("401", 0)
    led = _is_of("alice", await alice)
    refused = all(answer.status == 401 for answer in strangers)
    return [
        Finding(
            "a caller that comes while Alice's call is in flight gets her answer only with her key",
            led and _is_of("bob", bob) and refused,
            f"{bob.status}, {strangers[0].status}",
        ),
        Finding("five strangers with one wrong key cost one call", calls == 1, f"{calls} calls"),
    ]


async def _revalidated(stand: Stand) -> list[Finding]:
    await stand.upstream.answers(etag="strong")
    for token in (ALICE, BOB):
        await stand.get(ONE, token)
    await asyncio.sleep(stand.setting.lifetime + 0.5)
    answers = []
    for _ in range(3):
        answers += [(await stand.get(ONE, ALICE), "alice"), (await stand.get(ONE, BOB), "bob")]
        await asyncio.sleep(0.3)
    right = sum(_is_of(organisation, answer) for answer, organisation in answers)
    return [Finding("revalidated, each has its own still", right == 6, f"{right} of 6")]


async def _revoked(stand: Stand) -> list[Finding]:
    await stand.get(ONE, ALICE)
    await stand.upstream.revoke_key(ALICE)
    given = []
    for _ in range(30):
        given.append((await stand.get(ONE, ALICE)).status == 200)
        await asyncio.sleep(0.2)
    return [
        Finding(
            "a revoked key stops being answered: none in the last 3 of 6 s (lifetime 2 s)",
            not any(given[15:]),
            f"{sum(given)} of 30 answered",
        )
    ]


async def _rotated(stand: Stand) -> list[Finding]:
    await stand.get(ONE, ALICE)
    await stand.upstream.add_key(NEW_TOKEN, org="alice")
    new = await stand.get(ONE, NEW_TOKEN)
    await stand.upstream.revoke_key(ALICE)
    stranger = await stand.get(ONE, STRANGER)
    return [
        Finding(
            "after a rotation the new key gets the organisation's own, a stranger nothing",
            _is_of("alice", new) and stranger.status == 401,
            f"{new.status}, {stranger.status}",
        )
    ]


CHECKS = (
    Check(
        "tenants: stored",
        "the key of the cache lacks the credential, so that one tenant reads another's",
        (
            "for token in alice-token bob-token nobodys-token; do see $token trn_000001; done",
            "curl -si $URL/training/trn_000001 | head -1",
        ),
        Setting(),
        _stored,
    ),
    Check(
        "tenants: collapsed",
        "callers who wait for one call are not told apart as those are who read what is stored",
        (
            "order latency '{\"latency\": 2}'",
            "(see alice-token trn_000001 & sleep 0.5; see bob-token trn_000001 & "
            "crowd nobodys-token $(times 5 trn_000001); wait)",
            "asked  # the strangers' calls are the 401s",
        ),
        Setting(),
        _collapsed,
    ),
    Check(
        "tenants: revalidated",
        "a 304 renews what another tenant stored",
        (
            'order answers \'{"etag": "strong"}\'',
            "see alice-token trn_000001; see bob-token trn_000001; sleep 2",
            "for i in 1 2 3; do see alice-token trn_000001; see bob-token trn_000001; "
            "sleep 0.3; done; asked",
        ),
        Setting(lifetime=1),
        _revalidated,
    ),
    Check(
        "tenants: revoked",
        "a refusal by the API counts as an error, and the stale answer is given instead, for ever",
        (
            "see alice-token trn_000001",
            'order keys \'{"token": "alice-token", "revoked": true}\'',
            "for i in $(seq 12); do see alice-token trn_000001; sleep 0.5; done",
        ),
        Setting(lifetime=2),
        _revoked,
    ),
    Check(
        "tenants: rotated",
        "what a former key stored is given to whoever asks next",
        (
            "see alice-token trn_000001",
            'order keys \'{"token": "alices-new-token", "org": "alice"}\'',
            "see alices-new-token trn_000001",
            'order keys \'{"token": "alice-token", "revoked": true}\'',
            "see nobodys-token trn_000001",
        ),
        Setting(),
        _rotated,
    ),
)
