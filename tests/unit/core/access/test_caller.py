"""Who is calling: the bearer grammar, and shares of the cache that never meet by accident."""

from __future__ import annotations

import hashlib
import re
import string
from dataclasses import replace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.core.access.caller import (
    DEFAULT_TENANT,
    Caller,
    Client,
    Clients,
    Open,
    Passthrough,
    Tenant,
    bearer,
    digest_of,
    partition_of,
)
from gateway.core.budget.window_log import Rate
from gateway.core.errors import AccessRefused
from gateway.core.vocabulary import AccessRefusal

UPSTREAM = "https://api.example"
TOKEN = "S3CRET-token"

PASSTHROUGH = Passthrough(UPSTREAM, None, budget_per_credential=False)
OPEN = Open(UPSTREAM, None, "0UR-S3CRET")

B64TOKEN = string.ascii_letters + string.digits + "-._~+/"
tokens = st.tuples(
    st.text(B64TOKEN, min_size=1, max_size=20), st.sampled_from(["", "=", "=="])
).map("".join)
_texts = st.text(max_size=4) | st.text("a:1", max_size=4)
parts = st.lists(_texts, min_size=1, max_size=4)


def refusal(*fields: bytes) -> AccessRefused:
    """Why these Authorization fields are no credential."""
    with pytest.raises(AccessRefused) as caught:
        bearer(fields)
    return caught.value


def admitted(token: str, access: Passthrough = PASSTHROUGH) -> Caller:
    """The caller who presents that token."""
    return access.admit([f"Bearer {token}".encode()])


@given(
    tokens,
    st.sampled_from(["Bearer", "bearer", "BEARER", "bEaReR"]),
    st.integers(1, 3),
    st.integers(0, 2),
)
def test_a_bearer_token_is_read(token: str, scheme: str, before: int, after: int) -> None:
    """RFC 6750, 2.1: the scheme without case, one space or more, the token as it is."""
    assert bearer([f"{scheme}{' ' * before}{token}{' ' * after}".encode()]) == token


@pytest.mark.parametrize(
    "field",
    [
        *(b"", b" ", b"Bearer", b"Bearer ", b"Bearer =", b"Bearera", b"Bearer\ta", b" Bearer a"),
        *(b"Basic YTpi", b"a", b"Bearer a b", b"Bearer a,b", b"Bearer a=b", b'Bearer "a"'),
        *(b"Bearer a\n", b"Bearer a\x00", b"Bearer \xc3\xa4", b"Bearer a, Bearer b"),
        b"Bearer " + b"a" * 4097,
    ],
)
def test_what_is_no_bearer_token_is_refused(field: bytes) -> None:
    """Another scheme, another grammar, more than one credential, or far too long."""
    assert refusal(field).reason is AccessRefusal.CREDENTIAL_MALFORMED


@given(st.binary(max_size=20))
@example(b"Bearer " + b"a" * 100_000)
@example(b"Bearer a" + b" " * 100_000 + b"b")
def test_any_bytes_are_a_token_or_refused(field: bytes) -> None:
    """What is let in is a token by the grammar, and header-safe on its way up."""
    try:
        token = bearer([field])
    except AccessRefused:
        return
    assert re.fullmatch(r"[A-Za-z0-9\-._~+/]+=*", token)


def test_the_longest_token_is_let_in() -> None:
    """4,096 characters, more than any token of the API."""
    assert bearer([b"Bearer " + b"a" * 4096]) == "a" * 4096


def test_without_a_field_the_credential_is_missing() -> None:
    """Told apart from one that cannot be read."""
    assert refusal().reason is AccessRefusal.CREDENTIAL_MISSING


def test_two_fields_are_one_too_many() -> None:
    """Which of them counts would be anybody's guess, even where they are equal."""
    field = f"Bearer {TOKEN}".encode()

    assert refusal(field, field).reason is AccessRefusal.CREDENTIAL_MALFORMED


def test_a_refusal_does_not_repeat_the_credential() -> None:
    """Neither its text nor anything that hangs on it."""
    refused = refusal(b"Basic S3CRET")

    assert "S3CRET" not in f"{refused} {refused!r} {vars(refused)} {refused.__cause__}"


@given(parts, parts, st.none() | st.text(max_size=3))
@example(["a:b", "c"], ["a", "b:c"], None)
@example(["ab", "c"], ["a", "bc"], None)
@example(["", "a"], ["a", ""], "x")
@example(["a"], ["a", ""], None)
@example(["1:a"], ["", "a"], None)
@example(["a1:b"], ["a", "b"], "x")
def test_partitions_differ_where_any_part_does(
    one: list[str], other: list[str], secret: str | None
) -> None:
    """Nothing moves over the boundary between two parts."""
    same = partition_of(*one, secret=secret) == partition_of(*other, secret=secret)

    assert same is (one == other)


@given(parts, st.none() | st.text(max_size=3))
def test_a_partition_is_32_hex_digits(named: list[str], secret: str | None) -> None:
    """Safe in a key, a label and a log line."""
    assert re.fullmatch("[0-9a-f]{32}", partition_of(*named, secret=secret))


@given(parts, st.text("ab", max_size=3), st.text("ab", max_size=3))
def test_a_secret_makes_other_partitions(named: list[str], one: str, other: str) -> None:
    """Whoever reads Redis cannot confirm a guessed credential without it."""
    assume(one != other)
    names = {partition_of(*named, secret=secret) for secret in (None, one, other)}

    assert len(names) == 3


def test_partitions_stay_the_same_between_releases() -> None:
    """Replicas of two releases share what is stored; so the name is pinned."""
    assert partition_of("a", "b") == "facdde7abf1eac5b301273ab2e282f79"
    assert partition_of("a", "b", secret="s") == "982372af8642cc7882ea1b305a78a1c1"


@given(tokens, tokens)
def test_callers_share_by_credential(one: str, other: str) -> None:
    """The same token finds the same entries, another one never."""
    assert (admitted(one).partition == admitted(other).partition) is (one == other)


def test_another_upstream_or_secret_is_another_partition() -> None:
    """What was stored from one place is never answered for another."""
    places = [PASSTHROUGH, replace(PASSTHROUGH, base_url="https://other.example")]
    places.append(replace(PASSTHROUGH, secret="x"))

    assert len({admitted(TOKEN, access).partition for access in places}) == 3


def test_a_caller_of_passthrough() -> None:
    """The token goes upstream, is the caller's own, and one budget pays for all."""
    caller = admitted(TOKEN)

    assert (caller.client, caller.tenant) == ("passthrough", DEFAULT_TENANT)
    assert (caller.token, caller.owns_token, caller.scope) == (TOKEN, True, DEFAULT_TENANT)
    assert PASSTHROUGH.owns_tokens is caller.owns_token


def test_each_credential_may_pay_for_itself() -> None:
    """`upstream.rate_scope = "credential"`: as many budgets as partitions."""
    caller = admitted(TOKEN, replace(PASSTHROUGH, budget_per_credential=True))

    assert caller.scope == caller.partition == admitted(TOKEN).partition


@pytest.mark.parametrize("fields", [[], [b"Bearer any"], [b"Basic x", b"garbage"]])
def test_open_lets_everybody_in(fields: list[bytes]) -> None:
    """Whatever is presented, the gateway's own token goes upstream, and a 401 is ours."""
    caller = OPEN.admit(fields)

    assert (caller.client, caller.tenant, caller.scope) == ("open", DEFAULT_TENANT, DEFAULT_TENANT)
    assert (caller.token, caller.owns_token) == ("0UR-S3CRET", False)
    assert OPEN.owns_tokens is caller.owns_token


def test_a_rotated_token_keeps_what_is_stored() -> None:
    """The partition is the tenant's, not the key's; another upstream's is another one."""
    partition = OPEN.admit([]).partition

    assert replace(OPEN, token="rotated").admit([]).partition == partition
    assert replace(OPEN, base_url="https://other.example").admit([]).partition != partition
    assert replace(OPEN, secret="x").admit([]).partition != partition


@given(tokens)
@example(DEFAULT_TENANT)
@example("0UR-S3CRET")
def test_no_token_opens_the_open_partition(token: str) -> None:
    """Two modes over one Redis share nothing, not even for the gateway's own token."""
    assert admitted(token).partition != OPEN.admit([]).partition


def test_nothing_shows_a_credential() -> None:
    """A repr in a log line or a traceback has neither token nor secret."""
    access = Passthrough(UPSTREAM, "0UR-S3CRET", budget_per_credential=True)
    shown = repr((access, OPEN, replace(OPEN, secret="0UR-S3CRET"), admitted(TOKEN, access)))

    assert "S3CRET" not in shown


ACME, GLOBEX = Tenant("acme", "T-ACME", Rate(100, 60.0)), Tenant("globex", "T-GLOBEX", None)
WEB = Client("web", (digest_of("gw_old"), digest_of("gw_new")), "acme", Rate(5, 1.0))
CRON = Client("cron", (digest_of("gw_cron"),), "acme")
SHOP = Client("shop", (digest_of("gw_shop"),), "globex")
ALL = Clients.of(UPSTREAM, None, (ACME, GLOBEX), (WEB, CRON, SHOP))


def presenting(key: str) -> list[bytes]:
    """The field that presents it."""
    return [f"Bearer {key}".encode()]


def test_a_key_is_known_by_its_sha256() -> None:
    """In lower case, as `sha256sum` prints it."""
    assert digest_of("gw_x") == hashlib.sha256(b"gw_x").hexdigest()


def test_each_key_of_a_client_is_the_client() -> None:
    """So that a key can be rotated; the tenant's token goes upstream, never the key."""
    old, new = ALL.admit(presenting("gw_old")), ALL.admit(presenting("gw_new"))

    assert old == new
    assert (old.client, old.tenant, old.scope, old.token) == ("web", "acme", "acme", "T-ACME")
    assert (old.rate, old.owns_token) == (Rate(5, 1.0), False)


def test_what_is_stored_is_the_tenants() -> None:
    """Two clients of a tenant share it, those of another never."""
    web, cron, shop = (ALL.admit(presenting(key)) for key in ("gw_old", "gw_cron", "gw_shop"))

    assert web.partition == cron.partition != shop.partition
    assert ALL.partitions() == {"acme": web.partition, "globex": shop.partition}


def test_another_upstream_token_is_the_same_partition() -> None:
    """A rotation costs nothing; another upstream, another secret or tenant is another one."""
    rotated = Clients.of(UPSTREAM, None, (Tenant("acme", "T-NEW", None),), (CRON,))
    elsewhere = Clients.of("https://other.example", None, (ACME,), (CRON,))
    keyed = Clients.of(UPSTREAM, "secret", (ACME,), (CRON,))

    assert rotated.partitions()["acme"] == ALL.partitions()["acme"]
    names = {each.partitions()["acme"] for each in (ALL, elsewhere, keyed)}
    assert len(names) == 3


@pytest.mark.parametrize("key", ["gw_unknown", digest_of("gw_old"), "T-ACME"])
def test_nothing_else_is_a_key(key: str) -> None:
    """Neither a digest from the file nor an upstream token."""
    with pytest.raises(AccessRefused) as refused:
        ALL.admit(presenting(key))

    assert refused.value.reason is AccessRefusal.CREDENTIAL_UNKNOWN


def test_tenants_have_clients_and_rates() -> None:
    """For the budgets and for who looks."""
    assert ALL.clients_of("acme") == ("web", "cron")
    assert ALL.rates() == {"acme": Rate(100, 60.0), "globex": None}


def test_nothing_secret_is_printed() -> None:
    """Neither a token nor a digest."""
    printed = repr((ALL, ALL.admit(presenting("gw_shop"))))

    assert "T-ACME" not in printed
    assert "T-GLOBEX" not in printed
    assert digest_of("gw_shop") not in printed
