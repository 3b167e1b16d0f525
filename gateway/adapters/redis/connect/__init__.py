"""The way to Redis: URL, nodes, cluster, scripts, and when a Redis counts as away."""
