"""Owns the service under test: starts it on a data directory, finds its endpoint and credentials, stops it."""

import configparser
import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.children import Server
from bench.load import Caller, answers
from bench.wire import Credentials, Endpoint, Request, query_of

CREATE_KEYS = Request("POST", "/keys-and-certificate", "setAsActive=true")
READY = Request("GET", "/readyz")
METRICS = Request("GET", "/metrics")
LIST = "/certificates"


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    server: Server
    endpoint: Endpoint
    data_directory: Path


def describe_request(certificate_id: str) -> Request:
    """Return a DescribeCertificate request."""
    return Request("GET", f"/certificates/{certificate_id}")


def csr_request(csr_pem: str) -> Request:
    """Return a CreateCertificateFromCsr request."""
    return Request("POST", "/certificates", "setAsActive=true", json.dumps({"certificateSigningRequest": csr_pem}))


def list_request(page_size: int, marker: str | None = None) -> Request:
    """Return a ListCertificates request."""
    parameters = {"pageSize": str(page_size)} | ({"marker": marker} if marker else {})
    return Request("GET", LIST, query_of(parameters))


def command(data_directory: Path, *options: str, program: Sequence[str] = ()) -> list[str]:
    """Return the command that serves a data directory on a port of the system's choice."""
    program = program or [str(Path(sys.executable).with_name("thingmint"))]
    return [*program, "serve", "--data-dir", str(data_directory), "--api", "127.0.0.1:0", *options]


@contextmanager
def running(
    data_directory: Path, *options: str, core: int | None = None, program: Sequence[str] = ()
) -> Iterator[Service]:
    """Serve the data directory for as long as the block runs."""
    data_directory.mkdir(parents=True, exist_ok=True)
    server = start(data_directory, *options, core=core, program=program)
    try:
        server.wait_until((data_directory / "endpoints.json").exists)
        endpoint = endpoint_of(data_directory)
        server.wait_until(lambda: answers(endpoint, READY))
        yield Service(server, endpoint, data_directory)
    finally:
        server.stop()


def start(data_directory: Path, *options: str, core: int | None = None, program: Sequence[str] = ()) -> Server:
    """Start the service and return at once; the endpoints of an earlier run are forgotten first."""
    (data_directory / "endpoints.json").unlink(missing_ok=True)
    return Server(
        command(data_directory, *options, program=program),
        data_directory.parent / f"{data_directory.name}.log",
        environment={"THINGMINT_LOG_LEVEL": "info", "THINGMINT_LOG_FORMAT": "json"},
        core=core,
    )


def endpoint_of(data_directory: Path) -> Endpoint:
    """Return how to reach the service, by the files that it leaves for its users."""
    port = _api_port((data_directory / "endpoints.json").read_text())
    profiles = configparser.ConfigParser()
    profiles.read(data_directory / "credentials")
    profile = profiles[profiles.sections()[0]]
    credentials = Credentials(profile["aws_access_key_id"], profile["aws_secret_access_key"])
    return Endpoint("127.0.0.1", port, ca_file=str(data_directory / "ca.pem"), credentials=credentials)


def _api_port(endpoints: str) -> int:
    url = str(json.loads(endpoints)["api"])
    found = re.search(r":(\d+)/?$", url)
    if not found:
        raise RuntimeError(f"endpoints.json names no port of the API: {url}")
    return int(found.group(1))


def reserve_level(caller: Caller) -> float:
    """Return how many key pairs the service holds ready, by its metrics."""
    for line in caller.text(METRICS).splitlines():
        if line.startswith("thingmint_key_reserve "):
            return float(line.rpartition(" ")[2])
    raise RuntimeError("the metrics do not show the level of the reserve")
