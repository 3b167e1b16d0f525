"""The state that replicas share in Redis: store, budget, leases, sweep, mode, and the bus."""
