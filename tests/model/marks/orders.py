"""Orders and notices in the model of marks."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.model.marks.records import ALL, Entry, Key, Place


@dataclass(eq=False, slots=True)
class Order:
    """What an operator, a write or a 401 rules out.

    training   None: a purge of `partition`, or of everything
    version    all below it, and every 404; None: all that was read before
    received   the moment of its receipt
    written_at the moment at which its mark was written last
    """

    is_hard: bool
    received: float
    training: int | None = None
    partition: str | None = None
    version: int | None = None
    written_at: float = -1.0

    @property
    def place(self) -> Place:
        """The mark that it replaces."""
        if self.training is not None:
            return Place("training", self.training)
        return ALL if self.partition is None else Place("partition", self.partition)

    def concerns(self, key: Key) -> bool:
        return self.training in {None, key.training} and self.partition in {None, key.partition}

    def rules_out(self, entry: Entry) -> bool:
        """Whether the entry is one of those that it speaks of, if it was read before."""
        if not self.concerns(entry.key):
            return False
        return self.version is None or entry.version is None or entry.version < self.version

    def __str__(self) -> str:
        what = f"training {self.training}" if self.training is not None else "everything"
        whose = f" of tenant {self.partition}" if self.partition else ""
        below = f" below version {self.version}" if self.version is not None else ""
        return f"{'hard' if self.is_hard else 'soft'} order: {what}{whose}{below}"


@dataclass(eq=False, slots=True)
class Notice:
    """An order on its way to all that have subscribed."""

    order: Order
    previous: int
    last: int
    confirmed: set[int] = field(default_factory=set)
