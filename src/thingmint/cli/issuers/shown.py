"""`thingmint issuer list` and `show`: print the certificate authorities. Need no passphrase."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from thingmint.cli.settings import fail
from thingmint.cli.terminal.columns import table, terminal_width
from thingmint.core.error_text import in_words
from thingmint.core.errors import ThingmintError
from thingmint.core.issuer import IssuerRecord, IssuerStatus, KeyPlace
from thingmint.data_directory.authorities import ISSUING, ROOT, RSA_SERVICE, SERVER, SERVICE
from thingmint.data_directory.certificate_files import (
    AuthorityUnusable,
    certificate_path,
    is_sealed,
    key_path,
    read_certificate,
)
from thingmint.data_directory.retired_issuers import name_of, retired_issuers
from thingmint.issuance.authorities.issuer_life import life_left
from thingmint.issuance.authorities.issuing_ca import issuer_id_of
from thingmint.registration.issuers.issuers import list_issuers, named
from thingmint.service.issuers.known_issuers import chain_of, key_type_of
from thingmint.service.opening import store_beside_service
from thingmint.settings.config import Config, StartRefused

_HEADING = ("issuer", "status", "key", "private key", "from", "until", "life left", "profile")
_SHORT_ID = 12
_NAMES = {"rsa": "RSA", "ecdsa": "ECDSA"}


def show(config: Config, *, as_json: bool) -> None:
    """Print each authority and the server's certificate."""
    try:
        if not certificate_path(config.data_dir, ROOT).exists():
            fail(f"{config.data_dir} holds no authorities yet: `thingmint serve` makes them")
        # An error in a file is reported first.
        present = read_certificate(certificate_path(config.data_dir, ISSUING))
        list(retired_issuers(config.data_dir, present))
        rows = list(_rows(config.data_dir, _records(config)))
    except (AuthorityUnusable, OSError) as error:
        fail(in_words(error))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        _print(row)


def show_list(config: Config, *, as_json: bool) -> None:
    """Print one line for each issuer."""
    records, now = _records(config), datetime.now(UTC)
    if as_json:
        click.echo(json.dumps([_issuer_row(config.data_dir, each) for each in records], indent=2))
        return
    width = terminal_width()
    rows = [_line(each, now) for each in records]
    if width is not None:
        # Commands also accept the first characters of an id.
        rows = [(row[0][:_SHORT_ID], *row[1:]) for row in rows]
    for line in table([_HEADING, *rows], width, whole=1):
        click.echo(line)


def show_one(config: Config, issuer_id: str, *, as_json: bool) -> None:
    """Print an issuer and its certificates."""
    try:
        record = named(_records(config), issuer_id)
    except ThingmintError as error:
        fail(in_words(error))
    row = _issuer_row(config.data_dir, record)
    if as_json:
        click.echo(json.dumps({**row, "certificates": record.chain_pem}, indent=2))
        return
    _print(row)
    click.echo(record.chain_pem, nl=False)


def _records(config: Config) -> Sequence[IssuerRecord]:
    async def read() -> Sequence[IssuerRecord]:
        async with store_beside_service(config) as store:
            return await list_issuers(store)

    try:
        return asyncio.run(read())
    except (StartRefused, ThingmintError, OSError) as error:
        fail(in_words(error))


def _rows(data_dir: Path, records: Sequence[IssuerRecord]) -> Iterator[dict[str, str]]:
    for name in (ROOT, SERVICE, RSA_SERVICE, SERVER):
        certificate = read_certificate(certificate_path(data_dir, name))
        if certificate is not None:
            yield {"name": name, **_certificate_row(certificate), "private_key": _key_file(data_dir, name)}
        if name == ROOT:
            for record in sorted(records, key=lambda each: each.status is not IssuerStatus.ACTIVE):
                yield _issuer_row(data_dir, record)


def _issuer_row(data_dir: Path, record: IssuerRecord) -> dict[str, str]:
    chain = chain_of(record) if record.issuer_id is not None else ()
    return {
        "name": f"issuer {record.name}",
        "status": record.status,
        **(_certificate_row(chain[0]) if chain else {"key": _kind(record.key_type)}),
        "private_key": _place(data_dir, record),
        "profile": record.profile or "[profile]",
        **{
            name: at.isoformat()
            for name, at in (("activated_at", record.activated_at), ("retired_at", record.retired_at))
            if at is not None
        },
    }


def _certificate_row(certificate: x509.Certificate) -> dict[str, str]:
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "key": _kind(key_type_of(certificate)),
        "serial_number": f"{certificate.serial_number:x}",
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
    }


def _line(record: IssuerRecord, now: datetime) -> tuple[str, ...]:
    validity = ("", "", "")
    if record.issuer_id is not None:
        certificate = chain_of(record)[0]
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        validity = (f"{begin:%Y-%m-%d}", f"{end:%Y-%m-%d}", f"{life_left(begin, end, now):.0%}")
    profile = "[profile]" if record.profile is None else "own"
    place = record.token_uri if record.key_place is KeyPlace.TOKEN and record.token_uri else record.key_place.lower()
    return (record.name, record.status, _kind(record.key_type), place, *validity, profile)


def _print(row: dict[str, str]) -> None:
    click.echo(row["name"])
    for label, value in row.items():
        if label != "name":
            click.echo(f"  {label.replace('_', ' '):<14} {value}")


def _kind(key_type: str) -> str:
    kind, _, size = key_type.partition("-")
    return f"{_NAMES.get(kind, kind)} {size.upper() if kind == 'rsa' else size.replace('p', 'P-')}"


def _place(data_dir: Path, record: IssuerRecord) -> str:
    if record.key_place is KeyPlace.DATABASE:
        return "in the database, sealed by keys/sealing.key"
    if record.key_place is KeyPlace.TOKEN:
        return f"in the token: {record.token_uri}"
    if record.key_place is KeyPlace.DESTROYED:
        return "destroyed"
    present = read_certificate(certificate_path(data_dir, ISSUING))
    is_own = present is not None and issuer_id_of(present) == record.issuer_id
    return _key_file(data_dir, ISSUING if is_own else name_of(record.issuer_id or ""))


def _key_file(data_dir: Path, name: str) -> str:
    if name == SERVER:
        return "in the memory of the running service"
    path = key_path(data_dir, name)
    try:
        return f"{path} ({'sealed by a passphrase' if is_sealed(path.read_bytes()) else 'not sealed'})"
    except FileNotFoundError:
        return "not in the data directory"
