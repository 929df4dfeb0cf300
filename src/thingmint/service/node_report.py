"""Owns the report of a node for operators: its counters, its authorities, its directory, its settings."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from thingmint.console.services import (
    AuthorityShown,
    BrokerShown,
    Labelled,
    LogShown,
    NodeFinding,
    NodeNumbers,
    NodeShown,
    RevocationListShown,
    SettingShown,
)
from thingmint.core.transparency.proof import proof_text
from thingmint.data_directory.certificate_files import pem_of
from thingmint.host.telemetry import Metrics
from thingmint.public.addresses import list_path
from thingmint.records.backups import last_backup
from thingmint.records.certificates.revocation_lists import list_states
from thingmint.records.clock import postgresql_engine
from thingmint.records.nodes.nodes import nodes
from thingmint.registration.log.reading import present_state, proven_resource
from thingmint.service.backup.last_backup import finding_of_backup
from thingmint.service.devices.device_edge import DeviceEdge
from thingmint.service.findings import Finding, Verdict, findings_of_directory
from thingmint.service.node import OpenNode
from thingmint.service.nodes.findings import clock_finding, engine_finding, findings_of_nodes
from thingmint.service.nodes.settings_comparison import comparable_settings, differences
from thingmint.settings.config import Source
from thingmint.settings.table import SETTINGS

_FINDINGS_LAST: Final = 60.0
_MOST_SHOWN: Final = 20


class NodeReport:
    """Implements `console.services.NodeFacts`."""

    def __init__(self, node: OpenNode, edge: DeviceEdge) -> None:
        self._node = node
        self._edge = edge
        self._findings: Sequence[NodeFinding] = ()
        self._found_until = 0.0

    def numbers(self) -> NodeNumbers:
        """Return the node's counts since its start."""
        metrics = self._node.metrics
        waits, seconds = _value(metrics, "thingmint_key_wait_seconds_count"), "thingmint_key_wait_seconds_sum"
        return NodeNumbers(
            api_connections=int(_value(metrics, "thingmint_connections")),
            device_connections=int(_value(metrics, "thingmint_device_connections")),
            key_reserve=int(_value(metrics, "thingmint_key_reserve")),
            waiting_for_keys=int(_value(metrics, "thingmint_waiting_for_keys")),
            mean_key_wait=_value(metrics, seconds) / waits if waits else None,
            throttled=_labelled(metrics, "thingmint_throttled", ("operation",)),
            refusals=_labelled(metrics, "thingmint_device_refusals", ("action", "reason")),
        )

    def authorities(self) -> Sequence[AuthorityShown]:
        """Return the service's certificates: the roots, the issuers, those of the server."""
        own = self._node.registry.authorities
        active, *retired = self._node.authority.issuers
        named = [("root", own.root), ("issuing", active.certificate), ("service", own.service.certificate)]
        if own.rsa_service is not None:
            named.append(("rsa-service", own.rsa_service.certificate))
        return [_shown(name, each) for name, each in (*named, *(("retired", each.certificate) for each in retired))]

    async def revocation_lists(self) -> Sequence[RevocationListShown]:
        """Return the newest revocation list of each issuer and shard."""
        return [
            RevocationListShown(
                issuer_id=each.name.issuer_id,
                part="" if each.name.shards == 1 else f"{each.name.shard} of {each.name.shards}",
                number=each.number,
                entries=each.entries,
                this_update=each.this_update,
                next_update=each.next_update,
                path=list_path(each.name),
            )
            for each in await self._node.registry.store.read(list_states)
        ]

    async def log(self) -> LogShown:
        """Return the state of the verifiable log; raise ResourceNotFound if there is none."""
        state = await self._node.registry.store.read(present_state)
        return LogShown(state.checkpoint, state.size, state.key.text)

    async def proofs(self, arn: str) -> str:
        """Return a proof for each leaf of a resource, as text; raise ResourceNotFound if the log has no leaf of it."""
        secret = self._node.log.salt_secret
        state, proofs = await self._node.registry.store.read(lambda: proven_resource(arn, secret))
        return "\n".join(proof_text(each.leaf, each.index, each.hashes, state.checkpoint) for each in proofs)

    async def nodes(self) -> Sequence[NodeShown]:
        """Return the nodes of the database, the oldest first; none if the registry serves one node only."""
        if self._node.config.database_url is None:
            return ()
        own = comparable_settings(self._node.config)
        return [
            NodeShown(
                name=each.name,
                version=each.version,
                data_plane=each.data_plane,
                started_at=each.started_at,
                seen_at=each.seen_at,
                different=differences(own, each),
                is_this=each.node_id == self._edge.node_id,
            )
            for each in await self._node.registry.store.read(nodes)
        ]

    def brokers(self) -> Sequence[BrokerShown]:
        """Return the brokers behind the relay that this node has used; none with the built-in broker."""
        return [
            BrokerShown(
                account=each.scope.account,
                addresses=str(each),
                version=None if each.abilities is None else each.abilities.version_in_words,
                missing=() if each.abilities is None else each.abilities.missing,
                away=[str(address) for address in each.failed],
            )
            for each in self._edge.brokers
        ]

    async def findings(self) -> Sequence[NodeFinding]:
        """Return the findings about the data directory, the database and the brokers, which are made once a minute."""
        if time.monotonic() >= self._found_until:
            self._found_until = time.monotonic() + _FINDINGS_LAST
            found = [*await asyncio.to_thread(self._look), *await self._of_database(), *self._of_brokers()]
            self._findings = [NodeFinding(str(each.verdict), each.text) for each in found]
        return self._findings

    def settings(self) -> Sequence[SettingShown]:
        """Return the settings in force; secrets are masked by their forms."""
        config = self._node.config
        return [
            SettingShown(
                group=str(each.group),
                name=each.name,
                value=_text(each.form.shown(getattr(config, each.name))),
                source=_place(config.origins[each.name].source, config.origins[each.name].place),
                meaning=each.meaning,
            )
            for each in SETTINGS
        ]

    def _look(self) -> Sequence[Finding]:
        return tuple(findings_of_directory(self._node.config.data_dir))

    async def _of_database(self) -> Sequence[Finding]:
        registry = self._node.registry
        backed_up = finding_of_backup(await registry.store.read(last_backup), registry.clock.now())
        if registry.config.database_url is None:
            return (backed_up,)
        engine = await registry.store.read(postgresql_engine)
        alive = await registry.store.read(nodes)
        return [
            backed_up,
            engine_finding(engine),
            clock_finding(registry.clock.skew),
            *findings_of_nodes(registry.config, alive, registry.clock.now()),
        ]

    def _of_brokers(self) -> Iterator[Finding]:
        for each in self._edge.brokers:
            named = f"the broker {each} of account {each.scope.account}"
            if each.abilities is None:
                yield Finding(Verdict.WRONG, f"{named} has not answered")
                continue
            yield Finding(Verdict.WARNING if each.abilities.missing else Verdict.OK, f"{named} speaks {each.abilities}")
            yield from (Finding(Verdict.WRONG, f"the broker at {address} does not answer") for address in each.failed)


def _value(metrics: Metrics, name: str) -> float:
    return metrics.registry.get_sample_value(name) or 0.0


def _labelled(metrics: Metrics, name: str, labels: Sequence[str]) -> Sequence[Labelled]:
    """Return the largest counts of a counter by its labels."""
    found = [
        Labelled(", ".join(sample.labels[label] for label in labels), int(sample.value))
        for family in metrics.registry.collect()
        if family.name == name
        for sample in family.samples
        if sample.name == f"{name}_total" and sample.value
    ]
    return sorted(found, key=lambda each: -each.count)[:_MOST_SHOWN]


def _shown(name: str, certificate: x509.Certificate) -> AuthorityShown:
    return AuthorityShown(
        name=name,
        subject=certificate.subject.rfc4514_string(),
        certificate_id=certificate.fingerprint(hashes.SHA256()).hex(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        pem=pem_of(certificate).decode(),
    )


def _text(value: object) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "on" if value else "off"
        case list() | tuple():
            return ", ".join(map(str, value)) or "–"
        case dict():
            return json.dumps(value, ensure_ascii=False) if value else "–"
        case _:
            return str(value)


def _place(source: Source, place: str) -> str:
    return str(source) if source is Source.DEFAULT else f"{source} {place}"
