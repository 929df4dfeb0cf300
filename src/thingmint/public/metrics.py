"""Owns the metrics of CRLs and OCSP responses: their names in Prometheus, and their meanings."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from thingmint.core.certificates.revocation_list import ListState

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class _Responses(Collector):
    """Counts OCSP responses in a dictionary, because a counter of the library takes as long as a part of the answer.

    The names of statuses come from a table, so the dictionary stays small. Only the event loop counts.
    """

    def __init__(self) -> None:
        self.counts: dict[tuple[str, bool], int] = {}

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Return the counts by status."""
        family = CounterMetricFamily(
            "thingmint_ocsp_responses",
            "OCSP responses by status, and whether they were signed before.",
            labels=("status", "cached"),
        )
        for (status, is_cached), count in tuple(self.counts.items()):
            family.add_metric((status, "yes" if is_cached else "no"), count)
        yield family


class RevocationMetrics:
    """Implements `registration.revocation.terms.RevocationObserver`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._written = Counter(
            "thingmint_revocation_lists_written", "Revocation lists that this node has written.", registry=registry
        )
        self._failed = Counter(
            "thingmint_revocation_lists_failed", "Turns in which lists of an issuer failed.", registry=registry
        )
        self._seconds = Histogram(
            "thingmint_revocation_list_seconds",
            "Time to write a list: signature, storage.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._entries = Gauge(
            "thingmint_revocation_list_entries", "Entries of an issuer's complete list.", ("issuer",), registry=registry
        )
        self._octets = Gauge(
            "thingmint_revocation_list_bytes", "Bytes of an issuer's complete list.", ("issuer",), registry=registry
        )
        self._next_update = Gauge(
            "thingmint_revocation_list_next_update_timestamp_seconds",
            "When an issuer's complete list ends.",
            ("issuer",),
            registry=registry,
        )
        self._responses = _Responses()
        registry.register(self._responses)

    def list_written(self, seconds: float) -> None:
        """Record that this node has written a CRL."""
        self._written.inc()
        self._seconds.observe(seconds)

    def list_failed(self, issuer_id: str) -> None:
        """Count a failed attempt to write an issuer's CRLs."""
        del issuer_id
        self._failed.inc()

    def list_given_out(self, state: ListState, octets: int) -> None:
        """Record that a CRL is served from now on; any node may have written it."""
        if state.name.shards == 1:
            self._entries.labels(state.name.issuer_id).set(state.entries)
            self._octets.labels(state.name.issuer_id).set(octets)
            self._next_update.labels(state.name.issuer_id).set(state.next_update.timestamp())

    def status_answered(self, status: str, *, is_cached: bool) -> None:
        """Count an OCSP response."""
        counts = self._responses.counts
        counts[status, is_cached] = counts.get((status, is_cached), 0) + 1
