"""The closed sets of words in Cache-Status, metrics, logs, /explain, the tokens file and messages
between replicas."""

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
    """Where the response came from."""

    L1 = "l1"
    L2 = "l2"
    UPSTREAM = "upstream"
    NONE = "none"  # the gateway made an error response


class Purpose(StrEnum):
    """Why the gateway calls the upstream."""

    MISS = "miss"
    REVALIDATION = "revalidation"
    REFRESH = "refresh"
    MIN_VERSION = "min-version"
    SWEEP = "sweep"
    WARM = "warm"  # a call of the cold start (the first two sweeps)
    VERIFY = "verify"  # a call for one training, to check what the list says about it
    WRITE = "write"
    PROBE = "probe"
    RETRY = "retry"


# The purposes of the sweep's calls. It is normal that the budget denies such a call, because the
# sweep may use only a share of the budget. The call is then made later.
SWEEPS = (Purpose.SWEEP, Purpose.WARM, Purpose.VERIFY)


class Detail(StrEnum):
    """The words of `detail` in Cache-Status."""

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
    BATCH = "batch"
    LIST = "list"
    CATALOGUE = "catalogue"


class Forward(StrEnum):
    """Why a request was forwarded to the upstream (RFC 9211, 2.2)."""

    URI_MISS = "uri-miss"
    STALE = "stale"
    REQUEST = "request"
    METHOD = "method"


class NotStoredReason(StrEnum):
    """Why a response of the upstream was not stored."""

    STATUS = "status"
    NO_STORE = "no-store"
    PRIVATE = "private"
    VARY = "vary"
    OLDER_VERSION = "older-version"
    INVALIDATED = "invalidated"
    FUTURE_VERSION = "future-version"
    DRIFT = "drift"  # a list that does not have the documented form


class StoreVerdict(StrEnum):
    """The decision of a store about an entry."""

    FIRST = "first"  # no version was known
    CHANGED = "changed"  # a later version, another body, or a change to or from a negative entry
    UNCHANGED = "unchanged"  # same version and body, or negative again
    BELIEVED = "believed"  # accepted, because enough refused answers agree
    OLDER = "older"  # refused: a later version or a later fetch is known
    AHEAD = "ahead"  # refused: its version is far in the future
    INVALIDATED = "invalidated"  # refused: epoch or generation changed after the fetch began

    @property
    def is_refusal(self) -> bool:
        """Whether the entry was refused."""
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
    TOO_MANY_MEMBERS = "too-many-members"
    TRUNCATED = "truncated"
    TOO_LARGE = "too-large"
    CHALLENGE = "challenge"  # an HTML page with status 200, usually of a CDN


class DriftKind(StrEnum):
    """How a served training differs from the API's documentation."""

    UNKNOWN_FIELD = "unknown-field"
    MISSING_FIELD = "missing-field"
    UNKNOWN_VALUE = "unknown-value"


class FailureReason(StrEnum):
    """Why a call to the upstream brought no usable answer."""

    CONNECT = "connect"
    CONNECT_TIMEOUT = "connect-timeout"
    READ_TIMEOUT = "read-timeout"
    POOL_TIMEOUT = "pool-timeout"
    TLS = "tls"
    RESET = "reset"  # the connection ended before the response had begun
    PROTOCOL = "protocol"
    STATUS_5XX = "status-5xx"
    RATE_LIMITED = "rate-limited"
    CHALLENGE = "challenge"  # an HTML page, usually of a CDN
    REFUSED = "refused"  # the upstream refused the gateway's own token
    INVALID = "invalid"
    TOO_LARGE = "too-large"


class Cause(StrEnum):
    """Why an entry was invalidated."""

    UPDATED_AT = "updated_at"
    EVENT = "event"  # an order to invalidate, or a write through another replica
    WRITE = "write"  # a write through this replica
    NOT_FOUND = "not_found"
    PURGE = "purge"


class Origin(StrEnum):
    """Where an invalidation came from."""

    UPSTREAM = "upstream"
    ORDER = "order"  # an order to this replica, or a write through it
    REPLICA = "replica"  # a notice from another replica


class Right(StrEnum):
    """The rights that an operator's token can have (`may` in the tokens file)."""

    READ = "read"  # status, explain, the figures of the live page
    INVALIDATE = "invalidate"
    PURGE = "purge"
    MODE = "mode"


class NoticeKind(StrEnum):
    """The kinds of notices between replicas."""

    CHANGED = "changed"
    INVALIDATED = "invalidated"
    PURGED = "purged"
    REFUSED = "refused"
    GATE_CLOSED = "gate-closed"


class EndingKind(StrEnum):
    """How a leader's fetch ended. Its followers in other replicas are told this word."""

    DONE = "done"  # the answer was stored
    FAILED = "failed"  # the upstream failed, as it would for every replica
    GONE = "gone"  # there is no result for others


class AccessRefusal(StrEnum):
    """Why a request or a connection was refused."""

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
    """The state of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Mode(StrEnum):
    """How all replicas serve."""

    NORMAL = "normal"
    FROZEN = "frozen"  # only from stored responses


class RedisOperation(StrEnum):
    """The kind of a request to Redis (a label of gateway_redis_request_duration_seconds)."""

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
    """The problem types of the gateway's own error responses (prefix: `urn:gateway:problem:`)."""

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
    """What a request waits for."""

    LOOKUP = "lookup"  # the look-up of the key. Requests for the same key share it
    LEASE = "lease"  # taking the lease, or following the fetch of another replica
    BUDGET = "budget"
    UPSTREAM = "upstream"
    STORE = "store"


class SpanFate(StrEnum):
    """Whether a span reached the collector."""

    SENT = "sent"
    FAILED = "failed"  # the collector did not accept it
    DROPPED = "dropped"  # too many spans were waiting, or the process ended
