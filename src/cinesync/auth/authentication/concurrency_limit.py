"""How many attempts run at the same time for one account or one address.

Attempts that run in parallel all pass the check of earlier failures before any of them has failed.
This limit bounds how many those are, and how many attempts wait in memory.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from cinesync.auth.credentials.passwords import HashersBusy

ADMITTED_MAX = 2_000


class ConcurrencyLimit:
    """Runs at most `width` attempts at a time for each name; the others wait."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._admitted = 0
        self._semaphores: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def slot(self, name: str) -> AsyncIterator[None]:
        """Wait for a slot. Raises HashersBusy when too many attempts run or wait already."""
        if self._admitted >= ADMITTED_MAX:
            raise HashersBusy(retry_after_seconds=2)
        semaphore = self._semaphores.get(name)
        if semaphore is None:
            semaphore = self._semaphores[name] = asyncio.Semaphore(self._width)
        self._admitted += 1
        try:
            async with semaphore:
                yield
        finally:
            self._admitted -= 1
