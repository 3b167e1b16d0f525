"""Observer: the only place where an event becomes a metric or a log line.

`observer` takes the verbs; `metrics` are plain numbers that its collector hands out at scrape
time, so that no metrics library stands in the way of a request; `events` and `access` write
through `log` and `lines`; `metrics/summary` has the first numbers for the live page.
"""
