"""`thingmint doctor`: owns the checks of a data directory and its machine, and what is said of each."""

import asyncio
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import click

from thingmint.core.certificates.certificate import Certificate
from thingmint.core.errors import ThingmintError
from thingmint.data_directory.authorities import ISSUING, ROOT, RSA_SERVICE, SERVICE
from thingmint.data_directory.certificate_files import (
    AuthorityUnusable,
    certificate_path,
    is_sealed,
    read_certificate,
)
from thingmint.data_directory.files import is_held
from thingmint.data_directory.handover import CREDENTIALS
from thingmint.data_directory.retired_issuers import name_of, retired_issuers
from thingmint.host.words import in_words
from thingmint.issuance.issuing_ca import issuer_id_of
from thingmint.keys.engines import EngineUnavailable, choose_engine, run_self_test
from thingmint.keys.generators import Engine
from thingmint.records.certificates import issuers as issuer_table
from thingmint.records.certificates import signed_certificates as signed_certificate_table
from thingmint.service.clocks import MOST_SKEW
from thingmint.service.first_credentials import require_own_database
from thingmint.service.opening import registry_beside_service
from thingmint.settings.config import Config, StartRefused

_LITTLE_SPACE_BYTES = 512 * 1024 * 1024
_EXPIRES_SOON = timedelta(days=365)


class Verdict(StrEnum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination."""

    verdict: Verdict
    text: str


def examine(config: Config) -> None:
    """Print what was found; end with 1 if something is wrong."""
    findings = list(findings_of(config))
    for finding in findings:
        click.echo(f"{finding.verdict:<8} {finding.text}")
    if any(finding.verdict is Verdict.WRONG for finding in findings):
        sys.exit(1)


def findings_of(config: Config) -> Iterator[Finding]:
    """Yield the findings on a data directory."""
    data_dir = config.data_dir
    if not certificate_path(data_dir, ROOT).exists():
        yield Finding(Verdict.WRONG, f"{data_dir} holds no authorities: `thingmint serve` makes them")
        return
    yield Finding(Verdict.OK, f"a service is {'running' if is_held(data_dir) else 'not running'} on {data_dir}")
    yield from _files(data_dir)
    certificates = list(dict.fromkeys((*_certificates(data_dir), *_retired(data_dir))))
    yield from certificates
    yield _space(data_dir)
    yield _key_engine(config.key_engine)
    for registry in asyncio.run(_registry(config)):
        if registry not in certificates:
            yield registry


def _files(data_dir: Path) -> Iterator[Finding]:
    keys = sorted((data_dir / "keys").rglob("*.key"))
    for path in (*keys, data_dir / CREDENTIALS):
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding(Verdict.WRONG, f"{path} can be read by others: chmod 600 {path}")
    for path in keys:
        if is_sealed(path.read_bytes()):
            yield Finding(Verdict.OK, f"{path} is sealed by a passphrase")
        else:
            yield Finding(Verdict.WARNING, f"{path} is not sealed: give ca_passphrase_file before the first start")


def _certificates(data_dir: Path) -> Iterator[Finding]:
    # The last is made by the next start where an older version made the others.
    newer = (RSA_SERVICE,) if certificate_path(data_dir, RSA_SERVICE).exists() else ()
    for name in (ROOT, ISSUING, SERVICE, *newer):
        try:
            certificate = read_certificate(certificate_path(data_dir, name))
        except AuthorityUnusable as error:
            yield Finding(Verdict.WRONG, in_words(error))
            continue
        if certificate is None:
            yield Finding(Verdict.WRONG, f"{certificate_path(data_dir, name)} is missing")
            continue
        left = certificate.not_valid_after_utc - datetime.now(UTC)
        verdict = Verdict.WRONG if left <= timedelta() else Verdict.WARNING if left < _EXPIRES_SOON else Verdict.OK
        yield Finding(verdict, f"{name} is valid until {certificate.not_valid_after_utc:%Y-%m-%d}")


def _retired(data_dir: Path) -> Iterator[Finding]:
    try:
        active = read_certificate(certificate_path(data_dir, ISSUING))
        for retired in retired_issuers(data_dir, active):
            end = retired.certificate.not_valid_after_utc
            said = "was valid until" if end < datetime.now(UTC) else "is trusted until"
            yield Finding(Verdict.OK, f"retired issuer {issuer_id_of(retired.certificate)} {said} {end:%Y-%m-%d}")
    except AuthorityUnusable as error:
        yield Finding(Verdict.WRONG, in_words(error))


def _space(data_dir: Path) -> Finding:
    free = shutil.disk_usage(data_dir).free
    verdict = Verdict.WARNING if free < _LITTLE_SPACE_BYTES else Verdict.OK
    return Finding(verdict, f"{free // (1024 * 1024)} MiB are free on the disk of {data_dir}")


def _key_engine(setting: str) -> Finding:
    """Examine the engine that the next start chooses; a running service tells its own by `thingmint_key_engine`."""
    try:
        choice = choose_engine(setting)
    except EngineUnavailable as error:
        return Finding(Verdict.WRONG, in_words(error))
    if choice.engine is Engine.OPENSSL:
        return Finding(Verdict.OK, f"keys are made by OpenSSL: {choice.reason}")
    passed, said = run_self_test()
    if not passed:
        return Finding(Verdict.WARNING, f"keys are made by OpenSSL: {said}")
    return Finding(Verdict.OK, f"keys are made by the engine ifma, whose self-test passed: {said}")


async def _registry(config: Config) -> list[Finding]:
    try:
        async with registry_beside_service(config) as registry:
            await registry.store.check()
            await require_own_database(registry.store, registry.sealer, registry.issuer_ids, registry.config.data_dir)
            skew = registry.clock.skew
            twice = await registry.store.read(lambda: signed_certificate_table.other_encodings())
            issuers = await registry.store.read(lambda: issuer_table.issuer_ids())
    except (StartRefused, ThingmintError, OSError) as error:
        return [Finding(Verdict.WRONG, in_words(error))]
    sound = Finding(Verdict.OK, "keys match their certificates and their database, which can be written to")
    lost = [_lost_issuer(config.data_dir, issuer) for issuer in issuers if issuer not in registry.issuer_ids]
    clocks = [] if config.database_url is None else [_clock(skew)]
    return [sound, *clocks, *lost, *map(_registered_twice, twice)]


def _lost_issuer(data_dir: Path, issuer_id: str) -> Finding:
    return Finding(
        Verdict.WARNING,
        f"the database holds certificates of the issuer {issuer_id}, which is not in the data directory: what "
        f"verifies devices by device-ca.pem refuses them. Put its certificate at "
        f"{certificate_path(data_dir, name_of(issuer_id))}",
    )


def _clock(skew: timedelta) -> Finding:
    verdict = Verdict.WRONG if abs(skew) > MOST_SKEW else Verdict.OK
    direction = "ahead of" if skew >= timedelta() else "behind"
    seconds = abs(skew).total_seconds()
    return Finding(verdict, f"the clock of this machine is {seconds:.1f} seconds {direction} the database's")


def _registered_twice(certificate: Certificate) -> Finding:
    return Finding(
        Verdict.WARNING,
        f"account {certificate.scope.account}, region {certificate.scope.region}: certificate "
        f"{certificate.certificate_id} ({certificate.status}) is another encoding of {certificate.other_encoding_of}; "
        "it opens no connections: delete it",
    )
