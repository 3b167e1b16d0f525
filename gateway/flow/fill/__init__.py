"""Loads a key: all requests for it share one fetch, and the answer of that fetch is stored."""
