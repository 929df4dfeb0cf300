"""The figures of the benchmark table, by the name of the group that measures them together."""

from collections.abc import Callable, Mapping

from bench.figures import (
    broker,
    bystander,
    console,
    core,
    csr,
    device_memory,
    engine,
    factory,
    footprint,
    handshakes,
    keys,
    latency,
    log,
    nodes,
    policies,
    provisioning,
    reads,
    relay,
    relay_engines,
    revocation,
    rows,
    slow_clients,
    testing,
    things,
)
from bench.measurement import Measurement, Skipped
from bench.plan import Run

GROUPS: Mapping[str, Callable[[Run], list[Measurement | Skipped]]] = {
    "keys": keys.measure,
    "engine": engine.measure,
    "latency": latency.measure,
    "csr": csr.measure,
    "core": core.measure,
    "log": log.measure,
    "reads": reads.measure,
    "rows": rows.measure,
    "console": console.measure,
    "relay": relay.measure,
    "relay-engines": relay_engines.measure,
    "broker": broker.measure,
    "things": things.measure,
    "provisioning": provisioning.measure,
    "handshakes": handshakes.measure,
    "device-memory": device_memory.measure,
    "policies": policies.measure,
    "bystander": bystander.measure,
    "slow-clients": slow_clients.measure,
    "revocation": revocation.measure,
    "nodes": nodes.measure,
    "factory": factory.measure,
    "footprint": footprint.measure,
    "testing": testing.measure,
}
