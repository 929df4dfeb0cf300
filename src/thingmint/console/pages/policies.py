"""Policies: owns the list, the editor, the devices that a change affects, and the simulator."""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from thingmint.console.visit import PAGE_SIZE, Visit, in_path
from thingmint.core.errors import InvalidRequest, MalformedPolicy, ResourceNotFound, ThingmintError
from thingmint.core.identifiers import parse_policy_name, partition_of
from thingmint.core.policies.iot_policy import parse_new_iot_policy
from thingmint.core.policies.simulation import ActionType, AuthRequest, SimulatedDecision
from thingmint.core.policies.target import parse_policy_target
from thingmint.registration.policies.device_authorization import PolicyOverrides, simulated

_EXAMPLE: Final = """{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "iot:Connect",
      "Resource": "arn:%s:iot:*:*:client/${iot:Connection.Thing.ThingName}"
    }
  ]
}"""
_MOST_RESOURCES: Final = 10


async def browse(visit: Visit) -> Response:
    """Return a page of policies."""
    found = await visit.call("ListPolicies", pageSize=PAGE_SIZE, marker=visit.query("after") or None)
    return visit.page(
        "policies.html",
        policies=found["policies"],
        following=found.get("nextMarker", ""),
        document=_EXAMPLE % partition_of(visit.scope.region),
        refusal=await visit.why_not("CreatePolicy", policyName="a"),
    )


async def create(visit: Visit) -> Response:
    """Create a policy; show the editor with the error if the document is not a policy."""
    name, document = visit.form.get("name", "").strip(), _document(visit)
    if not name:
        raise InvalidRequest("Give the name of the policy")
    try:
        await visit.call("CreatePolicy", policyName=name, policyDocument=document)
    except MalformedPolicy as error:
        return _editor(visit, document, error.message, name)
    return visit.to(f"/policies/{in_path(name)}", "created")


async def check(visit: Visit) -> Response:
    """Show whether a document is a policy, with line and column of an error. Stores nothing."""
    document = _document(visit)
    try:
        parse_new_iot_policy(document)
    except MalformedPolicy as error:
        message = error.message
    else:
        message = ""
    if visit.is_partial:
        return visit.page("policy_check.html", message=message)
    return _editor(visit, document, message or "The document is a policy.", visit.form.get("name", ""))


async def show(visit: Visit) -> Response:
    """Return the page of a policy: its document, its versions, and the devices that it applies to."""
    name = visit.named("policy")
    policy = await visit.call("GetPolicy", policyName=name)
    return visit.page(
        "policy.html",
        policy=policy,
        versions=await visit.attempt("ListPolicyVersions", policyName=name),
        targets=await visit.attempt("ListTargetsForPolicy", policyName=name, pageSize=250),
        affected=await _affected(visit, name),
        refusal=await visit.why_not("CreatePolicyVersion", policyName=name),
        deletion_refusal=await visit.why_not("DeletePolicy", policyName=name),
    )


async def change(visit: Visit) -> Response:
    """Store another version, choose or delete one, or delete the policy."""
    name, wanted, version = visit.named("policy"), visit.form.get("do", ""), visit.form.get("version", "") or "0"
    if wanted == "save":
        document = _document(visit)
        try:
            await visit.call("CreatePolicyVersion", policyName=name, policyDocument=document, setAsDefault=True)
        except MalformedPolicy as error:
            return _editor(visit, document, error.message, name, f"/console/policies/{in_path(name)}")
    elif wanted == "choose":
        await visit.call("SetDefaultPolicyVersion", policyName=name, policyVersionId=version)
    elif wanted == "delete-version":
        await visit.call("DeletePolicyVersion", policyName=name, policyVersionId=version)
    elif wanted == "delete":
        await visit.call("DeletePolicy", policyName=name)
        return visit.to("/policies", "deleted")
    else:
        raise ResourceNotFound("There is no such action")
    return visit.to(f"/policies/{in_path(name)}", "updated")


async def simulator(visit: Visit) -> Response:
    """Return the form of the simulator."""
    return _simulator(visit, (), None)


async def simulate(visit: Visit) -> Response:
    """Show whether a device's policies allow an action, and which statement decides."""
    try:
        verdicts = await _verdicts(visit)
    except ThingmintError as error:
        return _simulator(visit, (), error.message)
    return _simulator(visit, verdicts, None)


async def _verdicts(visit: Visit) -> Sequence[SimulatedDecision]:
    form = visit.form
    resources = tuple(line.strip() for line in form.get("resources", "").splitlines() if line.strip())
    if not 0 < len(resources) <= _MOST_RESOURCES:
        raise InvalidRequest(f"Give 1 to {_MOST_RESOURCES} resources, each on a line of its own")
    action, principal = form.get("action", ""), form.get("principal", "").strip()
    client_id, added = form.get("client_id", "").strip() or None, _names(form.get("added", ""))
    skipped = _names(form.get("skipped", ""))
    # The operation checks permission and quota. Its answer does not name statements: they are found below.
    await visit.call(
        "TestAuthorization",
        principal=principal or None,
        clientId=client_id,
        authInfos=[{"actionType": action, "resources": list(resources)}],
        policyNamesToAdd=added or None,
        policyNamesToSkip=skipped or None,
    )
    overrides = PolicyOverrides(
        [parse_policy_name(each) for each in added], [parse_policy_name(each) for each in skipped]
    )
    target = parse_policy_target(visit.scope, principal) if principal else None
    requests = [AuthRequest(ActionType(action), resources)]
    (result,) = await simulated(visit.authority, visit.scope, target, client_id, requests, overrides)
    return result.verdicts


def _simulator(visit: Visit, verdicts: Sequence[SimulatedDecision], message: str | None) -> Response:
    values = {"verdicts": verdicts, "message": message, "actions": [str(each) for each in ActionType]}
    principal = visit.form.get("principal") or visit.query("principal")
    template = "simulator_part.html" if visit.is_partial else "simulator.html"
    return visit.page(template, 400 if message and not visit.is_partial else 200, principal=principal, **values)


def _editor(visit: Visit, document: str, message: str, name: str, action: str = "/console/policies") -> Response:
    return visit.page("policy_editor.html", 400, document=document, message=message, name=name, action=action)


def _document(visit: Visit) -> str:
    return visit.form.get("document", "").replace("\r\n", "\n")


def _names(text: str) -> list[str]:
    return text.replace(",", " ").split()


async def _affected(visit: Visit, name: str) -> tuple[Sequence[str], Sequence[str], str | None]:
    """Return the certificates and groups whose devices a change of the policy affects, and the reason of a refusal."""
    found = await visit.attempt("ListTargetsForPolicy", policyName=name, pageSize=PAGE_SIZE)
    targets = found.answer.get("targets", [])
    certificates = [arn.rpartition("/")[2] for arn in targets if ":cert/" in arn]
    groups = [arn.rpartition("/")[2] for arn in targets if ":thinggroup/" in arn]
    return certificates, groups, found.refusal
