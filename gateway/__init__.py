"""A gateway in front of one training API: fresh answers from two cache tiers, within its limit.

The floors, from the ground up: `core` (what is allowed), `ports` (what is needed of the world),
`flow` (in which order) beside `adapters` (one driver each), `web` (HTTP), `app` (where all meet),
`cli`.
Start reading at `flow.request.response_selection`, and `core.cache.policy`, which it asks.
"""

__version__ = "0.1.0"
