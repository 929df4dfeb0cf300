"""Owns the certificate authorities of a data directory: makes them at the first start, and loads them later.

Each file is made if it is missing, and never overwritten, so the next start completes an interrupted first start. A key
is durable before its certificate is made. The root's private key is needed only to make another authority, so it may be
moved to a safe place afterwards.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from thingmint.core.error_text import reason_of
from thingmint.core.identifiers import SerialNumber
from thingmint.data_directory.certificate_files import (
    AuthorityUnusable,
    certificate_path,
    is_sealed,
    key_path,
    pem_of,
    read_certificate,
    write_where_different,
)
from thingmint.data_directory.files import DirectoryInUse, held, make_directory, remove_leftovers, write_durably
from thingmint.data_directory.resealing import is_being_resealed, settle
from thingmint.data_directory.retired_issuers import RETIRED_ISSUERS, RetiredIssuer, destroyed_path, retired_issuers
from thingmint.data_directory.root_signer import RootSigner
from thingmint.issuance.authorities.trust_anchor import (
    CertificateAuthority,
    certificate_authority,
    create_issuing_ca,
    create_root_ca,
    create_rsa_service_ca,
    create_service_ca,
)
from thingmint.issuance.keys.private_keys import (
    PassphraseMissing,
    PrivateKey,
    PrivateKeyError,
    dump_private_key,
    generate_private_key,
    load_private_key,
)
from thingmint.issuance.profiles.public_addresses import PublicAddresses

TRUST_ANCHOR = "ca.pem"
DEVICE_AUTHORITIES = "device-ca.pem"
ROOT, ISSUING, SERVICE, SERVER = "root-ca", "issuing-ca", "service-ca", "server"
RSA_SERVICE = "rsa-service-ca"
SEALING = "sealing"


@dataclass(frozen=True, slots=True)
class RetiredAuthority:
    """An authority that has issued device certificates, and its private key if that is in the data directory."""

    chain: tuple[x509.Certificate, ...]
    """Its certificate, then those above it unless the service's root has certified it."""
    private_key: PrivateKey | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authorities:
    """The loaded authorities, and the key material that seals stored secrets, which is not in the repr."""

    root: x509.Certificate
    own_issuer: CertificateAuthority | None
    """The issuer of device certificates that the first start made; None if its key was destroyed."""
    retired: tuple[RetiredAuthority, ...]
    service: CertificateAuthority
    sealing_key_material: bytes = field(repr=False)
    root_signer: RootSigner | None
    """Signs with the root's key; None if that key is not in the data directory."""
    rsa_service: CertificateAuthority | None = None
    """The issuer of server certificates for clients that verify only RSA; None if it was not made yet."""

    @property
    def anchors(self) -> tuple[x509.Certificate, ...]:
        """The trust anchors for clients of the service."""
        rsa = self.rsa_service
        return (self.root,) if rsa is None or rsa is self.service else (self.root, rsa.certificate)


@dataclass(frozen=True, slots=True)
class AuthorityFiles:
    """The files of one data directory, with the passphrase and the parameters to read and make them."""

    data_dir: Path
    passphrase: bytes | None = field(repr=False)
    key_type: str
    serial_numbers: Callable[[], SerialNumber]
    now: Callable[[], datetime]
    may_create: bool
    issuer_addresses: Callable[[x509.Certificate], PublicAddresses | None] = lambda root: None
    """Returns what the certificate of an issuer that this root certifies says of where others find out about it."""

    def open(self) -> Authorities:
        """Return the authorities; raise AuthorityUnusable, or OSError from the disk.

        Missing files are made if that is allowed, which it is only for the process that holds the lock of the
        directory.
        """
        if self.may_create:
            folders = [self.data_dir / name for name in ("keys", "certificates")]
            for directory in (self.data_dir, *folders, *(folder / RETIRED_ISSUERS for folder in folders)):
                make_directory(directory)
            self._settle()
            for directory in (self.data_dir, folders[1], folders[1] / RETIRED_ISSUERS):
                remove_leftovers(directory)
        elif is_being_resealed(self.data_dir):
            # The keys of the directory have two passphrases at the moment. No single one opens all of them.
            raise AuthorityUnusable(
                f"the passphrase of {self.data_dir} is being changed, or the change was cut off: run the same "
                "`thingmint seal` again, or start the service, which completes it"
            )
        root = self._root()
        is_destroyed = destroyed_path(self.data_dir).exists()
        issuing = None if is_destroyed else self._subordinate(ISSUING, self._create_issuing_ca(root), root)
        service = self._subordinate(SERVICE, create_service_ca, root)
        present = None if issuing is None else issuing.certificate
        retired = tuple(map(self._retired, retired_issuers(self.data_dir, present)))
        sealing = self._sealing_key_material()
        authorities = Authorities(
            root, issuing, retired, service, sealing, self._root_signer(root), self._rsa_service(service)
        )
        if self.may_create:
            write_where_different(self.data_dir / TRUST_ANCHOR, pem_of(*authorities.anchors))
        return authorities

    def _settle(self) -> None:
        """Finish interrupted writes of keys and an interrupted change of their passphrase."""
        try:
            with held(self.data_dir / "keys", "thingmint serve"):
                settle(self.data_dir)
        except DirectoryInUse as error:
            raise AuthorityUnusable(f"{reason_of(error)}: start again when it has ended") from error

    def root_authority(self) -> CertificateAuthority:
        """Return the root with its key, which is needed only to make another authority.

        Raises AuthorityUnusable if the key is not in the data directory or cannot be opened.
        """
        return self._paired(ROOT, self._root(), self._existing_key(ROOT))

    def _root(self) -> x509.Certificate:
        present = read_certificate(certificate_path(self.data_dir, ROOT))
        if present is not None:
            return present
        self._require_creation(certificate_path(self.data_dir, ROOT))
        private_key = self._key(ROOT, self.key_type)
        certificate = create_root_ca(private_key, self.serial_numbers(), self.now())
        write_durably(certificate_path(self.data_dir, ROOT), pem_of(certificate), 0o644)
        return certificate

    def _root_signer(self, root: x509.Certificate) -> RootSigner | None:
        is_here = key_path(self.data_dir, ROOT).exists()
        return RootSigner(root, partial(self._existing_key, ROOT)) if is_here else None

    def _rsa_service(self, service: CertificateAuthority) -> CertificateAuthority | None:
        if isinstance(service.private_key, rsa.RSAPrivateKey):
            return service
        path = certificate_path(self.data_dir, RSA_SERVICE)
        certificate = read_certificate(path)
        if certificate is not None:
            return self._paired(RSA_SERVICE, certificate, self._existing_key(RSA_SERVICE))
        if not self.may_create:
            return None
        private_key = self._key(RSA_SERVICE, "rsa-2048")
        certificate = create_rsa_service_ca(private_key, self.serial_numbers(), self.now())
        write_durably(path, pem_of(certificate), 0o644)
        return self._paired(RSA_SERVICE, certificate, private_key)

    def _create_issuing_ca(self, root: x509.Certificate) -> Callable[..., x509.Certificate]:
        return partial(create_issuing_ca, addresses=self.issuer_addresses(root))

    def _subordinate(
        self, name: str, create: Callable[..., x509.Certificate], root: x509.Certificate
    ) -> CertificateAuthority:
        path = certificate_path(self.data_dir, name)
        certificate = read_certificate(path)
        if certificate is None:
            self._require_creation(path)
            private_key = self._key(name, self.key_type)
            parent = self._paired(ROOT, root, self._existing_key(ROOT))
            certificate = create(parent, private_key.public_key(), self.serial_numbers(), self.now())
            write_durably(path, pem_of(certificate), 0o644)
            return self._paired(name, certificate, private_key)
        return self._paired(name, certificate, self._existing_key(name))

    def _retired(self, issuer: RetiredIssuer) -> RetiredAuthority:
        if not key_path(self.data_dir, issuer.name).exists():
            return RetiredAuthority(issuer.chain, None)
        paired = self._paired(issuer.name, issuer.certificate, self._existing_key(issuer.name))
        return RetiredAuthority(issuer.chain, paired.private_key)

    def _paired(self, name: str, certificate: x509.Certificate, private_key: PrivateKey) -> CertificateAuthority:
        try:
            return certificate_authority(certificate, private_key)
        except PrivateKeyError as error:
            raise AuthorityUnusable(f"{key_path(self.data_dir, name)}: {reason_of(error)}") from error

    def _key(self, name: str, key_type: str) -> PrivateKey:
        path = key_path(self.data_dir, name)
        if path.exists():
            return self._existing_key(name)
        self._require_creation(path)
        private_key = generate_private_key(key_type)
        # Not read again: to derive the key of a passphrase, and to examine the primes of an RSA key, takes long.
        write_durably(path, dump_private_key(private_key, self.passphrase), 0o600)
        return private_key

    def _existing_key(self, name: str) -> PrivateKey:
        path = key_path(self.data_dir, name)
        try:
            stored = path.read_bytes()
        except FileNotFoundError as error:
            raise AuthorityUnusable(f"{path} is missing") from error
        try:
            return opened_key(str(path), stored, self.passphrase)
        except PassphraseMissing as error:
            raise AuthorityUnusable(
                f"{path}: {reason_of(error)}: name its file with --ca-passphrase-file, THINGMINT_CA_PASSPHRASE_FILE or "
                f"ca_passphrase_file in {self.data_dir / 'thingmint.toml'}"
            ) from error

    def _require_creation(self, path: Path) -> None:
        if not self.may_create:
            raise AuthorityUnusable(f"{path} is missing")

    def _sealing_key_material(self) -> bytes:
        path = key_path(self.data_dir, SEALING)
        return sealing_key_material(str(path), self._key(SEALING, "ecdsa-p256"))


def opened_key(name: str, stored: bytes, passphrase: bytes | None) -> PrivateKey:
    """Return a stored key; raise PassphraseMissing, or AuthorityUnusable, which has the name, for other errors."""
    try:
        # A key that was written before a passphrase was set is not encrypted; `doctor` reports it.
        return load_private_key(stored, passphrase if is_sealed(stored) else None)
    except PassphraseMissing:
        raise
    except PrivateKeyError as error:
        raise AuthorityUnusable(f"{name}: {reason_of(error)}") from error


def sealing_key_material(name: str, private_key: PrivateKey | None) -> bytes:
    """Return the key material that seals secrets; raise AuthorityUnusable, which has the name, for another key type."""
    if not isinstance(private_key, ec.EllipticCurvePrivateKey):
        raise AuthorityUnusable(f"{name} is not an ECDSA key")
    return private_key.private_numbers().private_value.to_bytes(32, "big")
