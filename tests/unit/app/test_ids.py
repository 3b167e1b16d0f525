"""Ids of requests."""

from __future__ import annotations

import re
from itertools import islice

from gateway.app.clock import ids


def test_ids_differ_and_have_one_form() -> None:
    """Also beyond those that are made at once, and from another source of them."""
    made = [*islice(ids(), 1_000), *islice(ids(), 1_000)]

    assert len(set(made)) == 2_000
    assert all(re.fullmatch(b"[0-9a-f]{32}", each) for each in made)
