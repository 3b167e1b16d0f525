"""Can a certificate and its key be used for TLS? Nothing is served from here."""

from __future__ import annotations

import ssl
from pathlib import Path


def unusable(cert: Path, key: Path) -> str | None:
    """Why the pair (PEM files) cannot be used, None where it can; a file that cannot be read is
    somebody else's complaint."""
    # A key with a passphrase would else be asked for on the terminal.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key, password=lambda: b"")
    except ssl.SSLError as error:
        return _told(error)
    except OSError:
        return None
    return None


def _told(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "is not the key of the certificate"
    reason = error.reason or "not readable as PEM"
    return f"and its certificate cannot be used: {reason.replace('_', ' ').lower()}"
