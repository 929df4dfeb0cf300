"""Owns the Registrar that works on the data directory itself, through the same functions as the service."""

from collections.abc import AsyncIterator

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable
from thingmint.cli.issuing.registrar import Registered
from thingmint.core.caller import Caller
from thingmint.core.certificate import CertificateStatus
from thingmint.core.errors import ServiceUnavailable, ThingmintError
from thingmint.core.identifiers import CertificateId
from thingmint.registration import certificates
from thingmint.registration.authority import RegistrationAuthority
from thingmint.registration.paging import PageRequest

_PAGE = 250


class OfflineRegistrar:
    """The Registrar without a service."""

    def __init__(self, authority: RegistrationAuthority, caller: Caller) -> None:
        self._authority = authority
        self._caller = caller

    async def issue(self, csr_pem: str, *, active: bool) -> Registered:
        """Return a new certificate for the request's key."""
        try:
            certificate = await certificates.issue_from_csr(self._authority, self._caller, csr_pem, active=active)
        except ServiceUnavailable as error:
            raise ServiceUnreachable(error.message) from error
        except ThingmintError as error:
            raise ServiceRefused(400, type(error).__name__, error.message, 1.0) from error
        return Registered(certificate.arn, certificate.der)

    async def newest_first(self) -> AsyncIterator[str]:
        """Return the ids of the registered certificates, newest first."""
        request = PageRequest(_PAGE, None, ascending=False)
        while True:
            page = await certificates.list_certificates(self._authority, self._caller, request)
            for summary in page.items:
                yield summary.certificate_id
            if page.next is None:
                return
            request = PageRequest(_PAGE, page.next, ascending=False)

    async def certificate(self, certificate_id: str) -> Registered:
        """Return a registered certificate."""
        certificate = await certificates.describe(self._authority, self._caller, CertificateId(certificate_id))
        return Registered(certificate.arn, certificate.der)

    async def discard(self, certificate_id: str) -> None:
        """Deactivate and delete a certificate."""
        identifier = CertificateId(certificate_id)
        await certificates.update_status(self._authority, self._caller, identifier, CertificateStatus.INACTIVE)
        await certificates.delete(self._authority, self._caller, identifier)
