"""Loading settings as an operator gives them, and what is said of the faulty ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import Settings, SettingsFault, load


def variables(**values: str) -> dict[str, str]:
    """`server__port="1"` as the variable GATEWAY_SERVER__PORT."""
    return {f"GATEWAY_{name.upper()}": value for name, value in values.items()}


def from_variables(**values: str) -> Settings:
    """The settings of these variables alone."""
    return load(None, variables(**values))


def from_toml(folder: Path, text: str, **values: str) -> Settings:
    """The settings of a file with this text, and these variables over it."""
    path = folder / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, variables(**values))


def complaints(**values: str) -> list[str]:
    """The lines that these variables are refused with."""
    with pytest.raises(SettingsFault) as caught:
        from_variables(**values)
    return [str(fault) for fault in caught.value.faults]


def complaints_about(folder: Path, text: str, **values: str) -> list[str]:
    """The lines that a file with this text, and these variables over it, are refused with."""
    with pytest.raises(SettingsFault) as caught:
        from_toml(folder, text, **values)
    return [str(fault) for fault in caught.value.faults]
