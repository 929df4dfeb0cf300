"""Owns the operations on users' CA certificates in the registry. Independent of HTTP and SQL.

A CA certificate is trusted because its account registered it. In DEFAULT mode the caller must prove that it has the
private key. In SNI_ONLY mode any caller can register it, for devices of the caller's account only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from msgspec import Struct, field

from thingmint.core.audit_entry import AuditEntry, audit_entry
from thingmint.core.caller import Caller
from thingmint.core.certificates.ca_certificate import (
    MAX_CAS_WITH_ONE_SUBJECT,
    AutoRegistrationStatus,
    CACertificate,
    CACertificateStatus,
    CACertificateSummary,
    CACertificateUpdate,
    RegistrationConfig,
    ensure_ca_deletable,
    updated,
)
from thingmint.core.certificates.certificate import CertificateMode, CertificateSummary
from thingmint.core.errors import (
    CertificateInvalid,
    InvalidRequest,
    RegistrationCodeInvalid,
    ResourceExists,
    ResourceNotFound,
    UpdateConflict,
)
from thingmint.core.identifiers import CertificateId, Scope, parse_template_name
from thingmint.core.paging import Page, PageRequest
from thingmint.core.provisioning.stored_template import TemplateType
from thingmint.issuance.foreign.certificate import ForeignCertificate, ensure_acceptable, load_foreign_pem
from thingmint.issuance.foreign.client_use import ensure_ca_of_clients
from thingmint.issuance.foreign.signed_form import signed_digest
from thingmint.issuance.foreign.user_ca import carries_code, ensure_ca, ensure_issued_by, lacks_cert_sign
from thingmint.records.certificates import ca_certificates as ca_certificate_table
from thingmint.records.paging import read_page
from thingmint.records.provisioning import provisioning_templates as provisioning_template_table
from thingmint.records.registry import tags as tag_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.kernel.tags import store_tags

log = logging.getLogger(__name__)


class CARegistration(Struct, frozen=True):
    """The input of a registration of a CA certificate."""

    ca_certificate_pem: str
    verification_pem: str | None
    mode: CertificateMode = CertificateMode.DEFAULT
    active: bool = False
    auto_registration: bool = False
    registration_config: RegistrationConfig | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


async def register(authority: RegistrationAuthority, caller: Caller, brought: CARegistration) -> CACertificate:
    """Register a CA certificate and return it.

    Raises InvalidRequest if mode and verification certificate do not match, CertificateInvalid if the certificate is
    not a CA certificate or did not sign the verification certificate, RegistrationCodeInvalid if that does not have the
    account's code, ResourceExists, LimitExceeded if the account has ten CA certificates with this subject,
    ResourceNotFound for an unknown template.
    """
    _ensure_mode_fits(brought)
    now = authority.clock.now()
    certificate = load_foreign_pem(brought.ca_certificate_pem, "CA certificate")
    # Checked first, and again by the insertion: a caller that registers a CA again gets ResourceExists also if the CA
    # or the registration code is no longer valid.
    await authority.store.read(lambda: _ensure_new(caller.scope, certificate))
    ensure_acceptable(certificate, now)
    ensure_ca(certificate)
    verification = None
    if brought.verification_pem is not None:
        verification = load_foreign_pem(brought.verification_pem, "verification certificate")
        ensure_acceptable(verification, now)
        ensure_issued_by(verification, certificate)
    registered = _registered(authority, caller, brought, certificate)
    entry = _entry(authority, caller, "RegisterCACertificate", registered)

    def program() -> Steps[Change[CACertificate]]:
        if verification is not None:
            code = yield from ca_certificate_table.registration_code(caller.scope)
            if code is None or not carries_code(verification, code):
                raise RegistrationCodeInvalid(
                    "The common name of the verification certificate is not the registration code of the account"
                )
        yield from _ensure_new(caller.scope, certificate)
        yield from _ensure_template(caller, brought.registration_config)
        yield from ca_certificate_table.insert_ca_certificate(registered, MAX_CAS_WITH_ONE_SUBJECT)
        # Checked again: the row that counts the CAs of a subject is locked, so only one transaction is here at a time.
        yield from _ensure_new(caller.scope, certificate, but_for=registered.certificate_id)
        yield from store_tags(registered.arn, brought.tags)
        return Change(registered, (entry,))

    done = await change(authority, program)
    _warn_of_usages(registered, certificate)
    return done


async def describe(authority: RegistrationAuthority, caller: Caller, certificate_id: CertificateId) -> CACertificate:
    """Return the CA certificate; raise ResourceNotFound if the caller's account has no such one in the region."""

    def program() -> Steps[CACertificate | None]:
        return ca_certificate_table.ca_certificate(caller.scope, certificate_id)

    return _found(await authority.store.read(program), certificate_id)


async def list_ca_certificates(
    authority: RegistrationAuthority, caller: Caller, template_name: str | None, request: PageRequest
) -> Page[CACertificateSummary]:
    """Return a page of the account's CA certificates; if a template is given, only those with this template."""

    def program() -> Steps[Page[CACertificateSummary]]:
        return read_page(
            request, lambda page: ca_certificate_table.ca_certificate_summaries(caller.scope, template_name, page)
        )

    return await authority.store.read(program)


async def list_certificates_by_ca(
    authority: RegistrationAuthority, caller: Caller, ca_certificate_id: CertificateId, request: PageRequest
) -> Page[CertificateSummary]:
    """Return a page of the account's certificates that were registered with the CA certificate, even a deleted one."""

    def program() -> Steps[Page[CertificateSummary]]:
        return read_page(
            request, lambda page: ca_certificate_table.summaries_by_ca(caller.scope, ca_certificate_id, page)
        )

    return await authority.store.read(program)


async def update(
    authority: RegistrationAuthority, caller: Caller, certificate_id: CertificateId, requested: CACertificateUpdate
) -> None:
    """Change the CA certificate's status and how its devices are registered; do nothing if nothing changes.

    Raises ResourceNotFound for the certificate or the template, InvalidRequest for a contradictory update or a template
    of another type.
    """
    now = authority.clock.now()

    def apply(before: CACertificate) -> Steps[AuditEntry | None]:
        after = updated(before, requested, now)
        if after is before:
            return None
        yield from _ensure_template(caller, requested.registration_config)
        _require_unchanged((yield from ca_certificate_table.update_ca_certificate(before, after)), before)
        return _entry(authority, caller, "UpdateCACertificate", after)

    await _change(authority, caller, certificate_id, apply)


async def delete(authority: RegistrationAuthority, caller: Caller, certificate_id: CertificateId) -> None:
    """Delete the CA certificate. Certificates that were registered with it stay valid.

    Raises ResourceNotFound, CertificateStateRefused if it is active.
    """

    def remove(before: CACertificate) -> Steps[AuditEntry | None]:
        ensure_ca_deletable(before)
        _require_unchanged((yield from ca_certificate_table.delete_ca_certificate(before)), before)
        yield from tag_table.delete_tags(before.arn)
        return _entry(authority, caller, "DeleteCACertificate", before)

    await _change(authority, caller, certificate_id, remove)


def _ensure_mode_fits(brought: CARegistration) -> None:
    if brought.mode is CertificateMode.DEFAULT and brought.verification_pem is None:
        raise InvalidRequest("A CA certificate in DEFAULT mode is registered with a verificationCertificate")
    if brought.mode is CertificateMode.SNI_ONLY and brought.verification_pem is not None:
        raise InvalidRequest("A CA certificate in SNI_ONLY mode is registered without a verificationCertificate")


def _ensure_new(scope: Scope, certificate: ForeignCertificate, *, but_for: CertificateId | None = None) -> Steps[None]:
    """Raise ResourceExists if the account has the CA certificate in any encoding."""
    for present in (yield from ca_certificate_table.ca_certificates_of_subject(scope, certificate.subject_digest)):
        if present.certificate_id != but_for and signed_digest(present.der) == certificate.signed_digest:
            raise ResourceExists(
                "The CA certificate is already registered",
                resource_id=present.certificate_id,
                resource_arn=present.arn,
            )


def _warn_of_usages(registered: CACertificate, certificate: ForeignCertificate) -> None:
    if lacks_cert_sign(certificate):
        log.warning("the key usage of CA certificate %s lacks keyCertSign; it is used as a CA's", registered.arn)
    try:
        ensure_ca_of_clients(certificate)
    except CertificateInvalid as error:
        log.warning("nothing is registered automatically with CA certificate %s: %s", registered.arn, error.message)


def _registered(
    authority: RegistrationAuthority, caller: Caller, brought: CARegistration, certificate: ForeignCertificate
) -> CACertificate:
    now = authority.clock.now()
    return CACertificate(
        scope=caller.scope,
        certificate_id=certificate.certificate_id,
        der=certificate.der,
        subject_digest=certificate.subject_digest,
        status=CACertificateStatus.ACTIVE if brought.active else CACertificateStatus.INACTIVE,
        mode=brought.mode,
        auto_registration=(
            AutoRegistrationStatus.ENABLE if brought.auto_registration else AutoRegistrationStatus.DISABLE
        ),
        registration_config=brought.registration_config,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        created_at=now,
        modified_at=now,
        customer_version=1,
        generation_id=authority.new_generation_id(),
        pem=certificate.pem,
    )


def _entry(authority: RegistrationAuthority, caller: Caller, action: str, ca_certificate: CACertificate) -> AuditEntry:
    return audit_entry(
        caller,
        authority.clock.now(),
        action,
        ca_certificate.arn,
        status=ca_certificate.status,
        mode=ca_certificate.mode,
        auto_registration=ca_certificate.auto_registration,
    )


async def _change(
    authority: RegistrationAuthority,
    caller: Caller,
    certificate_id: CertificateId,
    apply: Callable[[CACertificate], Steps[AuditEntry | None]],
) -> None:
    def program() -> Steps[Change[None]]:
        stored = yield from ca_certificate_table.ca_certificate_for_update(caller.scope, certificate_id)
        entry = yield from apply(_found(stored, certificate_id))
        return Change(None, () if entry is None else (entry,))

    await change(authority, program)


def _ensure_template(caller: Caller, config: RegistrationConfig | None) -> Steps[None]:
    if config is None or config.template_name is None:
        return
    # Locked, because the template's deletion checks for CA certificates that use it.
    name = parse_template_name(config.template_name)
    template = yield from provisioning_template_table.provisioning_template_for_update(caller.scope, name)
    if template is None:
        raise ResourceNotFound(f"The provisioning template {name} does not exist")
    if template.type is not TemplateType.JITP:
        raise InvalidRequest(f"The provisioning template {name} is of type {template.type}, not {TemplateType.JITP}")


def _found(ca_certificate: CACertificate | None, certificate_id: CertificateId) -> CACertificate:
    if ca_certificate is None:
        raise ResourceNotFound(f"The CA certificate given in the request does not exist. Id: {certificate_id}")
    return ca_certificate


def _require_unchanged(was_unchanged: bool, ca_certificate: CACertificate) -> None:
    # The row has been locked since it was read, so only an engine without row locks can have another version here.
    if not was_unchanged:
        raise UpdateConflict(
            f"CA certificate was changed by another request at the same time. Id: {ca_certificate.certificate_id}"
        )
