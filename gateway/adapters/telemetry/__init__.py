"""Observer: the only place where an event becomes a metric or a log line.

`observer` takes the verbs. `counters` counts in plain numbers, which the collector in `metrics`
hands out at scrape time, so that no metrics library stands in the way of a request. Events and the
access log become lines in `log_lines`.
"""
