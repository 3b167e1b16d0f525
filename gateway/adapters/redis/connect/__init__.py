"""Connects to Redis: URL, nodes, cluster, scripts. Decides when a node counts as away."""
