"""What Redis is for replicas, for a process alone: version floors and the budget, in memory."""

from gateway.adapters.ledger.budget import LocalBudget
from gateway.adapters.ledger.floors import Ledger

__all__ = ["Ledger", "LocalBudget"]
