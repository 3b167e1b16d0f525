"""Ground floor: what is allowed. No await, no clock, no randomness, no I/O."""
