"""Second floor: in which order. Awaits, and touches no driver."""
