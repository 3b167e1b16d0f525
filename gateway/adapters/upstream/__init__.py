"""The upstream over HTTP. `client` makes a call, and passes header fields on. `connect` makes the
connections that the call needs, to the addresses that `look_up` finds."""

from gateway.adapters.upstream.client import HttpxUpstream

__all__ = ["HttpxUpstream"]
