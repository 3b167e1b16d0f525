"""`config/gateway.toml` shows every setting with its default and its effect."""

from __future__ import annotations

import json
import re
from pathlib import Path

from gateway.core.access.caller import digest_of
from gateway.settings import Settings, effective, load
from gateway.settings.schema import KINDS, SECRETS
from tests.support.config_file import FILE, SECRET, UNSET, shown


def test_the_file_shows_every_setting_with_its_default() -> None:
    """The same settings in the same order; what is unset is commented out."""
    defaults = {
        name: UNSET if value is None else value if isinstance(value, str) else json.dumps(value)
        for name, value in effective(Settings()).items()
    }
    # What unset means there depends on `upstream.token`.
    defaults["access.mode"] = UNSET

    assert [(each.name, each.default_text) for each in shown()] == list(defaults.items())


def test_the_file_says_what_each_setting_does() -> None:
    """In a comment above it, and whether it is a secret."""
    assert [each.name for each in shown() if not each.effect.removesuffix(SECRET)] == []
    assert tuple(each.name for each in shown() if each.effect.endswith(SECRET)) == SECRETS
    assert [name for name, kind in KINDS.items() if not kind.wanted] == []


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
