"""Changes of certificates: owns confirmations, single changes, and changes of a selection with their progress.

A selection is changed ten certificates at a time. Each answer lists the certificates that are left, and the browser
sends them with the next request: no node stores them, and the work stops if the page is closed.
"""

from typing import Final

from msgspec import Struct
from starlette.responses import Response

from thingmint.console.certificate_actions import ACTIONS, Action
from thingmint.console.visit import Visit
from thingmint.core.certificates.revocation import GIVEN_BY_OPERATOR, revocation_reason
from thingmint.core.errors import InvalidRequest, ResourceNotFound, ThingmintError
from thingmint.core.identifiers import parse_certificate_id
from thingmint.registration.certificates.certificates import revoke

_REVOKE: Final = "revoke"
_REASONS: Final = tuple(reason.word for reason in GIVEN_BY_OPERATOR)
_STEP: Final = 10
_MOST: Final = 500
_SHOWN_REFUSALS: Final = 20


class BulkProgress(Struct, frozen=True):
    """The progress of a selection's change; ``reason`` is that of a revocation, empty for other actions."""

    action: Action
    reason: str
    total: int
    succeeded: int
    failed: int
    left: tuple[str, ...]
    refusals: tuple[str, ...]


async def confirm(visit: Visit) -> Response:
    """Return the confirmation of a change, which says what happens to connected devices."""
    action, certificate_id = _action(visit.named("action")), visit.named("certificate").lower()
    described = (await visit.call("DescribeCertificate", certificateId=certificate_id))["certificateDescription"]
    refusal = await visit.why_not(action.operation, **action.members(certificate_id, {}))
    # Revocation lists and OCSP cover only certificates that the service has issued.
    has_reasons = action.name == _REVOKE and not described.get("caCertificateId")
    reasons = _REASONS if has_reasons else ()
    return visit.page("confirm.html", action=action, certificate=described, refusal=refusal, reasons=reasons)


async def act(visit: Visit) -> Response:
    """Make the change that was confirmed."""
    action, certificate_id = _action(visit.named("action")), visit.named("certificate").lower()
    await _change(visit, action, certificate_id)
    if action.name in ("delete", "reject"):
        return visit.to("/certificates", action.done)
    return visit.to(f"/certificates/{certificate_id}", action.done)


async def _change(visit: Visit, action: Action, certificate_id: str) -> None:
    """Make one change, with the reason of the form if it is a revocation; raise what its operation raises."""
    reason = visit.form.get("reason", "")
    if action.name != _REVOKE or not reason:
        await visit.call(action.operation, **action.members(certificate_id, visit.form))
        return
    # UpdateCertificate has no reason. Its permission and its quota apply; the change is made below the operation.
    await visit.operations.require(action.operation, **action.members(certificate_id, visit.form))
    visit.services.calls.throttle.admit(visit.caller.account, action.operation)
    await revoke(visit.authority, visit.caller, parse_certificate_id(certificate_id), revocation_reason(reason))


async def attach(visit: Visit) -> Response:
    """Attach a policy or a thing to the certificate."""
    return await _attachment(visit, "AttachPolicy", "AttachThingPrincipal", "attached")


async def detach(visit: Visit) -> Response:
    """Detach a policy or a thing from the certificate."""
    return await _attachment(visit, "DetachPolicy", "DetachThingPrincipal", "detached")


async def _attachment(visit: Visit, of_policy: str, of_thing: str, done: str) -> Response:
    certificate_id = visit.named("certificate").lower()
    described = (await visit.call("DescribeCertificate", certificateId=certificate_id))["certificateDescription"]
    arn, policy, thing = described["certificateArn"], visit.form.get("policy"), visit.form.get("thing")
    if policy:
        await visit.call(of_policy, policyName=policy, target=arn)
    elif thing:
        await visit.call(of_thing, thingName=thing, **{"x-amzn-principal": arn})
    else:
        raise InvalidRequest("Name a policy or a thing")
    return visit.to(f"/certificates/{certificate_id}", done)


async def confirm_selection(visit: Visit) -> Response:
    """Return the confirmation of a selection's change."""
    action, chosen = _action_in_bulk(visit), tuple(dict.fromkeys(visit.selected))
    if not chosen:
        raise InvalidRequest("No certificate is selected")
    if len(chosen) > _MOST:
        raise InvalidRequest(f"At most {_MOST} certificates are changed together")
    progress = BulkProgress(action, "", len(chosen), 0, 0, chosen, ())
    reasons = _REASONS if action.name == _REVOKE else ()
    return visit.page("bulk.html", progress=progress, has_begun=False, reasons=reasons)


async def bulk_step(visit: Visit) -> Response:
    """Change the next ten certificates of the selection."""
    action, chosen, reason = _action_in_bulk(visit), visit.selected[:_MOST], visit.form.get("reason", "")
    if reason:
        revocation_reason(reason)
    succeeded, failed, refusals = _number(visit, "succeeded"), _number(visit, "failed"), []
    for certificate_id in chosen[:_STEP]:
        try:
            await _change(visit, action, certificate_id)
        except ThingmintError as error:
            failed += 1
            refusals.append(f"{certificate_id}: {error.message}")
        else:
            succeeded += 1
    left = chosen[_STEP:]
    shown = (*visit.form.get("refusals", "").splitlines(), *refusals)[:_SHOWN_REFUSALS]
    progress = BulkProgress(action, reason, succeeded + failed + len(left), succeeded, failed, left, tuple(shown))
    template = "bulk_part.html" if visit.is_partial else "bulk.html"
    return visit.page(template, progress=progress, has_begun=True, reasons=())


def _action(name: str) -> Action:
    action = ACTIONS.get(name)
    if action is None:
        raise ResourceNotFound("There is no such action")
    return action


def _action_in_bulk(visit: Visit) -> Action:
    action = _action(visit.form.get("action", ""))
    if not action.in_bulk:
        raise InvalidRequest("This is done with one certificate at a time")
    return action


def _number(visit: Visit, name: str) -> int:
    text = visit.form.get(name, "0")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
