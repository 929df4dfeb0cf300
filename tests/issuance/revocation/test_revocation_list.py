"""Revocation lists are read if one of the service's issuers has signed them, and say what is revoked."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.issuance.conftest import NOW, Authorities
from tests.support.certificates.encodings import with_unknown_version

from thingmint.core.certificates.revocation import RevocationReason
from thingmint.issuance.authorities.issuing_ca import issuer_id_of
from thingmint.issuance.authorities.trust_anchor import CertificateAuthority
from thingmint.issuance.keys.private_keys import PrivateKey
from thingmint.issuance.revocation.revocation_list import ListUnusable, read_list

SECOND = NOW.replace(microsecond=0)


def listed(
    authority: CertificateAuthority, key: PrivateKey | None = None, *, number: int | None = 7
) -> x509.CertificateRevocationList:
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.certificate.subject)
    builder = builder.last_update(SECOND).next_update(SECOND + timedelta(days=1))
    for serial, reason in ((1, None), (2, x509.ReasonFlags.key_compromise), (3, x509.ReasonFlags.aa_compromise)):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(SECOND)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    return builder.sign(key or authority.private_key, hashes.SHA256())


def test_a_list_of_an_issuer_says_what_is_revoked_in_der_and_in_pem(authorities: Authorities) -> None:
    parsed, issuer = listed(authorities.issuing), authorities.issuing.certificate
    for encoding in (serialization.Encoding.DER, serialization.Encoding.PEM):
        read = read_list(parsed.public_bytes(encoding), [authorities.root.certificate, issuer])
        assert (read.issuer_id, read.number) == (issuer_id_of(issuer), 7)
        entries = list(read.revocations())
        assert [(each.serial_number, each.reason) for each in entries] == [
            (1, RevocationReason.UNSPECIFIED),
            (2, RevocationReason.KEY_COMPROMISE),
            (3, RevocationReason.UNSPECIFIED),
        ]
        assert {(each.revoked_at, each.not_after) for each in entries} == {(SECOND, issuer.not_valid_after_utc)}


@pytest.mark.parametrize("other", ["key", "kind", "number", "bytes", "version"])
def test_what_is_no_list_of_an_issuer_is_refused(authorities: Authorities, other: str) -> None:
    authority = authorities.issuing
    keys: dict[str, PrivateKey] = {
        "key": ec.generate_private_key(ec.SECP256R1()),
        "kind": rsa.generate_private_key(65537, 2048),
    }
    der = listed(authority, keys.get(other), number=None if other == "number" else 7).public_bytes(
        serialization.Encoding.DER
    )
    contents = {"bytes": b"no list", "version": with_unknown_version(der)}
    with pytest.raises(ListUnusable):
        read_list(contents.get(other, der), [authority.certificate])
