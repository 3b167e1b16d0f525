"""Reads the files that settings name: texts, secrets and certificates.

By mistake, an operator can write a secret where its path is needed. So messages show this text only
if it is certainly a path.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

SECRET_FILE = "the path of a readable file that holds the secret"
_LARGEST_SECRET = 64 * 1024  # characters


@dataclass
class Unreadable(Exception):
    """A file cannot be used. `problem` quotes nothing of the file."""

    problem: str


def read_text(
    path: Path, most: int | None = None, newline: str | None = None, *, again: bool = False
) -> str:
    """The text of the file. Raises Unreadable. Its `problem` does not name the file: "is too
    large".

    most   the most characters (None: no bound)
    again  the file is read many times. A pipe is then refused, because the second read would wait
           for a writer
    """
    try:
        if again and path.is_fifo():
            raise Unreadable("is a pipe")
        with path.open(encoding="utf-8", newline=newline) as file:
            text = file.read(-1 if most is None else most + 1)
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8") from None
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "the path is not valid"
        raise Unreadable(f"cannot be read: {reason}") from None
    if most is not None and len(text) > most:
        raise Unreadable("is too large")
    return text


def read_secret(path: object, folder: Path | None = None, *, again: bool = False) -> str:
    """The text of the file without its last line break. A relative path starts at `folder` (None:
    the current folder). Raises Unreadable."""
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
    """Whether this is a file that can be read."""
    try:
        if not path.is_file():  # opening a pipe would wait for its writer
            return False
        with path.open("rb"):
            return True
    except OSError:
        return False


def unusable(cert: Path, key: Path) -> str | None:
    """Why a certificate and its key (PEM files) cannot be used for TLS. None if they can, or if a
    file cannot be read (another check reports this)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without `password`, OpenSSL would ask for a passphrase on the terminal.
        context.load_cert_chain(cert, key, password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return "is not the key of the certificate"
        reason = (error.reason or "not readable as PEM").replace("_", " ").lower()
        return f"the key or its certificate cannot be used: {reason}"
    except OSError:
        return None
    return None


def unusable_authorities(authorities: Path) -> str | None:
    """Why a PEM file of certificates cannot be used to check a server. None if it can."""
    try:
        ssl.create_default_context(cafile=authorities)
    except OSError as error:  # also ssl.SSLError
        reason = (getattr(error, "reason", None) or "not readable as PEM").replace("_", " ").lower()
        return f"names a file that cannot be used: {reason}"
    return None


def _tried(path: str, folder: Path | None) -> str:
    """The end of a message: where the gateway searched for the file.

    `path` can be a secret. So it is shown only if it names a folder that exists, other than `/`. If
    it names no folder, only the folder that was searched is shown.
    """
    tried = (folder or Path()).joinpath(path).absolute()
    named = Path(path).parent
    if named == Path():
        return f", in {tried.parent}"
    try:
        is_there = named != Path(named.anchor) and tried.parent.is_dir()
    except (OSError, ValueError):
        return ""
    return f", {tried}" if is_there else ""
