"""Files that settings name: secrets, certificates and keys."""

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

from gateway.settings.files import Unreadable, read_secret, unusable


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_line_break_at_its_end_is_no_part_of_it(tmp_path: Path, ending: str) -> None:
    """As editors and `echo` leave it."""
    path = tmp_path / "secret"
    path.write_bytes(f"a b {ending}".encode())

    assert read_secret(str(path)) == "a b "


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "empty"), (b"\xff", "UTF-8"), (b"x" * 70_000, "too large")],
)
def test_what_is_no_secret_is_told(tmp_path: Path, content: bytes, problem: str) -> None:
    """Without the path."""
    path = tmp_path / "secret"
    path.write_bytes(content)

    with pytest.raises(Unreadable, match=problem) as caught:
        read_secret(str(path))

    assert str(path) not in str(caught.value)


@pytest.mark.parametrize("path", [None, 7, "", "/none/such", "a\0b"])
def test_what_is_no_path_has_none(path: object) -> None:
    """Whatever was written there."""
    with pytest.raises(Unreadable, match=r"is not a path|cannot be read"):
        read_secret(path)


def test_the_path_that_was_tried_is_said(tmp_path: Path) -> None:
    """Where it is one beyond doubt: a name in a folder that is there."""
    (tmp_path / "secrets").mkdir()

    with pytest.raises(Unreadable, match=f"No such file or directory, {tmp_path}/secrets/token"):
        read_secret("secrets/token", tmp_path)
    with pytest.raises(Unreadable, match=f"No such file or directory, {tmp_path}/secrets/token"):
        read_secret(f"{tmp_path}/secrets/token")


@pytest.mark.parametrize("secret", ["hunter2", "/hunter2", "a/hunter2", "/no/hunter2"])
def test_a_secret_in_the_place_of_a_path_is_not_shown(tmp_path: Path, secret: str) -> None:
    """At most the folder is, from which its path would count."""
    with pytest.raises(Unreadable) as caught:
        read_secret(secret, tmp_path)

    assert "hunter2" not in str(caught.value)
    assert (str(tmp_path) in str(caught.value)) == (secret == "hunter2")


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
