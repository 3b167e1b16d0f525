"""Second floor, the other wing: one driver each; no sibling imports another."""
