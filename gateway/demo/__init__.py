"""What `make run` starts: simulator, gateway, a gentle load and edits, all ended by one Ctrl-C.

`stage` puts it on and takes it down; `upstream` is the simulator's process, `visitors` those who
ask and edit, `figures` what is shown of it. Nothing here is part of a real gateway.
"""

from __future__ import annotations

from gateway.demo.stage import Plan, run
from gateway.demo.upstream import UpstreamEnded

__all__ = ["Plan", "UpstreamEnded", "run"]
