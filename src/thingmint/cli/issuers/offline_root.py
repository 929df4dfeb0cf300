"""`thingmint issuer sign-with-root`: certifies an issuer on a machine without the service."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from msgspec import Struct

from thingmint.cli.issuers.changes import read_bounded
from thingmint.cli.settings import fail
from thingmint.core.error_text import in_words
from thingmint.data_directory.certificate_files import AuthorityUnusable, certificates_in, is_sealed, pem_of
from thingmint.data_directory.files import write_durably
from thingmint.host.given_files import read_given
from thingmint.issuance.authorities.issuer_request import sign_issuer_request
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit, issuer_id_of
from thingmint.issuance.authorities.trust_anchor import certificate_authority
from thingmint.issuance.keys.key_pairs import WeakKey, accepted_public_key
from thingmint.issuance.keys.private_keys import PrivateKeyError, load_private_key
from thingmint.issuance.keys.subject_keys import subject_public_key
from thingmint.issuance.profiles.public_addresses import PublicAddresses, is_public_url
from thingmint.issuance.profiles.serial_number import random_serial_number
from thingmint.service.start.passphrases import read_passphrase_source
from thingmint.settings.config import StartRefused


class RootFiles(Struct, frozen=True):
    """The files of the root, and the addresses of its list, its certificate and its OCSP responder."""

    key: Path
    certificate: Path
    passphrase_file: Path | None
    addresses: PublicAddresses


def sign(files: RootFiles, request: Path, out: Path, days: int | None) -> None:
    """Write the issuer's certificate and the root's to a new file, and print the issuer's id."""
    for url in (files.addresses.revocation_list, files.addresses.issuer, files.addresses.status):
        if url is not None and not is_public_url(url):
            fail(f"{url!r} is not the URL of a page on an HTTP server, as in http://pki.example/root.crl")
    now = datetime.now(UTC)
    end = None if days is None else now + timedelta(days=days)
    try:
        if out.exists():
            fail(f"{out} exists already: name another file")
        certificates = certificates_in(read_given(files.certificate), files.certificate)
        accepted_public_key(subject_public_key(certificates[0]))
        stored = read_given(files.key)
        named = "--passphrase-file"
        passphrase = read_passphrase_source(files.passphrase_file, named) if is_sealed(stored) else None
        authority = certificate_authority(certificates[0], load_private_key(stored, passphrase))
        number = random_serial_number(os.urandom)
        issued = sign_issuer_request(authority, read_bounded(request), number, now, end, files.addresses)
        write_durably(out, pem_of(issued, *certificates), 0o644)
    except WeakKey as error:
        fail(f"{files.certificate}: {error.message}")
    except (AuthorityUnusable, PrivateKeyError, IssuerUnfit, StartRefused, OSError) as error:
        fail(in_words(error))
    click.echo(issuer_id_of(issued))
