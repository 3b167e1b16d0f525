"""Builds all parts of the gateway, connects them, and runs them.

`compose` builds and connects the parts as the settings say. `run` runs the parts until the process
has drained and stops. `clock` has the real clock. Only this package imports all three: the
adapters, `flow` and `web`.
"""

from __future__ import annotations

from gateway.app.listen import Addresses, StartFault
from gateway.app.run import check, serve, untried

__all__ = ["Addresses", "StartFault", "check", "serve", "untried"]
