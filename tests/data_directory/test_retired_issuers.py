"""Retired issuers lie beside the active one; they are trusted until they end, and what is wrong with them is named."""

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from tests.support.clients.signing import SettableClock

from thingmint.data_directory.authorities import Authorities, AuthorityFiles
from thingmint.data_directory.certificate_files import AuthorityUnusable, certificate_path, key_path, pem_of
from thingmint.data_directory.files import make_directory
from thingmint.data_directory.retired_issuers import destroy_key_files, name_of
from thingmint.data_directory.sealing import Sealer
from thingmint.issuance.authorities.issuing_ca import issuer_id_of
from thingmint.issuance.authorities.trust_anchor import CertificateAuthority, create_root_ca
from thingmint.issuance.keys.private_keys import dump_private_key, generate_private_key
from thingmint.issuance.profiles.serial_number import random_serial_number
from thingmint.service.issuers.known_issuers import IssuerSources, follow_on_disk, records_of_files
from thingmint.service.issuers.tokens import Tokens
from thingmint.settings.config import load_config

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PASSPHRASE = b"a long passphrase"


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(NOW)


@pytest.fixture
def files(tmp_path: Path, clock: SettableClock) -> AuthorityFiles:
    data_dir = tmp_path / "data"
    make_directory(data_dir)
    numbers = lambda: random_serial_number(os.urandom)  # noqa: E731  one line of a constructor
    return AuthorityFiles(data_dir, None, "ecdsa-p256", numbers, clock.now, True)


def own(authorities: Authorities) -> CertificateAuthority:
    """Return the issuer that the first start made, whose key is still there."""
    assert authorities.own_issuer is not None
    return authorities.own_issuer


def retire(data_dir: Path, authorities: Authorities) -> str:
    """Move the active issuer to where retired ones lie, and return the id; the next start makes another."""
    issuer_id = issuer_id_of(own(authorities).certificate)
    for path_of in (key_path, certificate_path):
        target = path_of(data_dir, name_of(issuer_id))
        make_directory(target.parent)
        path_of(data_dir, "issuing-ca").rename(target)
    return issuer_id


def start(files: AuthorityFiles) -> Authorities:
    """Open the directory and write what brokers are given, as a start with an empty database does."""
    authorities = files.open()
    tokens = Tokens(load_config({"data_dir": str(files.data_dir)}, {}))
    sources = IssuerSources(authorities, Sealer(authorities.sealing_key_material, os.urandom), tokens, {})
    known = sources.known(records_of_files(authorities, files.now()))
    follow_on_disk(files.data_dir, authorities, known, files.now())
    return authorities


def trusted(data_dir: Path) -> list[x509.Certificate]:
    """Return what brokers are given to verify devices."""
    return x509.load_pem_x509_certificates((data_dir / "device-ca.pem").read_bytes())


def test_retired_issuers_are_opened_with_their_keys_and_trusted_beside_the_active_one(files: AuthorityFiles) -> None:
    first = files.open()
    retire(files.data_dir, first)
    second = files.open()
    lost = retire(files.data_dir, second)
    key_path(files.data_dir, name_of(lost)).unlink()
    third = start(files)
    assert third.root == first.root
    by_id = {issuer_id_of(each.chain[0]): each for each in third.retired}
    assert set(by_id) == {issuer_id_of(own(each).certificate) for each in (first, second)}
    opened = by_id[issuer_id_of(own(first).certificate)].private_key
    assert opened is not None
    assert opened.public_key() == own(first).private_key.public_key()
    assert by_id[lost].private_key is None
    certificates = trusted(files.data_dir)
    assert certificates[0] == own(third).certificate
    assert certificates[-1] == third.root
    assert set(certificates[1:-1]) == {own(first).certificate, own(second).certificate}
    assert "rivate" not in repr(third.retired[0]).replace("private_key", "")


def test_what_certifies_a_retired_issuer_of_another_root_is_trusted_too(files: AuthorityFiles) -> None:
    first = files.open()
    issuer_id = retire(files.data_dir, first)
    other = create_root_ca(generate_private_key("ecdsa-p256"), random_serial_number(os.urandom), NOW)
    path = certificate_path(files.data_dir, name_of(issuer_id))
    path.write_bytes(pem_of(own(first).certificate, other, first.root))
    second = start(files)
    assert trusted(files.data_dir) == [own(second).certificate, own(first).certificate, other, first.root]


def test_an_issuer_is_trusted_until_its_end_unless_the_clock_is_wrong(
    files: AuthorityFiles, clock: SettableClock
) -> None:
    first = files.open()
    retire(files.data_dir, first)
    end = own(first).certificate.not_valid_after_utc
    # A root of later years has certified the active issuer.
    clock.at = end - timedelta(days=365)
    for name in ("root-ca", "service-ca"):
        for path_of in (key_path, certificate_path):
            path_of(files.data_dir, name).unlink()
    second = files.open()
    assert own(second).certificate.not_valid_after_utc > end
    for at, is_trusted in (
        (end, True),
        (end + timedelta(seconds=1), False),
        (own(second).certificate.not_valid_after_utc + timedelta(days=1), True),
        (NOW, True),
    ):
        clock.at = at
        start(files)
        assert (own(first).certificate in trusted(files.data_dir)) is is_trusted, at


def test_the_active_issuer_is_not_a_retired_one_although_a_copy_lies_there(files: AuthorityFiles) -> None:
    first = files.open()
    target = certificate_path(files.data_dir, name_of(issuer_id_of(own(first).certificate)))
    make_directory(target.parent)
    shutil.copy(certificate_path(files.data_dir, "issuing-ca"), target)
    assert start(files).retired == ()
    assert trusted(files.data_dir) == [own(first).certificate, first.root]


def test_a_sealed_key_of_a_retired_issuer_is_opened_with_the_passphrase(files: AuthorityFiles) -> None:
    first = files.open()
    path = key_path(files.data_dir, name_of(retire(files.data_dir, first)))
    path.write_bytes(dump_private_key(own(first).private_key, PASSPHRASE))
    for passphrase, reason in ((None, "no passphrase was given"), (b"another one", "does not open the private key")):
        with pytest.raises(AuthorityUnusable, match=reason) as refused:
            replace(files, passphrase=passphrase).open()
        assert str(path) in str(refused.value)
    (retired,) = replace(files, passphrase=PASSPHRASE).open().retired
    assert retired.private_key is not None
    assert retired.private_key.public_key() == own(first).private_key.public_key()


def test_leftovers_of_a_write_that_was_cut_off_are_removed(files: AuthorityFiles) -> None:
    files.open()
    left = certificate_path(files.data_dir, name_of("ab" * 32)).with_name(f".{'ab' * 32}.pem.{'0' * 16}")
    make_directory(left.parent)
    left.write_text("half")
    beside = left.with_name(".directory")
    beside.write_text("of a file manager")
    assert files.open().retired == ()
    assert not left.exists()
    assert beside.exists()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("junk", "holds no certificate"),
        ("other", "holds the certificate of the issuer"),
        ("name", r"is not named ID\.pem"),
        ("key", "the private key does not belong to the certificate"),
        ("junk key", "holds no private key"),
    ],
)
def test_what_is_wrong_with_a_retired_issuer_is_named_and_nothing_is_changed(
    damage: str, reason: str, files: AuthorityFiles
) -> None:
    first = files.open()
    name = name_of(retire(files.data_dir, first))
    start(files)
    before = (files.data_dir / "device-ca.pem").read_bytes()
    damaged = certificate_path(files.data_dir, name)
    if damage == "junk":
        damaged.write_text("junk")
    elif damage == "other":
        damaged.write_bytes(pem_of(first.root))
    elif damage == "name":
        damaged = damaged.rename(damaged.with_name("old.pem"))
    else:
        damaged = key_path(files.data_dir, name)
        other = dump_private_key(generate_private_key("ecdsa-p256"), None)
        damaged.write_bytes(b"junk" if damage == "junk key" else other)
    with pytest.raises(AuthorityUnusable, match=reason) as refused:
        files.open()
    assert str(damaged) in str(refused.value)
    assert (files.data_dir / "device-ca.pem").read_bytes() == before


def test_the_key_of_the_first_issuer_can_be_destroyed_and_no_other_is_made(files: AuthorityFiles) -> None:
    first = files.open()
    certificate = own(first).certificate
    for _ in range(2):
        # The second call is what a start does after a crash.
        destroy_key_files(files.data_dir, certificate, certificate)
        left = files.open()
        assert left.own_issuer is None
        assert [(each.chain, each.private_key) for each in left.retired] == [((certificate,), None)]
    assert not list(files.data_dir.rglob("issuing-ca.key"))


def test_the_key_of_a_retired_issuer_can_be_destroyed(files: AuthorityFiles) -> None:
    first = files.open()
    name = name_of(retire(files.data_dir, first))
    second = files.open()
    destroy_key_files(files.data_dir, own(second).certificate, own(first).certificate)
    assert not key_path(files.data_dir, name).exists()
    third = files.open()
    assert own(third).certificate == own(second).certificate
    assert [each.private_key for each in third.retired] == [None]
