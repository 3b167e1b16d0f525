"""The upstream over HTTP: `client` makes a call, `exchange` follows it, `message` is what is said,
`http1_transport` and `http1_connection` send it."""

from gateway.adapters.upstream.client import HttpxUpstream

__all__ = ["HttpxUpstream"]
