"""Who hears that a run has ended, or was interrupted."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edge.spending.model import Charge

from .live_run import LiveRun
from .model import RunStatus

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that uses up nothing more: it has ended, or waits for answers."""

    id: str
    tenant: str
    user: str
    key_id: str
    status: RunStatus
    charge: Charge
    """What it has cost so far."""


OnEnd = Callable[[EndedRun], None]
"""Called once by whoever ends the run: its owner, the replica that took it over, or the one that finds it left. Where
an owner died at the wrong moment, by two of them. It returns at once; what takes time it starts."""


def ended(run: LiveRun) -> EndedRun:
    """A run whose terminal event has been appended."""
    own = run.ownership
    return EndedRun(own.run_id, own.tenant, own.user, own.key_id, run.status, run.charge)


def tell(listeners: Iterable[OnEnd], run: EndedRun) -> None:
    """Calls them all; a defect in one keeps it from nobody else."""
    for listener in listeners:
        try:
            listener(run)
        except Exception:  # noqa: BLE001 - the end of a run must not fail by who hears of it
            _log.exception("the end of a run was told in vain", extra={"run_id": run.id})
