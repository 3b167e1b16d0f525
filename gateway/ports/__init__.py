"""The Protocols through which `flow` uses stores, Redis, the upstream and the clock.

The package also has values that the Protocols use, and implementations for a gateway without other
replicas (for example `AloneBus`). It does no I/O. The contract suites in tests/contract test each
implementation of the stores, the bus, the leases and the budgets.
"""

from gateway.ports.budget import (
    Budget,
    BudgetView,
    Charge,
    Closed,
)
from gateway.ports.clock import Clock
from gateway.ports.deadline import Deadline
from gateway.ports.replicas import (
    AloneBus,
    AloneLease,
    AloneMode,
    Bus,
    Confirmations,
    Ending,
    Lease,
    ModeOrder,
    Notice,
    SharedMode,
    Taken,
)
from gateway.ports.sweep import Compared, SharedSweep, Turn
from gateway.ports.telemetry import (
    AccessLine,
    Attributes,
    ConnectionObserver,
    Observer,
    RefusedRequest,
    RequestObserver,
    Served,
    Span,
    SweepObserver,
    Tracer,
)
from gateway.ports.tiers import (
    NEVER,
    Count,
    Found,
    Held,
    HitLabels,
    SharedStore,
    Stored,
)
from gateway.ports.upstream import Call, Upstream, Write

__all__ = [
    "NEVER",
    "AccessLine",
    "AloneBus",
    "AloneLease",
    "AloneMode",
    "Attributes",
    "Budget",
    "BudgetView",
    "Bus",
    "Call",
    "Charge",
    "Clock",
    "Closed",
    "Compared",
    "Confirmations",
    "ConnectionObserver",
    "Count",
    "Deadline",
    "Ending",
    "Found",
    "Held",
    "HitLabels",
    "Lease",
    "ModeOrder",
    "Notice",
    "Observer",
    "RefusedRequest",
    "RequestObserver",
    "Served",
    "SharedMode",
    "SharedStore",
    "SharedSweep",
    "Span",
    "Stored",
    "SweepObserver",
    "Taken",
    "Tracer",
    "Turn",
    "Upstream",
    "Write",
]
