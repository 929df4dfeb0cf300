"""Owns the messages and operations of provisioning templates' versions, and of claims on a template."""

from typing import Annotated

from thingmint.api.certificates.certificates import KeyPairMessage
from thingmint.api.provisioning.provisioning_templates import TemplateBodyText, TemplateNameText
from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Message, PageSize, Timestamp
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.api.wire.reading.codec import epoch_seconds
from thingmint.core.caller import Caller
from thingmint.core.identifiers import parse_template_name
from thingmint.issuance.encoding.pem import certificate_pem, public_key_pem
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import claims, provisioning_templates


class CreateProvisioningTemplateVersionRequest(Message, frozen=True, kw_only=True):
    template_name: Annotated[TemplateNameText, PATH]
    template_body: Annotated[TemplateBodyText, BODY]
    set_as_default: Annotated[bool | None, QUERY] = None


class CreateProvisioningTemplateVersionResponse(Message, frozen=True, kw_only=True):
    template_arn: str
    template_name: str
    version_id: int
    is_default_version: bool


async def create_provisioning_template_version(
    authority: RegistrationAuthority, caller: Caller, request: CreateProvisioningTemplateVersionRequest
) -> CreateProvisioningTemplateVersionResponse:
    """Answer with the number of a template's new version; it has at most five, and numbers are never used again."""
    template, version = await provisioning_templates.create_version(
        authority,
        caller,
        parse_template_name(request.template_name),
        request.template_body,
        as_default=bool(request.set_as_default),
    )
    return CreateProvisioningTemplateVersionResponse(
        template_arn=template.arn,
        template_name=template.name,
        version_id=version,
        is_default_version=version == template.default_version,
    )


class DescribeProvisioningTemplateVersionRequest(Message, frozen=True, kw_only=True):
    template_name: Annotated[TemplateNameText, PATH]
    version_id: Annotated[int, PATH]


class DescribeProvisioningTemplateVersionResponse(Message, frozen=True, kw_only=True):
    version_id: int
    creation_date: Timestamp
    template_body: str
    is_default_version: bool


async def describe_provisioning_template_version(
    authority: RegistrationAuthority, caller: Caller, request: DescribeProvisioningTemplateVersionRequest
) -> DescribeProvisioningTemplateVersionResponse:
    """Answer with one version of a template."""
    name = parse_template_name(request.template_name)
    template, version = await provisioning_templates.describe_version(authority, caller, name, request.version_id)
    return DescribeProvisioningTemplateVersionResponse(
        version_id=version.version,
        creation_date=epoch_seconds(version.created_at),
        template_body=version.body,
        is_default_version=version.version == template.default_version,
    )


class ListProvisioningTemplateVersionsRequest(Message, frozen=True, kw_only=True):
    template_name: Annotated[TemplateNameText, PATH]
    max_results: Annotated[PageSize | None, QUERY] = None
    next_token: Annotated[str | None, QUERY] = None


class ProvisioningTemplateVersionSummary(Message, frozen=True, kw_only=True):
    version_id: int
    creation_date: Timestamp
    is_default_version: bool


class ListProvisioningTemplateVersionsResponse(Message, frozen=True, kw_only=True):
    versions: list[ProvisioningTemplateVersionSummary]
    next_token: str | None = None


async def list_provisioning_template_versions(
    authority: RegistrationAuthority, caller: Caller, request: ListProvisioningTemplateVersionsRequest
) -> ListProvisioningTemplateVersionsResponse:
    """Answer with a page of a template's versions, oldest first."""
    name = parse_template_name(request.template_name)
    listing = Listing("ListProvisioningTemplateVersions", caller.scope, ascending=True, filters=(name,))
    page_request = listing.page_request(request.max_results, request.next_token)
    template, page = await provisioning_templates.list_versions(authority, caller, name, page_request)
    return ListProvisioningTemplateVersionsResponse(
        versions=[
            ProvisioningTemplateVersionSummary(
                version_id=entry.version,
                creation_date=epoch_seconds(entry.created_at),
                is_default_version=entry.version == template.default_version,
            )
            for entry in page.items
        ],
        next_token=listing.marker(page.next),
    )


class DeleteProvisioningTemplateVersionRequest(Message, frozen=True, kw_only=True):
    template_name: Annotated[TemplateNameText, PATH]
    version_id: Annotated[int, PATH]


async def delete_provisioning_template_version(
    authority: RegistrationAuthority, caller: Caller, request: DeleteProvisioningTemplateVersionRequest
) -> None:
    """Delete a version of a template that is not its default."""
    name = parse_template_name(request.template_name)
    await provisioning_templates.delete_version(authority, caller, name, request.version_id)


class CreateProvisioningClaimRequest(Message, frozen=True, kw_only=True):
    template_name: Annotated[TemplateNameText, PATH]


class CreateProvisioningClaimResponse(Message, frozen=True, kw_only=True):
    certificate_id: str
    certificate_pem: str
    key_pair: KeyPairMessage
    expiration: Timestamp


async def create_provisioning_claim(
    authority: RegistrationAuthority, caller: Caller, request: CreateProvisioningClaimRequest
) -> CreateProvisioningClaimResponse:
    """Answer with a certificate, and its keys, that provisions with this template for five minutes.

    ListCertificates does not show it.
    """
    claim = await claims.create_claim(authority, caller, parse_template_name(request.template_name))
    return CreateProvisioningClaimResponse(
        certificate_id=claim.certificate_id,
        certificate_pem=certificate_pem(claim.der),
        key_pair=KeyPairMessage(
            public_key=public_key_pem(claim.key_pair.public_key_der),
            private_key=claim.key_pair.private_key_pem.decode("ascii"),
        ),
        expiration=epoch_seconds(claim.expires_at),
    )
