"""Decides in which order things happen. It awaits, and uses no driver."""
