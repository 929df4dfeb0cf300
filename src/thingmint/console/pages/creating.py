"""New certificates: owns the forms, the page that shows a new private key once, and downloads. Stores no private key.

The page that shows a private key is its only copy. To download a file, the browser sends the key back to the service.
"""

import re
from typing import Final

from starlette.responses import Response

from thingmint.console.bundles import Download, NewIdentity, as_pem, as_pkcs12, as_zip, issuer_above
from thingmint.console.explained import explain_certificate, explain_request
from thingmint.console.visit import Visit
from thingmint.core.errors import InvalidRequest

_NAME: Final = re.compile(r"[0-9a-f]{64}")
_SHORT_NAME: Final = 12


async def show(visit: Visit) -> Response:
    """Return the forms."""
    return visit.page(
        "create.html",
        keys_refusal=await visit.why_not("CreateKeysAndCertificate"),
        request_refusal=await visit.why_not("CreateCertificateFromCsr"),
    )


async def with_keys(visit: Visit) -> Response:
    """Make a key pair and a certificate, and show both this one time."""
    answer = await visit.call("CreateKeysAndCertificate", setAsActive="active" in visit.form)
    return visit.page(
        "created.html",
        certificate_id=answer["certificateId"],
        certificate_pem=answer["certificatePem"],
        private_key=answer["keyPair"]["PrivateKey"],
        public_key=answer["keyPair"]["PublicKey"],
        parts=explain_certificate(answer["certificatePem"]),
    )


async def read_request(visit: Visit) -> Response:
    """Decode a certificate signing request before it is signed."""
    pem = _request_of(visit)
    return visit.page("request.html", request_pem=pem, parts=explain_request(pem), is_active="active" in visit.form)


async def sign_request(visit: Visit) -> Response:
    """Issue a certificate for a request that was shown."""
    active = "active" in visit.form
    answer = await visit.call(
        "CreateCertificateFromCsr", certificateSigningRequest=_request_of(visit), setAsActive=active
    )
    return visit.page(
        "created.html",
        certificate_id=answer["certificateId"],
        certificate_pem=answer["certificatePem"],
        private_key=None,
        public_key=None,
        parts=explain_certificate(answer["certificatePem"]),
    )


async def download(visit: Visit) -> Response:
    """Return what the page holds as a file."""
    form = visit.form
    certificate_id = form.get("certificate_id", "")
    if not _NAME.fullmatch(certificate_id):
        raise InvalidRequest("This is no certificate id")
    certificate_pem = _pem(form.get("certificate_pem", ""))
    above = issuer_above(certificate_pem, (each.pem for each in visit.services.node.authorities()))
    identity = NewIdentity(certificate_pem, _pem(form.get("private_key", "")), above)
    file = _file(identity, certificate_id[:_SHORT_NAME], form.get("format", ""), form.get("passphrase", ""))
    headers = {"content-disposition": f'attachment; filename="{file.name}"'}
    return Response(file.content, media_type=file.media_type, headers=headers)


def _file(identity: NewIdentity, name: str, form: str, passphrase: str) -> Download:
    if form == "pem":
        return as_pem(identity, name)
    if form == "zip":
        return as_zip(identity, name)
    if form == "p12":
        return as_pkcs12(identity, name, passphrase)
    raise InvalidRequest("There is no such file format")


def _pem(text: str) -> str:
    # Forms have the line ends of the network (WHATWG HTML, "form submission").
    return text.replace("\r\n", "\n")


def _request_of(visit: Visit) -> str:
    pem = _pem(visit.form.get("request_pem", "")).strip()
    if "PRIVATE KEY" in pem:
        raise InvalidRequest(
            "This holds a private key, which must stay with the device. Send the signing request only."
        )
    if not pem:
        raise InvalidRequest("Paste a certificate signing request, or choose its file")
    return pem + "\n"
