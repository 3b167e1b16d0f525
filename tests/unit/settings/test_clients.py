"""The clients file: what it says, and every way in which it can be wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.core.access.caller import Client, Tenant, digest_of
from gateway.core.budget.window_log import Rate
from gateway.settings import ClientsGiven, SettingsFault, clients_file
from gateway.settings.access_files import RereadFile
from tests.unit.settings.asking import complaints, from_variables

USUAL = Rate(100, 60.0)
ONE, TWO = digest_of("gw_one"), digest_of("gw_two")
TENANT = '[[tenants]]\nname = "acme"\nupstream_token = "T-ACME"\n'
CLIENT = f'[[clients]]\nname = "web"\nkey_sha256 = "{ONE}"\ntenant = "acme"\n'
SECRET = "gw_S3CRET-S3CRET-S3CRET-S3CRET-S3CRET-S3CRET"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where it stands."""
    return tmp_path / "clients.toml"


def faults(path: Path, text: str) -> list[str]:
    """What is said of a file with this text, the setting's name left out."""
    path.write_text(text)
    with pytest.raises(SettingsFault) as caught:
        clients_file(path, USUAL).given()
    told = [str(fault) for fault in caught.value.faults]
    assert all(line.startswith("access.clients_file: ") for line in told)
    return [line.removeprefix("access.clients_file: ") for line in told]


def test_it_names_tenants_and_clients(path: Path, tmp_path: Path) -> None:
    """A key or several, a token or its file, and what each may spend."""
    (tmp_path / "token").write_text("T-GLOBEX\n")
    path.write_text(
        f'{TENANT}rate_limit = "7/second"\n'
        f'[[tenants]]\nname = "globex"\nupstream_token_file = "{tmp_path / "token"}"\n'
        f'[[tenants]]\nname = "free"\nupstream_token = "T"\nrate_limit = "unlimited"\n'
        f'{CLIENT}rate_limit = "5/second"\n'
        f'[[clients]]\nname = "cron"\nkey_sha256 = ["{TWO.upper()}"]\ntenant = "globex"\n'
    )

    given = clients_file(path, USUAL).given()

    assert given.tenants == (
        Tenant("acme", "T-ACME", Rate(7, 1.0)),
        Tenant("globex", "T-GLOBEX", USUAL),
        Tenant("free", "T", None),
    )
    assert given.clients == (
        Client("web", (ONE,), "acme", Rate(5, 1.0)),
        Client("cron", (TWO,), "globex", None),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TENANT, "clients: is missing"),
        (CLIENT, "tenants: is missing"),
        (f"{TENANT}[clients]\n", "clients: is not a list of tables"),
        (f"tenants = 1\n{CLIENT}", "tenants: is not a list of tables"),
        (f"{TENANT}{CLIENT}[other]\n", "other: is not known here"),
        (f"{TENANT}colour = 1\n{CLIENT}", "tenants[1].colour: is not known here"),
        (f"{TENANT}{CLIENT}keys = 1\n", "clients[1].keys: is not known here"),
        (TENANT.replace('"acme"', '"a b"') + CLIENT, "tenants[1].name: is not a name"),
        (f"{TENANT}{CLIENT.replace('web', SECRET)}", "clients[1].name: is not a name"),
        (f"{TENANT}{CLIENT.replace('web', TWO)}", "clients[1].name: is not a name"),
        (
            f"{TENANT}{TENANT}{CLIENT}",
            "tenants[2].name: is also the name of an earlier [[tenants]] table",
        ),
        (
            f"{TENANT}{CLIENT}{CLIENT.replace(ONE, TWO)}",
            "clients[2].name: is also the name of an earlier [[clients]] table",
        ),
        (f'{TENANT}upstream_token_file = "x"\n{CLIENT}', "tenants[1]: has two upstream tokens"),
        (f'[[tenants]]\nname = "acme"\n{CLIENT}', "tenants[1]: has no upstream token"),
        (
            TENANT.replace("T-ACME", "a b") + CLIENT,
            "tenants[1].upstream_token: has a character that is a space",
        ),
        (
            TENANT.replace("upstream_token", "upstream_token_file") + CLIENT,
            "tenants[1].upstream_token_file: names a file that cannot be read",
        ),
        (TENANT.replace('name = "acme"', "") + CLIENT, "tenants[1].name: is missing"),
        (f"{TENANT}[[clients]]\n", "clients[1].key_sha256: is missing"),
        (f'{TENANT}rate_limit = "fast"\n{CLIENT}', "tenants[1].rate_limit: is not a rate"),
        (f"{TENANT}{CLIENT}rate_limit = 5\n", "clients[1].rate_limit: is not a rate"),
        (f"{TENANT}rate_limit = 2026-11-29\n{CLIENT}", "tenants[1].rate_limit: is not a rate"),
        (f"{TENANT}{CLIENT}rate_limit = 07:30:00\n", "clients[1].rate_limit: is not a rate"),
        (
            TENANT.replace('"T-ACME"', "2026-11-29") + CLIENT,
            "tenants[1].upstream_token: is not a token",
        ),
        (
            TENANT.replace('upstream_token = "T-ACME"', "upstream_token_file = 2026-11-29")
            + CLIENT,
            "tenants[1].upstream_token_file: is not a path",
        ),
        (f"{TENANT}{CLIENT.replace(ONE, SECRET)}", "clients[1].key_sha256: is not a SHA"),
        (
            TENANT + CLIENT.replace(f'"{ONE}"', f'["{ONE}", 7]'),
            "clients[1].key_sha256: is not a SHA",
        ),
        (TENANT + CLIENT.replace(f'"{ONE}"', "[]"), "clients[1].key_sha256: is not a SHA"),
        (
            f"{TENANT}{CLIENT}{CLIENT.replace('web', 'cron').replace(ONE, ONE.upper())}",
            "clients[2].key_sha256: has a SHA-256 that occurs earlier in the file",
        ),
        (
            f"{TENANT}{CLIENT.replace('acme', 'none')}",
            "clients[1].tenant: is not the name of a tenant",
        ),
        (TENANT + CLIENT.replace('"acme"', "1"), "clients[1].tenant: is not a name"),
        (f"{TENANT}{CLIENT}name", "names a file that is not TOML (at "),
        ("a = " + "[" * 4000, "names a file that is nested too deeply"),
        (
            ".".join("a" * 10_000) + " = 1",
            "names a file that has a line of more than 4,096 characters",
        ),
        ("#\n" * 600_000, "names a file that is too large"),
        ("", "tenants: is missing"),
    ],
)
def test_each_fault_is_told_by_its_place(path: Path, text: str, told: str) -> None:
    """With what is wanted instead, and never with what stands there."""
    lines = faults(path, text)

    assert [line for line in lines if line.startswith(told)]
    assert all("(wanted: " in line for line in lines)
    assert SECRET not in "".join(lines)
    assert ONE not in "".join(lines)


def test_all_faults_are_told_together(path: Path) -> None:
    """One start, one list."""
    text = f"{TENANT}x = 1\n{CLIENT}y = 1\n[[clients]]\n"

    assert [line.partition(": ")[0] for line in faults(path, text)] == [
        "tenants[1].x",
        "clients[1].y",
        "clients[2].name",
        "clients[2].key_sha256",
        "clients[2].tenant",
    ]


@pytest.mark.parametrize(
    "text",
    [
        f'{SECRET} = "x"\n{TENANT}{CLIENT}',
        f'{TENANT}{CLIENT}{SECRET} = "x"\n',
        f'{TENANT}{CLIENT}tenant = "{SECRET}"\n',
        f'{TENANT}{CLIENT}rate_limit = "{SECRET}"\n',
        f"{TENANT}{CLIENT}[{SECRET}]\n[{SECRET}]\n",
        TENANT.replace("T-ACME", f"{SECRET} {SECRET}") + CLIENT,
        TENANT.replace('upstream_token = "T-ACME"', f'upstream_token_file = "{SECRET}"') + CLIENT,
    ],
)
def test_no_message_shows_a_secret(path: Path, text: str) -> None:
    """Wherever somebody put it by mistake."""
    assert SECRET not in "".join(faults(path, text))


def test_a_file_that_cannot_be_read_is_a_fault(path: Path) -> None:
    """As one that is not UTF-8."""
    with pytest.raises(SettingsFault, match="cannot be read: No such file"):
        clients_file(path, USUAL).given()
    path.write_bytes(b"\xff")
    with pytest.raises(SettingsFault, match="is not UTF-8"):
        clients_file(path, USUAL).given()


def test_the_start_judges_the_file(path: Path) -> None:
    """Together with the other settings, and only where it is used."""
    path.write_text(TENANT + CLIENT)
    from_variables(access__mode="clients", access__clients_file=str(path))
    path.write_text(CLIENT)

    told = complaints(
        access__mode="clients", access__clients_file=str(path), upstream__timeout="never"
    )

    assert [line.partition(" ")[0] for line in told] == [
        "upstream.timeout:",
        "access.clients_file:",
        "access.clients_file:",
    ]
    assert "never be used" in complaints(access__clients_file=str(path))[0]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A sound file, whose tenant has its token in a file of its own."""
    (tmp_path / "token").write_text("T-one\n")
    kept = tmp_path / "clients.toml"
    kept.write_text(
        f'[[tenants]]\nname = "acme"\nupstream_token_file = "{tmp_path / "token"}"\n'
        f'[[clients]]\nname = "web"\nkey_sha256 = "{ONE}"\ntenant = "acme"\n'
    )
    return kept


@pytest.fixture
def file(kept: Path) -> RereadFile[ClientsGiven]:
    """Looked at once."""
    file = clients_file(kept, None)
    file.look()
    return file


def told(file: RereadFile[ClientsGiven]) -> str:
    """What is wrong with it."""
    found = file.look()
    assert isinstance(found, SettingsFault)
    return str(found)


def token(file: RereadFile[ClientsGiven]) -> str:
    """The one tenant's."""
    found = file.look()
    assert isinstance(found, ClientsGiven)
    return found.tenants[0].token


def test_a_file_that_did_not_change_is_not_parsed_again(
    file: RereadFile[ClientsGiven], kept: Path
) -> None:
    """Sound or not, what was found is found again as it is."""
    assert file.look() is file.look()

    kept.write_text("what = 1")

    assert file.look() is file.look()
    assert isinstance(file.look(), SettingsFault)


def test_a_look_opens_nothing_that_did_not_change(
    file: RereadFile[ClientsGiven], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stat of each file is enough."""
    opened: list[Path] = []
    monkeypatch.setattr(Path, "open", lambda self, *_, **__: opened.append(self))

    for _ in range(50):
        file.look()

    assert opened == []


def test_the_token_in_a_file_of_its_own_is_read_once_it_changes(
    file: RereadFile[ClientsGiven], kept: Path
) -> None:
    """Also one that could not be read before."""
    assert token(file) == "T-one"

    (kept.parent / "token").unlink()
    assert "tenants[1].upstream_token_file: names a file that cannot be read" in told(file)

    (kept.parent / "token").write_text("T-two\n")
    assert token(file) == "T-two"


def test_a_file_that_comes_back_is_found_again(file: RereadFile[ClientsGiven], kept: Path) -> None:
    """With the same text as before, or another."""
    text = kept.read_text()
    kept.unlink()
    assert "names a file that cannot be read" in told(file)

    kept.write_text(text)

    assert token(file) == "T-one"


def test_a_link_that_is_swapped_is_followed(file: RereadFile[ClientsGiven], kept: Path) -> None:
    """As Kubernetes does it, folder and all."""
    (kept.parent / "other.toml").write_text(kept.read_text().replace("acme", "globex"))
    kept.unlink()
    kept.symlink_to(kept.parent / "other.toml")

    found = file.look()

    assert isinstance(found, ClientsGiven)
    assert found.tenants[0].name == "globex"


@pytest.mark.parametrize("name", ["clients.toml", "token"])
def test_a_pipe_is_not_waited_for(file: RereadFile[ClientsGiven], kept: Path, name: str) -> None:
    """A look that never ends would be the last, and would hold up the end of the process."""
    (kept.parent / name).unlink()
    os.mkfifo(kept.parent / name)

    assert "names " in told(file)


def test_a_folder_in_its_place_is_a_fault(file: RereadFile[ClientsGiven], kept: Path) -> None:
    """And nothing else."""
    kept.unlink()
    kept.mkdir()

    assert "access.clients_file: names a file that cannot be read: Is a directory" in told(file)
