"""`thingmint issuer sign-with-root`: certifies an issuer on a machine without the service."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from thingmint.cli.issuers.changes import read_bounded
from thingmint.cli.settings import fail
from thingmint.core.error_text import in_words
from thingmint.data_directory.certificate_files import AuthorityUnusable, is_sealed, pem_of, read_certificates
from thingmint.data_directory.files import write_durably
from thingmint.issuance.authorities.issuer_request import sign_issuer_request
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit, issuer_id_of
from thingmint.issuance.authorities.trust_anchor import certificate_authority
from thingmint.issuance.keys.private_keys import PrivateKeyError, load_private_key
from thingmint.issuance.profiles.serial_number import random_serial_number
from thingmint.service.start.passphrases import read_passphrase_source
from thingmint.settings.config import StartRefused


def sign(root_key: Path, root: Path, request: Path, out: Path, days: int | None, passphrase_file: Path | None) -> None:
    """Write the issuer's certificate and the root's to a new file, and print the issuer's id."""
    now = datetime.now(UTC)
    end = None if days is None else now + timedelta(days=days)
    try:
        if out.exists():
            fail(f"{out} exists already: name another file")
        stored = root_key.read_bytes()
        passphrase = read_passphrase_source(passphrase_file, "--passphrase-file") if is_sealed(stored) else None
        certificates = read_certificates(root)
        authority = certificate_authority(certificates[0], load_private_key(stored, passphrase))
        issued = sign_issuer_request(authority, read_bounded(request), random_serial_number(os.urandom), now, end)
        write_durably(out, pem_of(issued, *certificates), 0o644)
    except (AuthorityUnusable, PrivateKeyError, IssuerUnfit, StartRefused, OSError) as error:
        fail(in_words(error))
    click.echo(issuer_id_of(issued))
