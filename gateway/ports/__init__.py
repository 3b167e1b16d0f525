"""First floor: what the flow needs of the world, as Protocols, and the values that cross.

Each Protocol has a contract suite in tests/contract that every implementation passes.
Nothing here decides; nothing here does I/O.
"""

from gateway.ports.budget import (
    Budget,
    BudgetView,
    Charge,
    Charging,
    KnownBudget,
    Looking,
    OwnBudget,
    SharedBudget,
)
from gateway.ports.bus import AloneBus, Bus, Confirmations, Notice
from gateway.ports.clock import Clock
from gateway.ports.deadline import Deadline
from gateway.ports.held import NEVER, Count, Held, HitLabels
from gateway.ports.lease import AloneLease, Lease, Taken
from gateway.ports.local import LocalStore
from gateway.ports.mode import AloneMode, ModeOrder, SharedMode
from gateway.ports.observer import Observer
from gateway.ports.shared import Copies, Found, SharedStore, Standing, Stored
from gateway.ports.sweep import Advanced, Compared, ListStore, SweepLease, Turn
from gateway.ports.tracer import Attributes, NoTracer, Served, Span, Tracer
from gateway.ports.upstream import Call, Upstream, Write

__all__ = [
    "NEVER",
    "Advanced",
    "AloneBus",
    "AloneLease",
    "AloneMode",
    "Attributes",
    "Budget",
    "BudgetView",
    "Bus",
    "Call",
    "Charge",
    "Charging",
    "Clock",
    "Compared",
    "Confirmations",
    "Copies",
    "Count",
    "Deadline",
    "Found",
    "Held",
    "HitLabels",
    "KnownBudget",
    "Lease",
    "ListStore",
    "LocalStore",
    "Looking",
    "ModeOrder",
    "NoTracer",
    "Notice",
    "Observer",
    "OwnBudget",
    "Served",
    "SharedBudget",
    "SharedMode",
    "SharedStore",
    "Span",
    "Standing",
    "Stored",
    "SweepLease",
    "Taken",
    "Tracer",
    "Turn",
    "Upstream",
    "Write",
]
