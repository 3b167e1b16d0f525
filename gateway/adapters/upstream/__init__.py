"""The upstream over HTTP. `client` makes a call, and passes header fields on. `http1_transport` and
`http1_connection` send the request, read the response, and know how far the call has come."""

from gateway.adapters.upstream.client import HttpxUpstream

__all__ = ["HttpxUpstream"]
