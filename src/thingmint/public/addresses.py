"""Owns the public paths of certificates, CRLs and OCSP responses. Does no I/O."""

import re
from collections.abc import Callable

from cryptography import x509
from msgspec import Struct

from thingmint.core.certificates.revocation_list import ListName
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuingCA, issuer_id_of
from thingmint.issuance.profiles.public_addresses import PublicAddresses

OCSP_PATH = "/ocsp"
PREFIXES = (b"/ca", b"/crl", b"/ocsp")
"""The first segments of all paths."""

ALL = "all"
"""Stands for every issuer in a PEM file's path, instead of an issuer's id."""

_CERTIFICATE = re.compile(rb"/ca/(?P<issuer>[0-9a-f]{64}|all)\.(?P<form>cer|pem)")
_LIST = re.compile(
    rb"/crl/(?P<issuer>[0-9a-f]{64}|all)(?:/(?P<shards>[1-9][0-9]{0,2})-(?P<shard>0|[1-9][0-9]{0,2}))?"
    rb"\.(?P<form>crl|pem)"
)


class CertificatePath(Struct, frozen=True):
    """The path of one issuer's certificate, or of all issuers' certificates as PEM."""

    issuer_id: str
    is_pem: bool


class ListPath(Struct, frozen=True):
    """The path of one CRL, or of all complete CRLs as PEM."""

    name: ListName
    is_pem: bool


def certificate_path(issuer_id: str) -> str:
    """Return the path of an issuer's certificate in DER."""
    return f"/ca/{issuer_id}.cer"


def list_path(name: ListName) -> str:
    """Return the path of a CRL in DER."""
    part = "" if name.shards == 1 else f"/{name.shards}-{name.shard}"
    return f"/crl/{name.issuer_id}{part}.crl"


def addresses_below(url: str, shards: Callable[[str], int]) -> Callable[[IssuingCA, SerialNumber], PublicAddresses]:
    """Return a function that makes a certificate's URLs of its CRL, OCSP responder and issuer, all below ``url``.

    ``shards`` returns the number of CRLs among which an issuer's certificates are divided now.
    """

    def addresses(ca: IssuingCA, serial_number: SerialNumber) -> PublicAddresses:
        count = shards(ca.issuer_id)
        name = ListName(ca.issuer_id, count, serial_number % count)
        return PublicAddresses(
            revocation_list=url + list_path(name),
            issuer=url + certificate_path(ca.issuer_id),
            status=url + OCSP_PATH,
        )

    return addresses


def root_addresses_below(url: str | None) -> Callable[[x509.Certificate], PublicAddresses | None]:
    """Return what certificates of issuers say of where others find out about them; without a URL, nothing."""

    def addresses(root: x509.Certificate) -> PublicAddresses | None:
        if url is None:
            return None
        root_id = issuer_id_of(root)
        return PublicAddresses(
            revocation_list=url + list_path(ListName(root_id)),
            issuer=url + certificate_path(root_id),
            status=url + OCSP_PATH,
        )

    return addresses


def parse_certificate_path(path: bytes) -> CertificatePath | None:
    """Return what the path names, or None."""
    found = _CERTIFICATE.fullmatch(path)
    if found is None or (found["issuer"] == b"all" and found["form"] != b"pem"):
        return None
    return CertificatePath(found["issuer"].decode(), found["form"] == b"pem")


def parse_list_path(path: bytes) -> ListPath | None:
    """Return what the path names, or None."""
    found = _LIST.fullmatch(path)
    if found is None or (found["issuer"] == b"all" and (found["form"] != b"pem" or found["shards"] is not None)):
        return None
    shards, shard = int(found["shards"] or 1), int(found["shard"] or 0)
    return ListPath(ListName(found["issuer"].decode(), shards, shard), found["form"] == b"pem")
