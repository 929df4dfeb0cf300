"""Owns the figures of the built-in broker under a crowd of devices, each beside Mosquitto with the same crowd."""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from bench import mosquitto
from bench.children import Server, Worker, free_port
from bench.crowd_load import ALL, WORK
from bench.full_room import us_per_publish
from bench.machine import ForeignLoad, tree_cpu_s
from bench.measurement import Bound, Measurement, Skipped, Target
from bench.mosquitto import Broker
from bench.peers import PeerUnavailable
from bench.plan import Run

OURS, PEER = "built-in", "mosquitto"
SIDES = "both: mutual TLS, MQTT 3.1.1, crowd and bystander in processes of their own; ours: policies for each message"
SMALL, LARGE = 100, 1024
FEW_MEMBERS = 10
FEW_SESSIONS = 500
SETTLE_S = 0.5
BYSTAND_S = 6.0
STORMS = 3
THINKING_S = 1.0


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure the same crowd at both brokers, one after the other, and a full room without any network."""
    try:
        with mosquitto.running() as broker, _gateway(broker) as (gateway, port):
            sides = {OURS: (gateway.pid, port), PEER: (broker.server.pid, broker.port)}
            foreign = ForeignLoad()
            crowds = {name: _crowd(run, broker, pid, port) for name, (pid, port) in sides.items()}
            share = foreign.share()
    except PeerUnavailable as unavailable:
        return [Skipped("fan-out", "the built-in broker beside Mosquitto", str(unavailable)), _full_room(run)]
    return [*_figures(run, crowds, share), _full_room(run)]


@contextmanager
def _gateway(broker: Broker) -> Iterator[tuple[Server, int]]:
    port = free_port()
    command = [sys.executable, "-m", "bench.relay_gateway", str(broker.directory), str(port), "local"]
    server = Server(command, broker.directory / "gateway.log")
    try:
        server.wait_until(lambda: mosquitto.answers(port))
        yield server, port
    finally:
        server.stop()


def _crowd(run: Run, broker: Broker, pid: int, port: int) -> dict[str, float]:
    directory, count = broker.directory, run.plan.crowd
    base = {"port": port, **mosquitto.identity_in(directory)}
    found: dict[str, float] = {}
    with ExitStack() as stack:
        crowd, few, bystander = (stack.enter_context(Worker("bench.crowd_load")) for _ in range(3))
        crowd.ask({**base, "do": "connect", "clients": count})
        few.ask({**base, "do": "connect", "clients": FEW_MEMBERS})

        def observed(name: str, job: dict[str, Any], worker: Worker = crowd) -> None:
            bystander.begin({**base, "do": "bystand", "seconds": BYSTAND_S})
            time.sleep(SETTLE_S)
            before = tree_cpu_s(pid)
            done = worker.ask(job)
            spent = tree_cpu_s(pid) - before
            found[f"{name}_us"] = spent / done["events"] * 1e6
            found[f"{name}_bystander_ms"] = bystander.finish()["max_ms"]

        crowd.ask({"do": "subscribe", "filter": ALL})
        fan_out = {"do": "publish", "topic": ALL, "payload_bytes": LARGE, "each": count, "window": 1}
        observed("fan_out", {**fan_out, "count": run.plan.crowd_messages})
        shared = {"do": "publish", "topic": WORK, "payload_bytes": SMALL, "each": 1, "window": 20}
        few.ask({"do": "subscribe", "filter": f"$share/few/{WORK}"})
        observed("few_members", {**shared, "count": run.plan.crowd_shared}, few)
        few.ask({"do": "unsubscribe", "filter": f"$share/few/{WORK}"})
        crowd.ask({"do": "subscribe", "filter": f"$share/many/{WORK}"})
        observed("many_members", {**shared, "count": run.plan.crowd_shared})
        observed("filters", {"do": "filters"})
    return found | _storm(run, broker, port)


def _storm(run: Run, broker: Broker, port: int) -> dict[str, float]:
    directory = broker.directory
    job = {
        "work": "storm",
        "port": port,
        "count": run.plan.storm_devices,
        "prefix": "bench-storm",
        "ca_file": str(directory / "server.pem"),
        "certificates": [[str(directory / "device.pem"), str(directory / "device.key")]],
    }
    with Worker("bench.idle_devices") as devices:
        slow = devices.ask({**job, "thinking_s": THINKING_S})
        time.sleep(SETTLE_S)
        times = []
        attempts = 0
        for _ in range(STORMS):
            done = devices.ask(job)
            times.append(done["seconds"])
            attempts += done["attempts"]
            # Those that left so suddenly are still being missed.
            time.sleep(SETTLE_S)
    return {
        "storm_s": statistics.median(times),
        "storm_attempts": attempts / (STORMS * run.plan.storm_devices),
        "slow_storm_s": slow["seconds"],
        "slow_storm_attempts": slow["attempts"] / run.plan.storm_devices,
    }


def _figures(run: Run, crowds: dict[str, dict[str, float]], share: float) -> list[Measurement | Skipped]:
    def ratio(figure: str, title: str, part: str, most: float) -> Measurement:
        ours, peer = crowds[OURS][part], crowds[PEER][part]
        return Measurement(
            figure=figure,
            title=title,
            value=ours / peer,
            unit="×",
            target=Target(Bound.AT_MOST, most),
            rounds=(ours / peer,),
            n=f"{run.plan.crowd} devices",
            sides=SIDES,
            parts={f"{OURS}_{part}": ours, f"{PEER}_{part}": peer},
            foreign_share=share,
        )

    count = run.plan.crowd
    flat = crowds[OURS]["many_members_us"] / crowds[OURS]["few_members_us"]
    return [
        ratio("fan-out", f"processor time of a QoS 1 delivery of 1 KB to {count} ÷ Mosquitto", "fan_out_us", 2.0),
        ratio(
            "fan-out-bystander", "longest round trip of a bystander meanwhile ÷ Mosquitto", "fan_out_bystander_ms", 2.0
        ),
        ratio("shared", f"a message to a shared subscription of {count} ÷ Mosquitto", "many_members_us", 5.0),
        Measurement(
            figure="shared-flat",
            title=f"a message to a shared subscription of {count} ÷ of {FEW_MEMBERS}",
            value=flat,
            unit="×",
            target=Target(Bound.AT_MOST, 1.5),
            rounds=(flat,),
            n=f"{run.plan.crowd_shared} messages each",
            sides=SIDES,
            parts={name: crowds[OURS][name] for name in ("few_members_us", "many_members_us")},
            foreign_share=share,
        ),
        _storms(run, crowds, share),
        _slow_storm(run, crowds, share),
        ratio(
            "filters-bystander", "longest round trip while all add 48 filters ÷ Mosquitto", "filters_bystander_ms", 2.0
        ),
    ]


def _storms(run: Run, crowds: dict[str, dict[str, float]], share: float) -> Measurement:
    ours, peer = crowds[OURS], crowds[PEER]
    ratio = ours["storm_s"] / peer["storm_s"]
    return Measurement(
        figure="storm",
        title=f"time until {run.plan.storm_devices} devices of one address are back ÷ Mosquitto",
        value=ratio,
        unit="×",
        target=Target(Bound.AT_MOST, 2.0),
        rounds=(ratio,),
        n=f"{STORMS} storms a side; who does not get in tries again after 0.5 to 1.5 s",
        sides="both: mutual TLS, MQTT 5, all at once, from one process; ours: policies",
        parts={
            f"{side}_{part}": figures[part]
            for side, figures in crowds.items()
            for part in ("storm_s", "storm_attempts")
        },
        foreign_share=share,
    )


def _slow_storm(run: Run, crowds: dict[str, dict[str, float]], share: float) -> Measurement:
    ratio = crowds[OURS]["slow_storm_s"] / crowds[PEER]["slow_storm_s"]
    return Measurement(
        figure="slow-storm",
        title=f"the same for {run.plan.storm_devices} devices that pause {THINKING_S:g} s in their handshake",
        value=ratio,
        unit="×",
        target=Target(Bound.AT_MOST, 2.0),
        rounds=(ratio,),
        n="one storm a side; who does not get in tries again after 0.5 s",
        sides="both: mutual TLS, MQTT 5, all at once, from one process; ours: policies",
        parts={
            f"{side}_{part}": figures[part]
            for side, figures in crowds.items()
            for part in ("slow_storm_s", "slow_storm_attempts")
        },
        foreign_share=share,
    )


def _full_room(run: Run) -> Measurement:
    foreign = ForeignLoad()
    measured: Callable[[int], float] = us_per_publish
    pairs = [(measured(FEW_SESSIONS), measured(run.plan.sleepers)) for _ in range(run.plan.room_rounds)]
    rounds = tuple(many / few for few, many in pairs)
    few, many = (statistics.median(each) for each in zip(*pairs, strict=True))
    return Measurement(
        figure="full-room",
        title=f"a publish with full room at {run.plan.sleepers} absent clients ÷ at {FEW_SESSIONS}",
        value=statistics.median(rounds),
        unit="×",
        target=Target(Bound.AT_MOST, 3.0),
        rounds=rounds,
        n=f"{len(rounds)} rounds of 400 messages, each of which pushes out older ones",
        sides="the broker alone, in this process",
        parts={"us_at_few": few, "us_at_many": many},
        foreign_share=foreign.share(),
    )
