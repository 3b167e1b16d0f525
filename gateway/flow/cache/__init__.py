"""Looks up and stores entries in both tiers, and judges entries while Redis is away."""
