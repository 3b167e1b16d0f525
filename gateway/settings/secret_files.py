"""Files that hold one secret each, as orchestrators mount them. Whether it is sound is not judged.

No message shows a path that may be none: somebody may have put the secret itself there.
"""

from __future__ import annotations

from pathlib import Path

from gateway.settings.faults import Fault

_LARGEST = 64 * 1024
_WANTED = "the path of a readable file that holds the secret"


class Unreadable(Exception):
    """There is no secret to be had from the file; `fault` says why, under the name given."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def read_secret(name: str, path: object, folder: Path | None = None) -> str:
    """The text of the file, its last line break aside; raises Unreadable. A relative path counts
    from `folder`, or from the current one."""
    if not isinstance(path, str) or not path:
        raise Unreadable(Fault(name, "is not a path", _WANTED))
    try:
        with (folder or Path()).joinpath(path).open(encoding="utf-8", newline="") as file:
            text = file.read(_LARGEST + 1)
    except UnicodeDecodeError:
        raise Unreadable(Fault(name, "names a file that is not UTF-8", _WANTED)) from None
    except (OSError, ValueError) as error:
        problem = f"names a file that cannot be read: {reason(error)}{_tried(path, folder)}"
        raise Unreadable(Fault(name, problem, _WANTED)) from None
    text = text.removesuffix("\n").removesuffix("\r")
    if 0 < len(text) <= _LARGEST:
        return text
    problem = "names a file that is too large" if text else "names an empty file"
    raise Unreadable(Fault(name, problem, "a file that holds the secret alone"))


def reason(error: OSError | ValueError) -> str:
    """Why a file cannot be read, without its name."""
    return (isinstance(error, OSError) and error.strerror) or "not a possible path"


def _tried(path: str, folder: Path | None) -> str:
    """Where it was looked for: a name in a folder that is there is no secret."""
    tried = (folder or Path()).joinpath(path).absolute()
    named = Path(path).parent
    if named == Path():
        return f", in {tried.parent}"
    try:
        is_there = named != Path(named.anchor) and tried.parent.is_dir()
    except (OSError, ValueError):
        return ""
    return f", {tried}" if is_there else ""
