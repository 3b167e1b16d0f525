"""A faithful stand-in for the upstream, over real HTTP: for the demo, the tests, the benchmark.

Knows nothing of the gateway. Start reading at `server` (how it runs, and what every call passes),
then `api` (what a well-behaved upstream answers); `control` steers it from outside.
"""

from __future__ import annotations

from gateway.simulator.control import SimulatorClient
from gateway.simulator.server import RunningSimulator, build, running, serve
from gateway.simulator.world import SimulatorConfig

__all__ = ["RunningSimulator", "SimulatorClient", "SimulatorConfig", "build", "running", "serve"]
