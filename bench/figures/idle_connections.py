"""Owns the figure of tens of thousands of idle connections to the workers of one machine, and what each costs."""

import json
import resource
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from tests.support.databases.postgresql import find_programs, new_cluster

from bench import service
from bench.children import Worker
from bench.figures.bystander import EVERYTHING
from bench.load import Caller
from bench.machine import ForeignLoad, tree_pss_mb
from bench.measurement import Bound, Measurement, Skipped, Target
from bench.plan import Run
from bench.service import CREATE_KEYS, Service
from bench.wire import Request

FIGURE, TITLE = "idle-connections", "memory of four workers for each idle connection (PSS)"
WORKERS = 4
CERTIFICATES = 20
CONCURRENCY = 16
# Of one address, a client has some 28,000 ports for one port of the service.
CLIENTS = ("127.0.0.1", "127.0.0.2")
SPARE_DESCRIPTORS = 500
POLICY = "bench-idle"
KIB = 1e6 / 1024


def measure(run: Run) -> list[Measurement | Skipped]:
    """Connect the devices, and ping each of them."""
    if find_programs() is None:
        return [Skipped(FIGURE, TITLE, "PostgreSQL is not installed")]
    wanted = run.plan.idle_connections // len(CLIENTS) + SPARE_DESCRIPTORS
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        return [Skipped(FIGURE, TITLE, f"a process may have {hard} open files here, and {wanted} are needed")]
    return [_measure(run, run.plan.idle_connections // len(CLIENTS) * len(CLIENTS))]


def _measure(run: Run, count: int) -> Measurement:
    with ExitStack() as stack:
        cluster = stack.enter_context(contextmanager(new_cluster)())
        options = ("--database-url", cluster.url, "--workers", str(WORKERS), "--key-reserve", "0")
        limits = ("--mqtt", "127.0.0.1:0", "--max-device-connections", str(max(10_000, count)))
        ours = stack.enter_context(service.running(run.directory / "idle-connections", *options, *limits))
        certificates = _certificates(ours, run.directory)
        devices = [stack.enter_context(Worker("bench.idle_devices")) for _ in CLIENTS]
        foreign, before = ForeignLoad(), _settled_mb(ours.server.pid, run.plan.settle_s)
        port = json.loads((ours.data_directory / "endpoints.json").read_text())["mqtt_port"]
        for source, clients in zip(CLIENTS, devices, strict=True):
            clients.begin(
                {
                    "work": "connect",
                    "count": count // len(CLIENTS),
                    "concurrency": CONCURRENCY,
                    "source": source,
                    "prefix": f"idle-{source}",
                    "port": port,
                    "ca_file": str(ours.data_directory / "ca.pem"),
                    "certificates": certificates,
                }
            )
        seconds = max(clients.finish()["seconds"] for clients in devices)
        after = _settled_mb(ours.server.pid, run.plan.settle_s)
        served = sum(clients.ask({"work": "ping"})["served"] for clients in devices)
        if served != count:
            raise RuntimeError(f"of {count} connections, {served} are served")
        share = foreign.share()
    each = (after - before) * KIB / count
    return Measurement(
        figure=FIGURE,
        title=TITLE,
        value=each,
        unit="KiB",
        target=Target(Bound.AT_MOST, 60.0),
        rounds=(each,),
        n=f"{count} devices of {CERTIFICATES} certificates, {WORKERS} workers; each has answered a ping at the end",
        sides="PostgreSQL; devices are connected from two addresses and say nothing",
        parts={"idle_mb": before, "full_mb": after, "served": float(served), "connected_per_s": count / seconds},
        foreign_share=share,
    )


def _certificates(ours: Service, directory: Path) -> list[tuple[str, str]]:
    """Return the files of certificates that may do everything."""
    files = []
    with closing(Caller(ours.endpoint)) as caller:
        caller.text(Request("POST", f"/policies/{POLICY}", body=json.dumps({"policyDocument": EVERYTHING})))
        for number in range(CERTIFICATES):
            made = caller.json(CREATE_KEYS)
            target = json.dumps({"target": made["certificateArn"]})
            caller.text(Request("PUT", f"/target-policies/{POLICY}", body=target))
            certificate, key = directory / f"idle-{number}.pem", directory / f"idle-{number}.key"
            certificate.write_text(made["certificatePem"])
            key.write_text(made["keyPair"]["PrivateKey"])
            files.append((str(certificate), str(key)))
    return files


def _settled_mb(pid: int, settle_s: float) -> float:
    time.sleep(settle_s)
    return tree_pss_mb(pid)
