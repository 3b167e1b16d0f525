"""Mixed traffic and random faults over three replicas, and an observer who knows the truth.

`python -m tests.soak --help` runs it for as long as wanted; a short one is part of `make test`,
two long ones of `make drills`.
"""
