"""In memory, for a process without Redis: facts and marks, the sweeps and the budget."""

from gateway.adapters.ledger.budget import LocalBudget
from gateway.adapters.ledger.marks import Ledger
from gateway.adapters.ledger.sweep import LedgerSweep

__all__ = ["Ledger", "LedgerSweep", "LocalBudget"]
