"""The rules that a model of marks can leave out, and the times that it uses (in seconds)."""

from __future__ import annotations

from enum import Enum

REPLICAS = 3
PARTITIONS = ("a", "b")
TRAININGS = (0, 1)
L1_LIFETIME = 3.0
FRESH = 20.0
STALE = 100.0
PERIOD = 6.0
CONFIRM_WITHIN = 1.0
BELIEVE_AFTER = 5.0
REWRITE_FOR = 60.0


class Rule(Enum):
    """One small rule each. A model without it has a history that breaks a promise."""

    __hash__ = object.__hash__

    UNKNOWN = "STATE: an entry is not used if one of its marks is unknown"
    HARD_BOUND = "STATE: an entry below the hard bound is not used"
    SOFT_WORD = "STATE: another soft word leaves an entry for rescue"
    BOUND = "STATE: an entry below the bound is left for rescue"
    SEEN = "STATE: an entry below a version of the list is left for rescue"
    NAMED = "STATE: a 404 is not used after an order that names a version"

    UNLISTED_L1 = "MEMBERS: a replica that is not listed serves nothing of L1 unasked"
    UNLISTED_HELD = "MEMBERS: a replica that is not listed uses no held marks"
    UNLISTED_JOIN = "MEMBERS: nobody joins a fetch of a replica that is not listed"
    FROM_SENDING = "MEMBERS: a heartbeat counts from its sending"
    BORN = "MEMBERS: after a loss of the members an order is 202 for a period"
    CLOCK = "MEMBERS: others count from when their heartbeat was seen, not by Redis' clock"
    SURE = "MEMBERS: a heartbeat counts once a later one has found it still there"

    CHAIN = "GAP: a notice that does not follow the last one is a gap"
    LAST = "GAP: a heartbeat that returns another last notice is a gap"
    RECONNECT = "GAP: a new subscription is a gap"
    NODES = "GAP: a lost connection to any node of a Cluster counts as a reconnect"
    GAP_OVERTAKES = "GAP: a gap overtakes what is in flight"
    GAP_UNCONFIRMS = "GAP: what is held is used only after it was read again"

    HELD_LIFETIME = "HELD: a mark is held for the lifetime of L1"
    FORGET_HELD = "NOTICE: held marks are forgotten"
    DROP = "NOTICE: a hard order drops from L1"
    DEMOTE = "NOTICE: a soft order leaves an entry of L1 for rescue"
    OVERTAKE = "NOTICE: an order overtakes what is in flight"
    NOT_KEPT = "OVERTAKEN: the result is not kept"
    NOT_JOINED = "OVERTAKEN: nobody joins it later"

    LATER_VERSION = "LOOK-UP: at equal states the later version is taken"
    SEEN_OF_REDIS = "LOOK-UP: an entry of L1 is not current below a version that Redis knows"

    TICKET_FIRST = "STORE: an entry carries the marks that were read before the call"
    NEVER_MADE = "STORE: a mark that is missing is not made, and nothing is stored"
    OLDER_REFUSED = "STORE: a version older than the stored one is refused"
    SEEN_REFUSED = "STORE: a version older than one of the list is refused"
    BOUND_REFUSED = "STORE: a version older than the bound is refused"
    EARLIER_START = "STORE: an equal version, or a 404, with an earlier start is refused"
    FUTURE_START = "STORE: a start in the future (Redis' clock was set back) is the earlier one"

    BELIEVE = "BELIEVE: a refused version that comes again is believed"
    BELIEVE_LATER = "BELIEVE: after some time, not at once"
    BELIEVE_STARTED = "BELIEVE: the time counts to the start of the fetch, not to its end"
    BELIEVE_STANDING = "BELIEVE: only if hard, soft and named of the mark are those of the fetch"
    NOTE_ENDS = "BELIEVE: a later version of the list forgets the refusals before it"
    FUTURE_NOTE = "BELIEVE: a refusal in the future (Redis' clock was set back) does not count"
    BELIEVE_SOFT = (
        "BELIEVE: it is a new soft word, else another tenant's old entry is current again"
    )
    BELIEVE_HARD = "BELIEVE: it is a new hard word too, if it lowers the hard bound"

    PAGE_AGE = "PAGE: a page speaks for the moment at which it was asked for, minus its Age"
    PAGE_WORDS = "PAGE: an item is stored with marks that were read before that moment"
    PAGE_NEW = "PAGE: an item without any mark is not stored at once, but at the next reading"

    APPLY_AGAIN = "ORDER: it is applied here again after it was written"
    PENDING = "ORDER: what could not be written stays, and is written before anything is read"
    REWRITE = "ORDER: for a minute it is written again after a connection was lost"
    WAIT = "ORDER: 200 means that all that are listed have confirmed"
    UNTIL = "ORDER: until counts from the heartbeats"
    TOKEN = "ORDER: a 401 is a hard order on its partition"
