"""The upstream over HTTP: `client` makes a call, `message` is what is said, `http1_transport` and
`http1_connection` send it, and tell how far it has come."""

from gateway.adapters.upstream.client import HttpxUpstream

__all__ = ["HttpxUpstream"]
