"""What operators and writes order: invalidation, and what /explain tells."""
