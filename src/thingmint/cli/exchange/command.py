"""`thingmint import` and `thingmint export aws`: reads the input, calls the service, and prints the result."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable, SignedClient, shown_connection
from thingmint.cli.devices.device import ListRefused
from thingmint.cli.devices.verify_command import issuers_of_delivery, read_issuers
from thingmint.cli.exchange.aws_files import AwsExport
from thingmint.cli.exchange.into_service import FleetImport
from thingmint.cli.exchange.inventory import InventoryRefused, read_inventory
from thingmint.cli.exchange.service_registry import ServiceRegistry
from thingmint.cli.exchange.station import StationImport, StationRefused, read_delivery
from thingmint.cli.exchange.verification import verification_certificate
from thingmint.cli.settings import fail
from thingmint.cli.terminal.columns import printable
from thingmint.cli.terminal.progress import shown_progress
from thingmint.core.error_text import in_words
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import Scope, iot_arn, parse_account_id, parse_region
from thingmint.data_directory.authorities import DEVICE_AUTHORITIES
from thingmint.data_directory.files import whole_folder

_SHOWN = 50


def import_station(data_dir: Path, folder: Path, trusted: tuple[str, ...], *, is_named: bool) -> None:
    """Import a delivery of an offline station; end with exit code 1 if there are conflicts."""
    with _failing(), _client(data_dir, is_named=is_named) as client:
        entries, issuers = read_delivery(folder), issuers_of_delivery(folder)
        fingerprints = frozenset(each.replace(":", "").lower() for each in trusted)
        with shown_progress("importing", len(entries)) as on_progress:
            work = StationImport(client, on_progress, folder, issuers, fingerprints)
            work.delivery(entries)
        _end(work.conflicts, f"{len(entries) - len(work.conflicts)} of {len(entries)} identities are in the registry")


def import_aws(data_dir: Path, inventory: Path, *, is_named: bool) -> None:
    """Import an inventory of AWS IoT; end with exit code 1 if there are conflicts."""
    with _failing(), _client(data_dir, is_named=is_named) as client:
        fleet = read_inventory(inventory)
        names = len(fleet.policies) + len(fleet.types) + len(fleet.groups)
        total = names + len(fleet.certificates) + len(fleet.things)
        with shown_progress("importing", total) as on_progress:
            work = FleetImport(client, on_progress)
            work.fleet(fleet)
        things, certificates = len(fleet.things), len(fleet.certificates)
        _end(
            work.conflicts,
            f"{things} things and {certificates} certificates were read, {len(work.conflicts)} conflicts",
        )


def export_aws(
    data_dir: Path,
    out: Path,
    *,
    is_named: bool,
    registration_code: str | None,
    account: str | None,
    region: str | None,
    issuers_file: Path | None,
) -> None:
    """Write the files with which AWS IoT can register the devices of a running service."""
    with _failing(), _client(data_dir, is_named=is_named) as client:
        if (account is None) != (region is None):
            fail("--aws-account and --aws-region go together")
        prefix = None
        if account is not None and region is not None:
            prefix = iot_arn(Scope(parse_account_id(account), parse_region(region)), "")
        if out.exists() and any(out.iterdir()):
            fail(f"{out} is not empty: choose another folder")
        # AWS needs the certificates of the CAs that issue device certificates, so not those of roots.
        issuers = [each for each in read_issuers(issuers_file or data_dir / DEVICE_AUTHORITIES) if not _is_root(each)]
        verification = None
        if registration_code is not None:
            verification = verification_certificate(client, registration_code)
        with shown_progress("reading", 0) as on_progress:
            fleet = ServiceRegistry(client, on_progress).read()
        pems = [each.public_bytes(Encoding.PEM).decode() for each in issuers]
        with whole_folder(out) as unfinished:
            devices = AwsExport(unfinished, fleet, pems, verification, prefix).write()
        click.echo(f"{devices} things and {len(fleet.certificates)} certificates in {out}: sh {out / 'register.sh'}")


def _is_root(certificate: x509.Certificate) -> bool:
    return certificate.subject == certificate.issuer


@contextmanager
def _client(data_dir: Path, *, is_named: bool) -> Iterator[SignedClient]:
    client = SignedClient(shown_connection(data_dir, is_named=is_named))
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except (ServiceUnreachable, OSError) as error:
        fail(f"{in_words(error)}. Run the same command again to go on.")
    except (InvalidRequest, InventoryRefused, ListRefused, LookupError, ServiceRefused, StationRefused) as error:
        fail(error.message if isinstance(error, InvalidRequest) else in_words(error))


def _end(conflicts: Iterable[str], summary: str) -> None:
    conflicts = list(conflicts)
    for conflict in conflicts[:_SHOWN]:
        click.echo(printable(conflict), err=True)
    if conflicts:
        hidden = f" ({len(conflicts) - _SHOWN} more are not shown)" if len(conflicts) > _SHOWN else ""
        fail(f"{summary}; {len(conflicts)} conflicts, which changed nothing{hidden}")
    click.echo(summary)
