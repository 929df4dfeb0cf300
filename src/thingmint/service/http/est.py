"""Owns EST on a node: its server, and the authentication of its clients by the rules of the device port."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from cryptography import x509
from msgspec import Struct

from thingmint.api.wire.calls import Calls
from thingmint.api.wire.errors import AccessDeniedName, ErrorMap
from thingmint.core.errors import AccessDenied, CredentialsUnknown
from thingmint.host.connections.peer_tls import Peer
from thingmint.host.connections.proxied import TrustedProxies
from thingmint.host.service_log import service_log
from thingmint.mqtt.edges.registered_devices import RegisteredDevice, RegisteredDevices
from thingmint.mqtt.rights.ports import ConnectionFacts, DeviceAuthorizer, DeviceRefusal, DeviceRefused
from thingmint.registration.access.presented_secrets import SecretAuthenticator
from thingmint.registration.provisioning.enrollment import Enrollee
from thingmint.rest.answering import Answering
from thingmint.rest.answers import Answer
from thingmint.rest.est.application import MOST_BODY_BYTES, EstApplication
from thingmint.rest.est.callers import Callers
from thingmint.rest.est.refusals import error_in_text, est_error
from thingmint.rest.front import Front, Mounted, RequestLimits
from thingmint.rest.http.limits import Limits
from thingmint.rest.http.protocol.request_id import new_request_id
from thingmint.rest.http.server import Server
from thingmint.service.node import OpenNode
from thingmint.settings.address_forms import Address

# Enough for a hook, a key pair and the database. A client whose request takes longer gets an error.
_LIMITS = RequestLimits(body_bytes=MOST_BODY_BYTES, seconds=60.0)
_PUBLISH = "iot:Publish"
# Refusals of certificates that are in no account, or in several.
_UNKNOWN = frozenset({DeviceRefusal.NOT_REGISTERED, DeviceRefusal.ACCOUNT_AMBIGUOUS})


class EstDevice(Struct, frozen=True):
    """A registered device as a client of EST; implements `rest.est.callers.IdentifiedDevice`."""

    device: RegisteredDevice
    enrollee: Enrollee
    facts: ConnectionFacts
    observe_refusal: Callable[[str, str], None]

    async def may_publish(self, topic: str) -> bool:
        """Return whether its policies allow iot:Publish on the topic; raise AccessDenied if they cannot be read."""
        return (await self._authorizer()).allows(_PUBLISH, f"topic/{topic}")

    async def require_publish(self, topics: Iterable[str]) -> None:
        """Return if its policies allow iot:Publish on the topics; raise AccessDenied."""
        authorizer = await self._authorizer()
        for topic in topics:
            if not authorizer.allows(_PUBLISH, f"topic/{topic}"):
                self.observe_refusal(_PUBLISH, authorizer.denial(_PUBLISH, f"topic/{topic}").reason)
                raise AccessDenied(f"The policies of the certificate do not allow {_PUBLISH} on {topic}")

    async def _authorizer(self) -> DeviceAuthorizer:
        try:
            return await self.device.authorizer(self.facts)
        except DeviceRefused as refused:
            raise _refusal(refused, self.observe_refusal) from refused


class EstDevices(Struct, frozen=True):
    """Implements `rest.est.callers.KnownDevices` with the device port's lookup of devices."""

    devices: RegisteredDevices
    observe_refusal: Callable[[str, str], None]

    async def identify(self, peer: Peer, source_address: str) -> EstDevice:
        """Return the device; raise CredentialsUnknown if its certificate is unknown, AccessDenied if it is refused.

        Policies see the certificate's id as the client id, because there is no MQTT connection.
        """
        try:
            device = await self.devices.identify(peer.chain, peer.server_name, source_address)
        except DeviceRefused as refused:
            raise _refusal(refused, self.observe_refusal) from refused
        fleet = device.fleet_device(source_address)
        facts = ConnectionFacts(device.certificate_id, source_address, peer.server_name)
        return EstDevice(
            device, Enrollee(fleet.caller, device.certificate_id, fleet.claim), facts, self.observe_refusal
        )


def est_server(node: OpenNode, devices: RegisteredDevices, calls: Calls, address: Address, limits: Limits) -> Server:
    """Return the server of EST for its separate address; it does not listen yet."""
    registry, authority = node.registry, node.authority
    errors = ErrorMap(AccessDeniedName.ACCESS_DENIED)
    callers = Callers(
        EstDevices(devices, node.metrics.device_refused),
        SecretAuthenticator(registry.store, registry.sealer, registry.clock, registry.scope.region),
    )
    answering = Answering(
        errors=errors,
        observer=node.metrics,
        log=service_log,
        new_request_id=new_request_id,
        error_form=est_error,
    )

    def ca_certificates() -> Sequence[x509.Certificate]:
        authorities = registry.authorities
        issuers = node.issuer_watch.known.device_authorities(authorities.root, registry.clock.now())
        return tuple(dict.fromkeys((*issuers, *authorities.anchors)))

    def in_text(error: Exception) -> Answer:
        return error_in_text(errors.answer(error))

    application = EstApplication(authority, callers, calls, answering, ca_certificates)
    return Server(
        Front((Mounted(application, in_text, limits=_LIMITS),), new_request_id),
        host=address.host,
        port=address.port,
        ssl_context=node.identity.est_context,
        limits=limits,
        shares_port=node.worker is not None,
        observe_turned_away=node.metrics.est_connections_turned_away,
        proxies=TrustedProxies(node.config.proxy_protocol, partial(node.metrics.proxy_headers_refused, "est")),
    )


def _refusal(refused: DeviceRefused, observe: Callable[[str, str], None]) -> AccessDenied | CredentialsUnknown:
    observe("est", refused.reason)
    if refused.reason in _UNKNOWN:
        return CredentialsUnknown(f"The client certificate is not known here: {refused.reason}")
    return AccessDenied(f"The client certificate may not be used: {refused.reason}")
