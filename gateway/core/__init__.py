"""The rules, as pure functions. No await, no clock, no randomness, no I/O. The lowest floor."""
