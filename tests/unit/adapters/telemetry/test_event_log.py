from __future__ import annotations

from gateway.adapters.telemetry.event_log import DEBUG, INFO, WARNING, Events
from tests.unit.adapters.telemetry.stand_ins import BrokenLog, ListLog, ManualClock


def test_an_event_is_logged_with_its_fields() -> None:
    """The first of its kind is written at once."""
    log = ListLog()

    Events(ManualClock(), log).emit(WARNING, "upstream.failed", reason="connect", id="a")

    assert log.lines == [(WARNING, "upstream.failed", {"reason": "connect", "id": "a"})]


def test_repetition_is_limited_and_counted() -> None:
    """A hundred failures in ten seconds are one line, and the next line tells of the others."""
    clock, log = ManualClock(), ListLog()
    events = Events(clock, log)

    for _ in range(100):
        events.emit(WARNING, "upstream.failed", reason="connect")
        clock.time += 0.1
    events.emit(WARNING, "upstream.failed", reason="connect")

    assert [fields for _, _, fields in log.lines] == [
        {"reason": "connect"},
        {"reason": "connect", "suppressed": 99},
    ]


def test_another_reason_is_another_line() -> None:
    """A rare failure is not drowned by a frequent one, nor is another event."""
    log = ListLog()
    events = Events(ManualClock(), log)

    for reason in ("connect", "connect", "tls"):
        events.emit(WARNING, "upstream.failed", reason=reason)
    events.emit(WARNING, "payload.rejected", reason="connect")

    assert [fields["reason"] for _, _, fields in log.lines] == ["connect", "tls", "connect"]


def test_a_burst_may_be_allowed() -> None:
    """Where each line names a training, several a second are written."""
    log = ListLog()
    events = Events(ManualClock(), log)

    for number in range(5):
        events.emit(INFO, "entry.changed", most_lines=3, id=str(number))

    assert [fields["id"] for _, _, fields in log.lines] == ["0", "1", "2"]


def test_each_change_of_a_state_has_a_line() -> None:
    """Nothing that says what happened is dropped for what was said a second before."""
    clock, log = ManualClock(), ListLog()
    events = Events(clock, log)

    for event in ("redis.away", "redis.back", "redis.away"):
        events.tell_state(WARNING, event)
        events.tell_state(WARNING, "upstream.gate-closed", key="acme", scope="acme")
        events.tell_state(WARNING, "upstream.gate-closed", key="acme", scope="acme")
        clock.time += 1.0

    closed = ["upstream.gate-closed"]
    assert log.events == ["redis.away", *closed, "redis.back", *closed, "redis.away", *closed]


def test_the_last_events_are_remembered() -> None:
    """Twenty of a kind, the newest first, with their time; those for debugging are not."""
    clock = ManualClock()
    events = Events(clock, ListLog())

    for number in range(60):
        clock.time += 10.0
        events.emit(INFO, "entry.changed", id=str(number))
        events.emit(DEBUG, "entry.not-stored", id=str(number))

    recent = events.recent()
    assert len(recent) == 20
    assert (recent[0].time, recent[0].event, recent[0].fields) == (
        1_600.0,
        "entry.changed",
        {"id": "59"},
    )


def test_what_comes_often_pushes_nothing_else_out() -> None:
    """A rare event is remembered beside hundreds of another; fifty are told in all."""
    clock = ManualClock()
    events = Events(clock, ListLog())
    events.emit(INFO, "clients.reloaded")

    for number in range(300):
        clock.time += 10.0
        events.emit(INFO, f"entry.changed-{number % 4}")

    assert events.after(0)[-1].event == "clients.reloaded"
    assert len(events.recent()) == 50


def test_who_was_told_is_told_the_rest() -> None:
    """What came after so many, the newest first."""
    events = Events(ManualClock(), ListLog())
    for each in ("a", "b", "c"):
        events.emit(INFO, "entry.changed", key=each, id=each)

    assert events.number == 3
    assert [each.fields["id"] for each in events.after(1)] == ["c", "b"]
    assert events.after(3) == []


def test_a_log_that_fails_fails_nobody() -> None:
    """A closed standard output costs the line, not the request; the event is remembered."""
    events = Events(ManualClock(), BrokenLog())

    events.emit(WARNING, "upstream.failed", reason="connect")

    assert [happening.event for happening in events.recent()] == ["upstream.failed"]


def test_a_credential_in_an_error_text_is_removed() -> None:
    """What a driver quotes of a request is neither logged nor shown on the page."""
    log = ListLog()
    events = Events(ManualClock(), log)

    events.emit(WARNING, "upstream.failed", what="sent 'Authorization: Bearer s3cr3t-t0ken'")

    assert "s3cr3t" not in str(log.lines)
    assert "s3cr3t" not in str(events.recent())
