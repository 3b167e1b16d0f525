"""What counts as another form of the same training, and what only says something else."""

from __future__ import annotations

import pytest

from gateway.core.sweep.list_item import Forms

PLAIN = (
    b'{"id":"a","title":"one/two","draft":null,"tags":["x"],"version":3,'
    b'"at":"2026-01-02T03:04:05Z"}'
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"one/two"', b'"another/title"'),
        (b'"x"', b'"y"'),
        (b"3,", b"17,"),
        (b"2026-01-02T03", b"2027-11-12T13"),
    ],
)
def test_what_it_says_is_no_form(old: bytes, new: bytes) -> None:
    """An edit is stored from the list."""
    forms = Forms()
    forms.learn(PLAIN)

    assert forms.cover(PLAIN.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b',"draft":null', b""),
        (b'"version":3', b'"version":3,"more":3'),
        (b'"id":"a","title":"one/two"', b'"title":"one/two","id":"a"'),
        (b'":"one', b'": "one'),
        (b'["x"]', b'[ "x"]'),
        (b'["x"]', b"[]"),
        (b'"one/two"', b'"one\\/two"'),
        (b'"one/two"', b'"\\u00e9/"'),
        (b'"one/two"', b'"\xc3\xa9/"'),
        (b'"one/two"', b'""'),
        (b'"one/two"', b"null"),
        (b"null", b'"draft"'),
        (b":3,", b":3.0,"),
        (b"05Z", b"05.000Z"),
        (b"05Z", b"05+00:00"),
    ],
)
def test_another_form_is_not_covered_until_it_was_seen(old: bytes, new: bytes) -> None:
    """A single call has to answer it first."""
    forms, other = Forms(), PLAIN.replace(old, new, 1)
    assert other != PLAIN
    forms.learn(PLAIN)
    assert not forms.cover(other)

    forms.learn(other)

    assert forms.cover(other)
    assert forms.cover(PLAIN)


def test_nothing_is_covered_before_anything_was_seen() -> None:
    """Not even what has next to no form."""
    assert not Forms().cover(b"{}")


def test_only_so_much_is_remembered() -> None:
    """An upstream that writes each body otherwise is asked singly."""
    forms = Forms()
    for number in range(20):
        forms.learn(b"{%s}" % b",".join(b'"name_%d_%d":1' % (number, each) for each in range(90)))

    assert 900 < len(forms._seen) <= 1_000
