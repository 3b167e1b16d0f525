"""Looking at the clients file again and again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.core.clients import digest_of
from gateway.settings import ClientsFile, ClientsGiven, SettingsFault

DIGEST = digest_of("one")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sound file, whose tenant has its token in a file of its own."""
    (tmp_path / "token").write_text("T-one\n")
    path = tmp_path / "clients.toml"
    path.write_text(
        f'[[tenants]]\nname = "acme"\nupstream_token_file = "{tmp_path / "token"}"\n'
        f'[[clients]]\nname = "web"\nkey_sha256 = "{DIGEST}"\ntenant = "acme"\n'
    )
    return path


@pytest.fixture
def file(path: Path) -> ClientsFile:
    """Looked at once."""
    file = ClientsFile(path, None)
    file.look()
    return file


def told(file: ClientsFile) -> str:
    """What is wrong with it."""
    found = file.look()
    assert isinstance(found, SettingsFault)
    return str(found)


def token(file: ClientsFile) -> str:
    """The one tenant's."""
    found = file.look()
    assert isinstance(found, ClientsGiven)
    return found.tenants[0].token


def test_a_file_that_did_not_change_is_not_parsed_again(file: ClientsFile, path: Path) -> None:
    """Sound or not, what was found is found again as it is."""
    assert file.look() is file.look()

    path.write_text("what = 1")

    assert file.look() is file.look()
    assert isinstance(file.look(), SettingsFault)


def test_the_token_in_a_file_of_its_own_is_read_at_every_look(
    file: ClientsFile, path: Path
) -> None:
    """Also one that could not be read before."""
    assert token(file) == "T-one"

    (path.parent / "token").unlink()
    assert "tenants[1].upstream_token_file: names a file that cannot be read" in told(file)

    (path.parent / "token").write_text("T-two\n")
    assert token(file) == "T-two"


def test_a_file_that_comes_back_is_found_again(file: ClientsFile, path: Path) -> None:
    """With the same text as before, or another."""
    text = path.read_text()
    path.unlink()
    assert "names a file that cannot be read" in told(file)

    path.write_text(text)

    assert token(file) == "T-one"


def test_a_link_that_is_swapped_is_followed(file: ClientsFile, path: Path) -> None:
    """As Kubernetes does it, folder and all."""
    (path.parent / "other.toml").write_text(path.read_text().replace("acme", "globex"))
    path.unlink()
    path.symlink_to(path.parent / "other.toml")

    found = file.look()

    assert isinstance(found, ClientsGiven)
    assert found.tenants[0].name == "globex"


@pytest.mark.parametrize("name", ["clients.toml", "token"])
def test_a_pipe_is_not_waited_for(file: ClientsFile, path: Path, name: str) -> None:
    """A look that never ends would be the last, and would hold up the end of the process."""
    (path.parent / name).unlink()
    os.mkfifo(path.parent / name)

    assert "names " in told(file)


def test_a_folder_in_its_place_is_a_fault(file: ClientsFile, path: Path) -> None:
    """And nothing else."""
    path.unlink()
    path.mkdir()

    assert "access.clients_file: names no file" in told(file)
