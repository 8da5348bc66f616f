"""What the handlers of one server share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from aiohttp import web

from devstack.model_server.catalog import Catalog
from devstack.model_server.faults import Faults
from devstack.model_server.frames import timestamp
from devstack.model_server.gpu import Gpu
from devstack.model_server.journal import Journal
from devstack.model_server.script import Script
from devstack.model_server.settings import Settings, Simulation
from devstack.model_server.wheel import TimerWheel


@dataclass(slots=True)
class State:
    """One server's models, simulated GPU, faults, script and log."""

    simulation: Simulation
    journal: Journal
    faults: Faults
    wheel: TimerWheel
    script: Script = field(default_factory=Script)
    catalog: Catalog = field(default_factory=lambda: Catalog(timestamp()))
    gpu: Gpu = field(init=False)
    stopping: bool = False

    def __post_init__(self) -> None:
        self.gpu = Gpu(lambda: self.simulation)

    @classmethod
    def of(cls, settings: Settings) -> State:
        """Fresh state; wants a running loop."""
        return cls(
            settings.simulation,
            Journal(settings.journal),
            Faults(settings.simulation.seed),
            TimerWheel(asyncio.get_running_loop()),
        )


STATE = web.AppKey("state", State)
