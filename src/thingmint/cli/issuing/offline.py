"""Owns the Registrar that uses the data directory directly, through the same functions as the service."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable
from thingmint.cli.issuing.registrar import Registered, certificate_template
from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import ResourceNotFound, ServiceUnavailable, ThingmintError, Throttled
from thingmint.core.identifiers import CertificateId, ThingName
from thingmint.core.paging import PageRequest
from thingmint.registration.certificates import certificates
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import provisioning
from thingmint.registration.registry import thing_principals

_PAGE = 250


class OfflineRegistrar:
    """The Registrar without a service."""

    def __init__(
        self,
        authority: RegistrationAuthority,
        caller: Caller,
        trust_anchor_sha256: str | None,
        production: Mapping[str, str] | None = None,
    ) -> None:
        """Create a registrar; with ``production``, audit entries have batch, operator and station."""
        self._production = production or {}
        self._authority = authority
        self._caller = caller
        self.trust_anchor_sha256 = trust_anchor_sha256
        """The SHA-256 of the file with the trust anchor of a service on this directory."""

    async def issue(self, csr_pem: str, *, active: bool) -> Registered:
        """Return a new certificate for the request's key."""
        if self._production:
            parameters = {"SigningRequest": csr_pem, **self._production}
            return await self.register_thing(certificate_template(active=active), parameters)
        with _as_a_service_answers():
            certificate = await certificates.issue_from_csr(self._authority, self._caller, csr_pem, active=active)
        return Registered(certificate.arn, certificate.der)

    async def newest_first(self) -> AsyncIterator[str]:
        """Return the ids of the registered certificates, newest first."""
        request = PageRequest(_PAGE, None, ascending=False)
        while True:
            with _as_a_service_answers():
                page = await certificates.list_certificates(self._authority, self._caller, request)
            for summary in page.items:
                yield summary.certificate_id
            if page.next is None:
                return
            request = PageRequest(_PAGE, page.next, ascending=False)

    async def find(self, certificate_id: str) -> Registered | None:
        """Return a registered certificate, None if there is none with this id."""
        with _as_a_service_answers(), contextlib.suppress(ResourceNotFound):
            certificate = await certificates.describe(self._authority, self._caller, CertificateId(certificate_id))
            return Registered(certificate.arn, certificate.der)
        return None

    async def register_thing(self, template: str, parameters: Mapping[str, str]) -> Registered:
        """Carry out a provisioning template atomically; return its certificate."""
        with _as_a_service_answers():
            done = await provisioning.register_thing(self._authority, self._caller, template, parameters)
        assert done.certificate is not None, "the templates of this command have a certificate"
        return Registered(done.certificate.arn, done.certificate.der)

    async def certificates_of_thing(self, thing: str) -> list[str]:
        """Return the ids of the certificates that are attached to a thing, none if there is no such thing."""
        request = PageRequest(_PAGE, None, ascending=True)
        with _as_a_service_answers(), contextlib.suppress(ResourceNotFound):
            page = await thing_principals.list_principals(self._authority, self._caller, ThingName(thing), request)
            return [each.principal.rpartition("/")[2] for each in page.items]
        return []

    async def discard(self, certificate_id: str) -> None:
        """Deactivate and delete a certificate, if it exists."""
        identifier = CertificateId(certificate_id)
        with _as_a_service_answers(), contextlib.suppress(ResourceNotFound):
            await certificates.update_status(self._authority, self._caller, identifier, CertificateStatus.INACTIVE)
            await certificates.delete(self._authority, self._caller, identifier)


@contextlib.contextmanager
def _as_a_service_answers() -> Iterator[None]:
    try:
        yield
    except ServiceUnavailable as error:
        raise ServiceUnreachable(error.message) from error
    except Throttled as error:
        raise ServiceRefused(400, "ThrottlingException", error.message, error.retry_after) from error
    except ThingmintError as error:
        raise ServiceRefused(400, type(error).__name__, error.message, 1.0) from error
