"""Owns the service's metrics, in a separate registry, and its structured logs, without secrets."""

import logging
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from thingmint.host.json_lines import JSONLines
from thingmint.host.service_log import LOGGER, LogOutput, Render, SteadyLogger, service_log

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_DATABASE_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)
_ISSUING = frozenset(
    {
        "CreateKeysAndCertificate",
        "CreateCertificateFromCsr",
        "EstSimpleEnroll",
        "EstSimpleReenroll",
        "EstServerKeygen",
    }
)


class Metrics:
    """Counters and timers; each instance has a registry, so that several services can run in one process."""

    def __init__(self, version: str) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "thingmint_requests", "Requests by operation and error.", ("operation", "error"), registry=registry
        )
        self._request_seconds = Histogram(
            "thingmint_request_seconds", "Time to serve a request.", ("operation",), buckets=_SECONDS, registry=registry
        )
        self._issuance_seconds = Histogram(
            "thingmint_issuance_seconds", "Time to issue a certificate.", buckets=_SECONDS, registry=registry
        )
        self._throttled = Counter(
            "thingmint_throttled",
            "Requests refused because there was no room, or by quota.",
            ("operation",),
            registry=registry,
        )
        self._in_flight = Gauge("thingmint_requests_in_flight", "Requests being worked on.", registry=registry)
        self._connections = Gauge("thingmint_connections", "Open connections.", registry=registry)
        self._turned_away = Counter(
            "thingmint_connections_turned_away",
            "Connections that found no room or gave their place to another.",
            ("listener",),
            registry=registry,
        )
        self._proxy_headers_refused = Counter(
            "thingmint_proxy_headers_refused",
            "Connections of networks in proxy_protocol without a valid header.",
            ("listener",),
            registry=registry,
        )
        for listener in ("api", "devices", "public", "est"):
            # Create the counters at zero: a reader cannot distinguish an absent counter from one that is zero.
            self._turned_away.labels(listener)
            self._proxy_headers_refused.labels(listener)
        self._unserved = Counter(
            "thingmint_messages_not_served",
            "Messages of devices to topics that AWS IoT serves and this service does not.",
            registry=registry,
        )
        self._device_connections = Gauge("thingmint_device_connections", "Open device connections.", registry=registry)
        self._refusals = Counter(
            "thingmint_device_refusals",
            "What was refused to devices, by action and reason.",
            ("action", "reason"),
            registry=registry,
        )
        self._reserve = Gauge("thingmint_key_reserve", "Key pairs in the reserve.", registry=registry)
        self._reserve_wait = Histogram(
            "thingmint_key_wait_seconds", "Time that a caller waited for a key.", buckets=_SECONDS, registry=registry
        )
        self._waiting = Gauge("thingmint_waiting_for_keys", "Callers that wait for a key.", registry=registry)
        self._key_engine = Gauge(
            "thingmint_key_engine", "1 for the engine that makes the keys.", ("engine",), registry=registry
        )
        self._key_engine_faults = Counter(
            "thingmint_key_engine_faults", "Faults that turned a key engine off.", registry=registry
        )
        self._database_seconds = Histogram(
            "thingmint_database_seconds", "Database time.", ("kind",), buckets=_DATABASE_SECONDS, registry=registry
        )
        self._expiry = Gauge(
            "thingmint_certificate_expiry_timestamp_seconds", "When a certificate ends.", ("name",), registry=registry
        )
        self._issuer_life = Gauge(
            "thingmint_issuer_life_left",
            "Which share of an issuer's validity is left, from 1 to 0.",
            ("issuer", "status"),
            registry=registry,
        )
        self._keyless_issuers = Gauge(
            "thingmint_issuers_without_key",
            "Retired issuers that have not ended and whose key is missing.",
            registry=registry,
        )
        self._clock_skew = Gauge(
            "thingmint_clock_skew_seconds",
            "How far the machine's clock is ahead of the database's.",
            registry=registry,
        )
        self._last_backup = Gauge(
            "thingmint_last_backup_timestamp_seconds",
            "When the last completed backup began; 0 if there is none.",
            registry=registry,
        )
        self._log_size = Gauge("thingmint_log_leaves", "Leaves of the verifiable log.", registry=registry)
        self._log_seconds = Histogram(
            "thingmint_log_pass_seconds",
            "Time to give new entries their places in the verifiable log.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._nodes = Gauge("thingmint_nodes", "Nodes that serve this database, this one included.", registry=registry)
        Info("thingmint_build", "The version that runs.", registry=registry).info({"version": version})
        # Finding a child by its labels costs more than counting. The names come from tables, so the dictionary stays
        # small.
        self._request_counters: dict[tuple[str, str], Counter] = {}
        self._request_timers: dict[str, Histogram] = {}
        self._database_timers: dict[str, Histogram] = {}

    def observe_request(self, operation: str, error: str, seconds: float) -> None:
        """Record a served request; ``error`` is empty for success."""
        counter = self._request_counters.get((operation, error))
        if counter is None:
            counter = self._request_counters[operation, error] = self._requests.labels(operation, error)
            self._request_timers[operation] = self._request_seconds.labels(operation)
        counter.inc()
        self._request_timers[operation].observe(seconds)
        if operation in _ISSUING and not error:
            self._issuance_seconds.observe(seconds)

    def throttled(self, operation: str) -> None:
        """Count a request that was refused because of a quota or for lack of room."""
        self._throttled.labels(operation).inc()

    def in_flight(self, delta: int) -> None:
        """Record that work on a request has begun (1) or ended (-1)."""
        self._in_flight.inc(delta)

    def connections(self, count: int) -> None:
        """Record how many connections are open."""
        self._connections.set(count)

    def api_connections_turned_away(self, count: int) -> None:
        """Count connections of the API that were refused for lack of room or closed in favour of others."""
        self._turned_away.labels("api").inc(count)

    def public_connections_turned_away(self, count: int) -> None:
        """Count connections of the public address that were refused for lack of room or closed in favour of others."""
        self._turned_away.labels("public").inc(count)

    def est_connections_turned_away(self, count: int) -> None:
        """Count connections of EST's address that were refused for lack of room or closed in favour of others."""
        self._turned_away.labels("est").inc(count)

    def device_connections_turned_away(self, count: int) -> None:
        """Count connections of devices that were refused for lack of room or closed in favour of others."""
        self._turned_away.labels("devices").inc(count)

    def proxy_headers_refused(self, listener: str, count: int) -> None:
        """Count connections of balancers that do not begin with a header of the PROXY protocol."""
        self._proxy_headers_refused.labels(listener).inc(count)

    def unserved_messages(self, count: int) -> None:
        """Count messages to reserved topics that AWS IoT serves and this service does not."""
        self._unserved.inc(count)

    def device_connections(self, count: int) -> None:
        """Record how many connections of devices are open."""
        self._device_connections.set(count)

    def device_refused(self, action: str, reason: str) -> None:
        """Count a refusal; both names come from tables, so that the number of labels is small."""
        self._refusals.labels(action, reason).inc()

    def reserve_level(self, level: int) -> None:
        """Record how many key pairs are in the reserve."""
        self._reserve.set(level)

    def observe_reserve_wait(self, seconds: float) -> None:
        """Record how long a caller waited for its key pair."""
        self._reserve_wait.observe(seconds)

    def waiting(self, count: int) -> None:
        """Record how many callers wait for a key."""
        self._waiting.set(count)

    def key_engine(self, engine: str) -> None:
        """Record the engine that makes keys from now on."""
        self._key_engine.clear()
        self._key_engine.labels(engine).set(1)

    def key_engine_failed(self) -> None:
        """Count a fault of the key engine."""
        self._key_engine_faults.inc()

    def observe_database(self, kind: str, seconds: float) -> None:
        """Record the time that the database took; ``kind`` is read, write or commit."""
        timer = self._database_timers.get(kind)
        if timer is None:
            timer = self._database_timers[kind] = self._database_seconds.labels(kind)
        timer.observe(seconds)

    def certificate_expiry(self, name: str, not_after: datetime) -> None:
        """Record when one of the service's own certificates ends."""
        self._expiry.labels(name).set(not_after.timestamp())

    def log_grew(self, size: int, seconds: float) -> None:
        """Record how many leaves the verifiable log has, and how many seconds it took to add the last ones."""
        self._log_size.set(size)
        self._log_seconds.observe(seconds)

    def last_backup(self, began_at: datetime | None) -> None:
        """Record when the last completed backup began; None if there is none."""
        self._last_backup.set(0 if began_at is None else began_at.timestamp())

    def issuer_lives(self, shares: Mapping[tuple[str, str], float]) -> None:
        """Record the share of each issuer's validity that is left, by id and status; remove all other issuers."""
        self._issuer_life.clear()
        for labels, share in shares.items():
            self._issuer_life.labels(*labels).set(share)

    def keyless_issuers(self, count: int) -> None:
        """Record how many retired issuers cannot sign what is said about their certificates."""
        self._keyless_issuers.set(count)

    def clock_skew(self, seconds: float) -> None:
        """Record how far the machine's clock is ahead of the database's; negative if it is behind."""
        self._clock_skew.set(seconds)

    def nodes(self, count: int) -> None:
        """Record how many nodes serve this database."""
        self._nodes.set(count)

    @property
    def registry(self) -> CollectorRegistry:
        """The registry in which other modules register their metrics."""
        return self._registry

    def render(self) -> bytes:
        """Return the metrics in Prometheus's text format, version 0.0.4."""
        return generate_latest(self._registry)


def configure_logging(
    log_format: str, level: str, stream: TextIO | None = None, *, facts: Mapping[str, object] | None = None
) -> None:
    """Log to standard error, as JSON lines or as text for people; libraries log in the same form.

    Each line contains the facts.
    """
    steady = SteadyLogger(stream or sys.stderr)
    if log_format == "json":
        render: Render = JSONLines(facts or {})
    else:
        from thingmint.host.text_lines import text_lines

        render = text_lines(facts or {}, colors=(stream or sys.stderr).isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    service_log.use(LogOutput(number, render, steady.write))
    root = logging.getLogger()
    root.handlers[:] = [_LinesOfLibraries(steady, render)]
    # Debugging lines of libraries are of no use to an operator.
    root.setLevel(max(number, logging.INFO))
    logging.getLogger(LOGGER).setLevel(number)


class _LinesOfLibraries(logging.Handler):
    """Writes what libraries log in the form of the service's own lines."""

    def __init__(self, logger: SteadyLogger, render: Render) -> None:
        super().__init__()
        self._logger = logger
        self._render = render

    def emit(self, record: logging.LogRecord) -> None:
        event: dict[str, object] = {"event": record.getMessage()}
        if record.exc_info:
            event["exc_info"] = record.exc_info
        if record.stack_info:
            event["stack_info"] = record.stack_info
        self._logger.write(self._render(record.levelname.lower(), event))
