"""The runs that this replica executes."""

from collections.abc import Iterator

from dormouse.agent.v1.run_event_pb2 import CancelCause

from . import metrics
from .ends import ended, tell
from .execution import Execution, Means, RetryPolicy
from .live_run import LiveRun
from .model import OnDisconnect


class Executions:
    """By the run's id. `means` and `policy` are those of the runs that start from now on."""

    def __init__(self) -> None:
        self._executions: dict[str, Execution] = {}
        self.means: Means | None = None
        self.policy = RetryPolicy()

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._executions

    def __len__(self) -> int:
        return len(self._executions)

    def __iter__(self) -> Iterator[Execution]:
        """As they are now, whatever ends meanwhile."""
        return iter(tuple(self._executions.values()))

    def find(self, run_id: str, tenant: str | None = None) -> Execution | None:
        """The run's, if it is executed here, and of this tenant where one is given."""
        execution = self._executions.get(run_id)
        if execution is None or tenant not in (None, execution.run.ownership.tenant):
            return None
        return execution

    def runs(self) -> list[LiveRun]:
        """All of them."""
        return [execution.run for execution in self._executions.values()]

    def start(self, run: LiveRun, *, may_start: bool) -> Execution:
        """Executes a run. Not `may_start`: once its turn has come, which Postgres tells."""
        execution = self._register(run, may_start=may_start)
        execution.start()
        return execution

    def go_on(self, run: LiveRun) -> None:
        """Executes a run that has got its answers."""
        means = self._means()
        if earlier := self._executions.get(run.id):
            means.lose(earlier.run)  # interrupted a moment ago, and not in Redis yet
        self.start(run, may_start=True)
        means.submit(run)

    def adopt(self, run: LiveRun, cancel: CancelCause.ValueType | None) -> str:
        """Goes on with, or ends, a run of a replica that is gone; says which. `cancel`: somebody wanted its end."""
        if run.has_ended:
            self._register(run, may_start=False)
            tell(self._means().on_end, ended(run))
            self._means().submit(run)
            return "finished"
        self._means().gate.adopted(run.ownership)
        execution = self.start(run, may_start=not run.ownership.stored)
        if cancel is None and run.ownership.on_disconnect is OnDisconnect.CANCEL:
            cancel = CancelCause.CANCEL_CAUSE_DISCONNECTED
        if cancel is None:
            return "continued"
        execution.cancel(cancel)
        return "cancelled"

    def settled(self, run: LiveRun) -> None:
        """The run's end is in the log, or another replica owns it: nothing is left to do for it here."""
        execution = self._executions.get(run.id)
        if execution is None or execution.run is not run:
            return
        del self._executions[run.id]
        metrics.LIVE_RUNS.dec()
        if run.lost:
            execution.stop()
        if run.ownership.thread_id:
            self.look(run.ownership.thread_id)

    def look(self, thread_id: str) -> None:
        """A thread may be free: whoever waits for it here has to look."""
        for execution in self._executions.values():
            if execution.run.ownership.thread_id == thread_id:
                execution.look()

    def _register(self, run: LiveRun, *, may_start: bool) -> Execution:
        execution = Execution(run, self._means(), may_start=may_start, policy=self.policy)
        self._executions[run.id] = execution
        metrics.LIVE_RUNS.inc()
        return execution

    def _means(self) -> Means:
        assert self.means is not None, "given when the engine is put together"
        return self.means
