"""Keys of ours: which client each belongs to, and whose trainings it gets."""

from __future__ import annotations

import hashlib

import pytest

from gateway.core.access.caller import Client, Clients, Tenant, digest_of
from gateway.core.budget.window_log import Rate
from gateway.core.errors import AccessRefused
from gateway.core.vocabulary import AccessRefusal

UPSTREAM = "https://api.example"
ACME, GLOBEX = Tenant("acme", "T-ACME", Rate(100, 60.0)), Tenant("globex", "T-GLOBEX", None)
WEB = Client("web", (digest_of("gw_old"), digest_of("gw_new")), "acme", Rate(5, 1.0))
CRON = Client("cron", (digest_of("gw_cron"),), "acme")
SHOP = Client("shop", (digest_of("gw_shop"),), "globex")
ALL = Clients.of(UPSTREAM, None, (ACME, GLOBEX), (WEB, CRON, SHOP))


def bearer(key: str) -> list[bytes]:
    """The field that presents it."""
    return [f"Bearer {key}".encode()]


def test_a_key_is_known_by_its_sha256() -> None:
    """In lower case, as `sha256sum` prints it."""
    assert digest_of("gw_x") == hashlib.sha256(b"gw_x").hexdigest()


def test_each_key_of_a_client_is_the_client() -> None:
    """So that a key can be rotated; the tenant's token goes upstream, never the key."""
    old, new = ALL.admit(bearer("gw_old")), ALL.admit(bearer("gw_new"))

    assert old == new
    assert (old.client, old.tenant, old.scope, old.token) == ("web", "acme", "acme", "T-ACME")
    assert (old.rate, old.owns_token) == (Rate(5, 1.0), False)


def test_what_is_stored_is_the_tenants() -> None:
    """Two clients of a tenant share it, those of another never."""
    web, cron, shop = (ALL.admit(bearer(key)) for key in ("gw_old", "gw_cron", "gw_shop"))

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
        ALL.admit(bearer(key))

    assert refused.value.reason is AccessRefusal.CREDENTIAL_UNKNOWN


def test_tenants_have_clients_and_rates() -> None:
    """For the budgets and for who looks."""
    assert ALL.clients_of("acme") == ("web", "cron")
    assert ALL.rates() == {"acme": Rate(100, 60.0), "globex": None}


def test_nothing_secret_is_printed() -> None:
    """Neither a token nor a digest."""
    printed = repr((ALL, ALL.admit(bearer("gw_shop"))))

    assert "T-ACME" not in printed
    assert "T-GLOBEX" not in printed
    assert digest_of("gw_shop") not in printed
