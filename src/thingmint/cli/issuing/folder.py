"""Owns the output folder of `thingmint issue`: its files, the order of writes, and the recovery of unfinished work.

The order of writes makes the work resumable. First the job is written, with the newest certificates that the service
had before it; then each private key, durably before any request has its public key; then the certificate. A key without
a certificate is in doubt: the service may or may not have issued one for it. Before an identity is requested again,
this is recorded, because a late answer to the first request results in two certificates for one key.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from msgspec import Struct

from thingmint.cli.terminal.tables import table
from thingmint.core.error_text import in_words
from thingmint.core.identifiers import CertificateId, certificate_id_of
from thingmint.data_directory.files import make_directory, remove_leftovers, write_durably
from thingmint.host.file_locks import AlreadyHeld, folder_held
from thingmint.issuance.encoding.parsing import certificate_in_pem
from thingmint.issuance.encoding.pem import certificate_pem
from thingmint.issuance.keys.private_keys import PrivateKey

JOB_FILE = "job.json"
MANIFEST_CSV = "manifest.csv"
MANIFEST_JSON_LINES = "manifest.jsonl"
JOB_VERSION = 1

_KEY, _CERTIFICATE = ".key.pem", ".cert.pem"


class FolderRefused(Exception):
    """The folder cannot be used for this job; the message says why."""


class Job(msgspec.Struct, frozen=True):
    """What is to be issued, and the state of the registry before.

    ``fence`` holds the newest certificates from before the job, newest first: a search for the job's certificates ends
    at any of them. ``asked_again`` has the identities that may have two certificates until a search has deleted the
    duplicates.
    """

    count: int
    active: bool
    fence: tuple[str, ...]
    trust_anchor_sha256: str | None = None
    arn_prefix: str | None = None
    asked_again: tuple[int, ...] = ()
    key_type: str = "rsa-2048"
    batch: str | None = None
    operator: str | None = None
    station: str | None = None
    version: int = JOB_VERSION


class ManifestEntry(msgspec.Struct, frozen=True):
    """One identity, as the manifest lists it. Paths are relative to the folder; times are ISO 8601, UTC."""

    index: int
    certificate_id: str
    certificate_arn: str
    certificate_file: str
    private_key_file: str
    serial_number: str
    not_before: str
    not_after: str
    public_key_sha256: str
    status: str
    batch: str | None = None
    operator: str | None = None
    station: str | None = None


@contextlib.contextmanager
def held_folder(path: Path) -> Iterator[None]:
    """Create an output folder if it is missing, and lock it; raise FolderRefused if another run uses it."""
    make_directory(path)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(folder_held(path))
        except AlreadyHeld:
            raise FolderRefused(f"another run is working in {path}") from None
        # An interrupted write may have left a temporary file with a private key.
        remove_leftovers(path)
        yield


class Folder(Struct, frozen=True):
    """The files of one job."""

    path: Path

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder for this process; raise FolderRefused if another run uses it."""
        with held_folder(self.path):
            yield

    def read_job(self) -> Job | None:
        """Return the job of this folder, None if there is none.

        Raises FolderRefused if it cannot be read, or if files are missing that a run never removes.
        """
        try:
            content = (self.path / JOB_FILE).read_bytes()
            if b'"kind": "devices"' in content:
                raise FolderRefused(f"{self.path} belongs to a run with a list of devices: choose another folder")
            job = msgspec.json.decode(content, type=Job)
        except FileNotFoundError:
            if self._indexes(_KEY) or self._indexes(_CERTIFICATE):
                raise FolderRefused(f"{self.path} holds identities but no {JOB_FILE}: choose another folder") from None
            return None
        except msgspec.DecodeError as error:
            raise FolderRefused(f"{self.path / JOB_FILE} cannot be read: {in_words(error)}") from error
        if job.version != JOB_VERSION:
            raise FolderRefused(f"{self.path / JOB_FILE} was written by another version of Thingmint")
        if keyless := sorted(self._indexes(_CERTIFICATE) - self._indexes(_KEY)):
            # With a new key, the identity would get a second certificate.
            raise FolderRefused(f"{self.key_file(keyless[0])} is missing, and its certificate is there")
        return job

    def write_job(self, job: Job) -> None:
        """Record the job durably."""
        write_durably(self.path / JOB_FILE, msgspec.json.format(msgspec.json.encode(job)) + b"\n", 0o600)

    def key_file(self, index: int) -> Path:
        """Return the path of an identity's private key."""
        return self.path / f"{index:06d}{_KEY}"

    def certificate_file(self, index: int) -> Path:
        """Return the path of an identity's certificate."""
        return self.path / f"{index:06d}{_CERTIFICATE}"

    def without_key(self, count: int) -> list[int]:
        """Return the identities that do not have a key yet."""
        return sorted(set(range(1, count + 1)) - self._indexes(_KEY))

    def in_doubt(self) -> list[int]:
        """Return the identities that have a key but no certificate in the folder."""
        return sorted(self._indexes(_KEY) - self._indexes(_CERTIFICATE))

    def complete(self) -> list[int]:
        """Return the identities that are complete."""
        return sorted(self._indexes(_CERTIFICATE))

    def _indexes(self, suffix: str) -> set[int]:
        names = (path.name for path in self.path.iterdir())
        return {int(name[:6]) for name in names if name[6:] == suffix and name[:6].isdecimal()}

    def write_key(self, index: int, private_key_pem: bytes) -> None:
        """Write a private key durably with mode 0600."""
        write_durably(self.key_file(index), private_key_pem, 0o600)

    def read_key(self, index: int) -> PrivateKey:
        """Return a private key that `write_key` has written."""
        # The key was generated and checked by this program; validating it again costs as much as generating it.
        path = self.key_file(index)
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None, unsafe_skip_rsa_key_validation=True)
        except (ValueError, TypeError) as error:
            raise FolderRefused(f"{path} holds no private key that can be read") from error
        if not isinstance(key, PrivateKey):
            raise FolderRefused(f"{path} is neither an RSA nor an ECDSA key")
        return key

    def write_certificate(self, index: int, der: bytes) -> None:
        """Write a certificate durably."""
        write_durably(self.certificate_file(index), certificate_pem(der).encode(), 0o644)

    def read_certificate(self, index: int) -> x509.Certificate:
        """Return the certificate of an identity; raise FolderRefused if the file holds none."""
        path = self.certificate_file(index)
        try:
            return certificate_in_pem(path.read_bytes())
        except ValueError as error:
            raise FolderRefused(f"{path} holds no certificate") from error

    def certificate_id(self, index: int) -> CertificateId:
        """Return the id of an identity's certificate."""
        return certificate_id_of(self.read_certificate(index).public_bytes(serialization.Encoding.DER))

    def write_manifest(self, job: Job) -> list[ManifestEntry]:
        """Write the manifest of all complete identities, as CSV and as JSON lines, and return its entries."""
        entries = [self._entry(job, index) for index in self.complete()]
        lines = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
        write_durably(self.path / MANIFEST_JSON_LINES, lines, 0o644)
        rows = (msgspec.structs.astuple(entry) for entry in entries)
        write_durably(self.path / MANIFEST_CSV, table(ManifestEntry.__struct_fields__, rows), 0o644)
        return entries

    def _entry(self, job: Job, index: int) -> ManifestEntry:
        certificate = self.read_certificate(index)
        certificate_id = certificate_id_of(certificate.public_bytes(serialization.Encoding.DER))
        fingerprint = public_key_sha256(certificate.public_key())
        if fingerprint != public_key_sha256(self.read_key(index).public_key()):
            raise FolderRefused(f"{self.key_file(index)} is not the key of {self.certificate_file(index).name}")
        return ManifestEntry(
            index=index,
            certificate_id=certificate_id,
            certificate_arn=f"{job.arn_prefix}{certificate_id}",
            certificate_file=self.certificate_file(index).name,
            private_key_file=self.key_file(index).name,
            serial_number=f"{certificate.serial_number:x}",
            not_before=certificate.not_valid_before_utc.isoformat(),
            not_after=certificate.not_valid_after_utc.isoformat(),
            public_key_sha256=fingerprint,
            status="ACTIVE" if job.active else "INACTIVE",
            batch=job.batch,
            operator=job.operator,
            station=job.station,
        )


def public_key_sha256(public_key: CertificatePublicKeyTypes) -> str:
    """Return the SHA-256 of the key's SubjectPublicKeyInfo in hexadecimal."""
    return hashlib.sha256(
        public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    ).hexdigest()
