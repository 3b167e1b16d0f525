"""Connections and request heads, and the hits that are answered without a request object."""
