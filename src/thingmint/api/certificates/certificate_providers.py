"""Owns the messages and operations of certificate providers. Their rules are in `registration`."""

from typing import Annotated, TypeAlias

from msgspec import field

from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Marker, Message, Tag, Timestamp, tags_of
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.api.wire.reading.codec import epoch_seconds
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate_provider import ProvidedOperation
from thingmint.core.identifiers import certificate_provider_arn, parse_certificate_provider_name
from thingmint.registration.certificates import certificate_providers
from thingmint.registration.kernel.authority import RegistrationAuthority

ProviderNameText: TypeAlias = Annotated[str, Constraint(min_length=1, max_length=128, pattern=r"[\w=,@-]+")]
FunctionArnText: TypeAlias = Annotated[str, Constraint(max_length=2048, pattern=r"[\s\S]*")]
ClientTokenText: TypeAlias = Annotated[str, Constraint(min_length=36, max_length=64, pattern=r"\S{36,64}")]
Operations: TypeAlias = Annotated[list[ProvidedOperation], Constraint(min_length=1, max_length=1)]


class CreateCertificateProviderRequest(Message, frozen=True, kw_only=True):
    certificate_provider_name: Annotated[ProviderNameText, PATH]
    lambda_function_arn: Annotated[FunctionArnText, BODY]
    account_default_for_operations: Annotated[Operations, BODY]
    client_token: Annotated[ClientTokenText | None, BODY] = None
    tags: Annotated[list[Tag] | None, BODY] = None


class CreateCertificateProviderResponse(Message, frozen=True, kw_only=True):
    certificate_provider_name: str
    certificate_provider_arn: str


async def create_certificate_provider(
    authority: RegistrationAuthority, caller: Caller, request: CreateCertificateProviderRequest
) -> CreateCertificateProviderResponse:
    """Answer with the ARN of a new provider, or of the one that was created with the same token.

    One for each account, used for CreateCertificateFromCsr over MQTT only; see the setting ``hooks``.
    """
    created = await certificate_providers.create(
        authority,
        caller,
        parse_certificate_provider_name(request.certificate_provider_name),
        request.lambda_function_arn,
        request.account_default_for_operations[0],
        request.client_token,
        tags_of(request.tags),
    )
    return CreateCertificateProviderResponse(
        certificate_provider_name=created.name, certificate_provider_arn=created.arn
    )


class DescribeCertificateProviderRequest(Message, frozen=True, kw_only=True):
    certificate_provider_name: Annotated[ProviderNameText, PATH]


class DescribeCertificateProviderResponse(Message, frozen=True, kw_only=True):
    certificate_provider_name: str
    certificate_provider_arn: str
    lambda_function_arn: str
    account_default_for_operations: list[ProvidedOperation]
    creation_date: Timestamp
    last_modified_date: Timestamp


async def describe_certificate_provider(
    authority: RegistrationAuthority, caller: Caller, request: DescribeCertificateProviderRequest
) -> DescribeCertificateProviderResponse:
    """Answer with everything that is known of a provider."""
    name = parse_certificate_provider_name(request.certificate_provider_name)
    found = await certificate_providers.describe(authority, caller, name)
    return DescribeCertificateProviderResponse(
        certificate_provider_name=found.name,
        certificate_provider_arn=found.arn,
        lambda_function_arn=found.function_arn,
        account_default_for_operations=[found.operation],
        creation_date=epoch_seconds(found.created_at),
        last_modified_date=epoch_seconds(found.modified_at),
    )


class UpdateCertificateProviderRequest(Message, frozen=True, kw_only=True):
    certificate_provider_name: Annotated[ProviderNameText, PATH]
    lambda_function_arn: Annotated[FunctionArnText | None, BODY] = None
    account_default_for_operations: Annotated[Operations | None, BODY] = None


class UpdateCertificateProviderResponse(Message, frozen=True, kw_only=True):
    certificate_provider_name: str
    certificate_provider_arn: str


async def update_certificate_provider(
    authority: RegistrationAuthority, caller: Caller, request: UpdateCertificateProviderRequest
) -> UpdateCertificateProviderResponse:
    """Change the Lambda function of a provider."""
    name = parse_certificate_provider_name(request.certificate_provider_name)
    operation = next(iter(request.account_default_for_operations or ()), None)
    updated = await certificate_providers.update(authority, caller, name, request.lambda_function_arn, operation)
    return UpdateCertificateProviderResponse(
        certificate_provider_name=updated.name, certificate_provider_arn=updated.arn
    )


class DeleteCertificateProviderRequest(Message, frozen=True, kw_only=True):
    certificate_provider_name: Annotated[ProviderNameText, PATH]


async def delete_certificate_provider(
    authority: RegistrationAuthority, caller: Caller, request: DeleteCertificateProviderRequest
) -> None:
    """Delete a provider; the issuing CA signs again."""
    name = parse_certificate_provider_name(request.certificate_provider_name)
    await certificate_providers.delete(authority, caller, name)


class ListCertificateProvidersRequest(Message, frozen=True, kw_only=True):
    next_token: Annotated[Marker | None, QUERY] = None
    ascending_order: Annotated[bool | None, QUERY] = field(default=None, name="isAscendingOrder")


class CertificateProviderSummary(Message, frozen=True, kw_only=True):
    certificate_provider_name: str
    certificate_provider_arn: str


class ListCertificateProvidersResponse(Message, frozen=True, kw_only=True):
    certificate_providers: list[CertificateProviderSummary]
    next_token: str | None = None


async def list_certificate_providers(
    authority: RegistrationAuthority, caller: Caller, request: ListCertificateProvidersRequest
) -> ListCertificateProvidersResponse:
    """Answer with a page of the account's providers, newest first unless asked otherwise."""
    listing = Listing("ListCertificateProviders", caller.scope, ascending=bool(request.ascending_order))
    page = await certificate_providers.list_providers(authority, caller, listing.page_request(None, request.next_token))
    return ListCertificateProvidersResponse(
        certificate_providers=[
            CertificateProviderSummary(
                certificate_provider_name=entry.name,
                certificate_provider_arn=certificate_provider_arn(caller.scope, entry.name),
            )
            for entry in page.items
        ],
        next_token=listing.marker(page.next),
    )
