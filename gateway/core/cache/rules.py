"""The rules by which entries live, as one value: by our own numbers, or by the upstream's word.

Which of them holds is `freshness.source`. Here are those of `policy`; rfc9111 has the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from gateway.core.cache.entry import Entry, Ticket
from gateway.core.cache.entry_headers import head_of
from gateway.core.cache.policy import Plan, Windows, admit, may_rescue, plan, renew, why_not_stored
from gateway.core.http.fields import Headers
from gateway.core.http.response import Reply
from gateway.core.upstream.classification import Judged, Question, judge
from gateway.core.upstream.training import Training
from gateway.core.vocabulary import NotStoredReason


class Rules(Protocol):
    """What the flow asks of them. `sent` are the request fields that went upstream with a call,
    or would have; `jitter` is in [0, 1)."""

    @property
    def windows(self) -> Windows:
        """The numbers, where nothing else is said."""
        ...

    @property
    def is_verbatim(self) -> bool:
        """Whether answers say of caching what the upstream said."""
        ...

    def judge(self, reply: Reply, question: Question, now: float) -> Judged:
        """What a complete reply means; raises UpstreamFailure where it is no answer."""
        ...

    def why_not_stored(self, entry: Entry, reply: Reply) -> NotStoredReason | None:
        """Why the upstream forbids to store what its reply made, None where it does not."""
        ...

    def admit(
        self, reply: Reply, training: Training | None, ticket: Ticket, sent: Headers, jitter: float
    ) -> Entry:
        """The entry of a reply; `training` None where it has no version."""
        ...

    def renew(
        self, entry: Entry, reply: Reply, ticket: Ticket, sent: Headers, jitter: float
    ) -> Entry:
        """The entry after a 304 to the question whether it still holds."""
        ...

    def plan(self, entry: Entry, now: float, *, below_floor: bool = False) -> Plan:
        """May it be reused?"""
        ...

    def may_rescue(self, entry: Entry, now: float) -> bool:
        """May it be served although upstream could not be asked, or failed?"""
        ...

    def selects(self, entry: Entry, sent: Headers) -> bool:
        """Whether a request with these fields chooses this entry among the answers of its key."""
        ...

    def head(self, entry: Entry) -> tuple[bytes, int]:
        """The lines of its answers, as `head_of` has them."""
        ...

    def passing(self, reply: Reply) -> Reply:
        """What is handed on of a reply that is not stored."""
        ...


@dataclass(frozen=True, slots=True)
class ByPolicy:
    """Our own numbers decide; `vary`: whether answers depend on who asks."""

    windows: Windows
    vary: bool
    is_verbatim: ClassVar[bool] = False

    def judge(self, reply: Reply, question: Question, now: float) -> Judged:
        """As `judge` does."""
        return judge(reply, question, now)

    def why_not_stored(self, entry: Entry, reply: Reply) -> NotStoredReason | None:
        """`no-store` is the one word of the upstream that is heard."""
        return why_not_stored(reply.headers, self.windows)

    def admit(
        self, reply: Reply, training: Training | None, ticket: Ticket, sent: Headers, jitter: float
    ) -> Entry:
        """As `admit` does."""
        return admit(reply, training, ticket, self.windows, jitter)

    def renew(
        self, entry: Entry, reply: Reply, ticket: Ticket, sent: Headers, jitter: float
    ) -> Entry:
        """As `renew` does."""
        return renew(entry, reply, ticket, self.windows, jitter)

    def plan(self, entry: Entry, now: float, *, below_floor: bool = False) -> Plan:
        """As `plan` does."""
        return plan(entry, now, self.windows, below_floor=below_floor)

    def may_rescue(self, entry: Entry, now: float) -> bool:
        """As `may_rescue` does."""
        return may_rescue(entry, now, self.windows)

    def selects(self, entry: Entry, sent: Headers) -> bool:
        """The API gives everybody the same answer."""
        return True

    def head(self, entry: Entry) -> tuple[bytes, int]:
        """With a `Cache-Control` of ours."""
        return head_of(entry, vary=self.vary)

    def passing(self, reply: Reply) -> Reply:
        """As it is, less what it says of caching: nobody is to keep it."""
        return reply
