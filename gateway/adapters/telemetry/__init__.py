"""Telemetry: metrics, events, the access log, and the figures of the live page.

`counters` counts in plain numbers. The collector in `metrics` reads them when Prometheus asks, so
no request calls a metrics library.
"""
