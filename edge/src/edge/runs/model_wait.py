"""Where runs wait for a model server that is not there: it sleeps and is being woken, or moves to another node."""

import asyncio
import random
from typing import Final

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import MODEL_AWAY, DormouseError

SUBJECT: Final = "models"
"""What a client is told to wait for."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 5.0
PER_RUN_S: Final = 0.1
"""Each run that waits makes the others look less often by so much: together they look ten times a second."""


class ModelWait:
    """The runs of one replica that wait. Each looks now and then; the first that finds the models tells the others."""

    def __init__(self, patience_s: float) -> None:
        """patience_s: how long one run waits in all; 0: none does."""
        self.patience_s = patience_s
        self._waiting = 0
        self._came = asyncio.Event()

    def is_for(self, error: DormouseError) -> bool:
        """Whether this is what runs wait for."""
        return self.patience_s > 0 and MODEL_AWAY.items() <= error.details.items()

    async def pause(self, waited_s: float, looks: int) -> None:
        """Returns when it is time to look again. waited_s, looks: what the run has done so far.

        Raises MODEL_UNAVAILABLE when it has waited long enough.
        """
        left_s = self.patience_s - waited_s
        if left_s <= 0:
            raise DormouseError(
                ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE,
                f"The models were asleep or away and did not come within {self.patience_s:.0f} s. Try again later; "
                "whoever runs the platform should look whether a node for them can be had.",
            )
        self._waiting += 1
        pause_s = min(FIRST_PAUSE_S * 2 ** min(looks, 10), LONGEST_PAUSE_S) * random.uniform(0.8, 1)  # noqa: S311 - to spread them
        try:
            async with asyncio.timeout(min(max(pause_s, self._waiting * PER_RUN_S), left_s)):
                await self._came.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting -= 1

    def found(self) -> None:
        """The models are there: whoever waits need not."""
        came, self._came = self._came, asyncio.Event()
        came.set()
