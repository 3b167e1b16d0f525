"""The operators that may give orders, from the settings and the tokens file, which may change while
running. What the file says is read by the settings.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.adapters.telemetry.observer import Telemetry
from gateway.app.file_watch import FileWatch
from gateway.core.access.operators import Operators
from gateway.ports import Clock
from gateway.settings import Settings, TokensGiven, tokens_file


@dataclass(slots=True)
class OperatorAccess:
    """The operators, and what the tokens file said when the process started; None: there is no
    such file here."""

    operators: Operators
    started: TokensGiven | None = None
    reloaded: bool | None = None


def operator_access_of(settings: Settings) -> OperatorAccess:
    """As it is at the start; raises SettingsFault for a tokens file that went bad since."""
    admin = settings.admin
    token = None if admin.token is None else admin.token.get_secret_value()
    if admin.tokens_file is None:
        return OperatorAccess(Operators(token))
    given = tokens_file(admin.tokens_file).given()
    return OperatorAccess(Operators(token, given.operators), given, reloaded=True)


def tokens_watch(
    settings: Settings, access: OperatorAccess, clock: Clock, telemetry: Telemetry
) -> FileWatch[TokensGiven] | None:
    """Takes the tokens file again when it changes; a faulty one changes nothing but `reloaded`.
    None where there is no such file."""
    telemetry.operators_known(access.operators.names)
    path = settings.admin.tokens_file
    if path is None or access.started is None:
        return None

    def take(given: TokensGiven) -> None:
        access.operators.replace(given.operators)
        access.reloaded = True
        telemetry.operators_known(access.operators.names)
        telemetry.tokens_reloaded(len(given.operators))

    def refuse(faults: list[str]) -> None:
        access.reloaded = False
        telemetry.tokens_refused(faults)

    return FileWatch(tokens_file(path), clock, access.started, take=take, refuse=refuse)
