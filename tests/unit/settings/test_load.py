"""The file, the environment over it, the files of secrets; and all faults of them at once."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.settings import Settings, SettingsFault, clients_file, load, misspelt
from tests.unit.settings.asking import (
    complaints,
    complaints_about,
    from_toml,
    variables,
)


def test_nothing_given_means_the_defaults() -> None:
    """The gateway starts without a file and without a variable."""
    assert load(None, {}) == Settings()


def test_all_faults_are_told_together_in_the_order_of_the_schema(tmp_path: Path) -> None:
    """From the file, from the environment, from what does not fit together."""
    lines = complaints_about(
        tmp_path,
        "[server]\nport = 'x'\n[freshness]\nlifetime = 'soon'\nlifetim = 5\n[cache]\n",
        access__mode="open",
        access__clients_file="/none/at/all",
        log__level="loud",
        redis__url_file="/none/at/all",
        redis__ulr="x",
    )

    assert [line.partition(": ")[0] for line in lines] == [
        "server.port",
        "upstream.token",
        "access.clients_file",
        "access.clients_file",
        "freshness.lifetime",
        "redis.url_file",
        "log.level",
        "freshness.lifetim",
        "cache",
        "GATEWAY_REDIS__ULR",
    ]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis://cache?socket_timeout=5", "its parameter 1 is none of db, username"),
        ("rediss://cache?ssl_cert_reqs=maybe", "ssl_cert_reqs has to be required, optional"),
        (
            "unix:///run/redis.sock?ssl=true",
            "ssl works only with redis+sentinel:// or redis+cluster://",
        ),
        ("redis+sentinel://a,b/main?ssl=maybe", "ssl has to be true or false"),
        (
            "redis+cluster://a,b?sentinel_password=x",
            "sentinel_password works only with redis+sentinel://",
        ),
    ],
)
def test_a_faulty_parameter_of_redis_is_told_with_the_others(url: str, problem: str) -> None:
    """For each scheme, one line beside that of another setting."""
    lines = complaints(freshness__lifetime="soon", redis__url=url)

    assert [line.partition(":")[0] for line in lines] == ["freshness.lifetime", "redis.url"]
    assert lines[1].startswith(f"redis.url: {problem}")


def test_a_fault_reads_as_promised() -> None:
    """The example of the contract, to the letter."""
    assert complaints(freshness__lifetime="soon") == [
        'freshness.lifetime: "soon" is not a duration (wanted: seconds or "30s", "5m", "24h")'
    ]


def test_no_secret_is_in_the_traceback() -> None:
    """Nor in an exception that stands behind the one that is raised."""
    environ = variables(
        redis__url="hunter2", upstream__token="hunter2 hunter2", access__secret="hunter2"
    )

    with pytest.raises(SettingsFault) as caught:
        load(None, environ)

    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_the_environment_comes_over_the_file(tmp_path: Path) -> None:
    """Setting by setting, not table by table."""
    settings = from_toml(
        tmp_path, '[server]\nport = 1\nhost = "::1"', server__port="2", admin__port="3"
    )

    assert (settings.server.host, settings.server.port, settings.admin.port) == ("::1", 2, 3)


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    """GATEWAY_CONFIG, unless an argument names another."""
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text("[server]\nport = 1")
    other.write_text("[server]\nport = 2")

    assert load(None, {"GATEWAY_CONFIG": str(one)}).server.port == 1
    assert load(other, {"GATEWAY_CONFIG": str(one)}).server.port == 2
    assert load(None, {"GATEWAY_CONFIG": ""}).server.port == 8080


def test_variables_are_found_in_any_case() -> None:
    """As people write them."""
    assert load(None, {"gateway_Server__port": "7"}).server.port == 7


def test_a_variable_without_two_underscores_is_none_of_ours() -> None:
    """Kubernetes sets such for a service called gateway."""
    environ = {
        "GATEWAY_SERVICE_HOST": "10.0.0.1", "GATEWAY_PORT": "tcp://10.0.0.1:8080",
        "GATEWAY__X": "y", "OTHER_SERVER__PORT": "1", "GATEWAYSERVER__PORT": "1",
    }  # fmt: skip

    assert load(None, environ) == Settings()


@pytest.mark.parametrize(
    ("variable", "meant", "wanted"),
    [
        ("GATEWAY_LOG__COLOUR", "", "one of format, level, hits"),
        ("GATEWAY_LOG__LEVLE", "; did you mean GATEWAY_LOG__LEVEL?", "one of format, level, hits"),
        ("GATEWAY_LGO__LEVEL", "; did you mean GATEWAY_LOG__LEVEL?", "one of server, admin, "
         "upstream, access, freshness, l1, redis, sweep, log, tracing, limits"),
        ("GATEWAY_X__Y", "", "one of server, admin, upstream, access, freshness, l1, redis, "
         "sweep, log, tracing, limits"),
        ("GATEWAY_REDIS__URL_FLE", "; did you mean GATEWAY_REDIS__URL_FILE?",
         "one of url, prefix, timeout, replicas"),
        ("GATEWAY_LOG__", "", "one of format, level, hits"),
    ],
)  # fmt: skip
def test_an_unknown_variable_is_a_fault(variable: str, meant: str, wanted: str) -> None:
    """It is named as it was written, without its value, and so is the nearest that is known."""
    with pytest.raises(SettingsFault) as caught:
        load(None, {variable: "hunter2"})

    assert str(caught.value) == f"{variable}: is no setting{meant} (wanted: {wanted})"


def test_a_variable_given_in_two_spellings_is_a_fault() -> None:
    """Which of them wins would be chance."""
    with pytest.raises(SettingsFault, match="gateway_log__level: is given twice"):
        load(None, {"GATEWAY_LOG__LEVEL": "info", "gateway_log__level": "debug"})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[lgo]\nlevel = 'info'", "lgo: is no section; did you mean log? (wanted: one of server,"),
        ("[log]\nlevle = 'x'", "log.levle: is no setting; did you mean log.level? (wanted: one of"),
        ("level = 'hunter2'", "level: is no section"),
        ("[log]\ncolour = 'hunter2'", "log.colour: is no setting (wanted: one of format, level,"),
        ("log = 'hunter2'", "log: is not a table (wanted: settings under [log])"),
        ('[log]\n"a\\nb" = 1', "log.a\\nb: is no setting"),
        ("[log]\n[log.level]\nx = 1", 'log.level: {"x": 1} is not one of the allowed words'),
        ("[server]\nport = '80'", 'server.port: "80" is not a port'),
        ("[server]\nreuse_port = 'true'", 'server.reuse_port: "true" is not true or false'),
        ("[server]\nhost = 2024-01-01", 'server.host: "2024-01-01" is not a host'),
        ("[upstream]\ntoken = 5", "upstream.token: is not a token"),
        ("[log", "gateway.toml: is not TOML: "),
    ],
)  # fmt: skip
def test_a_faulty_file_is_told_by_its_place(tmp_path: Path, text: str, line: str) -> None:
    """Strictly: a text is not a number; and again without values that might be secrets."""
    (told,) = complaints_about(tmp_path, text)

    assert line in told
    assert "hunter2" not in told
    assert "\n" not in told


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    """Missing, a folder, or not text; with the reason."""
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff")

    told = {path.name: _refused(path) for path in (tmp_path / "none.toml", tmp_path, binary)}

    assert "none.toml: cannot be read: No such file" in told["none.toml"]
    assert "cannot be read: Is a directory" in told[tmp_path.name]
    assert "binary.toml: is not UTF-8" in told["binary.toml"]


def test_an_unreadable_file_leaves_nothing_to_be_called_missing(tmp_path: Path) -> None:
    """The mode may well be in it, so nobody is asked for one; other faults are still told."""
    with pytest.raises(SettingsFault) as caught:
        load(tmp_path / "none.toml", variables(upstream__token="t", log__level="loud"))

    assert sorted(fault.name.rpartition("/")[2] for fault in caught.value.faults) == [
        "log.level",
        "none.toml",
    ]


def test_each_secret_has_its_file(tmp_path: Path) -> None:
    """All four, from the TOML file."""
    path, url = tmp_path / "secret", tmp_path / "url"
    path.write_text("hunter2\n")
    url.write_text("redis://cache\n")

    settings = from_toml(
        tmp_path,
        f'upstream.token_file = "{path}"\nadmin.token_file = "{path}"\naccess.mode = "open"\n'
        f'access.secret_file = "{path}"\nredis.url_file = "{url}"',
    )

    told = (settings.upstream.token, settings.admin.token, settings.access.secret)
    assert told == (SecretStr("hunter2"),) * 3
    assert settings.redis.url == SecretStr("redis://cache")


def test_the_content_of_a_secret_file_is_judged_as_the_secret(tmp_path: Path) -> None:
    """And told under the secret's own name, without it."""
    path = tmp_path / "secret"
    path.write_text("hunter2 hunter2\n")

    (told,) = complaints(admin__token_file=str(path))

    assert told.startswith("admin.token: has a character that is a space")
    assert "hunter2" not in told


@pytest.mark.parametrize("path", ["hunter2", "hunter\0", "", "/"])
def test_a_secret_file_that_cannot_be_read_is_told_without_its_path(path: str) -> None:
    """Since somebody may have written the secret where its file's path belongs."""
    (told,) = complaints(redis__url_file=path)

    assert told.startswith("redis.url_file: ")
    assert "hunter" not in told


def test_a_secret_and_its_file_at_one_level_are_a_fault(tmp_path: Path) -> None:
    """In the file as in the environment."""
    line = "admin.token: is given together with admin.token_file (wanted: one of them)"

    assert complaints(admin__token="a", admin__token_file="/x") == [line]
    assert complaints_about(tmp_path, '[admin]\ntoken = "a"\ntoken_file = "/x"') == [line]


def test_a_secret_of_the_environment_replaces_the_one_of_the_file(tmp_path: Path) -> None:
    """In both forms, either way; the replaced one is not even looked at."""
    path = tmp_path / "secret"
    path.write_text("from-file")

    plain = from_toml(tmp_path, '[admin]\ntoken_file = "/none"', admin__token="from-variable")
    named = from_toml(tmp_path, '[admin]\ntoken = "a b"', admin__token_file=str(path))

    assert plain.admin.token == SecretStr("from-variable")
    assert named.admin.token == SecretStr("from-file")


def _refused(path: Path) -> str:
    with pytest.raises(SettingsFault) as caught:
        load(path, {})
    return str(caught.value)


def test_one_underscore_for_two_is_noticed() -> None:
    """Exactly a section and a setting, in any case; not the addresses that Kubernetes sets."""
    environ = {
        "GATEWAY_ACCESS_MODE": "clients", "gateway_redis_url": "redis://a",
        "GATEWAY_UPSTREAM_TOKEN_FILE": "/a", "GATEWAY_ADMIN_PORT": "tcp://10.0.0.1:8081",
        "GATEWAY_SERVER_PORT_80_TCP": "a", "GATEWAY_LOG__LEVEL": "info", "GATEWAY_CONFIG": "a",
    }  # fmt: skip

    assert misspelt(environ) == (
        ("GATEWAY_ACCESS_MODE", "GATEWAY_ACCESS__MODE"),
        ("gateway_redis_url", "GATEWAY_REDIS__URL"),
        ("GATEWAY_UPSTREAM_TOKEN_FILE", "GATEWAY_UPSTREAM__TOKEN_FILE"),
    )


def test_relative_paths_in_a_file_count_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of files and of secrets; those of the environment count from the current folder."""
    (tmp_path / "token").write_text("T-file")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "token").write_text("T-here")
    clients = '[[tenants]]\nname = "a"\nupstream_token_file = "token"\n[[clients]]\nname = "b"\n'
    (tmp_path / "clients.toml").write_text(f'{clients}tenant = "a"\nkey_sha256 = "{"0" * 64}"\n')
    monkeypatch.chdir(tmp_path / "here")
    text = (
        '[admin]\ntoken_file = "token"\n'
        '[access]\nmode = "clients"\nclients_file = "clients.toml"\nsecret_file = "token"\n'
    )

    settings = from_toml(tmp_path, text, access__secret_file="token")

    assert settings.access.clients_file == tmp_path / "clients.toml"
    assert settings.admin.token == SecretStr("T-file")
    assert settings.access.secret == SecretStr("T-here")
    assert clients_file(tmp_path / "clients.toml", None).given().tenants[0].token == "T-file"
