"""Fleets: owns the pages of templates with previews, claims, bulk tasks, and refusals of devices that register."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from msgspec import Struct
from starlette.responses import Response

from thingmint.api.devices.live_devices import ConnectionFilter, RecentRefusal
from thingmint.console.services import LIST_CONNECTIONS
from thingmint.console.visit import PAGE_SIZE, Visit, in_path
from thingmint.core.errors import InvalidRequest, ResourceNotFound, ThingmintError
from thingmint.core.identifiers import CertificateId
from thingmint.core.provisioning.plan import CertificateFacts, ProvisioningPlan, plan
from thingmint.core.provisioning.template import TemplateKind, parse_template

_EXAMPLE: Final = """{
  "Parameters": {"SerialNumber": {"Type": "String"}, "AWS::IoT::Certificate::Id": {"Type": "String"}},
  "Resources": {
    "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "SerialNumber"}}},
    "certificate": {
      "Type": "AWS::IoT::Certificate",
      "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"}
    }
  }
}"""
_KINDS: Final = {
    "FLEET_PROVISIONING": TemplateKind.FLEET_PROVISIONING,
    "JITP": TemplateKind.JITP,
}
# The certificate of a preview does not exist.
_ANY_CERTIFICATE: Final = CertificateFacts(CertificateId("0" * 64))
_PROVISIONING: Final = frozenset({"RegisterThing", "CreateKeysAndCertificate", "CreateCertificateFromCsr"})
_SHOWN_REFUSALS: Final = 50


class FleetRefusals(Struct, frozen=True):
    """The last refusals of devices that register, and how many of those that are kept have each action and reason."""

    newest: Sequence[RecentRefusal]
    by_reason: Sequence[tuple[tuple[str, str], int]]
    refusal: str | None


async def browse(visit: Visit) -> Response:
    """Return the templates, own CAs, bulk tasks and refusals of devices that register."""
    return visit.page(
        "fleets.html",
        templates=await visit.attempt(
            "ListProvisioningTemplates", maxResults=PAGE_SIZE, nextToken=visit.query("after") or None
        ),
        authorities=await visit.attempt("ListCACertificates", pageSize=PAGE_SIZE),
        tasks=await visit.attempt("ListThingRegistrationTasks", maxResults=PAGE_SIZE),
        refusals=await _refusals(visit),
        body=_EXAMPLE,
        refusal=await visit.why_not("CreateProvisioningTemplate", templateName="a"),
        task_refusal=await visit.why_not("StartThingRegistrationTask"),
    )


async def create(visit: Visit) -> Response:
    """Create a template."""
    form, name = visit.form, visit.form.get("name", "").strip()
    await visit.call(
        "CreateProvisioningTemplate",
        templateName=name,
        description=form.get("description", "").strip() or None,
        templateBody=form.get("body", "").replace("\r\n", "\n"),
        enabled="enabled" in form,
        provisioningRoleArn=form.get("role", "").strip(),
        type=form.get("type", ""),
    )
    return visit.to(f"/fleets/{in_path(name)}", "created")


async def show(visit: Visit) -> Response:
    """Return a template, and the form of its preview."""
    name = visit.named("template")
    template = await visit.call("DescribeProvisioningTemplate", templateName=name)
    return visit.page(
        "template.html",
        template=template,
        parameters=_parameters(template),
        versions=await visit.attempt("ListProvisioningTemplateVersions", templateName=name, maxResults=250),
        claim=None,
        refusal=await visit.why_not("UpdateProvisioningTemplate", templateName=name),
        version_refusal=await visit.why_not("CreateProvisioningTemplateVersion", templateName=name),
        claim_refusal=await visit.why_not("CreateProvisioningClaim", templateName=name),
        deletion_refusal=await visit.why_not("DeleteProvisioningTemplate", templateName=name),
    )


async def change(visit: Visit) -> Response:
    """Store another version or choose one, enable or disable the template, make a claim for it, or delete it."""
    name, wanted = visit.named("template"), visit.form.get("do", "")
    if wanted in ("enable", "disable"):
        await visit.call("UpdateProvisioningTemplate", templateName=name, enabled=wanted == "enable")
        return visit.to(f"/fleets/{in_path(name)}", "updated")
    if wanted == "save":
        body = visit.form.get("body", "").replace("\r\n", "\n")
        await visit.call("CreateProvisioningTemplateVersion", templateName=name, templateBody=body, setAsDefault=True)
        return visit.to(f"/fleets/{in_path(name)}", "updated")
    if wanted == "choose":
        version = visit.form.get("version", "")
        number = int(version) if version.isascii() and version.isdecimal() and len(version) < 6 else 0
        await visit.call("UpdateProvisioningTemplate", templateName=name, defaultVersionId=number)
        return visit.to(f"/fleets/{in_path(name)}", "updated")
    if wanted == "claim":
        claim = await visit.call("CreateProvisioningClaim", templateName=name)
        return visit.page("claim.html", claim=claim, name=name)
    if wanted == "delete":
        await visit.call("DeleteProvisioningTemplate", templateName=name)
        return visit.to("/fleets", "deleted")
    raise ResourceNotFound("There is no such action")


async def preview(visit: Visit) -> Response:
    """Show the template's plan with these parameters. Nothing is stored."""
    name = visit.named("template")
    template = await visit.call("DescribeProvisioningTemplate", templateName=name)
    given = {key.removeprefix("parameter:"): value for key, value in visit.form.items() if key.startswith("parameter:")}
    planned, message = {}, None
    try:
        body = parse_template(template["templateBody"], _KINDS[template["type"]])
        planned = _shown(plan(body, given, _ANY_CERTIFICATE))
    except ThingmintError as error:
        message = error.message
    return visit.page(
        "preview_part.html" if visit.is_partial else "preview.html", planned=planned, message=message, name=name
    )


async def start_task(visit: Visit) -> Response:
    """Start a bulk registration."""
    form = visit.form
    answer = await visit.call(
        "StartThingRegistrationTask",
        templateBody=form.get("body", "").replace("\r\n", "\n"),
        inputFileBucket=form.get("bucket", "").strip(),
        inputFileKey=form.get("key", "").strip(),
        roleArn=form.get("role", "").strip(),
    )
    return visit.to(f"/fleets/tasks/{in_path(answer['taskId'])}", "started")


async def show_task(visit: Visit) -> Response:
    """Return the progress of a bulk registration, and its reports."""
    task_id = visit.named("task")
    task = await visit.call("DescribeThingRegistrationTask", taskId=task_id)
    reports = {
        kind: await visit.attempt("ListThingRegistrationTaskReports", taskId=task_id, reportType=kind)
        for kind in ("ERRORS", "RESULTS")
    }
    return visit.page("task_part.html" if visit.is_partial else "task.html", task=task, reports=reports)


async def stop_task(visit: Visit) -> Response:
    """Stop a bulk registration after the lines that it works on now."""
    task_id = visit.named("task")
    await visit.call("StopThingRegistrationTask", taskId=task_id)
    return visit.to(f"/fleets/tasks/{in_path(task_id)}", "stopped")


async def _refusals(visit: Visit) -> FleetRefusals:
    refusal = await visit.refusal_of(LIST_CONNECTIONS)
    if refusal is not None:
        return FleetRefusals((), (), refusal)
    found = visit.services.devices.refusals(visit.scope, ConnectionFilter(), 1000)
    ours = [each for each in found if each.action in _PROVISIONING]
    by_reason = Counter((each.action, str(each.reason)) for each in ours).most_common()
    return FleetRefusals(ours[:_SHOWN_REFUSALS], by_reason, None)


def _parameters(template: Mapping[str, str]) -> Mapping[str, str | None]:
    try:
        declared = parse_template(template["templateBody"], _KINDS[template["type"]]).parameters
    except InvalidRequest:
        # It could be read when it was stored.
        return {}
    return {name: default for name, default in declared.items() if not name.startswith("AWS::IoT::Certificate::")}


def _shown(planned: ProvisioningPlan) -> dict[str, object]:
    return {name: value for name, value in asdict(planned).items() if value not in (None, (), {})}
