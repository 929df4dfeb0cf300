"""Owns the options for devices from a list, and the check for flags that exclude each other."""

import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from msgspec import Struct
from msgspec.structs import replace

from thingmint.cli.devices.csr_directory import rows_of_requests, with_requests
from thingmint.cli.devices.device import ListedDevice, ListRefused, Row
from thingmint.cli.devices.file_names import check_pattern
from thingmint.cli.devices.folder import Order
from thingmint.cli.devices.formats import WITHOUT_KEY
from thingmint.cli.devices.lists import read_list
from thingmint.cli.devices.recipients import read_recipient
from thingmint.cli.devices.requests import Requests
from thingmint.cli.devices.templates import own_template
from thingmint.cli.issuing.begin import JobProperties
from thingmint.cli.issuing.station_keys import RSA_2048
from thingmint.core.error_text import in_words
from thingmint.core.errors import InvalidRequest
from thingmint.core.provisioning.production import production_details
from thingmint.host.given_files import read_given, read_given_text
from thingmint.issuance.keys.private_keys import PassphraseRefused, check_passphrase
from thingmint.registration.kernel.ports import KeySource


class DeviceOptions(Struct, frozen=True):
    """The flags of `thingmint issue --from` and `--csr-dir`."""

    source: Path | None
    csr_dir: Path | None
    out: Path
    active: bool
    offline: bool
    patience: float
    types: str | None
    groups: tuple[str, ...]
    policies: tuple[str, ...]
    template: Path | None
    key_type: str | None
    formats: tuple[str, ...]
    name: str
    batch: str | None
    operator: str | None
    station: str | None
    recipient: Path | None
    passphrase_file: Path | None
    dry_run: bool
    for_import: bool

    @property
    def status(self) -> str:
        """The status that certificates get."""
        return "ACTIVE" if self.active else "INACTIVE"

    @property
    def production(self) -> dict[str, str]:
        """The parameters for batch, operator and station."""
        return JobProperties(RSA_2048, self.batch, self.operator, self.station).production

    def checked(self) -> "DeviceOptions":
        """Return the options with defaults filled in; raise ListRefused if flags exclude each other."""
        has_keys = self.csr_dir is None
        if not has_keys and (self.key_type or self.recipient):
            raise ListRefused("--csr-dir brings the keys' requests: --key-type and --recipient are for keys made here")
        formats = self.formats or ("pem",)
        with_key = [each for each in formats if each not in WITHOUT_KEY]
        if with_key and (not has_keys or self.recipient):
            raise ListRefused(
                f"--format {with_key[0]} has certificate and private key in one file; with --csr-dir and --recipient "
                f"there are {', '.join(WITHOUT_KEY)}"
            )
        if ("p12" in formats) != (self.passphrase_file is not None):
            raise ListRefused("--format p12 and --passphrase-file go together")
        if self.for_import and (not self.offline or self.template):
            raise ListRefused("--for-import goes with --offline and without --template")
        if self.template and (self.types or self.groups or self.policies):
            raise ListRefused("--template says type, groups and policies: leave out --type, --group and --policy")
        check_pattern(self.name)
        try:
            production_details(self.production)
        except InvalidRequest as error:
            raise ListRefused(error.message) from error
        return replace(self, formats=formats, key_type=self.key_type or RSA_2048 if has_keys else None)

    def rows(self) -> list[Row]:
        """Return the rows of list and directory, with the values that flags set for all; raise ListRefused, OSError."""
        if self.source is None:
            assert self.csr_dir is not None, "one of the two is given"
            rows = rows_of_requests(self.csr_dir)
        else:
            rows = read_list(self.source)
            if self.csr_dir is not None:
                rows = with_requests(rows, self.csr_dir)
        return [self._with_defaults(row) for row in rows]

    def _with_defaults(self, row: Row) -> Row:
        given = row.device
        if given is None:
            return row
        if self.template is None and given.parameters:
            return Row(row.line, row.thing, problem="it has parameters, and no --template is given")
        if self.template is not None and (given.type or given.groups or given.policies or given.attributes):
            return Row(row.line, row.thing, problem="with --template, a row has thing, subject and parameters only")
        device = ListedDevice(
            thing=given.thing,
            attributes=given.attributes,
            type=given.type or self.types,
            groups=given.groups or self.groups,
            policies=given.policies or self.policies,
            parameters=given.parameters,
            subject=given.subject,
            csr=given.csr,
        )
        return Row(row.line, row.thing, device)

    def requests(self, keys: KeySource | None) -> Requests:
        """Return the maker of requests; raise ListRefused, InvalidRequest, OSError for files that cannot be used."""
        return Requests(
            keys=None if self.csr_dir is not None else keys,
            status=self.status,
            production=self.production,
            template=self._template(),
            recipient=self._recipient(),
            for_import=self.for_import,
        )

    def order(self) -> Order:
        """Return the parameters that must be the same in every run of the job."""
        template, recipient = self._template(), self._recipient()
        return Order(
            status=self.status,
            key_type=self.key_type,
            formats=self.formats,
            name=self.name,
            batch=self.batch,
            operator=self.operator,
            station=self.station,
            template_sha256=None if template is None else hashlib.sha256(template.encode()).hexdigest(),
            recipient_sha256=None if recipient is None else recipient.fingerprint(SHA256()).hex(),
            for_import=self.for_import,
        )

    def passphrase(self) -> bytes | None:
        """Return the passphrase for PKCS#12: the first line of its file; raise ListRefused if it is empty."""
        if self.passphrase_file is None:
            return None
        return read_passphrase(self.passphrase_file)

    def _template(self) -> str | None:
        if self.template is None:
            return None
        try:
            return own_template(read_given_text(self.template), self.status)
        except (InvalidRequest, UnicodeDecodeError) as error:
            reason = error.message if isinstance(error, InvalidRequest) else "not UTF-8"
            raise ListRefused(f"{self.template}: {reason}") from error

    def _recipient(self) -> x509.Certificate | None:
        return None if self.recipient is None else read_recipient(self.recipient)


def read_passphrase(path: Path) -> bytes:
    """Return the first line of a file; raise ListRefused if no PKCS#12 file can be made with it."""
    passphrase = read_given(path).split(b"\n", 1)[0].rstrip(b"\r")
    try:
        check_passphrase(passphrase)
    except PassphraseRefused as error:
        raise ListRefused(f"{path}: {in_words(error)}") from error
    return passphrase
