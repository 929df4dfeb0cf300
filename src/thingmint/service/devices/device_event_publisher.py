"""Owns the distribution of the device edge's events: to the log, to counters, and to subscribed devices."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import Scope
from thingmint.core.registry.registry_event import RegistryEvent
from thingmint.core.topics.patterns import event_topic
from thingmint.host.service_log import service_log
from thingmint.mqtt.edges.life_cycle import life_cycle_event
from thingmint.mqtt.edges.recent_refusals import RecentRefusals
from thingmint.mqtt.edges.refusal_log import RefusalLog
from thingmint.mqtt.edges.registered_devices import device_caller
from thingmint.mqtt.edges.registry_events import registry_event
from thingmint.mqtt.edges.unserved_messages import UnservedMessages
from thingmint.mqtt.events import ActionRefused, ConnectRefused, GatewayEvent, LifeCycleEvent, MessageNotServed, Refused
from thingmint.registration.certificates.auto_registration import AutoRegistration
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning.just_in_time import provision_at_first_connection


class NodeEventListener(Protocol):
    """Receives the events of this node, for the devices of other nodes."""

    def receive(self, event: LifeCycleEvent, published: tuple[str, bytes] | None) -> None:
        """Receive an event of a connection to this node, and the topic and payload if it is published."""
        ...

    def event_published(self, scope: Scope, topic: str, payload: bytes) -> None:
        """Receive an event of an account that was published to the devices of this node."""
        ...


class DeviceEventPublisher:
    """Receives events of connections, registry and first connections; ``publish`` publishes to an account's devices."""

    def __init__(
        self,
        authority: RegistrationAuthority,
        publish: Callable[[Scope, str, bytes], None],
        observe_refusal: Callable[[str, str], None],
        observe_unserved: Callable[[int], None] | None,
        recent: RecentRefusals,
        has_listeners: Callable[[Scope], bool],
    ) -> None:
        self._authority = authority
        self._publish = publish
        self._refusals = RefusalLog(service_log, observe_refusal)
        self._recent = recent
        self._unserved = UnservedMessages(observe_unserved)
        self._has_listeners = has_listeners
        self.elsewhere: NodeEventListener | None = None
        """The devices of other nodes."""

    def happened(self, event: RegistryEvent) -> None:
        """Publish a registry event for which the account has events enabled."""
        event_id, now = self._authority.new_generation_id(), self._authority.clock.now()
        self._publish(event.scope, *registry_event(event, event_id, now))

    def receive(self, event: GatewayEvent) -> None:
        """Log refusals and drops; publish other events to the devices of the account."""
        match event:
            case ConnectRefused():
                self._connect_refused(event)
            case ActionRefused():
                self._refusals.action_refused(event)
                self._recent.action_refused(event)
            case MessageNotServed():
                self._unserved.count(event)
            case _:
                self._publish_life_cycle(event)

    async def connected(self, registration: AutoRegistration, source_address: str) -> None:
        """Publish that a certificate is pending activation, and provision its device if its CA has a template."""
        certificate, config = registration.certificate, registration.ca_certificate.registration_config
        registered = _registered_event(registration)
        self._publish(certificate.scope, *registered)
        if self.elsewhere is not None:
            self.elsewhere.event_published(certificate.scope, *registered)
        if config is None or not config.has_template:
            return
        caller = device_caller(certificate.scope, certificate.certificate_id, source_address)
        try:
            await provision_at_first_connection(self._authority, caller, certificate, config)
        except ThingmintError as error:
            self._connect_refused(_not_provisioned(registration, source_address, error, self._authority.clock.now()))

    def _publish_life_cycle(self, event: LifeCycleEvent) -> None:
        if self.elsewhere is None and not self._has_listeners(event.link.scope):
            # Each connection has several events, and most accounts have no listeners.
            return
        published = life_cycle_event(event)
        if published is not None:
            self._publish(event.link.scope, *published)
        if self.elsewhere is not None:
            self.elsewhere.receive(event, published)

    def _connect_refused(self, event: ConnectRefused) -> None:
        self._refusals.connect_refused(event)
        self._recent.connect_refused(event)

    def advance(self) -> None:
        """Write the lines that are due; called every second or so."""
        self._refusals.advance()
        self._unserved.advance()

    def close(self) -> None:
        """Log the counts that were not logged yet."""
        self._refusals.close()
        self._unserved.close()


def _not_provisioned(
    registration: AutoRegistration, source_address: str, error: ThingmintError, at: datetime
) -> ConnectRefused:
    """Return the event of a first connection for which the template of the device's CA failed."""
    certificate, ca_certificate = registration.certificate, registration.ca_certificate
    config = ca_certificate.registration_config
    template = config.template_name if config is not None else None
    detail = f"{error.message} ({f'template {template}' if template else 'the template of the CA certificate'})"
    refused = Refused("RegisterThing", type(error).__name__, f"cacert/{ca_certificate.certificate_id}", detail=detail)
    return ConnectRefused(
        certificate.certificate_id,
        source_address,
        at,
        error.message,
        scope=certificate.scope,
        refused=refused,
    )


def _registered_event(registration: AutoRegistration) -> tuple[str, bytes]:
    """Return topic and payload of AWS IoT's event for a certificate that is pending activation."""
    certificate, ca_id = registration.certificate, registration.ca_certificate.certificate_id
    at = int(certificate.created_at.timestamp() * 1000)
    payload = {
        "certificateId": certificate.certificate_id,
        "caCertificateId": ca_id,
        "timestamp": at,
        "certificateStatus": str(certificate.status),
        "awsAccountId": certificate.scope.account,
        "certificateRegistrationTimestamp": str(at),
    }
    return event_topic(f"certificates/registered/{ca_id}"), msgspec.json.encode(payload)
