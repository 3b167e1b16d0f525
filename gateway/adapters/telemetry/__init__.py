"""Observer: the only place where an event becomes a metric or a log line.

`observer` takes the verbs. `metrics` counts in plain numbers, which its collector hands out at
scrape time, so that no metrics library stands in the way of a request. `log` writes the lines.
"""
