"""Certificates: owns the search and the page of one certificate; changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import PlainTextResponse, Response

from thingmint.api.devices.live_devices import ConnectionFilter, LiveConnection, RecentRefusal
from thingmint.console.calling import OperationAnswer
from thingmint.console.certificate_actions import ACTIONS, Action
from thingmint.console.explained import explain_certificate
from thingmint.console.paging import key_of, text_of
from thingmint.console.services import LIST_CONNECTIONS, READ_AUDIT
from thingmint.console.visit import PAGE_SIZE, PartOfPage, Visit
from thingmint.core.audit_entry import AuditEntry
from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import CertificateId
from thingmint.records.certificates.certificate_search import FoundCertificate
from thingmint.records.paging import PageRequest
from thingmint.registration.certificates.certificate_search import (
    Search,
    SearchBy,
    named_certificates,
    search_certificates,
)
from thingmint.registration.kernel.audit_trail import entries_of_resource

_THING: Final = "thing"
_BY: Final = (
    ("", "Everything, newest first"),
    ("id", "Certificate id, or how it starts"),
    ("common-name", "Common name, or how it starts"),
    (_THING, "Thing"),
    ("serial-number", "Serial number"),
    ("issuer", "Id of the issuer"),
    ("status", "Status"),
    ("end", "Ends until (YYYY-MM-DD)"),
)
_SHOWN_ENTRIES: Final = 20


@dataclass(frozen=True, slots=True)
class Connections:
    """What is known of the devices that show a certificate."""

    open: Sequence[LiveConnection] = ()
    refusals: Sequence[RecentRefusal] = ()
    refusal: str | None = None


async def search(visit: Visit) -> Response:
    """Return the certificates that are looked for."""
    await visit.require("iot:ListCertificates")
    by, text, message = visit.query("by"), visit.query("text"), None
    found: Sequence[FoundCertificate] = ()
    following = ""
    try:
        found, following = await (_of_thing(visit, text) if by == _THING else _found(visit, by, text))
    except InvalidRequest as error:
        message = error.message
    return visit.page(
        "certificates.html",
        400 if message else 200,
        found=found,
        following=following,
        by=by,
        text=text,
        message=message,
        choices=_BY,
        statuses=[str(status) for status in CertificateStatus],
        actions=[action for action in ACTIONS.values() if action.in_bulk],
    )


async def _found(visit: Visit, by: str, text: str) -> tuple[Sequence[FoundCertificate], str]:
    if by not in tuple(SearchBy):
        raise InvalidRequest("Certificates cannot be looked for by this")
    request = PageRequest(PAGE_SIZE, key_of(visit.query("after")), ascending=False)
    page = await search_certificates(visit.authority, visit.scope, Search(SearchBy(by), text), request)
    return page.items, text_of(page.next)


async def _of_thing(visit: Visit, name: str) -> tuple[Sequence[FoundCertificate], str]:
    if not name:
        raise InvalidRequest("Give the name of the thing")
    token = visit.query("after") or None
    answer = await visit.call("ListThingPrincipals", thingName=name, maxResults=PAGE_SIZE, nextToken=token)
    ids = [CertificateId(arn.rpartition("/")[2]) for arn in answer["principals"] if ":cert/" in arn]
    return await named_certificates(visit.authority, visit.scope, ids), answer.get("nextToken", "")


async def show(visit: Visit) -> Response:
    """Return everything about one certificate."""
    certificate_id = visit.named("certificate").lower()
    described = (await visit.call("DescribeCertificate", certificateId=certificate_id))["certificateDescription"]
    arn, is_own = described["certificateArn"], described["ownedBy"] == visit.caller.account
    return visit.page(
        "certificate.html",
        certificate=described,
        is_own=is_own,
        parts=explain_certificate(described["certificatePem"]),
        chain=await _chain(visit, described),
        attached=await visit.attempt("ListAttachedPolicies", target=arn, pageSize=250),
        in_force=await visit.attempt("GetEffectivePolicies", principal=arn),
        things=await visit.attempt("ListPrincipalThings", **{"x-amzn-principal": arn}, maxResults=250),
        connections=await _connections(visit, certificate_id),
        history=await _history(visit, arn),
        proof_refusal=await visit.refusal_of_log(),
        actions=await _possible(visit, described, is_own=is_own),
    )


async def proofs(visit: Visit) -> Response:
    """Return the proofs that what happened to the certificate is in the verifiable log, as a file."""
    await visit.require_log()
    certificate_id = visit.named("certificate").lower()
    described = (await visit.call("DescribeCertificate", certificateId=certificate_id))["certificateDescription"]
    text = await visit.services.node.proofs(described["certificateArn"])
    name = {"content-disposition": f'attachment; filename="{described["certificateId"]}.tlog-proof"'}
    return PlainTextResponse(text, headers=name)


async def _chain(visit: Visit, described: dict[str, object]) -> PartOfPage:
    """Return the certificate above this one: a registered CA certificate, or one of the service's own."""
    ca_id = described.get("caCertificateId")
    if ca_id:
        return await visit.attempt("DescribeCACertificate", caCertificateId=ca_id)
    return PartOfPage(OperationAnswer(own=True))


async def _connections(visit: Visit, certificate_id: str) -> Connections:
    refusal = await visit.refusal_of(LIST_CONNECTIONS)
    if refusal is not None:
        return Connections(refusal=refusal)
    wanted, devices = ConnectionFilter(certificate_id=certificate_id), visit.services.devices
    return Connections(devices.connections(visit.scope, wanted, "", 20), devices.refusals(visit.scope, wanted, 5))


async def _history(visit: Visit, arn: str) -> tuple[Sequence[AuditEntry], str | None]:
    refusal = await visit.refusal_of(READ_AUDIT)
    if refusal is not None:
        return (), refusal
    page = await entries_of_resource(visit.authority.store, visit.scope, arn, _SHOWN_ENTRIES)
    return page.items, None


async def _possible(visit: Visit, described: dict[str, object], *, is_own: bool) -> Sequence[tuple[Action, str | None]]:
    """Return the actions that the certificate's status allows, each with why the caller may not, or None."""
    possible = [each for each in ACTIONS.values() if each.fits(str(described["status"]), is_own)]
    found = []
    for action in possible:
        members = action.members(str(described["certificateId"]), {})
        found.append((action, await visit.why_not(action.operation, **members)))
    return found
