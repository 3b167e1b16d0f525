"""A caching gateway in front of one training API.

The gateway stays within the rate limit of the API.

The packages, from the ground up: `core` decides what is allowed. `ports` has the Protocols for the
world outside. `flow` orders the steps of a request, and `adapters` implement the ports, with one
driver each. `web` speaks HTTP, `app` puts all parts together, and `cli` has the commands. Start
reading at `flow.request.response_selection`, which asks `core.cache.policy`.
"""

__version__ = "0.1.0"
