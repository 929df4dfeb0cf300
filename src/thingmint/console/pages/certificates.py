"""Certificates: owns the search and the page of one certificate. Changes nothing."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
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
from thingmint.core.certificates.renewal import Renewal
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import CertificateId
from thingmint.core.paging import PageRequest
from thingmint.registration.certificates.certificate_criteria import SearchBy
from thingmint.registration.certificates.certificate_search import (
    MOST_EXAMINED,
    FoundPage,
    Search,
    fulfilling,
    named_certificates,
    search_certificates,
)
from thingmint.registration.kernel.audit_trail import entries_of_resource
from thingmint.registration.provisioning.renewals import running_renewals

_THING: Final = "thing"
_FIELDS: Final = {
    SearchBy.ID: "Id starts with",
    SearchBy.COMMON_NAME: "Common name starts with",
    _THING: "Thing",
    SearchBy.SERIAL_NUMBER: "Serial number",
    SearchBy.ISSUER: "Id of the issuer",
    SearchBy.STATUS: "Status",
    SearchBy.END_SINCE: "Ends from the day",
    SearchBy.END: "Ends to the day",
}
_IN_ORDER: Final[Mapping[str, str]] = {
    SearchBy.ID: "in the order of their ids",
    SearchBy.COMMON_NAME: "in the order of their common names",
    SearchBy.END: "the next to end first",
}
_SHOWN_ENTRIES: Final = 20


class Connections(Struct, frozen=True):
    """Connections and refusals of devices that use a certificate, or why the caller may not see them."""

    open: Sequence[LiveConnection] = ()
    refusals: Sequence[RecentRefusal] = ()
    refusal: str | None = None


class RenewalsShown(Struct, frozen=True):
    """Which certificate this one replaces, and those that replace it; a certificate may be deleted meanwhile.

    ``running`` are renewals after which this certificate is ACTIVE beside the new one until their overlap ends.
    """

    replaces: str | None
    replaced_by: Sequence[str]
    running: Sequence[Renewal]


async def search(visit: Visit) -> Response:
    """Return the certificates that fulfil all criteria of the form."""
    await visit.require("iot:ListCertificates")
    given = {name: text for name in _FIELDS if (text := visit.query(name))}
    wanted = Search({by: given[by] for by in SearchBy if by in given}, visit.query("led-by"))
    page, following, message = FoundPage((), None, None), "", None
    try:
        if _THING in given:
            page, following = await _of_thing(visit, given[_THING], wanted)
        else:
            request = PageRequest(PAGE_SIZE, key_of(visit.query("after")), ascending=False)
            page = await search_certificates(visit.authority, visit.scope, wanted, request)
            following = text_of(page.next)
    except InvalidRequest as error:
        message = error.message
    return visit.page(
        "certificates.html",
        400 if message else 200,
        found=page.items,
        following=following,
        order=_IN_ORDER.get(page.led_by or "", "newest first") if _THING not in given else "",
        examined=MOST_EXAMINED if page.is_cut else 0,
        given=given,
        next_fields={**given, "led-by": page.led_by or ""},
        message=message,
        fields=_FIELDS,
        statuses=[str(status) for status in CertificateStatus],
        actions=[action for action in ACTIONS.values() if action.in_bulk],
    )


async def _of_thing(visit: Visit, name: str, wanted: Search) -> tuple[FoundPage, str]:
    """Return a page of the certificates that are attached to a thing, and how the next page is named."""
    token = visit.query("after") or None
    answer = await visit.call("ListThingPrincipals", thingName=name, maxResults=PAGE_SIZE, nextToken=token)
    ids = [CertificateId(arn.rpartition("/")[2]) for arn in answer["principals"] if ":cert/" in arn]
    found = await named_certificates(visit.authority, visit.scope, ids)
    kept = fulfilling(visit.authority, visit.scope, wanted, found)
    return FoundPage(tuple(kept), None, None), answer.get("nextToken", "")


async def show(visit: Visit) -> Response:
    """Return everything about one certificate."""
    certificate_id = visit.named("certificate").lower()
    described = (await visit.call("DescribeCertificate", certificateId=certificate_id))["certificateDescription"]
    arn, is_own = described["certificateArn"], described["ownedBy"] == visit.caller.account
    history = await _history(visit, arn)
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
        history=history,
        renewals=await _renewals(visit, certificate_id, history[0]),
        proof_refusal=await visit.refusal_of_log(),
        actions=await _possible(visit, described, is_own=is_own),
    )


async def proofs(visit: Visit) -> Response:
    """Return a file with the proofs that the certificate's history is in the verifiable log."""
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


async def _renewals(visit: Visit, certificate_id: str, history: Sequence[AuditEntry]) -> RenewalsShown:
    """Return the renewals that run, and what the audit trail tells of those that have ended."""
    running = await running_renewals(visit.authority, visit.scope, CertificateId(certificate_id))
    replaces = [str(each.detail["renewed"]) for each in history if each.action == "RenewCertificate"]
    ended = [str(each.detail["renewed_as"]) for each in history if "renewed_as" in each.detail]
    return RenewalsShown(replaces[0] if replaces else None, ended, running)


async def _possible(visit: Visit, described: dict[str, object], *, is_own: bool) -> Sequence[tuple[Action, str | None]]:
    """Return the actions that fit the certificate's status, each with the reason of a refusal or None."""
    possible = [each for each in ACTIONS.values() if each.fits(str(described["status"]), is_own)]
    found = []
    for action in possible:
        members = action.members(str(described["certificateId"]), {})
        found.append((action, await visit.why_not(action.operation, **members)))
    return found
