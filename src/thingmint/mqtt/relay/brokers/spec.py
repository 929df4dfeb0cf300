"""Owns the operator's specification of brokers: address, version, TLS, login, and the account that each one serves."""

import ssl
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from msgspec import Struct, field

from thingmint.core.identifiers import AccountId, Scope
from thingmint.mqtt.codec.packets import ProtocolVersion
from thingmint.mqtt.relay.brokers.address import BrokerAddress, parse_broker_address
from thingmint.mqtt.relay.credentials import BrokerCredentials


class BrokerSpec(Struct, frozen=True):
    """One broker, virtual host or account of a broker.

    ``addresses`` are nodes of one cluster; a device is connected to any of them. Without a ``version``, MQTT 5 is tried
    first, then 3.1.1. Files are PEM; without ``ca_file``, the system's trust anchors are used.
    """

    addresses: tuple[BrokerAddress, ...]
    version: ProtocolVersion | None = None
    credentials: BrokerCredentials = field(default_factory=BrokerCredentials)
    ca_file: Path | None = None
    server_name: str | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def __str__(self) -> str:
        return ", ".join(map(str, self.addresses))

    def tls_context(self) -> ssl.SSLContext:
        """Return the context of TLS connections; raise OSError if a file cannot be read or used.

        ssl.SSLError is an OSError.
        """
        context = ssl.create_default_context(cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context

    @property
    def files(self) -> tuple[Path, ...]:
        """The TLS files: CA certificates, certificate and key."""
        return tuple(each for each in (self.ca_file, self.certificate_file, self.key_file) if each is not None)


class Brokers(Struct, frozen=True):
    """The mapping of accounts to brokers.

    Accounts never share a namespace of topics and client ids. Therefore ``default`` serves the service's own account.
    It serves other accounts only if each of them has a different user name there, which the broker isolates.
    """

    own: Scope
    default: BrokerSpec | None = None
    by_account: Mapping[AccountId, BrokerSpec] = field(default_factory=dict)

    def of(self, scope: Scope) -> BrokerSpec | None:
        """Return the account's broker; None if there is none."""
        if scope.region != self.own.region:
            return None
        found = self.by_account.get(scope.account)
        if found is None and (
            scope == self.own or (self.default is not None and self.default.credentials.names_account)
        ):
            found = self.default
        return found

    @property
    def named(self) -> tuple[Scope, ...]:
        """The accounts whose brokers are known before a device connects."""
        accounts = dict.fromkeys((*(() if self.default is None else (self.own.account,)), *self.by_account))
        return tuple(replace(self.own, account=each) for each in accounts)


def one_broker(addresses: str, own: Scope, version: ProtocolVersion | None = None) -> Brokers:
    """Return the mapping with one broker, for the service's own account; raise InvalidBrokerAddress.

    ``addresses`` are the addresses of its nodes, separated by commas.
    """
    return Brokers(own, BrokerSpec(tuple(parse_broker_address(each.strip()) for each in addresses.split(",")), version))
