"""Owns the operations on certificate providers, and the requests to them. Independent of HTTP and SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from thingmint.core.audit_entry import AuditEntry, audit_entry
from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate, CertificateMode, CertificateStatus
from thingmint.core.certificates.certificate_provider import (
    CertificateProvider,
    CertificateProviderEntry,
    ProvidedOperation,
    SigningQuestion,
    provided_pem,
    updated_provider,
)
from thingmint.core.errors import (
    CertificateInvalid,
    DuplicateCertificate,
    LimitExceeded,
    ResourceExists,
    ResourceNotFound,
    ServiceUnavailable,
    Throttled,
)
from thingmint.core.hooks import HOOK_SECONDS, HookBusy, HookFailed
from thingmint.core.identifiers import CertificateProviderName, PrincipalId
from thingmint.core.paging import Page, PageRequest
from thingmint.core.provisioning.stored_template import PreProvisioningHook
from thingmint.issuance.csr import SigningRequest
from thingmint.issuance.foreign.certificate import ForeignCertificate
from thingmint.issuance.foreign.provided import load_provided_pem
from thingmint.records.certificates import certificate_providers as certificate_provider_table
from thingmint.records.paging import read_page
from thingmint.records.registry import tags as tag_table
from thingmint.records.steps import Steps
from thingmint.registration.certificates.issuing import record
from thingmint.registration.certificates.registered_certificates import Provenance, new_certificate
from thingmint.registration.certificates.signed_certificates import ensure_not_revoked, ensure_only_encoding
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.kernel.tags import store_tags

_CSR = ProvidedOperation.CREATE_CERTIFICATE_FROM_CSR
# The provider signs for this account only, and no other account can use the certificate.
_PROVIDED = Provenance(CertificateMode.DEFAULT, None)


async def create(
    authority: RegistrationAuthority,
    caller: Caller,
    name: CertificateProviderName,
    function_arn: str,
    operation: ProvidedOperation,
    client_token: str | None,
    tags: Mapping[str, str],
) -> CertificateProvider:
    """Create a provider; return the existing one if the same token created it with the same values.

    Raises InvalidRequest for a bad ARN, ResourceExists, LimitExceeded if the operation has another provider.
    """
    now = authority.clock.now()
    provider = CertificateProvider(caller.scope, name, function_arn, operation, client_token, now, now)

    def program() -> Steps[Change[CertificateProvider]]:
        if (yield from certificate_provider_table.insert_certificate_provider(provider)):
            yield from store_tags(provider.arn, tags)
            return Change(provider, (_entry(authority, caller, "CreateCertificateProvider", provider),))
        present = yield from certificate_provider_table.certificate_provider(caller.scope, name)
        if present is None:
            raise LimitExceeded(f"The account has a certificate provider for {operation} already")
        if not provider.is_retry_of(present):
            raise ResourceExists(
                f"Certificate provider {name} already exists", resource_id=name, resource_arn=present.arn
            )
        return Change(present, ())

    return await change(authority, program)


async def describe(
    authority: RegistrationAuthority, caller: Caller, name: CertificateProviderName
) -> CertificateProvider:
    """Return the provider; raise ResourceNotFound if the caller's account has no such one in the region."""
    found = await authority.store.read(lambda: certificate_provider_table.certificate_provider(caller.scope, name))
    return _found(name, found)


async def list_providers(
    authority: RegistrationAuthority, caller: Caller, request: PageRequest
) -> Page[CertificateProviderEntry]:
    """Return a page of the account's providers in the order of their creation, newest first unless ascending."""

    def program() -> Steps[Page[CertificateProviderEntry]]:
        return read_page(request, lambda page: certificate_provider_table.certificate_providers(caller.scope, page))

    return await authority.store.read(program)


async def update(
    authority: RegistrationAuthority,
    caller: Caller,
    name: CertificateProviderName,
    function_arn: str | None,
    operation: ProvidedOperation | None,
) -> CertificateProvider:
    """Change the given values and return the provider; raise ResourceNotFound, InvalidRequest for a bad ARN."""
    now = authority.clock.now()

    def program() -> Steps[Change[CertificateProvider]]:
        before = _found(
            name, (yield from certificate_provider_table.certificate_provider_for_update(caller.scope, name))
        )
        after = updated_provider(before, function_arn, operation, now)
        if after is before:
            return Change(before, ())
        yield from certificate_provider_table.update_certificate_provider(after)
        return Change(after, (_entry(authority, caller, "UpdateCertificateProvider", after),))

    return await change(authority, program)


async def delete(authority: RegistrationAuthority, caller: Caller, name: CertificateProviderName) -> None:
    """Delete the provider, so that the issuing CA signs again. Raises ResourceNotFound."""

    def program() -> Steps[Change[None]]:
        provider = _found(
            name, (yield from certificate_provider_table.certificate_provider_for_update(caller.scope, name))
        )
        yield from certificate_provider_table.delete_certificate_provider(provider)
        yield from tag_table.delete_tags(provider.arn)
        return Change(None, (_entry(authority, caller, "DeleteCertificateProvider", provider),))

    await change(authority, program)


async def provided_certificate(
    authority: RegistrationAuthority,
    caller: Caller,
    csr_pem: str,
    request: SigningRequest,
    *,
    principal_id: PrincipalId,
    client_id: str,
) -> Certificate | None:
    """Return the certificate of the account's provider, verified but not stored; None if there is no provider.

    ``csr_pem`` is the source of ``request``. Raises ServiceUnavailable if the provider does not answer in time or does
    not return a certificate for this request; Throttled if it is busy.
    """
    provider = await authority.store.read(
        lambda: certificate_provider_table.certificate_provider_of(caller.scope, _CSR)
    )
    if provider is None:
        return None

    def verified(pem: str) -> ForeignCertificate:
        try:
            return load_provided_pem(pem, request, authority.clock.now())
        except CertificateInvalid as error:
            raise HookFailed(error.message) from error

    question = SigningQuestion(provider.arn, csr_pem, principal_id, client_id, verified)
    try:
        async with asyncio.timeout(HOOK_SECONDS):
            answer = await authority.hooks.ask(PreProvisioningHook(provider.function_arn), question)
        certificate = verified(provided_pem(answer))
    except HookBusy as error:
        raise Throttled from error
    except (HookFailed, TimeoutError) as error:
        raise ServiceUnavailable("The certificate provider of the account did not provide a certificate") from error
    return new_certificate(authority, caller.scope, certificate, CertificateStatus.PENDING_ACTIVATION, _PROVIDED)


async def record_provided(
    authority: RegistrationAuthority,
    caller: Caller,
    certificate: Certificate,
    beside: Callable[[Certificate], Steps[None]],
) -> None:
    """Store a provider's certificate and run ``beside`` in one transaction.

    Raises DuplicateCertificate if it is registered, in any encoding; ServiceUnavailable if it was revoked.
    """

    def checked(recorded: Certificate) -> Steps[None]:
        try:
            yield from ensure_only_encoding(recorded, None)
        except CertificateInvalid as error:
            raise DuplicateCertificate(error.message) from error
        yield from ensure_not_revoked(recorded, None)
        yield from beside(recorded)

    try:
        await record(authority, caller, "CreateCertificateFromCsr", certificate, checked)
    except CertificateInvalid as error:
        raise ServiceUnavailable("The certificate provider of the account did not provide a new certificate") from error


def _entry(authority: RegistrationAuthority, caller: Caller, action: str, provider: CertificateProvider) -> AuditEntry:
    return audit_entry(
        caller,
        authority.clock.now(),
        action,
        provider.arn,
        function_arn=provider.function_arn,
        operation=provider.operation,
    )


def _found(name: CertificateProviderName, provider: CertificateProvider | None) -> CertificateProvider:
    if provider is None:
        raise ResourceNotFound(f"Certificate provider {name} not found")
    return provider
