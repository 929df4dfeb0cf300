"""Owns what operators say of brokers: where each is, how it is spoken to and as whom, and which account it serves."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from thingmint.core.identifiers import AccountId, Scope
from thingmint.mqtt.codec.packets import ProtocolVersion
from thingmint.mqtt.relay.address import BrokerAddress, parse_broker_address
from thingmint.mqtt.relay.credentials import BrokerCredentials


@dataclass(frozen=True, slots=True)
class BrokerSpec:
    """One broker, virtual host or account of a broker.

    ``addresses`` are nodes of one cluster: a device is connected to any of them. Without a ``version``, MQTT 5 is tried
    first and 3.1.1 then. Files are PEM; without ``ca_file``, the system's trust anchors decide.
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
        """Return what connections with TLS begin with; raise OSError if a file cannot be read or used.

        ssl.SSLError is an OSError.
        """
        context = ssl.create_default_context(cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of TLS."""
        return tuple(each for each in (self.ca_file, self.certificate_file, self.key_file) if each is not None)


@dataclass(frozen=True, slots=True)
class Brokers:
    """Which broker serves which account.

    Accounts never share a space of topics and client ids. So ``default`` serves the service's own account, and others
    only if each of them has a user name of its own there, which the broker keeps apart.
    """

    own: Scope
    default: BrokerSpec | None = None
    by_account: Mapping[AccountId, BrokerSpec] = field(default_factory=dict)

    def of(self, scope: Scope) -> BrokerSpec | None:
        """Return the account's broker; None if it has none here."""
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
        """The accounts that are known to have a broker before any device of theirs connects."""
        accounts = dict.fromkeys((*(() if self.default is None else (self.own.account,)), *self.by_account))
        return tuple(replace(self.own, account=each) for each in accounts)


def one_broker(addresses: str, own: Scope, version: ProtocolVersion | None = None) -> Brokers:
    """Return the brokers of a service whose account alone has one; raise InvalidBrokerAddress.

    ``addresses`` are those of its nodes, separated by commas.
    """
    return Brokers(own, BrokerSpec(tuple(parse_broker_address(each.strip()) for each in addresses.split(",")), version))
