"""Authorities: owns the pages of the service's certificates, revocation lists, log, and the account's own CAs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from starlette.responses import Response

from thingmint.console.calling import OperationAnswer
from thingmint.console.explained import ExplainedPart, explain_certificate
from thingmint.console.services import READ_STATUS, AuthorityShown
from thingmint.console.visit import PAGE_SIZE, Visit
from thingmint.core.errors import ResourceNotFound

_WIDTH: Final = 600
_ENABLED: Final = {"newAutoRegistrationStatus": "ENABLE"}
# UpdateCACertificate: what each button changes.
_CHANGES: Final[Mapping[str, Mapping[str, object]]] = {
    "activate": {"newStatus": "ACTIVE"},
    "deactivate": {"newStatus": "INACTIVE"},
    "no-registration": {"newAutoRegistrationStatus": "DISABLE"},
}


class Bar(Struct, frozen=True):
    """A certificate on the time line: beginning and length of its bar, in units of the picture."""

    authority: AuthorityShown
    x: int
    width: int
    days_left: int
    parts: Sequence[ExplainedPart]


async def show(visit: Visit) -> Response:
    """Return the page."""
    refusal = await visit.refusal_of(READ_STATUS)
    shown = () if refusal else visit.services.node.authorities()
    now = visit.authority.clock.now()
    return visit.page(
        "authorities.html",
        bars=_bars(shown, now),
        now_at=_at(now, shown),
        width=_WIDTH,
        refusal=refusal,
        lists=() if refusal else await visit.services.node.revocation_lists(),
        log_refusal=(log_refusal := await visit.refusal_of_log()),
        log=None if log_refusal else await visit.services.node.log(),
        own=await visit.attempt("ListCACertificates", pageSize=PAGE_SIZE, marker=visit.query("after") or None),
    )


async def show_own(visit: Visit) -> Response:
    """Return everything about a CA certificate of the account, and how devices below it are registered."""
    ca_id = visit.named("ca").lower()
    answer = await visit.call("DescribeCACertificate", caCertificateId=ca_id)
    described = answer["certificateDescription"]
    return visit.page(
        "authority.html",
        ca=described,
        config=answer.get("registrationConfig") or OperationAnswer(),
        parts=explain_certificate(described["certificatePem"]),
        refusal=await visit.why_not("UpdateCACertificate", caCertificateId=ca_id),
        deletion_refusal=await visit.why_not("DeleteCACertificate", caCertificateId=ca_id),
    )


async def change_own(visit: Visit) -> Response:
    """Change the status or the registration of devices of a CA certificate, or delete it."""
    ca_id, wanted = visit.named("ca").lower(), visit.form.get("do", "")
    if wanted == "delete":
        await visit.call("DeleteCACertificate", caCertificateId=ca_id)
        return visit.to("/authorities", "deleted")
    if wanted == "registration":
        template = visit.form.get("template", "").strip()
        config = {"templateName": template} if template else None
        await visit.call("UpdateCACertificate", caCertificateId=ca_id, registrationConfig=config, **_ENABLED)
    elif wanted in _CHANGES:
        await visit.call("UpdateCACertificate", caCertificateId=ca_id, **_CHANGES[wanted])
    else:
        raise ResourceNotFound("There is no such action")
    return visit.to(f"/authorities/{ca_id}", "updated")


def _bars(shown: Sequence[AuthorityShown], now: datetime) -> Sequence[Bar]:
    bars = []
    for each in shown:
        begin, end = _at(each.not_before, shown), _at(each.not_after, shown)
        bars.append(Bar(each, begin, max(2, end - begin), (each.not_after - now).days, explain_certificate(each.pem)))
    return bars


def _at(moment: datetime, shown: Sequence[AuthorityShown]) -> int:
    """Return the place of a time on the time line, which begins and ends with the first and the last certificate."""
    if not shown:
        return 0
    first, last = min(each.not_before for each in shown), max(each.not_after for each in shown)
    return round(_WIDTH * ((moment - first) / (last - first)))
