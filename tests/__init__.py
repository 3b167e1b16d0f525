"""The tests mirror the house; a package, so that they can share `tests.support.servers`."""
