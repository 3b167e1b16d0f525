"""The shared state of a process without Redis, in memory: version floors, sweeps, the budget."""

from gateway.adapters.ledger.budget import LocalBudget
from gateway.adapters.ledger.floors import Ledger
from gateway.adapters.ledger.sweep import LedgerLists, LedgerSweepLease

__all__ = ["Ledger", "LedgerLists", "LedgerSweepLease", "LocalBudget"]
