"""`thingmint doctor`: checks a data directory and its machine, and prints the findings."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import click

from thingmint.cli.terminal.columns import table, terminal_width
from thingmint.core.certificates.certificate import Certificate
from thingmint.core.error_text import in_words
from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.core.issuer import IssuerStatus
from thingmint.data_directory.authorities import ROOT
from thingmint.data_directory.certificate_files import certificate_path, key_path
from thingmint.data_directory.files import is_held
from thingmint.data_directory.retired_issuers import name_of
from thingmint.issuance.authorities.issuer_life import life_left, warning_of
from thingmint.records.backups import last_backup
from thingmint.records.certificates import issuers as issuer_table
from thingmint.records.certificates import signed_certificates as signed_certificate_table
from thingmint.records.clock import postgresql_engine
from thingmint.records.nodes.nodes import nodes
from thingmint.service.backup.last_backup import finding_of_backup
from thingmint.service.devices.brokers import findings_of_brokers
from thingmint.service.findings import (
    Finding,
    Verdict,
    findings_of_certificates,
    findings_of_files,
    space_left,
)
from thingmint.service.issuers.known_issuers import KnownIssuer, KnownIssuers
from thingmint.service.key_source import key_engine_finding
from thingmint.service.nodes.findings import clock_finding, engine_finding, findings_of_nodes
from thingmint.service.opening import registry_beside_service
from thingmint.service.start.first_credentials import require_own_database
from thingmint.settings.config import Config, StartRefused


def examine(config: Config) -> None:
    """Print the findings; end with exit code 1 if one of them is an error."""
    findings = list(_with_errors(findings_of(config)))
    for line in lines_of_findings(findings, terminal_width()):
        click.echo(line)
    if any(finding.verdict is Verdict.WRONG for finding in findings):
        sys.exit(1)


def _with_errors(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield the findings, and as the last one that a file cannot be read."""
    try:
        yield from findings
    except OSError as error:
        yield Finding(Verdict.WRONG, in_words(error))


def lines_of_findings(findings: Sequence[Finding], width: int | None) -> Iterator[str]:
    """Yield the lines that show the findings; None as the width means that no line is wrapped."""
    verdict_width = max(map(len, Verdict))
    return table([(each.verdict.ljust(verdict_width), each.text) for each in findings], width, whole=1)


def findings_of(config: Config) -> Iterator[Finding]:
    """Yield the findings on a data directory."""
    data_dir = config.data_dir
    if not certificate_path(data_dir, ROOT).exists():
        yield Finding(Verdict.WRONG, f"{data_dir} holds no authorities: `thingmint serve` makes them")
        return
    yield Finding(Verdict.OK, f"a service is {'running' if is_held(data_dir) else 'not running'} on {data_dir}")
    yield from findings_of_files(data_dir)
    certificates = findings_of_certificates(data_dir)
    yield from certificates
    yield space_left(data_dir)
    yield key_engine_finding(config.key_engine)
    try:
        yield from asyncio.run(findings_of_brokers(config, Scope(AccountId(config.account), Region(config.region))))
    except StartRefused as error:
        yield Finding(Verdict.WRONG, in_words(error))
    for registry in asyncio.run(_registry(config)):
        if registry not in certificates:
            yield registry


async def _registry(config: Config) -> list[Finding]:
    try:
        async with registry_beside_service(config) as registry:
            await registry.store.check()
            await require_own_database(registry.store, registry.sealer, registry.issuer_ids, registry.config.data_dir)
            skew = registry.clock.skew
            twice = await registry.store.read(lambda: signed_certificate_table.other_encodings())
            issuers = await registry.store.read(lambda: issuer_table.issuer_ids())
            engine = None if config.database_url is None else await registry.store.read(postgresql_engine)
            alive = () if config.database_url is None else await registry.store.read(nodes)
            backed_up = await registry.store.read(last_backup)
            now = registry.clock.now()
    except (StartRefused, ThingmintError, OSError) as error:
        return [Finding(Verdict.WRONG, in_words(error))]
    lives = _lives(registry.issuers, registry.clock.now())
    keyless = [_keyless(config.data_dir, each) for each in registry.issuers.keyless(now)]
    sound = Finding(Verdict.OK, "keys match their certificates and their database, which can be written to")
    lost = [_lost_issuer(config.data_dir, issuer) for issuer in issuers if issuer not in registry.issuer_ids]
    clocks = [] if engine is None else [engine_finding(engine), clock_finding(skew)]
    return [
        sound,
        finding_of_backup(backed_up, now),
        *clocks,
        *lives,
        *keyless,
        *findings_of_nodes(config, alive, now),
        *lost,
        *map(_registered_twice, twice),
    ]


def _lives(issuers: KnownIssuers, now: datetime) -> list[Finding]:
    return [_life(each, now) for each in issuers if each.record.status is not IssuerStatus.RETIRED]


def _life(known: KnownIssuer, now: datetime) -> Finding:
    share = life_left(known.ca.not_before, known.ca.not_after, now)
    reached = warning_of(share)
    verdict = Verdict.OK if reached is None else Verdict.WARNING if share > 0 else Verdict.WRONG
    advice = "" if reached is None else f", less than {reached:.0%}: rotate it"
    return Finding(
        verdict,
        f"issuer {known.ca.issuer_id} ({known.record.status}) is valid until {known.ca.not_after:%Y-%m-%d}; "
        f"{share:.1%} of its life is left{advice}",
    )


def _keyless(data_dir: Path, issuer_id: str) -> Finding:
    return Finding(
        Verdict.WARNING,
        f"the key of the retired issuer {issuer_id} is missing: its revocation list and OCSP cannot be renewed. "
        f"Put it at {key_path(data_dir, name_of(issuer_id))} and start the service again",
    )


def _lost_issuer(data_dir: Path, issuer_id: str) -> Finding:
    return Finding(
        Verdict.WARNING,
        f"the database holds certificates of the issuer {issuer_id}, which is neither in it nor in the data directory: "
        f"what verifies devices by device-ca.pem refuses them. Put its certificate at "
        f"{certificate_path(data_dir, name_of(issuer_id))}",
    )


def _registered_twice(certificate: Certificate) -> Finding:
    return Finding(
        Verdict.WARNING,
        f"account {certificate.scope.account}, region {certificate.scope.region}: certificate "
        f"{certificate.certificate_id} ({certificate.status}) is another encoding of {certificate.other_encoding_of}; "
        "it opens no connections: delete it",
    )
