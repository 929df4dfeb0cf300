"""Owns the publication of revocations: the writer of revocation lists, the OCSP responder, and their servers."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from msgspec import Struct

from thingmint.api.wire.errors import RequestTooLarge
from thingmint.core.certificates.revocation_list import ListName
from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import SerialNumber
from thingmint.host.connections.listening import Network
from thingmint.host.connections.proxied import TrustedProxies
from thingmint.host.service_log import service_log
from thingmint.host.telemetry import Metrics
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.issuance.issuers import Issuers
from thingmint.public.addresses import list_path
from thingmint.public.application import MOST_REQUEST_BYTES, PublicApplication
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.revocation.published import PublishedLists
from thingmint.registration.revocation.publisher import Publisher
from thingmint.registration.revocation.responders import Responders
from thingmint.registration.revocation.status import StatusService
from thingmint.registration.revocation.terms import CRLIssuer, RevocationObserver, RevocationTerms
from thingmint.rest.answers import Answer
from thingmint.rest.front import Front, Mounted, RequestLimits
from thingmint.rest.http.limits import Limits
from thingmint.rest.http.protocol.request_id import new_request_id
from thingmint.rest.http.server import Server
from thingmint.service.opening import Registry
from thingmint.settings.address_forms import Address
from thingmint.settings.config import Config

_LIMITS = RequestLimits(body_bytes=MOST_REQUEST_BYTES, seconds=10.0)
_TEXT = b"text/plain; charset=utf-8"
# On SQLite, the process that holds the data directory is the only one that writes lists.
_ONLY_NODE = "only node"


class Publication(Struct, frozen=True):
    """The tasks that keep revocation lists up to date, and the application that serves them."""

    publisher: Publisher
    application: PublicApplication

    def mounted(self, prefixes: tuple[bytes, ...] = ()) -> Mounted:
        """Return the application mounted at these prefixes, with its limits."""
        return Mounted(self.application, _in_words, prefixes, _LIMITS)


def publication_of(
    registry: Registry, authority: RegistrationAuthority, lists: PublishedLists, observer: RevocationObserver
) -> Publication:
    """Return the publication of this registry's revocations, which is not started yet."""
    terms = _terms(registry.config)
    crl_issuers = _CRLIssuers(registry, authority.issuers)
    responders = Responders(authority, registry.scope)
    status = StatusService(authority, crl_issuers, responders, terms, observer)
    owner = _ONLY_NODE if registry.config.database_url is None else str(uuid.uuid4())
    publisher = Publisher(authority, lists, crl_issuers, terms, owner, status.forget, observer, service_log)
    return Publication(publisher, PublicApplication(registry.clock, crl_issuers, lists, status))


def public_server(
    publication: Publication,
    address: Address,
    max_connections: int,
    proxies: Sequence[Network],
    metrics: Metrics,
    *,
    shares_port: bool,
) -> Server:
    """Return a plain HTTP server for its separate address; it does not listen yet."""
    return Server(
        Front((publication.mounted(),), new_request_id),
        host=address.host,
        port=address.port,
        ssl_context=None,
        limits=Limits(max_connections=max_connections, max_requests=max_connections),
        observe_turned_away=metrics.public_connections_turned_away,
        shares_port=shares_port,
        proxies=TrustedProxies(proxies, partial(metrics.proxy_headers_refused, "public")),
    )


def _terms(config: Config) -> RevocationTerms:
    url = config.public_url

    def address(name: ListName) -> str:
        return f"{url}{list_path(name)}"

    return RevocationTerms(
        list_valid_for=timedelta(hours=config.crl_valid_hours),
        response_valid_for=timedelta(minutes=config.ocsp_valid_minutes),
        shows_holds=not config.crl_without_holds,
        shard_entries=config.crl_shard_entries,
        list_address=None if url is None else address,
    )


class _CRLIssuers:
    """The issuers, and the root as an issuer of revocation lists: clients that verify a whole chain need its list, too.

    The root signed the certificates of the issuers, which change while the service runs, and of the service.
    """

    def __init__(self, registry: Registry, issuers: Issuers) -> None:
        authorities = registry.authorities
        self._root = IssuingCA(authorities.root, authorities.root_signer)
        self._service = authorities.service.certificate
        self._issuers = issuers
        self._cas: tuple[IssuingCA, ...] = ()
        self._crl_issuers: tuple[CRLIssuer, ...] = ()

    def __call__(self) -> tuple[CRLIssuer, ...]:
        """Return the issuers of CRLs, the same object as long as no issuer has changed."""
        cas = tuple(self._issuers)
        if cas != self._cas:
            below = (self._service, *(each.certificate for each in cas))
            signed = [SerialNumber(each.serial_number) for each in below if self._root.has_signed(each)]
            self._crl_issuers = (*map(CRLIssuer, cas), CRLIssuer(self._root, frozenset(signed)))
            self._cas = cas
        return self._crl_issuers


def _in_words(error: Exception) -> Answer:
    """Return the answer for an error that the application did not handle."""
    if isinstance(error, RequestTooLarge):
        return Answer(413, b"The request is too large\n", _TEXT)
    if isinstance(error, ServiceUnavailable):
        return Answer(503, b"Try again later\n", _TEXT, ((b"retry-after", b"1"),))
    return Answer(500, b"The request failed\n", _TEXT)
