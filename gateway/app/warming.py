"""Whether the cache began empty and is still being filled: after a first start, or after Redis lost
its data. Many requests then need a call, and get 503; that is no fault that an operator can mend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

# A cache that is still not full after so many seconds is a fault, for example of the API.
LONGEST: Final = 600.0
# Where no sweep fills the cache, and there is no Redis, the requests of so many seconds fill it.
WITHOUT_SWEEP: Final = 300.0


class Warming:
    """Tells whether the cache is being filled, for `LONGEST` seconds at most.

    monotonic   returns seconds
    is_filling  whether the first sweep of an empty cache has not ended. Where no sweep fills the
                cache: None
    """

    def __init__(
        self, monotonic: Callable[[], float], is_filling: Callable[[], bool | None]
    ) -> None:
        self._monotonic = monotonic
        self._is_filling = is_filling
        self._started = monotonic()
        self._since: float | None = None

    def is_on(self, *, redis_up: bool | None) -> bool:
        """Whether the cache is being filled. Call this every few seconds. `redis_up` None: there is
        no Redis. While Redis is away, nothing is known about the cache in it."""
        now, is_filling = self._monotonic(), self._is_filling()
        if is_filling is None:
            return redis_up is None and now - self._started < WITHOUT_SWEEP
        if not is_filling or redis_up is False:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        return now - self._since < LONGEST
