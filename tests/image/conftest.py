"""One image for all tests of it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator

import pytest

import gateway
from tests.image.containers import BASE, IMAGE, Store, missing


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that holds the image, built from the tree."""
    if absent := missing():
        pytest.skip(f"building an image needs {', '.join(absent)}; .ci/servers says how")
    folder = tmp_path_factory.mktemp("images")
    made = Store(folder)
    made.make_base()
    made.make_image(gateway.__version__)
    sizes = {name: made.inspect(name)["Size"] // 10**6 for name in (BASE, IMAGE)}
    logging.info("image %d MB, of which the base %d MB", sizes[IMAGE], sizes[BASE])
    yield made
    shutil.rmtree(folder)
