"""What Redis is for replicas, for a process alone: version floors and the budget, in memory."""

from gateway.adapters.ledger.budget import LocalBudget
from gateway.adapters.ledger.floors import Ledger
from gateway.adapters.ledger.sweep import LedgerLists, LedgerSweepLease

__all__ = ["Ledger", "LedgerLists", "LedgerSweepLease", "LocalBudget"]
