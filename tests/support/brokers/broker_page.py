"""Owns the page of engines behind the relay: which features each has, by the tests that ran with it.

    python -m tests.support.brokers.broker_page RECORD    take what a recorded run has found, write the page, print it

What was found is kept in the page itself, and a run that finds something else fails. `make brokers` records and writes.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.brokers.broker_scenario import CHECKS

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "brokers.md"
ENGINES = ("Mosquitto", "RabbitMQ", "NATS", "ejabberd")
_YES, _NO = "yes", "–"
_ROW = re.compile(r"^\| (?P<name>[^|]+) \| (?P<cells>[^\n]+) \|$", re.MULTILINE)

_HEAD = """# Engines behind the relay

Written by `make brokers` from what `tests/mqtt/relay/test_engines.py` has found with Debian 12's packages: Mosquitto
2.0.11 (one broker), RabbitMQ 3.10.8 with its MQTT plug-in (two nodes), NATS 2.9.10 with JetStream (three nodes) and
ejabberd 23.01 with mod_mqtt (two nodes). Do not edit it: a test compares.

Two gateways are connected to different nodes of the same cluster, and devices of MQTT 5 to both. How each engine was
configured is in [MQTT brokers](../how-to/brokers.md).
"""
_TAIL = """
A dash is a limit of the engine. The service finds out at its start which of them it has to tell devices: CONNACK says
to devices of MQTT 5 whether there are retained messages and shared subscriptions, and what a device asks for all the
same is refused with the code of MQTT 5 that names it.

- *The engine says why*: otherwise it merely closes the older connection. Nodes of one PostgreSQL database tell each
  other of connections, so that devices are told 0x8E all the same; without it, they are told 0x89.
- *A node killed*: `kill -9` of one node under 100 messages of QoS 1 a second. Yes means that every message that was
  acknowledged came to the subscriber's session, and that both devices were served again. Mosquitto is one process,
  which keeps sessions in memory and writes them to disk twice an hour. On two cores that much else kept busy, devices
  were served again after 0 to 9 seconds with NATS, and 7 and 25 with RabbitMQ. ejabberd lost nothing in six runs and
  messages in two later ones, so its nodes are not killed for this table.
- RabbitMQ keeps sessions in quorum queues. A cluster of two has no majority for them until the killed node is back, and
  the remaining node answers no CONNECT that resumes or begins such a session. In a run in which the killed node took 67
  seconds to start, the device was served again 1.5 seconds after that node. Run three nodes.
- ejabberd keeps a session on the node that the client was connected to. If that node is killed, the session ends. Until
  the client has subscribed again, messages for it are acknowledged with 0x10 (no matching subscribers) and dropped.
- RabbitMQ and ejabberd keep retained messages on the node that they were sent to. RabbitMQ makes slashes of full stops,
  and NATS before 2.10 ends connections for them, so such topics are refused.
"""
KILLED = "a node killed: nothing acknowledged is lost"
VERSION = "speaks"


def said() -> dict[str, dict[str, str]]:
    """Return the cells of the page by engine and feature."""
    rows = {found["name"]: found["cells"].split(" | ") for found in _ROW.finditer(PAGE.read_text())}
    return {engine: {name: cells[at] for name, cells in rows.items()} for at, engine in enumerate(ENGINES)}


def found_by(engine: str) -> dict[str, bool]:
    """Return what the page says of an engine's features."""
    return {name: cell == _YES for name, cell in said()[engine].items() if name in CHECKS}


def cell(value: bool) -> str:  # what a check returned
    """Return how a result is written."""
    return _YES if value else _NO


def page(cells: Mapping[str, Mapping[str, str]]) -> str:
    """Return the page's text."""
    rows = [f"| | {' | '.join(ENGINES)} |", f"|---|{'---|' * len(ENGINES)}"]
    rows += [
        f"| {name} | {' | '.join(cells[engine].get(name, 'not run') for engine in ENGINES)} |"
        for name in (VERSION, *CHECKS, KILLED)
    ]
    return _HEAD + "\n" + "\n".join(rows) + "\n" + _TAIL


def main(directory: str) -> None:
    """Take what a recorded run has found, write the page and print it."""
    cells = said() if PAGE.exists() else {engine: {} for engine in ENGINES}
    for engine in ENGINES:
        record = Path(directory) / f"{engine}.json"
        if record.exists():
            cells[engine].update(json.loads(record.read_text()))
    text = page(cells)
    PAGE.write_text(text)
    print(text)


if __name__ == "__main__":
    main(sys.argv[1])
