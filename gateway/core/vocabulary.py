"""The words: closed sets shared by Cache-Status, metric labels, log fields and /explain.

A word means the same wherever it is shown. Nothing here decides anything.
"""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a request to the data plane ended."""

    FRESH = "fresh"
    STALE_REFRESHING = "stale-refreshing"
    STALE_ERROR = "stale-error"
    STALE_SHIELDED = "stale-shielded"
    NEGATIVE = "negative"
    FILLED = "filled"
    REVALIDATED = "revalidated"
    COLLAPSED = "collapsed"
    BYPASSED = "bypassed"
    REJECTED = "rejected"
    FAILED = "failed"


class Tier(StrEnum):
    """Where the answer came from."""

    L1 = "l1"
    L2 = "l2"
    UPSTREAM = "upstream"
    NONE = "none"


class Purpose(StrEnum):
    """Why a call upstream is made."""

    MISS = "miss"
    REVALIDATION = "revalidation"
    REFRESH = "refresh"
    MIN_VERSION = "min-version"
    SWEEP = "sweep"
    WARM = "warm"
    VERIFY = "verify"
    WRITE = "write"
    PROBE = "probe"
    RETRY = "retry"


class Detail(StrEnum):
    """The one word of Cache-Status' `detail`."""

    L1 = "l1"
    L2 = "l2"
    NEGATIVE = "negative"
    STALE_REFRESHING = "stale-refreshing"
    STALE_ERROR = "stale-error"
    STALE_SHIELDED = "stale-shielded"
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    THROTTLED = "throttled"
    FROZEN = "frozen"


class Forward(StrEnum):
    """Why a request went forward (RFC 9211, 2.2)."""

    URI_MISS = "uri-miss"
    STALE = "stale"
    REQUEST = "request"
    BYPASS = "bypass"
    METHOD = "method"


class NotStoredReason(StrEnum):
    """Why an answer of the upstream was not stored."""

    STATUS = "status"
    NO_STORE = "no-store"
    PRIVATE = "private"
    VARY = "vary"
    OLDER_VERSION = "older-version"
    INVALIDATED = "invalidated"
    FUTURE_VERSION = "future-version"
    BYPASS = "bypass"


class StoreVerdict(StrEnum):
    """What a store said to an entry that was offered."""

    FIRST = "first"  # no version was known
    CHANGED = "changed"  # a later version, or another body of the same one
    UNCHANGED = "unchanged"  # the same version and body: renewed
    BELIEVED = "believed"  # refused so far for its version, and told often enough: a change
    OLDER = "older"  # a later version, or a later fetch of it, is known: refused
    AHEAD = "ahead"  # its version is far in the future: refused
    INVALIDATED = "invalidated"  # the generation moved since the fetch began: refused

    @property
    def is_refusal(self) -> bool:
        """Whether the entry was not taken."""
        return self in (StoreVerdict.OLDER, StoreVerdict.AHEAD, StoreVerdict.INVALIDATED)


class InvalidReason(StrEnum):
    """Why a body is no training (a label of gateway_payload_rejected_total)."""

    NOT_UTF8 = "not-utf8"
    NOT_JSON = "not-json"
    NOT_AN_OBJECT = "not-an-object"
    ID_MISSING = "id-missing"
    WRONG_ID = "wrong-id"
    UPDATED_AT_MISSING = "updated-at-missing"
    UPDATED_AT_INVALID = "updated-at-invalid"
    WRONG_TYPE = "wrong-type"
    TRUNCATED = "truncated"
    TOO_LARGE = "too-large"
    CHALLENGE = "challenge"


class DriftKind(StrEnum):
    """How a training differs from its documentation and is served all the same."""

    UNKNOWN_FIELD = "unknown-field"
    MISSING_FIELD = "missing-field"
    UNKNOWN_VALUE = "unknown-value"


class FailureReason(StrEnum):
    """Why a call upstream brought no answer of the API."""

    CONNECT = "connect"
    CONNECT_TIMEOUT = "connect-timeout"
    READ_TIMEOUT = "read-timeout"
    POOL_TIMEOUT = "pool-timeout"
    TLS = "tls"
    PROTOCOL = "protocol"
    STATUS_5XX = "status-5xx"
    RATE_LIMITED = "rate-limited"
    CHALLENGE = "challenge"
    REFUSED = "refused"
    INVALID = "invalid"
    TOO_LARGE = "too-large"


class Cause(StrEnum):
    """Why an entry was invalidated."""

    UPDATED_AT = "updated_at"
    EVENT = "event"
    WRITE = "write"
    NOT_FOUND = "not_found"
    PURGE = "purge"


class Origin(StrEnum):
    """The one that made an entry invalid."""

    UPSTREAM = "upstream"  # by what it answered
    ORDER = "order"  # somebody ordered it of this replica
    REPLICA = "replica"  # another replica told


class Right(StrEnum):
    """What the token of an operator may allow (`may` in the tokens file)."""

    READ = "read"  # status, explain, the page's figures
    INVALIDATE = "invalidate"
    PURGE = "purge"
    MODE = "mode"


class NoticeKind(StrEnum):
    """What replicas tell each other."""

    CHANGED = "changed"
    INVALIDATED = "invalidated"
    PURGED = "purged"
    REFUSED = "refused"
    GATE_CLOSED = "gate-closed"


class EndingKind(StrEnum):
    """How the fetch of a replica that leads ended, for those that follow it."""

    DONE = "done"  # stored: it can be looked up
    TRANSIENT = "transient"  # nothing came of it, and another replica may fare better
    GAVE_UP = "gave-up"  # what failed would fail for all
    ALONE = "alone"  # the answer is for one caller, or not to be stored: each asks for itself
    TOO_OLD = "too-old"  # something was invalidated since it began


class AccessRefusal(StrEnum):
    """Why a caller was turned away at the door."""

    CREDENTIAL_MISSING = "credential-missing"
    CREDENTIAL_MALFORMED = "credential-malformed"
    CREDENTIAL_UNKNOWN = "credential-unknown"
    NOT_PERMITTED = "not-permitted"
    UPSTREAM_UNAUTHORIZED = "upstream-unauthorized"
    UPSTREAM_FORBIDDEN = "upstream-forbidden"
    MALFORMED = "malformed"
    HEAD_TOO_LARGE = "head-too-large"
    HEAD_TOO_SLOW = "head-too-slow"
    BODY_TOO_LARGE = "body-too-large"
    READER_TOO_SLOW = "reader-too-slow"
    TOO_MANY_CONNECTIONS = "too-many-connections"


class Circuit(StrEnum):
    """State of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Mode(StrEnum):
    """How all replicas serve, by an operator's word."""

    NORMAL = "normal"
    FROZEN = "frozen"  # from what is stored alone; nothing is called
    BYPASS = "bypass"  # past what is stored; nothing is kept


class RedisOperation(StrEnum):
    """What was asked of Redis (a label of gateway_redis_request_duration_seconds)."""

    LOOKUP = "lookup"
    CONFIRM = "confirm"
    BEGIN = "begin"
    STORE = "store"
    INVALIDATE = "invalidate"
    BUDGET = "budget"
    LEASE = "lease"
    SWEEP = "sweep"
    BUS = "bus"
    MODE = "mode"
    PING = "ping"


class Problem(StrEnum):
    """The word of an error of our own: the tail of `urn:gateway:problem:`."""

    BAD_ID = "bad-id"
    BAD_REQUEST = "bad-request"
    CREDENTIAL_MISSING = "credential-missing"
    CREDENTIAL_UNKNOWN = "credential-unknown"
    NOT_PERMITTED = "not-permitted"
    NO_SUCH_ROUTE = "no-such-route"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    VERSION_NOT_REACHED = "version-not-reached"
    HEAD_TOO_SLOW = "head-too-slow"
    TOO_LARGE = "too-large"
    HEAD_TOO_LARGE = "head-too-large"
    CLIENT_RATE_LIMITED = "client-rate-limited"
    UPSTREAM_INVALID = "upstream-invalid"
    UPSTREAM_ERROR = "upstream-error"
    UPSTREAM_UNREACHABLE = "upstream-unreachable"
    UPSTREAM_REFUSED = "upstream-refused"
    BUDGET_EXHAUSTED = "budget-exhausted"
    UPSTREAM_RATE_LIMITED = "upstream-rate-limited"
    UPSTREAM_UNAVAILABLE = "upstream-unavailable"
    FROZEN = "frozen"
    SHUTTING_DOWN = "shutting-down"
    TOO_MANY_CONNECTIONS = "too-many-connections"
    REDIS_UNAVAILABLE = "redis-unavailable"
    UPSTREAM_TIMEOUT = "upstream-timeout"
    ONLY_IF_CACHED = "only-if-cached"
    INTERNAL = "internal"


class Part(StrEnum):
    """What a request may wait for."""

    LOOKUP = "lookup"  # both tiers, for all who ask in the meantime
    LEASE = "lease"  # taking it, or another replica's fetch
    BUDGET = "budget"  # a call's turn
    UPSTREAM = "upstream"
    STORE = "store"


class SpanFate(StrEnum):
    """What became of a span that was to be sent."""

    SENT = "sent"
    FAILED = "failed"  # the collector did not take it
    DROPPED = "dropped"  # too many waited, or the process ended
