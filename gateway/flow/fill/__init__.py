"""How a key is loaded: one fetch for all that ask, the call, the store."""
