"""In memory, for a process without Redis: the version floors, the sweeps and the budget."""

from gateway.adapters.ledger.budget import LocalBudget
from gateway.adapters.ledger.floors import Ledger
from gateway.adapters.ledger.sweep import LedgerSweep

__all__ = ["Ledger", "LedgerSweep", "LocalBudget"]
