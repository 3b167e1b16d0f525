"""A simulated upstream over real HTTP, for the demo, the tests and the benchmark.

It imports nothing else of the gateway. Begin with `server` (how it runs, and the steps of every
call), then read `api` (what the API answers without faults). `control` has the orders that change a
simulator from outside.
"""

from __future__ import annotations

from gateway.simulator.control import SimulatorClient
from gateway.simulator.server import RunningSimulator, build, running, serve
from gateway.simulator.world import SimulatorConfig

__all__ = ["RunningSimulator", "SimulatorClient", "SimulatorConfig", "build", "running", "serve"]
