"""The upstream by httpx: `client` makes the call, `exchange` follows it, `message` is its HTTP."""

from gateway.adapters.upstream.client import HttpxUpstream

__all__ = ["HttpxUpstream"]
