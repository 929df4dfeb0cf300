"""Owns the commands that change issuers. They change the database; the nodes of a running service follow it."""

import asyncio
import tomllib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from thingmint.cli.settings import fail
from thingmint.core.error_text import in_words
from thingmint.core.errors import ThingmintError
from thingmint.core.issuer import IssuerRecord, IssuerStatus
from thingmint.data_directory.certificate_files import AuthorityUnusable
from thingmint.data_directory.files import write_durably
from thingmint.host.given_files import read_given_text
from thingmint.host.standard_streams import OutputLost
from thingmint.issuance.authorities.issuer_chain import MOST_BYTES
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit
from thingmint.issuance.keys.signer import SignerUnavailable
from thingmint.issuance.profiles.profile import ProfileError
from thingmint.service import new_issuers
from thingmint.service.new_issuers import WantedIssuer
from thingmint.service.opening import Registry, registry_beside_service
from thingmint.settings.config import Config, StartRefused


def create_issuer(config: Config, *, days: int | None, **wanted: object) -> None:
    """Create an issuer and print its id."""
    _changed(config, lambda registry: new_issuers.create(registry, _wanted(days=days, **wanted)), IssuerStatus.READY)


def rotate_issuer(config: Config, *, days: int | None, **wanted: object) -> None:
    """Create and activate an issuer, and print its id."""
    _changed(config, lambda registry: new_issuers.rotate(registry, _wanted(days=days, **wanted)), IssuerStatus.ACTIVE)


def request_certificate(config: Config, issuer_id: str | None, out: Path, **wanted: object) -> None:
    """Write a certificate signing request, and print the id of its issuer."""

    async def work(registry: Registry) -> IssuerRecord:
        if issuer_id is None:
            record, pem = await new_issuers.request(registry, _wanted(days=None, **wanted))
        else:
            subject = wanted["subject"]
            record, pem = await new_issuers.request_again(
                registry, issuer_id, None if subject is None else str(subject)
            )
        try:
            if str(out) == "-":
                click.echo(pem, nl=False)
            else:
                write_durably(out, pem, 0o644)
        except OSError as error:
            fail(
                f"{in_words(error)}. The issuer {record.name} is {record.status}: write its request with "
                f"`thingmint issuer csr {record.name} --out FILE`"
            )
        return record

    _changed(config, work, IssuerStatus.PENDING, to_stderr=str(out) == "-")


def import_certificate(config: Config, issuer_id: str, file: Path) -> None:
    """Import the certificates of an issuer."""

    async def work(registry: Registry) -> IssuerRecord:
        return await new_issuers.import_chain(registry, issuer_id, read_bounded(file))

    _changed(config, work, IssuerStatus.READY)


def activate_issuer(config: Config, issuer_id: str) -> None:
    """Activate an issuer."""
    _changed(config, lambda registry: new_issuers.activate(registry, issuer_id), IssuerStatus.ACTIVE)


def retire_issuer(config: Config, issuer_id: str, *, destroy_key: bool) -> None:
    """Retire an issuer, or destroy its key."""

    def work(registry: Registry) -> Awaitable[IssuerRecord]:
        return new_issuers.retire(registry, issuer_id, destroy_key=destroy_key)

    _changed(config, work, IssuerStatus.RETIRED)


def read_bounded(file: Path) -> bytes:
    """Return the content of a file, up to one byte more than the limit."""
    with file.open("rb") as opened:
        return opened.read(MOST_BYTES + 1)


def _wanted(*, key_type: object, token: object, subject: object, profile: object, days: int | None) -> WantedIssuer:
    table = None if profile is None else tomllib.loads(read_given_text(Path(str(profile))))
    if table is not None and set(table) == {"profile"}:
        table = table["profile"]
    return WantedIssuer(
        key_type=str(key_type),
        token=None if token is None else str(token),
        subject=None if subject is None else str(subject),
        end=None if days is None else datetime.now(UTC) + timedelta(days=days),
        profile=table,
    )


def _changed(
    config: Config,
    work: Callable[[Registry], Awaitable[IssuerRecord]],
    status: IssuerStatus,
    *,
    to_stderr: bool = False,
) -> None:
    async def run() -> IssuerRecord:
        async with registry_beside_service(config) as registry:
            record = await work(registry)
            await new_issuers.follow(registry)
            return record

    try:
        record = asyncio.run(run())
    except SignerUnavailable as error:
        fail(error.reason)
    except (StartRefused, ThingmintError, AuthorityUnusable, IssuerUnfit, ProfileError) as error:
        fail(in_words(error))
    except RecursionError:
        fail("the values of the profile are nested too deeply")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        fail(in_words(error))
    changed = f"{record.name} {status}"
    try:
        click.echo(changed, err=to_stderr)
    except (OutputLost, BrokenPipeError) as error:
        fail(f"{changed}, but {in_words(error)}")
