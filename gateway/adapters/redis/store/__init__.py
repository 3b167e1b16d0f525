"""Entries and version floors in Redis."""
