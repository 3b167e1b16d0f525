"""`GET /training?ids=a,b,c`: up to a hundred trainings in one response.

Each id is answered as a request for it alone would be. What L1 has is answered at once. All other
ids are looked up and fetched side by side, and one deadline holds for all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from math import inf
from operator import attrgetter
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from gateway.core.cache.entry_headers import matches, to_lines
from gateway.core.errors import BadRequest, GatewayError, TooLarge, UpstreamTimeout
from gateway.core.http.cache_status import HITS, Handling, cache_status
from gateway.core.http.fields import Reply
from gateway.core.instant import from_seconds, to_http_date
from gateway.core.upstream.training import digest, is_training_id
from gateway.core.vocabulary import Detail, FailureReason, Outcome, Tier
from gateway.flow.answer import HIT, Answer, Ask
from gateway.ports import Deadline, Held
from gateway.web.data.request_context import outcome_of
from gateway.web.problems import problem_of
from gateway.web.render import Rendered
from gateway.web.request import ID_GRAMMAR, End

_logger = logging.getLogger(__name__)

MOST: Final = 100
# The items of a response have about this many bytes together at most. Trainings beyond it are left
# out.
_MOST_BYTES: Final = 4 * 1024**2
_QUOTED: Final = 40
_NAME: Final = len(b"gateway; ")
_HIT: Final = (
    b'{"id":"%b","status":200,"age":%d,"cache":"hit; detail=l1","updated_at":"%b","training":'
)
OPENS, CLOSES = b'{"items":[', b"]}"
_HIT_END: Final = End(Outcome.FRESH, Tier.L1, Detail.L1)
_BATCH_HIT: Final = HITS[Detail.BATCH]
_NOT_IN_304: Final = frozenset((b"content-type", b"content-length"))


class Item(NamedTuple):
    """What a response says about one id, or about several (`hits_of`).

    wanted    the id, or several with commas
    text      a JSON object
    tag       what the `ETag` of the response depends on, besides the ids
    left      the seconds for which the training stays fresh (not above 0.0: stale, or a problem)
    age       in seconds (None: no stored response)
    handling  how the cache handled it (None: a problem)
    """

    wanted: str
    text: bytes
    tag: str
    end: End
    left: float = 0.0
    age: float | None = None
    handling: Handling | None = None


def ids_of(query: bytes) -> list[str] | None:
    """The ids that the undecoded query asks for, each once. None if it does not ask for ids alone.
    Raises BadRequest."""
    if not query.startswith(b"ids=") or b"&" in query:
        return None
    text = unquote_to_bytes(query.partition(b"=")[2]).decode("latin-1")
    wanted = list(dict.fromkeys(text.split(",")))
    if len(wanted) > MOST:
        raise BadRequest(f"`ids` names {len(wanted)} trainings; {MOST} are allowed at once")
    for each in wanted:
        if not is_training_id(each):
            raise BadRequest(f"`ids` has {each[:_QUOTED]!a}, which is no id: {ID_GRAMMAR}")
    return wanted


async def gathered(
    asks: Sequence[Ask], get: Callable[[Ask], Awaitable[Answer]], patience: float
) -> dict[str, Answer | GatewayError]:
    """By id: what `get` returns or raises for each request. UpstreamTimeout where it takes more
    than `patience` seconds."""
    tasks = [asyncio.ensure_future(get(ask)) for ask in asks]
    try:
        async with Deadline(patience):
            await asyncio.wait(tasks)
    except TimeoutError:
        pass
    finally:
        for task in tasks:
            task.cancel()
    ids = (ask.key.training_id for ask in asks)
    return dict(zip(ids, map(_result_of, tasks), strict=True))


def _result_of(task: asyncio.Future[Answer]) -> Answer | GatewayError:
    if not task.done():
        return UpstreamTimeout("the batch took too long", FailureReason.READ_TIMEOUT, sent=True)
    try:
        return task.result()
    except GatewayError as error:
        return error
    except Exception:
        _logger.exception("an item of a batch failed")
        return GatewayError()


def refuses_caller(answer: Answer) -> bool:
    """Whether the API answered that it does not accept the caller's token. The whole response is
    this answer then."""
    return isinstance(answer.content, Reply) and answer.content.status == 401


def item_of(wanted: str, answer: Held | Answer | GatewayError, now: float, request_id: str) -> Item:
    """The item with this fresh response in L1, this answer or this problem."""
    if isinstance(answer, Held):
        parts, hit = hits_of({wanted: answer}, now)
        return hit._replace(text=b"".join(parts))
    if isinstance(answer, GatewayError):
        return _problem_item(wanted, answer, request_id)
    content, handling = answer.content, answer.handling
    end = End(answer.outcome, answer.tier, handling.detail)
    if isinstance(content, Reply):
        text = _text(wanted, content.status, _told(handling), _content(content.status, content))
        tag = f"{content.status} {digest(content.body)}"
        return Item(wanted, text, tag, end, handling=handling)
    entry = content.entry
    status, age = entry.status, entry.age(now)
    told = b'"age":%d,%b' % (age, _told(handling))
    if entry.updated_at_text:
        told += b',"updated_at":"%b"' % entry.updated_at_text.encode("ascii")
    left = entry.freshness_lifetime - age
    if handling.outdated or handling.not_stored is not None:
        left = min(left, 0.0)
    text = _text(wanted, status, told, _content(status, content))
    tag = entry.digest if status == 200 else f"{status} {entry.digest}"
    return Item(wanted, text, tag, end, left, age, handling)


def hits_of(fresh: Mapping[str, Held], now: float) -> tuple[list[bytes], Item]:
    """The parts of the items with these fresh responses in L1, and an item without text that tells
    of all of them. No body is copied here, because nearly all items are such hits."""
    parts: list[bytes] = []
    tags, left, oldest = [], inf, 0.0
    for wanted, held in fresh.items():
        entry = held.entry
        age = entry.age(now)
        left = stays if (stays := entry.freshness_lifetime - age) < left else left
        oldest = age if age > oldest else oldest
        head = _HIT % (wanted.encode("ascii"), age, entry.updated_at_text.encode("ascii"))
        parts += (head, _json(held.body) if held.is_verbatim else held.body, b"},")
        tags.append(entry.digest)
    parts[-1] = b"}"
    return parts, Item(",".join(fresh), b"", ",".join(tags), _HIT_END, left, oldest, HIT)


def _problem_item(wanted: str, error: GatewayError, request_id: str) -> Item:
    problem = problem_of(error)
    wait = problem.seconds
    told = b"" if wait is None else b'"retry_after":%d' % wait
    text = _text(wanted, problem.status, told, b'"error":' + problem.body(request_id))
    tag = f"{problem.status} {problem.problem}"
    return Item(wanted, text, tag, End(outcome_of(error), Tier.NONE, problem.problem))


def _text(wanted: str, status: int, told: bytes, body: bytes) -> bytes:
    parts = (b'"id":"%b","status":%d' % (wanted.encode("ascii"), status), told, body)
    return b"{%b}" % b",".join(filter(None, parts))


def _told(handling: Handling) -> bytes:
    return b'"cache":"%b"' % cache_status(handling, None)[_NAME:]


def _content(status: int, content: Held | Reply) -> bytes:
    if status != 200:
        return b'"error":' + _json(content.body)
    return b'"training":' + (_json(content.body) if content.is_verbatim else content.body)


def _json(body: bytes) -> bytes:
    """The body. If it is no JSON text: a JSON text that is the body as a string."""
    try:
        msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return msgspec.json.encode(body.decode("utf-8", "replace"))
    return body


def within_bounds(items: Iterable[Item], request_id: str) -> Iterator[Item]:
    """The same items. Beyond _MOST_BYTES, problems take the place of trainings. `items` is read one
    by one, so that no other texts are in memory."""
    size = 0
    for item in items:
        size += len(item.text)
        if size <= _MOST_BYTES or item.handling is None:
            yield item
        else:
            error = TooLarge(
                f"the trainings before this one have {_MOST_BYTES} bytes: ask for less"
            )
            yield _problem_item(item.wanted, error, request_id)


def rendered(
    items: Sequence[Item], if_none_match: bytes | None, request_id: str, now: float
) -> tuple[End, Rendered]:
    """The response, and how the request ended: as its least fresh training, or as its first item
    if there is none. The response is never compressed: that would take several times as long as all
    other work for a batch of hits."""
    texts = b",".join([item.text for item in items])
    body, tag, status = b"%b%b%b" % (OPENS, texts, CLOSES), tag_of(items), 200
    end, fields, age = head_of(items, tag, len(body), request_id, now)
    if if_none_match is not None and matches(if_none_match, b'"%b"' % tag.encode("ascii")):
        status, body = 304, b""
        fields = [field for field in fields if field[0] not in _NOT_IN_304]
    return end, Rendered(status, to_lines(fields), body, age)


def tag_of(items: Sequence[Item]) -> str:
    """The entity tag of this body, without quotes."""
    tags = [item.wanted for item in items] + [item.tag for item in items]
    return sha256(",".join(tags).encode("ascii")).hexdigest()[:32]


def head_of(
    items: Sequence[Item], tag: str, length: int, request_id: str, now: float
) -> tuple[End, list[tuple[bytes, bytes]], float | None]:
    """How the request ended, the fields of a 200, and the age of the oldest item (None: none was
    stored)."""
    answered = [item for item in items if item.handling is not None]
    worst = min(answered, key=attrgetter("left"), default=items[0])
    left = min(item.left for item in items)
    age = max([item.age for item in items if item.age is not None], default=None)
    fields = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % length),
        (b"etag", b'"%b"' % tag.encode("ascii")),
        (b"date", to_http_date(from_seconds(now)).encode("ascii")),
        (b"cache-control", b"private, max-age=%d" % max(0.0, left)),
        (b"vary", b"Authorization"),
        (b"x-request-id", request_id.encode("ascii")),
    ]
    if age is not None:
        fields.append((b"age", b"%d" % age))
    if worst.handling is not None:
        told = _BATCH_HIT
        if worst.handling is not HIT:
            told = replace(worst.handling, detail=Detail.BATCH, not_stored=None)
        ttl = worst.left if worst.handling.forward is None else None
        fields.append((b"cache-status", cache_status(told, ttl)))
    return End(worst.end.outcome, worst.end.tier, Detail.BATCH), fields, age
