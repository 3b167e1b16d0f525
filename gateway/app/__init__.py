"""Fourth floor: the composition root, the only place that sees both wings and the real clock.

`compose` builds the house from settings, `run` gives it a life from start to drained stop.
"""

from __future__ import annotations

from gateway.app.listen import Addresses, StartFault
from gateway.app.run import check, serve, untried

__all__ = ["Addresses", "StartFault", "check", "serve", "untried"]
