"""The tokens file: what it says, and every way in which it can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.access.caller import digest_of
from gateway.core.access.operators import Operator
from gateway.core.vocabulary import Right
from gateway.settings import SettingsFault, TokensGiven, tokens_file
from tests.unit.settings.asking import complaints

ONE, TWO = digest_of("one"), digest_of("two")
TOKEN = f'[[tokens]]\nname = "pipeline"\nsha256 = "{ONE}"\nmay = ["invalidate"]\n'
SECRET = "gw_admin_S3CRET-S3CRET-S3CRET-S3CRET-S3CRET"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where it stands."""
    return tmp_path / "tokens.toml"


def test_it_names_operators(path: Path) -> None:
    """A digest or several, and what the token may."""
    path.write_text(
        f'{TOKEN}[[tokens]]\nname = "on-call"\nsha256 = ["{TWO.upper()}", "{digest_of("3")}"]\n'
        'may = ["read", "invalidate", "purge", "mode"]\n'
    )

    assert tokens_file(path).given() == TokensGiven(
        (
            Operator("pipeline", (ONE,), frozenset({Right.INVALIDATE})),
            Operator("on-call", (TWO, digest_of("3")), frozenset(Right)),
        )
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "tokens: is missing"),
        ("[tokens]\n", "tokens: is not a list of tables"),
        (f"{TOKEN}[other]\n", "other: is not known here"),
        (f"{TOKEN}token = 1\n", "tokens[1].token: is not known here"),
        (TOKEN.replace("pipeline", SECRET), "tokens[1].name: is not a name"),
        (TOKEN.replace("pipeline", "admin.token"), "tokens[1].name: is reserved"),
        (TOKEN.replace("pipeline", "loopback"), "tokens[1].name: is reserved"),
        (TOKEN.replace(ONE, SECRET), "tokens[1].sha256: is not a SHA-256"),
        (TOKEN.replace('"invalidate"', '"everything"'), "tokens[1].may: is not a list of rights"),
        (TOKEN.replace('["invalidate"]', '"invalidate"'), "tokens[1].may: is not a list of rights"),
        (TOKEN.replace('["invalidate"]', "[]"), "tokens[1].may: is not a list of rights"),
        ('[[tokens]]\nname = "a"\n', "tokens[1].sha256: is missing"),
        (
            f"{TOKEN}{TOKEN.replace('pipeline', 'other')}",
            "tokens[2].sha256: has a SHA-256 that occurs earlier in the file",
        ),
        (
            f"{TOKEN}{TOKEN.replace(ONE, TWO)}",
            "tokens[2].name: is also the name of an earlier [[tokens]] table",
        ),
        ("[[tokens", "names a file that is not TOML"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(path: Path, text: str, told: str) -> None:
    """And what was written is not shown."""
    path.write_text(text)
    with pytest.raises(SettingsFault) as caught:
        tokens_file(path).given()

    said = [str(fault) for fault in caught.value.faults]
    assert any(line.startswith(f"admin.tokens_file: {told}") for line in said), said
    assert not any(SECRET in line or ONE in line for line in said)


def test_the_start_names_its_faults(path: Path) -> None:
    """With those of the other settings, in one message; and a file that is not there."""
    path.write_text("")
    found = complaints(admin__tokens_file=str(path))
    assert found == ["admin.tokens_file: tokens: is missing (wanted: at least one [[tokens]])"]

    gone = complaints(admin__tokens_file=str(path.with_name("gone")))
    assert len(gone) == 1
    assert "admin.tokens_file: names no readable file" in gone[0]
