"""What the time of a request goes into, beside our own doing: words of the log."""

from __future__ import annotations

from enum import StrEnum


class Part(StrEnum):
    """What a request may wait for."""

    LOOKUP = "lookup"  # both tiers, for all who ask in the meantime
    LEASE = "lease"  # taking it, or another replica's fetch
    BUDGET = "budget"  # a call's turn
    UPSTREAM = "upstream"
    STORE = "store"
