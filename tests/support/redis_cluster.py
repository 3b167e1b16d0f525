"""A Redis Cluster of real servers: three masters, and a copy of each where a test wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from tests.support import redis_acl
from tests.support.servers import HOST, SETTLED, RedisServer, free_port, wait_until

MASTERS = 3
# Milliseconds of silence after which the others take a node for dead; a busy machine may stall a
# process for some hundreds.
NODE_TIMEOUT = 2_000


class ClusterNode(RedisServer):
    """A server that is ready to join others; what it knows of them goes with its folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        folder = folder / f"node-{self.port}"
        folder.mkdir()
        self.command += [
            *("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT)),
            *("--cluster-port", str(free_port()), "--cluster-config-file", str(folder / "nodes")),
            *("--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0"),
            *("--repl-diskless-sync-delay", "0", "--dir", str(folder), *options),
        ]

    @property
    def bus_port(self) -> int:
        """Where the other nodes speak to it."""
        return int(self.command[self.command.index("--cluster-port") + 1])

    @property
    def place(self) -> str:
        """Where clients speak to it."""
        return f"{HOST}:{self.port}"

    def say(self, *words: object) -> Any:
        """What it answers, in text."""
        with self.client() as client:
            reply: Any = client.execute_command(*words)
        return reply.decode() if isinstance(reply, bytes) else reply

    @property
    def id(self) -> str:
        """Its name among the nodes."""
        return str(self.say("CLUSTER", "MYID"))

    def info(self) -> dict[str, str]:
        """What it says of the cluster."""
        told: dict[str, str] = self.say("CLUSTER INFO")
        return told


@dataclass(frozen=True, slots=True)
class ClusterServers:
    """The nodes of one cluster: masters, then the copies in the same order."""

    nodes: tuple[ClusterNode, ...]

    @property
    def masters(self) -> tuple[ClusterNode, ...]:
        """Those that had the slots at first, in their order."""
        return self.nodes[:MASTERS]

    @property
    def copies(self) -> tuple[ClusterNode, ...]:
        """Those that followed at first, in the order of their masters; none without."""
        return self.nodes[MASTERS:]

    @property
    def url(self) -> str:
        """Its address, as `redis.url` takes it; not all nodes have to be named."""
        places = ",".join(node.place for node in self.masters)
        return f"redis+cluster://{redis_acl.credentials()}{places}"

    def holder(self, name: str) -> ClusterNode:
        """The master that had the key at first."""
        return self.masters[key_slot(name.encode()) * MASTERS // REDIS_CLUSTER_HASH_SLOTS]

    def other(self, node: ClusterNode) -> ClusterNode:
        """A master that is not that one."""
        return next(each for each in self.masters if each is not node)

    def begin_move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """From now on the slot is being handed over; its keys stay where they are."""
        target.say("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.say("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)

    def move_keys(self, source: ClusterNode, target: ClusterNode, *keys: str) -> None:
        """Hand over these."""
        source.say("MIGRATE", HOST, target.port, "", 0, 10_000, "KEYS", *keys)

    def end_move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """Hand over the rest, and let all nodes know."""
        keys = source.say("CLUSTER", "GETKEYSINSLOT", slot, 1_000)
        if keys:
            self.move_keys(source, target, *keys)
        for node in (target, source, *self.masters):
            node.say("CLUSTER", "SETSLOT", slot, "NODE", target.id)

    def flush(self) -> None:
        """Forget all keys and scripts, everywhere."""
        for node in self.masters:
            node.flush()

    def settle(self) -> None:
        """As RedisServer.settle."""
        name = "gateway:{bus}:record"
        self.holder(name).say("HSET", name, *(part for pair in SETTLED.items() for part in pair))

    def is_settled(self) -> bool:
        """Whether each node sees all others, and every slot held."""
        return all(
            info["cluster_state"] == "ok"
            and int(info["cluster_known_nodes"]) == len(self.nodes)
            and int(info["cluster_slots_ok"]) == REDIS_CLUSTER_HASH_SLOTS
            for info in (node.info() for node in self.nodes)
        )

    def names(self, node: ClusterNode) -> bool:
        """Whether a client that asks the others is sent to that node for some slots."""
        others = [each for each in self.nodes if each is not node and each.running]
        told = [row[2][1] for row in others[0].say("CLUSTER", "SLOTS")]
        return node.port in told


@contextmanager
def cluster(
    folder: Path, make: Callable[[Path], ClusterNode] = ClusterNode, *, copies: bool = False
) -> Iterator[ClusterServers]:
    """Nodes that know each other; with `copies` each master has one, in step."""
    with ExitStack() as stack:
        nodes = tuple(stack.enter_context(make(folder)) for _ in range(MASTERS * (1 + copies)))
        group = ClusterServers(nodes)
        _introduce(group)
        yield group


def _introduce(group: ClusterServers) -> None:
    first, *others = group.nodes
    for number, node in enumerate(group.nodes, start=1):
        node.say("CLUSTER", "SET-CONFIG-EPOCH", number)
    for node in others:
        first.say("CLUSTER", "MEET", HOST, node.port, node.bus_port)
    for number, node in enumerate(group.masters):
        # As `holder` has it.
        low, high = (_first(each) for each in (number, number + 1))
        node.say("CLUSTER", "ADDSLOTSRANGE", low, high - 1)
    if group.copies:
        known = lambda: all(_knows(node, group.nodes) for node in group.nodes)  # noqa: E731
        wait_until(known, 30, "the nodes known to each other")
        for master, copy in zip(group.masters, group.copies, strict=True):
            copy.say("CLUSTER", "REPLICATE", master.id)
    wait_until(group.is_settled, 30, "the cluster settled")
    if group.copies:
        wait_until(lambda: all(map(_has_copy, group.masters)), 30, "the copies in step")


def _first(number: int) -> int:
    return -(-number * REDIS_CLUSTER_HASH_SLOTS // MASTERS)


def _knows(node: ClusterNode, nodes: Sequence[ClusterNode]) -> bool:
    return int(node.info()["cluster_known_nodes"]) == len(nodes)


def _has_copy(master: ClusterNode) -> bool:
    with master.client() as client:
        return len(client.role()[2]) == 1


def client_of(url: str) -> Any:
    """A blocking client of whatever Redis has that address; to be closed by whoever asked."""
    url = redis_acl.without(url)
    hosts = url.partition("redis+cluster://")[2]
    if not hosts:
        return redis.Redis.from_url(url)
    return redis.RedisCluster.from_url(f"redis://{hosts.split(',')[0]}")


def keys_of(client: Any, pattern: str) -> list[bytes]:
    """The keys of that pattern, wherever they stand."""
    everywhere = isinstance(client, redis.RedisCluster)
    options = {"target_nodes": redis.RedisCluster.PRIMARIES} if everywhere else {}
    keys: list[bytes] = client.keys(pattern, **options)
    return keys
