"""How much there is here that may need a model: what a pool of GPUs that sleeps is woken by."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from .metrics import MODEL_DEMAND

HOLD_S: Final = 30.0
"""So long something that has ended still counts as one: whoever asks does so every few seconds, and most is shorter."""


class ModelDemand:
    """Counts runs, embeddings, searches and files in work on this replica. Questions about models count nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open = 0
        self._runs: Callable[[], int] = lambda: 0
        self._ended_at = float("-inf")

    def publish(self, runs: Callable[[], int]) -> None:
        """Shows the figure as a metric from now on. runs: how many have not ended here, those that wait included."""
        self._runs = runs
        MODEL_DEMAND.set_function(self.value)

    @contextmanager
    def during(self) -> Iterator[None]:
        """Counts one for as long as the context lasts."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            self.ended()

    def ended(self, what: object = None) -> None:
        """Something that may have needed a model has ended, or is left to somebody else."""
        self._ended_at = self._clock()

    def value(self) -> int:
        """0: nobody has needed a model for a while."""
        under_way = self._open + self._runs()
        return under_way or int(self._clock() - self._ended_at < HOLD_S)
