"""Builds all parts of the gateway, connects them, and runs them.

`compose` builds the parts as the settings say. `run` runs them until the process has drained and
stops. `clock` has the real clock. Only this package imports adapters, `flow` and `web` together.
"""

from __future__ import annotations

from gateway.app.exposure import exposures
from gateway.app.listen import Addresses, StartFault
from gateway.app.run import check, serve, untried

__all__ = ["Addresses", "StartFault", "check", "exposures", "serve", "untried"]
