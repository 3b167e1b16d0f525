"""The shared store and the shared budget on Redis: one round trip to read, one script to write."""
