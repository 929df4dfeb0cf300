"""Owns the verification of every certificate in a registry: its digest, and its issuer's signature."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct, field

from thingmint.core.errors import CertificateInvalid
from thingmint.core.identifiers import certificate_id_of
from thingmint.issuance.foreign.certificate import ForeignCertificate, load_registered
from thingmint.issuance.foreign.user_ca import is_issued_by
from thingmint.records.certificates.signed_rows import SignedRow, ca_ders, signed_rows
from thingmint.registration.kernel.ports import Store

_PAGE = 500
MAX_FINDINGS = 1000


class VerifiedSignatures(Struct):
    """The number of certificates with a valid signature, the number with an unknown issuer, and the findings."""

    right: int = 0
    without_issuer: int = 0
    findings: list[str] = field(default_factory=list)

    def find(self, certificate_id: str, text: str) -> None:
        """Add a finding, unless there are too many."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(f"certificate {certificate_id}: {text}")


async def verify_signatures(
    store: Store, issuers: Sequence[x509.Certificate], progress: Callable[[int], None]
) -> VerifiedSignatures:
    """Verify every certificate: those of the service's issuers, those of registered CAs, and the digests of all.

    ``issuers`` are the certificates of the service's issuers. ``progress`` receives the number of verified ones.
    """
    verified = VerifiedSignatures()
    cas = _by_id(await store.read(ca_ders))
    own = _by_id([each.public_bytes(Encoding.DER) for each in issuers])
    position = done = 0
    while rows := await store.read(lambda: signed_rows(position, _PAGE)):  # noqa: B023  run before the next turn
        for row in rows:
            _verify(row, own, cas, verified)
        position = rows[-1].position
        done += len(rows)
        progress(done)
    return verified


def _by_id(ders: Iterable[bytes]) -> dict[str, ForeignCertificate]:
    return {certificate_id_of(der): load_registered(der, "CA certificate") for der in ders}


def _verify(
    row: SignedRow,
    issuers: Mapping[str, ForeignCertificate],
    cas: Mapping[str, ForeignCertificate],
    verified: VerifiedSignatures,
) -> None:
    _, certificate_id, der, issuer_id, ca_certificate_id = row
    if certificate_id_of(bytes(der)) != certificate_id:
        verified.find(certificate_id, "it is another certificate than its id says")
        return
    issuer = cas.get(ca_certificate_id or "") if issuer_id is None else issuers.get(issuer_id)
    if issuer is None and issuer_id is not None:
        verified.find(certificate_id, f"its issuer {issuer_id} is not there")
    elif issuer is None:
        verified.without_issuer += 1
    elif _is_right(bytes(der), issuer):
        verified.right += 1
    else:
        verified.find(certificate_id, f"it is not signed by {issuer.certificate_id}")


def _is_right(der: bytes, issuer: ForeignCertificate) -> bool:
    try:
        return is_issued_by(load_registered(der, "certificate"), issuer)
    except CertificateInvalid:
        return False
