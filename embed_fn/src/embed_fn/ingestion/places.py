"""How many may do something at once, fair between tenants."""

import asyncio
from collections import Counter, deque
from types import TracebackType


class Places:
    """A fixed number of places. One that becomes free goes to the waiting tenant that has fewest, then to who has
    waited longest. The last of them are never one tenant's alone: the next one to come need not wait for the first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._most_of_one = max(most - most // 4, 1)
        self._held: Counter[str] = Counter()
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()

    async def take(self, tenant: str) -> "Place":
        """Waits for a place. It is held until its `with` block, or whatever else it is entered in, is left."""
        promise = asyncio.get_running_loop().create_future()
        self._waiting.append((tenant, promise))
        self._give()
        try:
            await promise
        except asyncio.CancelledError:
            if not promise.cancelled():
                self.release(tenant)  # given in the same moment
            raise
        return Place(self, tenant)

    def release(self, tenant: str) -> None:
        """For Place."""
        self._held[tenant] -= 1
        if not self._held[tenant]:
            del self._held[tenant]
        self._give()

    def _give(self) -> None:
        while self._held.total() < self._most:
            self._waiting = deque(entry for entry in self._waiting if not entry[1].done())
            allowed = [entry for entry in self._waiting if self._held[entry[0]] < self._most_of_one]
            if not allowed:
                return
            tenant, promise = min(allowed, key=lambda entry: self._held[entry[0]])
            self._held[tenant] += 1
            promise.set_result(None)


class Place:
    """One that is held."""

    def __init__(self, places: Places, tenant: str) -> None:
        self._places = places
        self._tenant = tenant

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._places.release(self._tenant)
