"""The adapters: each is for one store, library or protocol. No adapter imports another."""
