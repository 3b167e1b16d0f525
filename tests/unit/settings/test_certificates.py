"""Certificates and keys: which pairs can be used, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.settings.certificates import unusable


class Files:
    """Two certificates with their keys, as PEM files."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.folder = folder
        self.cert, self.key = self._written("one", authority.issue_cert("localhost"))
        self.other_cert, self.other_key = self._written("two", authority.issue_cert("localhost"))

    def text(self, name: str, content: bytes) -> Path:
        """A file of that content."""
        path = self.folder / name
        path.write_bytes(content)
        return path

    def _written(self, name: str, pair: trustme.LeafCert) -> tuple[Path, Path]:
        chain = b"".join(blob.bytes() for blob in pair.cert_chain_pems)
        key = self.text(f"{name}.key", pair.private_key_pem.bytes())
        return self.text(f"{name}.crt", chain), key


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Made once: keys cost time."""
    return Files(tmp_path_factory.mktemp("tls"))


def test_a_pair_can_be_used(files: Files) -> None:
    """The certificate and the key that belongs to it."""
    assert unusable(files.cert, files.key) is None


def test_the_key_of_another_certificate_cannot(files: Files) -> None:
    """The usual mistake when certificates are renewed."""
    assert unusable(files.cert, files.other_key) == "is not the key of the certificate"


def test_what_is_no_pem_cannot(files: Files) -> None:
    """Whichever of the two it is."""
    junk = files.text("junk", b"hello")

    assert "cannot be used" in str(unusable(junk, files.key))
    assert "cannot be used" in str(unusable(files.cert, junk))


def test_a_key_with_a_passphrase_cannot_and_nobody_is_asked(files: Files) -> None:
    """A service has no terminal; and where it has one, the start would hang."""
    encryption = BestAvailableEncryption(b"hunter2")
    key = load_pem_private_key(files.key.read_bytes(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)

    assert "cannot be used" in str(unusable(files.cert, files.text("locked", pem)))


def test_a_file_that_is_not_there_is_somebody_elses_complaint(files: Files) -> None:
    """One fault, one line."""
    assert unusable(files.folder / "none", files.key) is None
