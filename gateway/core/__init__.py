"""The rules, as pure functions. No await, no clock, no randomness, no I/O. No other package of the
gateway is imported here."""
