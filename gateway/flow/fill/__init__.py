"""Loads a key: one fetch for all requests, with one call, whose answer is stored."""
