"""The JSON bodies of operators' orders, and the receipts that operators get.

An order that is understood only in part could do more than the operator meant. So a body with an
unknown member, a wrong type, or the same member twice is refused. `null` is refused too: a script
that found no value perhaps writes `null`, and that must not purge everything.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from gateway.core.cache.entry import VERSION_TOLERANCE
from gateway.core.errors import BadRequest
from gateway.core.instant import Instant, from_seconds, parse_instant, to_rfc3339
from gateway.core.upstream.training import is_training_id
from gateway.core.vocabulary import Mode
from gateway.core.withdrawn_names import WITHDRAWN
from gateway.ports import Confirmations
from gateway.web.request import ID_GRAMMAR, is_partition

MAX_IDS: Final = 1_000
# In bytes: enough for as many ids, each as long as allowed.
LARGEST_ORDER: Final = 256 * 1024

_LONGEST_SHOWN: Final = 200
_NOTHING_THERE: Final = (
    "nothing is stored in this partition; GET /explain/{id} names the partitions of a training"
)


@dataclass(frozen=True, slots=True)
class InvalidateOrder:
    """Invalidate versions below `updated_at` (None: all) of these trainings, in every partition.
    `soft` leaves these versions for rescue."""

    training_ids: tuple[str, ...]
    updated_at: Instant | None
    soft: bool = False


@dataclass(frozen=True, slots=True)
class PurgeOrder:
    """Invalidate the entries of one partition (None: of all). `soft` is as for InvalidateOrder."""

    partition: str | None
    soft: bool


class Replicas(msgspec.Struct, frozen=True):
    """How many replicas are known, and how many have confirmed the order."""

    known: int
    confirmed: int


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """The response to an order.

    bounded_by  the setting that limits how long older responses can still be served. Present with
                `until`
    until       present if a replica has not confirmed, or is perhaps not known. After this
                date-time, that replica serves nothing that the order ruled out
    detail      how many replicas have confirmed (if some have not, or are perhaps not known), or
                that nothing is stored in the partition that was purged
    """

    replicas: Replicas
    bounded_by: str | None = None
    until: str | None = None
    detail: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether all replicas have confirmed the order."""
        return self.replicas.confirmed >= self.replicas.known and self.until is None


class Invalidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `/invalidate`."""

    ids: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=MAX_IDS)]
    updated_at: str | UnsetType = UNSET
    soft: bool = False


class Purge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `/purge`."""

    partition: str | UnsetType = UNSET
    soft: bool = False


class SetMode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `/mode`, and the answer to it."""

    mode: Mode


class _WithdrawnMode(msgspec.Struct, frozen=True):
    mode: Literal["bypass"]


ORDERS: Final = {"/invalidate": Invalidate, "/purge": Purge, "/mode": SetMode}
_Given = TypeVar("_Given", Invalidate, Purge, SetMode)


def invalidate_order(body: bytes, now: float) -> InvalidateOrder:
    """Read the body of `/invalidate`. Raises BadRequest."""
    given = _read(body, Invalidate, '{"ids": ["…"], "updated_at": "…"?, "soft": false}')
    for each in given.ids:
        if not is_training_id(each):
            raise BadRequest(f"ids: {each[:_LONGEST_SHOWN]!a}: {ID_GRAMMAR}")
    ids, bound = tuple(dict.fromkeys(given.ids)), _bound(given.updated_at, now)
    return InvalidateOrder(ids, bound, given.soft)


def purge_order(body: bytes) -> PurgeOrder:
    """Read the body of `/purge`. Raises BadRequest."""
    given = _read(body, Purge, '{"partition": "…"?, "soft": false}, or {} to purge everything')
    if given.partition is UNSET:
        return PurgeOrder(None, given.soft)
    if not is_partition(given.partition):
        raise BadRequest("partition: a partition's name has 32 digits from 0-9 a-f")
    return PurgeOrder(given.partition, given.soft)


def mode_order(body: bytes) -> Mode:
    """Read the body of `/mode`. Raises BadRequest."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        msgspec.json.decode(body, type=_WithdrawnMode)
        raise BadRequest(f"the mode bypass {WITHDRAWN['mode bypass']}")
    return _read(body, SetMode, '{"mode": "normal|frozen"}').mode


def receipt_of(confirmations: Confirmations) -> Receipt:
    """The receipt, with the consequences if a replica did not confirm."""
    until = confirmations.until
    receipt = Receipt(
        Replicas(confirmations.known, confirmations.confirmed),
        until=None if until is None else to_rfc3339(from_seconds(math.ceil(until))),
    )
    if receipt.is_complete:
        detail = _NOTHING_THERE if confirmations.is_empty else None
        return msgspec.structs.replace(receipt, detail=detail)
    # An L1 that has not applied the order asks Redis again after `l1.lifetime`.
    return msgspec.structs.replace(receipt, bounded_by="l1.lifetime", detail=_lacking(receipt))


def _lacking(receipt: Receipt) -> str:
    replicas = receipt.replicas
    if replicas.confirmed == replicas.known:
        return (
            f"all {replicas.known} replicas that are known confirmed; Redis has known them for a "
            "short time only, so one that cannot reach Redis may still give older answers until "
            f"{receipt.until}"
        )
    return (
        f"{replicas.confirmed} of {replicas.known} replicas confirmed in time; the others may "
        "still give older answers: for l1.lifetime at most if they reach Redis, and until "
        f"{receipt.until} if they do not"
    )


def _read(body: bytes, kind: type[_Given], form: str) -> _Given:
    try:
        order = msgspec.json.decode(body, type=kind)
        json.loads(body, object_pairs_hook=_refuse_repeated)
    except ValueError as error:
        raise BadRequest(f"the body has to be {form}: {str(error)[:_LONGEST_SHOWN]}") from error
    return order


def _refuse_repeated(members: list[tuple[str, object]]) -> None:
    """Raises ValueError if a name occurs twice: msgspec would take the last value."""
    names = [name for name, _ in members]
    if len(set(names)) < len(names):
        raise ValueError("a member is given twice")


def _bound(text: str | UnsetType, now: float) -> Instant | None:
    if text is UNSET:
        return None
    try:
        bound = parse_instant(text)
    except ValueError as error:
        raise BadRequest(f"updated_at: {text[:_LONGEST_SHOWN]!a}: {error}") from error
    if bound > from_seconds(now + VERSION_TOLERANCE):
        raise BadRequest("updated_at is more than five minutes ahead of the gateway's clock")
    return bound
