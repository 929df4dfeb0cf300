"""Owns the messages and operations of provisioning templates. Their rules are in `registration`."""

from typing import Annotated, TypeAlias

from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Message, PageSize, Tag, Timestamp, tags_of
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.api.wire.reading.codec import epoch_seconds
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.identifiers import parse_template_name
from thingmint.core.provisioning.stored_template import (
    PAYLOAD_VERSION,
    PreProvisioningHook,
    ProvisioningTemplate,
    TemplateEntry,
    TemplateType,
    TemplateUpdate,
    TemplateVersion,
)
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import provisioning_templates

TemplateNameText: TypeAlias = Annotated[str, Constraint(min_length=1, max_length=36, pattern="^[0-9A-Za-z_-]+$")]
TemplateBodyText: TypeAlias = Annotated[str, Constraint(min_length=0, max_length=10240, pattern=r"[\s\S]*")]
DescriptionText: TypeAlias = Annotated[str, Constraint(min_length=0, max_length=500, pattern=r"[^\p{C}]*")]
RoleArnText: TypeAlias = Annotated[str, Constraint(min_length=20, max_length=2048)]


class ProvisioningHook(Message, frozen=True, kw_only=True):
    payload_version: Annotated[str, Constraint(min_length=10, max_length=32, pattern="^[0-9-]+$")] | None = None
    target_arn: Annotated[str, Constraint(max_length=2048)]


class CreateProvisioningTemplateRequest(Message, frozen=True, kw_only=True):
    template_name: Annotated[TemplateNameText, BODY]
    description: Annotated[DescriptionText | None, BODY] = None
    template_body: Annotated[TemplateBodyText, BODY]
    enabled: Annotated[bool | None, BODY] = None
    provisioning_role_arn: Annotated[RoleArnText, BODY]
    pre_provisioning_hook: Annotated[ProvisioningHook | None, BODY] = None
    tags: Annotated[list[Tag] | None, BODY] = None
    type: Annotated[TemplateType | None, BODY] = None


class CreateProvisioningTemplateResponse(Message, frozen=True, kw_only=True):
    template_arn: str
    template_name: str
    default_version_id: int


async def create_provisioning_template(
    authority: RegistrationAuthority, caller: Caller, request: CreateProvisioningTemplateRequest
) -> CreateProvisioningTemplateResponse:
    """Answer with the ARN and the default version of a new template; it is not enabled unless asked for.

    A hook is named by the ARN of a Lambda function; see the setting ``hooks``.
    """
    template = await provisioning_templates.create(
        authority,
        caller,
        parse_template_name(request.template_name),
        request.template_body,
        kind=request.type or TemplateType.FLEET_PROVISIONING,
        description=request.description,
        enabled=bool(request.enabled),
        role_arn=request.provisioning_role_arn,
        hook=_hook(request.pre_provisioning_hook),
        tags=tags_of(request.tags),
    )
    return CreateProvisioningTemplateResponse(
        template_arn=template.arn, template_name=template.name, default_version_id=template.default_version
    )


class DescribeProvisioningTemplateRequest(Message, frozen=True, kw_only=True):
    template_name: Annotated[TemplateNameText, PATH]


class DescribeProvisioningTemplateResponse(Message, frozen=True, kw_only=True):
    template_arn: str
    template_name: str
    description: str | None = None
    creation_date: Timestamp
    last_modified_date: Timestamp
    default_version_id: int
    template_body: str
    enabled: bool
    provisioning_role_arn: str
    pre_provisioning_hook: ProvisioningHook | None = None
    type: TemplateType


async def describe_provisioning_template(
    authority: RegistrationAuthority, caller: Caller, request: DescribeProvisioningTemplateRequest
) -> DescribeProvisioningTemplateResponse:
    """Answer with everything that is known of a template, with the body of its default version."""
    name = parse_template_name(request.template_name)
    template, version = await provisioning_templates.describe(authority, caller, name)
    return _description(template, version)


def _description(template: ProvisioningTemplate, version: TemplateVersion) -> DescribeProvisioningTemplateResponse:
    hook = template.hook
    return DescribeProvisioningTemplateResponse(
        template_arn=template.arn,
        template_name=template.name,
        description=template.description,
        creation_date=epoch_seconds(template.created_at),
        last_modified_date=epoch_seconds(template.modified_at),
        default_version_id=template.default_version,
        template_body=version.body,
        enabled=template.enabled,
        provisioning_role_arn=template.role_arn,
        pre_provisioning_hook=None
        if hook is None
        else ProvisioningHook(payload_version=hook.payload_version, target_arn=hook.target_arn),
        type=template.type,
    )


class ListProvisioningTemplatesRequest(Message, frozen=True, kw_only=True):
    max_results: Annotated[PageSize | None, QUERY] = None
    next_token: Annotated[str | None, QUERY] = None


class ProvisioningTemplateSummary(Message, frozen=True, kw_only=True):
    template_arn: str
    template_name: str
    description: str | None = None
    creation_date: Timestamp
    last_modified_date: Timestamp
    enabled: bool
    type: TemplateType


class ListProvisioningTemplatesResponse(Message, frozen=True, kw_only=True):
    templates: list[ProvisioningTemplateSummary]
    next_token: str | None = None


async def list_provisioning_templates(
    authority: RegistrationAuthority, caller: Caller, request: ListProvisioningTemplatesRequest
) -> ListProvisioningTemplatesResponse:
    """Answer with a page of the account's templates, oldest first."""
    listing = Listing("ListProvisioningTemplates", caller.scope, ascending=True)
    page_request = listing.page_request(request.max_results, request.next_token)
    page = await provisioning_templates.list_templates(authority, caller, page_request)
    return ListProvisioningTemplatesResponse(
        templates=[_summary(entry) for entry in page.items], next_token=listing.marker(page.next)
    )


def _summary(entry: TemplateEntry) -> ProvisioningTemplateSummary:
    return ProvisioningTemplateSummary(
        template_arn=entry.arn,
        template_name=entry.name,
        description=entry.description,
        creation_date=epoch_seconds(entry.created_at),
        last_modified_date=epoch_seconds(entry.modified_at),
        enabled=entry.enabled,
        type=entry.type,
    )


class UpdateProvisioningTemplateRequest(Message, frozen=True, kw_only=True):
    template_name: Annotated[TemplateNameText, PATH]
    description: Annotated[DescriptionText | None, BODY] = None
    enabled: Annotated[bool | None, BODY] = None
    default_version_id: Annotated[int | None, BODY] = None
    provisioning_role_arn: Annotated[RoleArnText | None, BODY] = None
    pre_provisioning_hook: Annotated[ProvisioningHook | None, BODY] = None
    remove_pre_provisioning_hook: Annotated[bool | None, BODY] = None


async def update_provisioning_template(
    authority: RegistrationAuthority, caller: Caller, request: UpdateProvisioningTemplateRequest
) -> None:
    """Change the properties of a template that the request contains."""
    update = TemplateUpdate(
        description=request.description,
        enabled=request.enabled,
        default_version=request.default_version_id,
        role_arn=request.provisioning_role_arn,
        hook=_hook(request.pre_provisioning_hook),
        remove_hook=bool(request.remove_pre_provisioning_hook),
    )
    await provisioning_templates.update(authority, caller, parse_template_name(request.template_name), update)


class DeleteProvisioningTemplateRequest(Message, frozen=True, kw_only=True):
    template_name: Annotated[TemplateNameText, PATH]


async def delete_provisioning_template(
    authority: RegistrationAuthority, caller: Caller, request: DeleteProvisioningTemplateRequest
) -> None:
    """Delete a template with all its versions and claims, whose connections end."""
    await provisioning_templates.delete(authority, caller, parse_template_name(request.template_name))


def _hook(hook: ProvisioningHook | None) -> PreProvisioningHook | None:
    return None if hook is None else PreProvisioningHook(hook.target_arn, hook.payload_version or PAYLOAD_VERSION)
