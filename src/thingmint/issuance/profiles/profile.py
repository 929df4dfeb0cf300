"""Owns the certificate profile: its settings and their validation. Independent of issuers and devices.

`ProfileConfig` has the given values, as in a TOML table. `CertificateProfile` has the validated values.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from thingmint.core.provisioning.claim import CLAIM_VALID_FOR
from thingmint.issuance.profiles.subject import SubjectRefused, check_subject

# RFC 5280, 4.1.2.5: the last second of UTCTime, and the end of every certificate that AWS IoT issues.
END_OF_UTC_TIME = datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)

SIGNATURE_HASHES: Mapping[str, type[hashes.SHA256] | type[hashes.SHA384] | type[hashes.SHA512]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
SignatureHash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

# RFC 5280, 4.2.1.3, by its names. The other usages are for certificate authorities or have no meaning for a device.
_KEY_USAGES = {
    "digitalSignature": "digital_signature",
    "contentCommitment": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "keyAgreement": "key_agreement",
}
_ALL_KEY_USAGES = (
    *_KEY_USAGES.values(), "data_encipherment", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"
)  # fmt: skip
_OBJECT_IDENTIFIER = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,9})){2,20}")
# With a device certificate that is valid for servers, a device could impersonate the service.
_FORBIDDEN_EXTENDED_USAGES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
_MAX_BACKDATE = 86_400
_MAX_VALIDITY_DAYS = 36_525


class ProfileError(ValueError):
    """A setting of the certificate profile cannot be used. The message names the setting and the reason."""


@dataclass(frozen=True, slots=True)
class ProfileConfig:
    """The values of the table ``[profile]``. Without ``not_after`` and ``validity_days``, AWS IoT's end applies."""

    subject: str = "CN=AWS IoT Certificate"
    backdate_seconds: int = 120
    not_after: str | datetime | None = None
    validity_days: int | None = None
    key_usage: Sequence[str] = ("digitalSignature",)
    extended_key_usage: Sequence[str] = ()
    signature_hash: str = "sha256"

    @classmethod
    def from_table(cls, table: Mapping[str, object]) -> "ProfileConfig":
        """Return the table's settings; raise ProfileError for an unknown name or a value of another type."""
        for name, value in table.items():
            if name not in _TYPES:
                raise ProfileError(f"profile.{name} is no setting; there are {', '.join(_TYPES)}")
            if not _is_of_type(value, _TYPES[name]):
                raise ProfileError(f"profile.{name} must be {_TYPE_NAMES[_TYPES[name][0]]}, not {value!r}")
        # Every value was compared with its type above, which a type checker cannot follow through a mapping.
        return cls(**table)  # type: ignore[arg-type] # see the line above


_TYPES: Mapping[str, tuple[type, ...]] = {
    "subject": (str,),
    "backdate_seconds": (int,),
    "not_after": (str, datetime),
    "validity_days": (int,),
    "key_usage": (list,),
    "extended_key_usage": (list,),
    "signature_hash": (str,),
}
_TYPE_NAMES = {str: "text", int: "a whole number", list: "a list of names"}


@dataclass(frozen=True, slots=True)
class CertificateProfile:
    """The common properties of an issuer's certificates. Either ``not_after`` or ``valid_for`` is set."""

    subject: x509.Name
    backdate: timedelta
    not_after: datetime | None
    valid_for: timedelta | None
    key_usage: x509.KeyUsage
    extended_key_usage: x509.ExtendedKeyUsage | None
    signature_hash: SignatureHash

    def validity_at(self, at: datetime) -> tuple[datetime, datetime]:
        """Return the first and the last second of a certificate that is issued at this time."""
        # RFC 5280, 4.1.2.5.1 and 4.1.2.5.2: whole seconds, in GMT.
        not_before = at.astimezone(UTC).replace(microsecond=0) - self.backdate
        if self.not_after is not None:
            return not_before, self.not_after
        assert self.valid_for is not None
        # RFC 5280, 4.1.2.5: the period includes its last second.
        return not_before, not_before + self.valid_for - timedelta(seconds=1)


def certificate_profile(config: ProfileConfig) -> CertificateProfile:
    """Return the profile of the settings; raise ProfileError with the name of an invalid setting."""
    if config.validity_days is not None and config.not_after is not None:
        raise ProfileError("profile.not_after and profile.validity_days exclude each other")
    if not 0 <= config.backdate_seconds <= _MAX_BACKDATE:
        raise ProfileError(f"profile.backdate_seconds must be 0 to {_MAX_BACKDATE}, not {config.backdate_seconds}")
    if config.signature_hash not in SIGNATURE_HASHES:
        raise ProfileError(
            f"profile.signature_hash must be one of {', '.join(SIGNATURE_HASHES)}, not {config.signature_hash!r}"
        )
    return CertificateProfile(
        subject=_subject(config.subject),
        backdate=timedelta(seconds=config.backdate_seconds),
        not_after=None if config.validity_days is not None else _not_after(config.not_after),
        valid_for=None if config.validity_days is None else _valid_for(config.validity_days),
        key_usage=_key_usage(config.key_usage),
        extended_key_usage=_extended_key_usage(config.extended_key_usage),
        signature_hash=SIGNATURE_HASHES[config.signature_hash](),
    )


def claim_profile() -> CertificateProfile:
    """Return the profile of claim certificates, which expire five minutes after their issuance."""
    profile = certificate_profile(ProfileConfig(subject="CN=Claim"))
    valid_for = profile.backdate + CLAIM_VALID_FOR + timedelta(seconds=1)
    return replace(profile, not_after=None, valid_for=valid_for)


def _subject(text: str) -> x509.Name:
    try:
        subject = x509.Name.from_rfc4514_string(text)
        check_subject(subject.public_bytes())
    except (ValueError, KeyError) as error:
        raise ProfileError(f"profile.subject must be a name like 'CN=AWS IoT Certificate', not {text!r}") from error
    except SubjectRefused as error:
        raise ProfileError(f"profile.subject: {error.message}") from error
    if not subject.rdns:
        raise ProfileError("profile.subject must not be empty")
    return subject


def _not_after(value: str | datetime | None) -> datetime:
    if value is None:
        return END_OF_UTC_TIME
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError as error:
        raise ProfileError(f"profile.not_after must be a time like 2049-12-31T23:59:59Z, not {value!r}") from error
    if moment.tzinfo is None:
        raise ProfileError(f"profile.not_after must say its time zone, like 2049-12-31T23:59:59Z; {value!r} does not")
    return moment.astimezone(UTC).replace(microsecond=0)


def _valid_for(days: int) -> timedelta:
    if not 1 <= days <= _MAX_VALIDITY_DAYS:
        raise ProfileError(f"profile.validity_days must be 1 to {_MAX_VALIDITY_DAYS}, not {days}")
    return timedelta(days=days)


def _key_usage(names: Sequence[str]) -> x509.KeyUsage:
    for name in names:
        if name not in _KEY_USAGES:
            raise ProfileError(f"profile.key_usage may have {', '.join(_KEY_USAGES)}, not {name!r}")
    if "digitalSignature" not in names:
        raise ProfileError("profile.key_usage must have digitalSignature, without which no device can authenticate")
    chosen = {_KEY_USAGES[name] for name in names}
    return x509.KeyUsage(**{usage: usage in chosen for usage in _ALL_KEY_USAGES})


def _extended_key_usage(names: Sequence[str]) -> x509.ExtendedKeyUsage | None:
    usages = [_extended_usage(name) for name in dict.fromkeys(names)]
    return x509.ExtendedKeyUsage(usages) if usages else None


def _extended_usage(name: str) -> x509.ObjectIdentifier:
    if name == "clientAuth":
        return ExtendedKeyUsageOID.CLIENT_AUTH
    try:
        usage = x509.ObjectIdentifier(name if _OBJECT_IDENTIFIER.fullmatch(name) else "")
    except ValueError as error:
        raise ProfileError(
            f"profile.extended_key_usage may have clientAuth and object identifiers like 1.3.6.1.4.1.1, not {name!r}"
        ) from error
    if usage in _FORBIDDEN_EXTENDED_USAGES:
        raise ProfileError(f"profile.extended_key_usage must not have {name}: devices would pass as servers")
    return usage


def _is_of_type(value: object, types: tuple[type, ...]) -> bool:
    if isinstance(value, list):
        return list in types and all(isinstance(item, str) for item in value)
    # For isinstance, a TOML boolean is an int.
    return isinstance(value, types) and not isinstance(value, bool)
