"""Owns the issuers of a node: the record of each in the database, its certificates, and its signer on this node.

The database decides which issuers exist and which one is active. A start adopts issuers of the data directory into it:
the issuer that the first start made, and certificates of retired issuers that an operator put there.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from msgspec import Struct

from thingmint.core.issuer import IssuerRecord, IssuerStatus, KeyPlace
from thingmint.data_directory.authorities import DEVICE_AUTHORITIES, Authorities
from thingmint.data_directory.certificate_files import pem_of, write_where_different
from thingmint.data_directory.retired_issuers import destroy_key_files
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit, IssuingCA, issuer_id_of
from thingmint.issuance.encoding.parsing import certificates_in_pem
from thingmint.issuance.keys.key_pairs import PublicKey
from thingmint.issuance.keys.private_keys import PrivateKey, dump_private_key, load_private_key
from thingmint.issuance.keys.signer import Signer
from thingmint.issuance.profiles.profile import CertificateProfile, ProfileConfig, certificate_profile
from thingmint.registration.kernel.ports import SecretSealer
from thingmint.service.issuers.tokens import Tokens
from thingmint.signers.file_key import FileKeySigner

_KEY_TYPES_BY_CURVE = {"secp256r1": "ecdsa-p256", "secp384r1": "ecdsa-p384"}
_RETIRED = (IssuerStatus.READY, IssuerStatus.RETIRED)


class KnownIssuer(Struct, frozen=True):
    """An issuer that has a certificate. ``chain`` has its certificate first, then those above it, without the root."""

    record: IssuerRecord
    chain: tuple[x509.Certificate, ...]
    ca: IssuingCA


class KnownIssuers(Struct, frozen=True):
    """All issuers, read in one transaction."""

    active: KnownIssuer
    others: tuple[KnownIssuer, ...]
    """Ready and retired ones, the oldest first."""

    def __iter__(self) -> Iterator[KnownIssuer]:
        """Yield all issuers, the active one first."""
        yield self.active
        yield from self.others

    @property
    def retired(self) -> tuple[IssuingCA, ...]:
        """The issuers that were active earlier."""
        return tuple([each.ca for each in self.others if each.record.status is IssuerStatus.RETIRED])

    def ended(self, at: datetime) -> frozenset[str]:
        """Return the ids of those that have ended."""
        return frozenset([each.ca.issuer_id for each in self if each.ca.not_after < at])

    def keyless(self, at: datetime) -> tuple[str, ...]:
        """Return the ids of retired ones that have not ended and whose key is missing: nothing signs their revocations.

        The key of one that was destroyed is not missed: its last certificate had expired.
        """
        return tuple(
            [
                each.ca.issuer_id
                for each in self.others
                if each.record.status is IssuerStatus.RETIRED
                and each.record.key_place is not KeyPlace.DESTROYED
                and each.ca.signer is None
                and at <= each.ca.not_after
            ]
        )

    def device_authorities(self, root: x509.Certificate, at: datetime) -> tuple[x509.Certificate, ...]:
        """Return what verifies every device certificate that may be valid at this time: issuers, then roots.

        No certificate ends later than its issuer. If the clock is outside of the active issuer's validity, the clock is
        wrong, and no authority is left out.
        """
        active = self.active.ca
        is_right = active.not_before <= at <= active.not_after
        trusted = [self.active, *(each for each in self.others if not is_right or at <= each.ca.not_after)]
        return tuple(dict.fromkeys((*(each for known in trusted for each in known.chain), root)))


@dataclass(frozen=True, slots=True)
class IssuerSources:
    """Makes issuers from records: has the keys in files, the sealer of keys in the database, and the tokens."""

    authorities: Authorities
    sealer: SecretSealer
    tokens: Tokens
    settings_profile: Mapping[str, object] = field(repr=False)

    def known(self, records: Sequence[IssuerRecord]) -> KnownIssuers:
        """Return the issuers; raise IssuerUnfit if none is active, or one cannot be used."""
        found = [self._known(each) for each in records if each.issuer_id is not None]
        active = [each for each in found if each.record.status is IssuerStatus.ACTIVE]
        if len(active) != 1:
            raise IssuerUnfit("no issuer is active in the database")
        return KnownIssuers(active[0], tuple([each for each in found if each.record.status in _RETIRED]))

    def profile_of(self, record: IssuerRecord) -> CertificateProfile:
        """Return the profile with which an issuer issues; raise ProfileError."""
        table = self.settings_profile if record.profile is None else json.loads(record.profile)
        return certificate_profile(ProfileConfig.from_table(table))

    def signer_of(self, record: IssuerRecord, public_key: PublicKey) -> Signer | None:
        """Return the signer of an issuer; None if this node does not have the key.

        Raises ServiceUnavailable if a key in the database cannot be unsealed.
        """
        if record.key_place is KeyPlace.FILES:
            private_key = self._files().get(record.issuer_id or "")
            return None if private_key is None else FileKeySigner(private_key)
        if record.key_place is KeyPlace.DATABASE and record.sealed_key is not None:
            return FileKeySigner(unsealed_key(self.sealer, record.reference, record.sealed_key))
        if record.key_place is KeyPlace.TOKEN and record.token_uri is not None:
            return self.tokens.signer(record.token_uri, public_key)
        return None

    def _known(self, record: IssuerRecord) -> KnownIssuer:
        chain = chain_of(record)
        public_key = chain[0].public_key()
        if not isinstance(public_key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise IssuerUnfit(f"the key of issuer {record.name} is neither RSA nor ECDSA")
        return KnownIssuer(record, chain, IssuingCA(chain[0], self.signer_of(record, public_key)))

    def _files(self) -> Mapping[str, PrivateKey]:
        own = self.authorities.own_issuer
        found = {} if own is None else {issuer_id_of(own.certificate): own.private_key}
        for each in self.authorities.retired:
            if each.private_key is not None:
                found[issuer_id_of(each.chain[0])] = each.private_key
        return found


def chain_of(record: IssuerRecord) -> tuple[x509.Certificate, ...]:
    """Return the certificate of an issuer, then those above it."""
    return tuple(certificates_in_pem(record.chain_pem.encode()))


def records_of_files(authorities: Authorities, at: datetime) -> tuple[IssuerRecord, ...]:
    """Return records of the data directory's issuers: first the active issuer of the first start, then the others."""
    own = authorities.own_issuer
    chains = [each.chain for each in authorities.retired]
    if own is None:
        return tuple([_record_of_file(chain, at, IssuerStatus.RETIRED) for chain in chains])
    first = replace(_record_of_file((own.certificate,), at, IssuerStatus.ACTIVE), activated_at=at)
    return (first, *(_record_of_file(chain, at, IssuerStatus.RETIRED) for chain in chains))


def _record_of_file(chain: tuple[x509.Certificate, ...], at: datetime, status: IssuerStatus) -> IssuerRecord:
    issuer_id = issuer_id_of(chain[0])
    return IssuerRecord(
        # Every node that has the file gets the same reference.
        reference=issuer_id[:32],
        issuer_id=issuer_id,
        status=status,
        key_type=key_type_of(chain[0]),
        key_place=KeyPlace.FILES,
        sealed_key=None,
        token_uri=None,
        public_key=None,
        chain_pem=pem_of(*chain).decode(),
        profile=None,
        created_at=at,
        activated_at=at if status is IssuerStatus.RETIRED else None,
        retired_at=at if status is IssuerStatus.RETIRED else None,
    )


def key_type_of(certificate: x509.Certificate) -> str:
    """Return the type of the certificate's key as a value of the setting `ca_key_type`."""
    public_key = certificate.public_key()
    if isinstance(public_key, rsa.RSAPublicKey):
        return f"rsa-{public_key.key_size}"
    curve = public_key.curve.name if isinstance(public_key, ec.EllipticCurvePublicKey) else ""
    return _KEY_TYPES_BY_CURVE.get(curve, "unknown")


def sealed_key(sealer: SecretSealer, reference: str, private_key: PrivateKey) -> bytes:
    """Return a key as it is stored in the database."""
    return sealer.seal(dump_private_key(private_key, None), _sealing_name(reference))


def unsealed_key(sealer: SecretSealer, reference: str, sealed: bytes) -> PrivateKey:
    """Return a key from the database; raise ServiceUnavailable if it was sealed by another key or is damaged."""
    return load_private_key(sealer.unseal(sealed, _sealing_name(reference)), None)


def follow_on_disk(data_dir: Path, authorities: Authorities, known: KnownIssuers, at: datetime) -> None:
    """Write device-ca.pem, and delete this directory's copies of destroyed keys; raise OSError."""
    own = None if authorities.own_issuer is None else authorities.own_issuer.certificate
    trusted = pem_of(*known.device_authorities(authorities.root, at))
    write_where_different(data_dir / DEVICE_AUTHORITIES, trusted)
    for each in known:
        if each.record.key_place is KeyPlace.DESTROYED:
            destroy_key_files(data_dir, own, each.chain[0])


def _sealing_name(reference: str) -> str:
    return f"issuer {reference}"
