"""Telemetry: metrics, events, the access log, and the figures of the live page.

`observer` has the methods that the other parts of the gateway call. `counters` counts in plain
numbers. The collector in `metrics` reads these numbers when Prometheus asks. So no request calls a
metrics library. `event_log` limits the lines about each event, and remembers the last events.
`log_lines` writes the lines of `event_log` and `access_log`.
"""
