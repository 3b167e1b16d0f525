"""Invalidation by operators and by writes, and the answers of /explain."""
