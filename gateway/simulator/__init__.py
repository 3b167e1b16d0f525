"""A simulated training API that speaks real HTTP, for the demo, the tests and the benchmark.

The simulator imports no other part of the gateway. Begin with `server`, which runs a simulator and
has the steps of every call. Then read `api`, which answers without faults. `control` has the orders
that change a simulator from outside.
"""

from __future__ import annotations

from gateway.simulator.control import SimulatorClient
from gateway.simulator.server import RunningSimulator, build, running, serve
from gateway.simulator.world import SimulatorConfig

__all__ = ["RunningSimulator", "SimulatorClient", "SimulatorConfig", "build", "running", "serve"]
