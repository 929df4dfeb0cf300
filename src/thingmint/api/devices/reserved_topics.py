"""Owns the rows of reserved topics without answers: events, and requests that AWS IoT serves but Thingmint does not.

https://docs.aws.amazon.com/iot/latest/developerguide/reserved-topics.html
"""

from typing import Final

from thingmint.api.wire.device_operation import DeviceOperation, Hearer
from thingmint.core.topics.names import BASIC_INGEST_PREFIX
from thingmint.core.topics.patterns import EVENTS, TopicPattern

# QoS 0: a lost event is not sent again.
RESERVED: Final = (DeviceOperation("Events of the service", EVENTS, Hearer.SUBSCRIBERS, most_qos=0),)


def _not_served(name: str, topic: str) -> DeviceOperation:
    return DeviceOperation(name, TopicPattern(topic), Hearer.NOBODY, reads_payload=False)


NOT_SERVED: Final = (
    _not_served("Device Shadow", "$aws/things/{thingName}/shadow/#"),
    _not_served("Jobs", "$aws/things/{thingName}/jobs/#"),
    _not_served("Device Defender", "$aws/things/{thingName}/defender/#"),
    _not_served("MQTT-based file delivery", "$aws/things/{thingName}/streams/#"),
    _not_served("Secure tunneling", "$aws/things/{thingName}/tunnels/#"),
    _not_served("Basic Ingest", f"{BASIC_INGEST_PREFIX}#"),
    _not_served("Commands to things", "$aws/commands/things/{thingName}/#"),
    _not_served("Commands to clients", "$aws/commands/clients/{clientId}/#"),
    _not_served("Device Location", "$aws/device_location/{thingName}/#"),
)
