"""Owns the conversion of broker settings into what the relay needs, and the findings about brokers for operators."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from thingmint.core.error_text import in_words
from thingmint.core.identifiers import AccountId, Scope
from thingmint.host.service_log import service_log
from thingmint.mqtt.codec.packets import ProtocolVersion
from thingmint.mqtt.codec.reason_codes import PacketRefused
from thingmint.mqtt.counters import Counters
from thingmint.mqtt.relay.brokers.account_broker import AccountBroker
from thingmint.mqtt.relay.brokers.address import InvalidBrokerAddress, parse_broker_address
from thingmint.mqtt.relay.brokers.broker_nodes import BrokerUnreachable
from thingmint.mqtt.relay.brokers.spec import Brokers, BrokerSpec, one_broker
from thingmint.mqtt.relay.connections.input import SharedReading
from thingmint.mqtt.relay.credentials import SERVICE, BrokerCredentials, LoginUnusable
from thingmint.mqtt.relay.relay import RelayDataPlane
from thingmint.service.devices.connection_limits import relay_limits
from thingmint.service.findings import Finding, Verdict
from thingmint.settings.broker_forms import BY_TABLE, DEFAULT, LOCAL, BrokerTable
from thingmint.settings.config import Config, StartRefused

# Other nodes announce a client's new connection within milliseconds, or within a second where NOTIFY does not work.
_EXPLAIN_SECONDS = 1.5
_VERSIONS = {"auto": None, "5": ProtocolVersion.MQTT_5, "3.1.1": ProtocolVersion.MQTT_3_1_1}


def relay_of(config: Config, own: Scope, counters: Counters) -> RelayDataPlane:
    """Return the relay to the brokers of the settings, which must name one; raise StartRefused if it cannot be used."""
    brokers = brokers_of(config, own)
    assert brokers is not None, "the data plane is not the built-in broker"
    for warning in exposed(brokers):
        service_log.warning(warning)
    limits = relay_limits(config)
    if config.database_url is not None:
        limits = replace(limits, explain_seconds=_EXPLAIN_SECONDS)
    return RelayDataPlane(brokers, limits, counters)


def brokers_of(config: Config, own: Scope) -> Brokers | None:
    """Return the brokers behind the relay, None with the built-in one; raise StartRefused if one cannot be used."""
    if config.mqtt_data_plane == LOCAL:
        return None
    try:
        if config.mqtt_data_plane != BY_TABLE:
            return _usable(one_broker(config.mqtt_data_plane, own))
        specs = {account: _spec(table) for account, table in config.mqtt_brokers.items()}
    except InvalidBrokerAddress as error:
        raise StartRefused(f"the address of a broker: {in_words(error)}") from error
    default = specs.pop(DEFAULT, None)
    return _usable(Brokers(own, default, {AccountId(account): spec for account, spec in specs.items()}))


def _spec(table: BrokerTable) -> BrokerSpec:
    username = table.username
    if username is None and table.username_file is None:
        username = "{certificate_id}"
    return BrokerSpec(
        tuple(map(parse_broker_address, table.addresses)),
        _VERSIONS[table.version],
        BrokerCredentials(username, _path(table.username_file), table.password, _path(table.password_file)),
        _path(table.ca_file),
        table.server_name,
        _path(table.certificate_file),
        _path(table.key_file),
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _usable(brokers: Brokers) -> Brokers:
    """Return the brokers if their files can be read; raise StartRefused."""
    for scope in brokers.named:
        spec = brokers.of(scope)
        assert spec is not None, "it is named"
        try:
            spec.tls_context()
            spec.credentials.login(SERVICE, SERVICE, scope.account)
        except (OSError, LoginUnusable) as error:
            raise StartRefused(f"the broker {spec} of account {scope.account}: {in_words(error)}") from error
    return brokers


def exposed(brokers: Brokers) -> Iterator[str]:
    """Yield a sentence for each broker connection that is not encrypted."""
    for scope in brokers.named:
        spec = brokers.of(scope)
        if spec is not None and any(each.is_exposed for each in spec.addresses):
            yield (
                f"messages, passwords and certificate ids go to the broker {spec} without encryption: "
                "use tls: addresses, or a network that only these machines can read"
            )


async def findings_of_brokers(config: Config, own: Scope) -> list[Finding]:
    """Connect to each broker as the service, test its capabilities, and return the findings."""
    brokers = brokers_of(config, own)
    if brokers is None:
        return []
    found = [Finding(Verdict.WARNING, text) for text in exposed(brokers)]
    reading = SharedReading(asyncio.get_running_loop())
    for scope in brokers.named:
        spec = brokers.of(scope)
        assert spec is not None, "it is named"
        broker = AccountBroker(spec, scope, relay_limits(config), reading, Counters())
        try:
            abilities = await broker.examine()
        except (BrokerUnreachable, PacketRefused) as error:
            found.append(Finding(Verdict.WRONG, f"the broker {spec} of account {scope.account}: {in_words(error)}"))
            continue
        verdict = Verdict.WARNING if abilities.missing else Verdict.OK
        found.append(Finding(verdict, f"the broker {spec} of account {scope.account} speaks {abilities}"))
        found += [Finding(Verdict.WRONG, f"the broker at {each} does not answer") for each in broker.failed]
    return found
