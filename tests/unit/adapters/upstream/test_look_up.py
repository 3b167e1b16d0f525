"""Unit: a name server that hangs, and addresses that do not answer."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.adapters.upstream.connect import Connector
from gateway.adapters.upstream.look_up import Address, LookUps
from tests.unit.adapters.upstream.peers import Peer, swallowing

HOST = "api.example"


class NameServer:
    """Answers each look-up with `found`, or hangs while `is_up` is not set."""

    def __init__(self) -> None:
        self.found: list[Address] = []
        self.look_ups = 0
        self.is_up = threading.Event()
        self.is_up.set()

    def __call__(self, host: str, port: int) -> list[Address]:
        self.look_ups += 1
        self.is_up.wait(60.0)
        if not self.found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.found


@pytest.fixture
def names() -> Iterator[NameServer]:
    """The name server. It ends its look-ups at the end of the test."""
    names = NameServer()
    yield names
    names.is_up.set()


@pytest.fixture
async def address() -> AsyncIterator[Address]:
    """The address of a peer."""
    async with Peer().listening() as url:
        yield at(url)


def at(url: str) -> Address:
    """The address in a URL."""
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.AF_INET, (host, int(port))


async def test_look_ups_that_hang_take_one_thread(names: NameServer) -> None:
    """However many calls wait for the name, and whether they leave."""
    names.is_up.clear()
    before = threading.active_count()
    look_ups = LookUps(HOST, 443, names)
    waiting = [asyncio.create_task(look_ups.addresses()) for _ in range(100)]
    await asyncio.sleep(0)
    for each in waiting[:50]:
        each.cancel()
    await asyncio.sleep(0.01)
    more = threading.active_count() - before
    names.found = [(socket.AF_INET, ("127.0.0.1", 1))]
    names.is_up.set()

    assert await asyncio.gather(*waiting[50:]) == [names.found] * 50
    assert (more, names.look_ups) == (1, 1)


async def test_the_last_address_is_used_while_a_look_up_hangs(
    names: NameServer, address: Address
) -> None:
    """The first connection waits half a second for the look-up, the others not at all."""
    names.found = [address]
    connector = Connector(HOST, LookUps(HOST, 80, names), None, 5.0)
    (await connector.connect()).abort()
    names.is_up.clear()

    for _ in range(20):
        (await connector.connect()).abort()

    assert names.look_ups == 2


async def test_each_connection_asks_for_the_addresses_of_now(
    names: NameServer, address: Address
) -> None:
    """So a host that moves is followed."""
    look_ups = LookUps(HOST, 80, names)
    other: Address = (socket.AF_INET, ("127.0.0.2", 80))
    found = []
    for each in (address, other):
        names.found = [each]
        found += await look_ups.addresses()

    assert found == [address, other]


async def test_a_name_that_is_lost_leaves_the_last_address(
    names: NameServer, address: Address
) -> None:
    """A failed look-up is no failed connection."""
    names.found = [address]
    look_ups = LookUps(HOST, 80, names)
    await look_ups.addresses()
    names.found = []

    assert await look_ups.addresses() == [address]


async def test_a_name_that_was_never_found_is_an_error(names: NameServer) -> None:
    """For all that wait for it, and the next one looks it up again."""
    look_ups = LookUps(HOST, 80, names)
    errors = await asyncio.gather(*(look_ups.addresses() for _ in range(3)), return_exceptions=True)
    with pytest.raises(socket.gaierror):
        await look_ups.addresses()

    assert {type(error) for error in errors} == {socket.gaierror}
    assert names.look_ups == 2


async def test_addresses_are_tried_in_turn_and_the_working_one_first(
    names: NameServer, address: Address
) -> None:
    """One refuses, one swallows what is sent to it; the second connection goes to the third."""
    with swallowing() as url:
        names.found = [(socket.AF_INET, ("127.0.0.1", 1)), at(url), address]
        look_ups = LookUps(HOST, 80, names)
        connector = Connector(HOST, look_ups, None, 3.0)
        stream = await connector.connect()
        peer = stream.get_extra_info("peername")
        stream.abort()

    assert peer == address[1]
    assert (await look_ups.addresses())[0] == address
