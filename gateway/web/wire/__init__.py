"""Connections, request heads, and hits that are answered without a request object."""
