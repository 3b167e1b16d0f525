"""The schema as a table."""

from __future__ import annotations

from gateway.settings.declared import DECLARED, SECRETS, SECTIONS, setting_of


def test_every_setting_has_a_kind_and_an_effect() -> None:
    """Nothing is declared without the words that operators read."""
    assert [key for key, each in DECLARED.items() if not each.effect or not each.kind.wanted] == []


def test_sections_are_in_the_order_of_the_contract() -> None:
    """The file, the start log and the faults follow it; `limits` is ours."""
    assert " ".join(SECTIONS) == "server admin upstream access freshness l1 redis sweep log limits"


def test_the_secrets_are_those_of_the_contract() -> None:
    """Each of them may come from a file."""
    assert SECRETS == ("admin.token", "upstream.token", "access.secret", "redis.url")


def test_the_file_of_a_secret_is_about_the_secret() -> None:
    """But a setting that merely ends in _file is its own."""
    assert setting_of("upstream.token_file") == "upstream.token"
    assert setting_of("access.clients_file") == "access.clients_file"
