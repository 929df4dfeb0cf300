"""Owns services in data directories for tests of backups: what is in them, and what happens after a backup."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click.testing
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec

from thingmint.cli.commands import main
from thingmint.cli.settings import config_of
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.certificates.revocation import Revocation
from thingmint.issuance.revocation.crl import ListTerms, encode_entries, sign_list
from thingmint.keys.pool import KeyPool
from thingmint.registration.certificates.issuing import issue
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import UNHEARD
from thingmint.service.authority import registration_authority
from thingmint.service.opening import Registry, open_registry
from thingmint.service.start.first_credentials import ensure_credentials, operator

T = TypeVar("T")
KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
PASSPHRASE = b"geheim\n"
LATER = datetime(2040, 1, 1, tzinfo=UTC)


class NoKeys:
    """A source of keys that nobody asks."""

    take = KeyPool.take


def run(data_dir: Path, *arguments: str) -> click.testing.Result:
    """Run a command on the data directory."""
    return CliRunner().invoke(main, [*arguments, "--data-dir", str(data_dir)])


def succeeded(data_dir: Path, *arguments: str) -> str:
    """Run a command and return what it has printed."""
    result = run(data_dir, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def failed(data_dir: Path, *arguments: str) -> str:
    """Run a command that is refused, and return why."""
    result = run(data_dir, *arguments)
    assert result.exit_code == 1, result.output
    return result.stderr


def with_service(data_dir: Path, work: Callable[[Registry, RegistrationAuthority], Awaitable[T]], **flags: object) -> T:
    """Open the registry as a service does, with an administrator, and do the work."""

    async def run_work() -> T:
        config = config_of({"data_dir": str(data_dir)})
        async with open_registry(config) as registry:
            ids = registry.issuer_ids
            await ensure_credentials(registry.store, registry.sealer, ids, registry.clock, registry.scope, config)
            return await work(registry, registration_authority(registry, NoKeys(), UNHEARD))

    return asyncio.run(run_work())


async def issued(authority: RegistrationAuthority, registry: Registry, count: int) -> list[Certificate]:
    """Issue active certificates."""
    caller = operator(registry.scope)
    action = "CreateCertificateFromCsr"
    return [await issue(authority, caller, action, KEY, None, CertificateStatus.ACTIVE) for _ in range(count)]


def list_of(
    data_dir: Path, revocations: Callable[[str], Sequence[Revocation]], number: int = 7, **flags: object
) -> bytes:
    """Return a revocation list of the active issuer with these entries."""

    async def work(registry: Registry, _authority: RegistrationAuthority) -> bytes:
        ca = registry.issuers.active.ca
        terms = ListTerms(number, datetime(2030, 1, 1, tzinfo=UTC), LATER)
        return await sign_list(ca, terms, [encode_entries(revocations(ca.issuer_id))])

    return with_service(data_dir, work)
