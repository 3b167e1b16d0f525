"""Both tiers: what is looked up and stored, and what a replica decides without Redis."""
