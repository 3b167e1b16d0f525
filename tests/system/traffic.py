"""Callers of two replicas, in a thread: as many requests as one may send without hurry."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Self

import httpx


class Traffic:
    """Asks for one training after the other until closed; `statuses` is what was answered.

    Each third request asks whether what it knows still holds.
    """

    def __init__(self, data: Sequence[str], credential: str, ids: Sequence[str]) -> None:
        self.statuses: Counter[int] = Counter()
        self._urls = [f"{url}/training/{each}" for each in ids for url in data]
        self._headers = {"Authorization": f"Bearer {credential}"}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask_on)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask_on(self) -> None:
        etags: dict[str, str] = {}
        with httpx.Client(headers=self._headers, trust_env=False, timeout=60) as client:
            for count, url in enumerate(itertools.cycle(self._urls)):
                known = {"If-None-Match": etags[url]} if url in etags and count % 3 == 0 else {}
                answer = client.get(url, headers=known)
                self.statuses[answer.status_code] += 1
                if "etag" in answer.headers:
                    etags[url] = answer.headers["etag"]
                if self._ended.wait(0.01):
                    return
