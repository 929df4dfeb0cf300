"""Where the relay may find a broker: on this machine and nowhere else."""

import pytest
from tests.support.broker import SCOPE

from thingmint.mqtt.relay.address import InvalidBrokerAddress, parse_broker_address
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.relay import RelayDataPlane


@pytest.mark.parametrize(
    "text", ["unix:/run/mosquitto.sock", "tcp:127.0.0.1:1883", "tcp:127.0.0.5:1", "tcp:[::1]:65535"]
)
def test_address_of_this_machine_is_taken_and_written_the_same(text: str) -> None:
    assert str(parse_broker_address(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "local",
        "unix:",
        "unix:relative/path",
        "unix:/nul\0",
        "tcp:",
        "tcp:127.0.0.1",
        "tcp:127.0.0.1:0",
        "tcp:127.0.0.1:65536",
        "tcp:127.0.0.1:1883 ",
        "tcp:10.0.0.1:1883",
        "tcp:0.0.0.0:1883",
        "tcp:[2001:db8::1]:1883",
        "tcp:localhost:1883",
        "tcp:broker.example.com:1883",
        "mqtt://127.0.0.1:1883",
    ],
)
def test_every_other_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidBrokerAddress):
        RelayDataPlane(text, SCOPE)


def test_limits_are_positive() -> None:
    with pytest.raises(ValueError, match="open_seconds must be positive"):
        RelayLimits(open_seconds=0)
