"""`config/gateway.toml` shows every setting with its default and its effect."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from gateway.core.clients import digest_of
from gateway.settings import Settings, describe, load

FILE = Path(__file__).parents[3] / "config" / "gateway.toml"
SECTION = re.compile(r"\[(?P<section>\w+)\]")
SETTING = re.compile(r"(?P<unset># )?(?P<name>\w+) = (?P<value>.+)")


@dataclass(frozen=True, slots=True)
class Shown:
    name: str
    default_text: str
    effect: str


def test_the_file_shows_every_setting_with_default_and_effect() -> None:
    """The same settings in the same order; what is unset is commented out."""
    described = [
        Shown(
            info.name, info.default_text, f"{info.effect} (secret)" if info.secret else info.effect
        )
        for info in describe()
    ]

    shown = _shown(FILE.read_text(encoding="utf-8"))
    assert [each.name for each in shown] == [each.name for each in described]
    assert shown == described


def test_the_file_gives_exactly_the_defaults() -> None:
    """Starting with it and starting without it is the same."""
    assert load(FILE, {}) == Settings()


def test_the_file_still_loads_with_what_is_commented_out(tmp_path: Path) -> None:
    """The examples are examples of something that works, placeholders and files aside."""
    text = re.sub(r"^# (?=(?:mode|clients_file|url|format) = )", "", FILE.read_text(), flags=re.M)
    clients, path = tmp_path / "clients.toml", tmp_path / "gateway.toml"
    clients.write_text(
        '[[tenants]]\nname = "acme"\nupstream_token = "t"\n'
        f'[[clients]]\nname = "web"\ntenant = "acme"\nkey_sha256 = "{digest_of("gw_1")}"\n'
    )
    path.write_text(text.replace('"clients.toml"', f'"{clients}"'))

    assert load(path, {}).access.clients_file == clients


def _shown(text: str) -> list[Shown]:
    found: list[Shown] = []
    comment: list[str] = []
    section = ""
    for line in text.splitlines():
        if match := SECTION.fullmatch(line):
            section, comment = match["section"], []
        elif match := SETTING.fullmatch(line):
            default = "unset" if match["unset"] else _text(match["value"])
            found.append(Shown(f"{section}.{match['name']}", default, " ".join(comment)))
            comment = []
        else:
            comment.append(line.removeprefix("# "))
    return found


def _text(literal: str) -> str:
    value = tomllib.loads(f"value = {literal}")["value"]
    return value if isinstance(value, str) else literal
