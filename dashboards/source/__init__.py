"""What operators see, as Python: dashboards, rules and the catalogue of metrics are made from here.

exported              the metrics that the gateway has, read from its own tables
objectives            what is promised, as data: rules and dashboards are made of it
overview, promises    the two dashboards, of `panels`, with the PromQL of `queries`; `upstream` and
                      `process` are parts of the first one
recordings, burns     the rules about objectives; `alerts` are the others, an `alert` is one of both
excused               metrics that no dashboard shows, and why
catalogue             docs/metrics.md

`make dashboards` writes all of it; tests/house compares. The runbook and the rules' own tests,
which lie beside the results, are written by hand.
"""
