"""Files that settings name: texts, secrets and certificates. Whether what they say is sound is not
judged here.

No message shows a path that may be none: somebody may have put the secret itself there.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

SECRET_FILE = "the path of a readable file that holds the secret"
_LARGEST_SECRET = 64 * 1024  # characters


@dataclass
class Unreadable(Exception):
    """There is nothing to be had from a file; `problem` says why, and quotes nothing."""

    problem: str


def read_text(
    path: Path, most: int | None = None, newline: str | None = None, *, again: bool = False
) -> str:
    """The file's text, of so many characters at most; `newline` as `open` has it. One that is read
    `again` and again is no pipe, whose writer may never come.

    Raises Unreadable in words that fit behind "a file that", as "is not UTF-8".
    """
    try:
        if again and path.is_fifo():
            raise Unreadable("is a pipe")
        with path.open(encoding="utf-8", newline=newline) as file:
            text = file.read(-1 if most is None else most + 1)
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8") from None
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "not a possible path"
        raise Unreadable(f"cannot be read: {reason}") from None
    if most is not None and len(text) > most:
        raise Unreadable("is too large")
    return text


def read_secret(path: object, folder: Path | None = None, *, again: bool = False) -> str:
    """The text of the file, its last line break aside; raises Unreadable. A relative path counts
    from `folder`, or from the current one."""
    if not isinstance(path, str) or not path:
        raise Unreadable("is not a path")
    try:
        text = read_text((folder or Path()) / path, _LARGEST_SECRET, "", again=again)
    except Unreadable as why:
        tried = _tried(path, folder) if "cannot be read" in why.problem else ""
        raise Unreadable(f"names a file that {why.problem}{tried}") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise Unreadable("names an empty file")
    return text


def is_readable(path: Path) -> bool:
    """Whether there is a file, and one that may be read."""
    try:
        if not path.is_file():  # to open a pipe would wait for its writer
            return False
        with path.open("rb"):
            return True
    except OSError:
        return False


def unusable(cert: Path, key: Path) -> str | None:
    """Why a certificate and its key (PEM files) cannot be used for TLS, None where they can; a
    file that cannot be read is somebody else's complaint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key with a passphrase would else be asked for on the terminal.
        context.load_cert_chain(cert, key, password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return "is not the key of the certificate"
        reason = (error.reason or "not readable as PEM").replace("_", " ").lower()
        return f"and its certificate cannot be used: {reason}"
    except OSError:
        return None
    return None


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
