"""Instants: read exactly, ordered as time is, written in three forms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.instant import (
    WIRE_LENGTH,
    Instant,
    are_seconds,
    from_seconds,
    from_wire,
    parse_http_date,
    parse_instant,
    to_http_date,
    to_rfc3339,
    to_seconds,
    to_wire,
)

EARLIEST = parse_instant("0001-01-01T00:00:00Z")
LATEST = parse_instant("9999-12-31T23:59:59.999999999Z")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

instants = st.integers(EARLIEST, LATEST).map(Instant)
offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(
    # A day inside the years there are, whatever the offset.
    min_value=datetime(1, 1, 2),  # noqa: DTZ001
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=offsets,
)


@given(moments)
def test_it_means_what_datetime_means(moment: datetime) -> None:
    """Whatever datetime can write is read as the same moment, to the microsecond."""
    assert parse_instant(moment.isoformat()) == (moment - EPOCH) // timedelta(microseconds=1) * 1000


@given(moments, moments)
def test_order_is_the_order_of_moments(one: datetime, other: datetime) -> None:
    """Texts with different offsets and fractions are ordered as their moments are."""
    earlier = parse_instant(one.isoformat()) < parse_instant(other.isoformat())
    assert earlier == (one < other)


@given(st.integers(0, 999_999_999), st.integers(1, 9))
def test_a_fraction_counts_to_the_nanosecond(nanoseconds: int, digits: int) -> None:
    """Each of the nine digits of a fraction counts, and missing ones are zeros."""
    fraction = f"{nanoseconds:09d}"[:digits]
    instant = parse_instant(f"1970-01-01T00:00:00.{fraction}Z")
    assert instant == int(fraction) * 10 ** (9 - digits)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2025-06-01t12:00:00z", "2025-06-01T12:00:00Z"),
        ("2025-06-01 12:00:00Z", "2025-06-01T12:00:00Z"),
        ("2025-06-01T12:00:00-00:00", "2025-06-01T12:00:00Z"),
        ("2025-06-01T14:30:00+02:30", "2025-06-01T12:00:00Z"),
        ("2025-05-31T23:00:00-13:00", "2025-06-01T12:00:00Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2016-12-31T23:59:60.9Z", "2017-01-01T00:00:00Z"),
        ("2017-01-01T00:59:60+01:00", "2017-01-01T00:00:00Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
        ("2025-06-01T12:00:00.1234567899Z", "2025-06-01T12:00:00.123456789Z"),
    ],
)
def test_two_texts_of_one_instant(text: str, same: str) -> None:
    """Spellings that RFC 3339 allows mean the same instant."""
    assert parse_instant(text) == parse_instant(same)


def test_before_the_epoch_is_negative() -> None:
    """A fraction before 1970 counts forwards from its second."""
    assert parse_instant("1969-12-31T23:59:59.25Z") == -750_000_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025-06-01",
        "2025-06-01T12:00:00",
        "2025-06-01T12:00Z",
        "2025-06-01T12:00:00.Z",
        "2025-06-01T12:00:00,5Z",
        "2025-06-01T12:00:00+0200",
        "2025-06-01T12:00:00+02",
        "2025-06-01T12:00:00+24:00",
        "2025-06-01T12:00:00+02:60",
        "2025-06-01T24:00:00Z",
        "2025-06-01T12:60:00Z",
        "2025-06-01T12:00:61Z",
        "2025-06-01T12:00:60Z",
        "2025-02-30T12:00:00Z",
        "2025-02-29T12:00:00Z",
        "2025-13-01T12:00:00Z",
        "2025-00-01T12:00:00Z",
        "0000-01-01T12:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
        "20250-06-01T12:00:00Z",
        "-025-06-01T12:00:00Z",
        "2025-06-01T12:00:00Z ",
        "2025-06-01T12:00:00Z\n",
        "２０２５-06-01T12:00:00Z",
        f"2025-06-01T12:00:00.{'1' * 25}Z",
        "1748779200",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    """No offset, no such day, out of range or out of form: ValueError."""
    with pytest.raises(ValueError, match=r"RFC 3339|month|day|year|leap"):
        parse_instant(text)


@given(instants)
def test_rfc3339_round_trip(instant: Instant) -> None:
    """What is written is read as the same instant."""
    assert parse_instant(to_rfc3339(instant)) == instant


@pytest.mark.parametrize(
    "text", ["2025-06-01T12:00:00Z", "2025-06-01T12:00:00.5Z", "0001-01-01T00:00:10Z"]
)
def test_rfc3339_has_no_digit_too_many(text: str) -> None:
    """A fraction is written as short as it can be, and not at all where it is zero."""
    assert to_rfc3339(parse_instant(text)) == text


@given(instants)
def test_wire_round_trip(instant: Instant) -> None:
    """The wire form is always as long and loses nothing."""
    assert len(to_wire(instant)) == WIRE_LENGTH
    assert from_wire(to_wire(instant)) == instant


@given(instants, instants)
def test_wire_order_is_time_order(one: Instant, other: Instant) -> None:
    """Compared as text, wire forms are ordered as their instants are."""
    assert (to_wire(one) < to_wire(other)) == (one < other)


@pytest.mark.parametrize("text", ["", "1", "9" * 21, "0" * 21, "1" + "0" * 21, "-" + "1" * 20])
def test_what_is_no_wire_form_is_refused(text: str) -> None:
    """Another length, a sign, or a number beyond the years there are: ValueError."""
    with pytest.raises(ValueError, match=r"wire form|years"):
        from_wire(text)


@given(st.floats(to_seconds(EARLIEST) + 1, -1e8) | st.floats(1e8, to_seconds(LATEST) - 1))
def test_seconds_round_trip(seconds: float) -> None:
    """A float far from the epoch is coarser than a nanosecond and comes back unchanged."""
    assert to_seconds(from_seconds(seconds)) == seconds


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e12, -1e12])
def test_seconds_beyond_the_years_are_refused(seconds: float) -> None:
    """No instant is made of what is no moment: ValueError."""
    with pytest.raises(ValueError, match=r"not a finite number|years"):
        from_seconds(seconds)


@given(moments)
def test_http_date_is_what_the_standard_library_writes(moment: datetime) -> None:
    """IMF-fixdate, cut down to the second."""
    utc = moment.astimezone(UTC)
    assert to_http_date(parse_instant(moment.isoformat())) == format_datetime(utc, usegmt=True)


@given(instants)
def test_http_date_round_trip(instant: Instant) -> None:
    """What is written is read as the second that it fell in."""
    assert parse_http_date(to_http_date(instant)) == instant // 1_000_000_000


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        " Sun, 06 Nov 1994 08:49:37 GMT\t",
        "SUN, 06 nov 1994 08:49:37 gMt",
    ],
)
def test_all_three_http_dates_are_read(text: str) -> None:
    """The three forms of RFC 9110, 5.6.7, mean the same second, in either case (RFC 9111, 4.2)."""
    assert parse_http_date(text) == 784_111_777.0


@pytest.mark.parametrize(
    ("text", "year"), [("Monday, 01-Jan-24", 2024), ("Thursday, 01-Jan-70", 1970)]
)
def test_a_year_of_two_digits_is_near(text: str, year: int) -> None:
    """24 is 2024 and 70 is 1970."""
    assert parse_http_date(f"{text} 00:00:00 GMT") == datetime(year, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "now",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sun Nov 06 08:49:37 94",
        "1994-11-06T08:49:37Z",
    ],
)
def test_garbage_is_no_http_date(text: str) -> None:
    """What has none of the forms, or names no day there is, is None."""
    assert parse_http_date(text) is None


@pytest.mark.parametrize("value", [-1e-9, 1e10, float("nan"), float("inf"), -float("inf")])
def test_some_numbers_are_no_seconds(value: float) -> None:
    """One among others spoils them all."""
    assert are_seconds(0.0, 9_999_999_999.9)
    assert not are_seconds(1.0, value)
