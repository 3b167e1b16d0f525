"""The upstream over HTTP. `client` makes a call. `connect` makes the connections that it needs, to
the addresses that `look_up` finds. `exchange` knows how far the call has come, and `message` what
of it is passed on."""

from gateway.adapters.upstream.client import HttpxUpstream

__all__ = ["HttpxUpstream"]
