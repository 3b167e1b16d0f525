"""The rules of marks as bugs: without a rule, a history breaks a promise.

`plants.toml` has for each rule what it says, the history, and the bug: the text of a file that is
replaced by another.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]


class Plant(NamedTuple):
    """A rule, and the bug that leaves it out."""

    says: str
    file: str
    find: str
    put: str
    history: str


PLANTS = {
    name: Plant(**each)
    for name, each in tomllib.loads((FOLDER / "plants.toml").read_text()).items()
}


@contextmanager
def planted(plant: Plant) -> Iterator[None]:
    """Run with the bug. The functions that it changes get their old code back afterwards."""
    source = (ROOT / plant.file).read_text()
    assert source.count(plant.find) == 1, f"not one place in {plant.file}: {plant.find}"
    module = import_module(plant.file.removesuffix(".py").replace("/", "."))
    made = compile(source.replace(plant.find, plant.put), plant.file, "exec", dont_inherit=True)
    bugs = dict(_codes(made))
    written = [
        each
        for each in _functions(vars(module), module.__name__)
        if each.__code__.co_filename == module.__file__  # not made by `dataclass`
    ]
    kept = {each: each.__code__ for each in written}
    for function in written:
        function.__code__ = bugs[function.__qualname__]
    try:
        yield
    finally:
        for function, code in kept.items():
            function.__code__ = code


def _codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    """All code in a piece of code, by qualified name."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each.co_qualname, each
            yield from _codes(each)


def _functions(names: dict[str, object], module: str) -> Iterator[FunctionType]:
    """The functions, methods and properties that are written in the module."""
    for each in names.values():
        found = each.fget if isinstance(each, property) else each
        found = getattr(found, "__wrapped__", found)
        if isinstance(found, FunctionType) and found.__module__ == module:
            yield found
        elif isinstance(each, type) and each.__module__ == module:
            yield from _functions(dict(vars(each)), module)
