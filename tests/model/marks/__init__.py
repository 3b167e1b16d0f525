"""The rules of marks as a model: replicas, Redis and an API in virtual time.

Three marks stand behind an entry: of everything, of its partition and of its training. An entry
carries the words that its fetch read before it called the API; an order replaces words. The rules
of one slot are those of the gateway, in core/cache/marks. `plants.toml` has each small rule, the
bug that leaves it out, and a history that then breaks a promise.

These rules were in the model at first. No history broke a promise without them, and they are gone:
- a replica that is not listed keeps nothing; becoming listed is a gap
- a replica subscribes before its heartbeat; others count for a second more than the period
- another hard word refuses; under other hard words the later start wins; an entry under an old soft
  word does not replace a current one (each saves calls, and is not needed for the promises)
- an order is applied before it is written, too; a rescue looks up again

Not modelled: a mark that is lost while a page is under way (the page can bring back what an order
ruled out), versions far in the future (they are never offered to a store), leases, 304, the order
in which Redis' replies of one pipeline arrive, a clock of a process that stands still.
"""
