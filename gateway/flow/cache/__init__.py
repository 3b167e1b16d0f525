"""Looks up and stores entries in both tiers, and decides about them without Redis."""
