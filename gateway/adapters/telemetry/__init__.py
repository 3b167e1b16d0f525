"""Observer: the only place where an event becomes a metric or a log line.

`observer` takes the verbs; `counters` are plain numbers that `collector` hands out at scrape
time, so that no metrics library stands in the way of a request; `events` and `access` write
through `log` and `lines`; `figures` are the first numbers for the live page.
"""
