"""The benchmark: what an answer costs, side by side with nginx, Varnish and the floor.

`make bench` runs it. Not a test: nothing here fails for being slow.
"""
