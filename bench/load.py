"""Owns the parent's side of the load: what a job is, what came of it, and single exchanges outside of any timing."""

import http.client
import json
import ssl
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.children import Worker
from bench.measurement import percentile
from bench.wire import Endpoint, Request, Signer, endpoint_as_json

MODULE = "bench.load_generator"
# Less than the time after which the service ends idle connections.
_KEPT_S = 20.0


@dataclass(frozen=True, slots=True)
class Load:
    """What came of one slice of load: every answer was a success."""

    elapsed_s: float
    cpu_s: float
    latencies_ms: tuple[float, ...]

    @property
    def count(self) -> int:
        """How many requests were answered."""
        return len(self.latencies_ms)

    @property
    def per_s(self) -> float:
        """Answers a second, from the first request to the last answer."""
        return self.count / self.elapsed_s

    @property
    def p50_ms(self) -> float:
        """The median latency."""
        return percentile(self.latencies_ms, 0.5)

    @property
    def client_ms(self) -> float:
        """The client's own processor time for one request."""
        return self.cpu_s * 1000 / self.count


class LoadGenerator(Worker):
    """Clients in a process of their own."""

    def __init__(self) -> None:
        super().__init__(MODULE)

    def pin(self, core: int) -> None:
        """Keep the clients on one core."""
        self.ask({"pin": [core]})

    def begin_load(
        self,
        endpoint: Endpoint,
        requests: Sequence[Request],
        *,
        clients: int,
        seconds: float = 0.0,
        count: int = -1,
        pace_s: float = 0.0,
    ) -> None:
        """Start a slice, bounded by a time or by a number of requests; ``pace_s`` parts a client's requests."""
        self.begin(
            {
                "endpoint": endpoint_as_json(endpoint),
                "requests": [asdict(request) for request in requests],
                "clients": clients,
                "seconds": seconds,
                "count": count,
                "pace_s": pace_s,
            }
        )

    def finish_load(self) -> Load:
        """Wait for the end of the slice; raise RuntimeError if any answer was not a success."""
        seen = self.finish()
        if seen["errors"] or not seen["latencies_ms"]:
            raise RuntimeError(
                f"the server did not answer every request with 200: {seen['errors']} {seen['first_error']}"
            )
        return Load(seen["elapsed_s"], seen["cpu_s"], tuple(seen["latencies_ms"]))

    def load(
        self,
        endpoint: Endpoint,
        requests: Sequence[Request],
        *,
        clients: int,
        seconds: float = 0.0,
        count: int = -1,
        pace_s: float = 0.0,
    ) -> Load:
        """Run a slice and return what came of it."""
        self.begin_load(endpoint, requests, clients=clients, seconds=seconds, count=count, pace_s=pace_s)
        return self.finish_load()


class Caller:
    """Exchanges single requests over one kept connection, for what is not timed."""

    def __init__(self, endpoint: Endpoint, timeout_s: float = 60.0) -> None:
        self._endpoint = endpoint
        self._signer = Signer(endpoint)
        self._used_at = time.monotonic()
        if endpoint.ca_file:
            context = ssl.create_default_context(cafile=endpoint.ca_file)
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                endpoint.host, endpoint.port, timeout=timeout_s, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout_s)

    def text(self, request: Request) -> str:
        """Return the body of the answer; raise RuntimeError unless its status is 200 or 204."""
        prepared = self._signer.prepare(request)
        head = self._signer.encode(prepared)[: -len(prepared.body) or None].decode()
        lines = [line.split(": ", 1) for line in head.split("\r\n")[1:] if line]
        url = f"{request.path}?{request.query}" if request.query else request.path
        if time.monotonic() - self._used_at > _KEPT_S:
            # The service may have ended the idle connection. http.client connects again.
            self._connection.close()
        self._used_at = time.monotonic()
        self._connection.request(request.method, url, body=prepared.body, headers={line[0]: line[1] for line in lines})
        answer = self._connection.getresponse()
        body = answer.read().decode()
        if answer.status not in {200, 204}:
            raise RuntimeError(f"{request.method} {request.path} was answered with {answer.status}: {body[:300]}")
        return body

    def json(self, request: Request) -> dict[str, Any]:
        """Return the members of the answer."""
        members: dict[str, Any] = json.loads(self.text(request))
        return members

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def answers(endpoint: Endpoint, request: Request) -> bool:
    """Say whether the server answers the request with a success by now."""
    caller = Caller(endpoint, timeout_s=5.0)
    try:
        caller.text(request)
    except (OSError, http.client.HTTPException, RuntimeError):
        return False
    finally:
        caller.close()
    return True
