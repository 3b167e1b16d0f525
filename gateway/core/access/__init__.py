"""Callers: which credential is whose, and how much each may ask for."""
