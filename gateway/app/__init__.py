"""The composition root: the only package that imports adapters, `flow` and `web`.

`compose` puts the parts together by the settings. `run` runs the parts until the process has
drained and stops. `clock` has the real clock.
"""

from __future__ import annotations

from gateway.app.listen import Addresses, StartFault
from gateway.app.run import check, serve, untried

__all__ = ["Addresses", "StartFault", "check", "serve", "untried"]
