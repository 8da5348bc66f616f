"""Guessing passwords made slow: failures counted by account and by account and address, here in this replica.

Counted whether or not there is such an account, so that the count tells nothing. A success does not wipe the account's
count, or a thief could wipe it with an account of their own tenant's; it just does not add to it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

PATIENCE: Final = 10
"""Failures of one account from one address before it has to wait; then one in PACE_S."""

ACCOUNT_PATIENCE: Final = 100
"""Failures of one account from anywhere; then as before. A stranger can slow down an owner's login, for hours not."""

PACE_S: Final = 6.0
LIMIT: Final = 50_000


class Attempts:
    """Failures leak away, one in PACE_S; whoever has too many open waits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # When the last of the open failures will have leaked away.
        self._empty_at: OrderedDict[Hashable, float] = OrderedDict()

    def wait_s(self, account: Hashable, address: str) -> float:
        """How long until another attempt is taken; 0: now."""
        now = self._clock()
        waits = [
            self._empty_at.get(key, now) - now - (patience - 1) * PACE_S for key, patience in _keys(account, address)
        ]
        return max(0.0, *waits)

    def failed(self, account: Hashable, address: str) -> None:
        """Counts one."""
        now = self._clock()
        for key, _ in _keys(account, address):
            at = max(self._empty_at.pop(key, now), now) + PACE_S
            while len(self._empty_at) >= LIMIT:
                self._empty_at.popitem(last=False)
            self._empty_at[key] = at


def _keys(account: Hashable, address: str) -> tuple[tuple[Hashable, int], ...]:
    return ((account, address), PATIENCE), (account, ACCOUNT_PATIENCE)
