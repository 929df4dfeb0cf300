"""Owns workers, which are several processes on one data directory: their numbers, settings and metrics.

Each worker is a node of the database. Workers share the ports and the files of the data directory. The parent process
creates the files before it starts them.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from msgspec import Struct

from thingmint.host.connections.listening import ReservedPort, reserve_port
from thingmint.host.cores import usable_cores
from thingmint.host.service_log import service_log
from thingmint.host.shared_texts import SharedTexts
from thingmint.public.merged_metrics import merged
from thingmint.settings.address_forms import Address
from thingmint.settings.config import Config

_SHOW_SECONDS: Final = 2.0


class Worker(Struct, frozen=True):
    """One of several processes that serve a data directory; the first is number 1."""

    number: int
    metrics: SharedTexts

    def with_others(self, own: bytes) -> bytes:
        """Return the metrics of all workers, each with its worker's number as a label; ``own`` are this worker's."""
        return merged({self.number: own, **dict(self.metrics.others(self.number))})

    async def show(self, render: Callable[[], bytes]) -> None:
        """Write the metrics of this worker for the others periodically until cancelled."""
        has_told = False
        while True:
            if not self.metrics.write(self.number, render()) and not has_told:
                service_log.error("the metrics are too long for other workers to show them")
                has_told = True
            await asyncio.sleep(_SHOW_SECONDS)


def reserve_ports(config: Config) -> Mapping[str, ReservedPort]:
    """Reserve the ports for all workers and return them by the names of their settings; raise OSError if one is taken.

    If the default port for devices is taken, another one is reserved.
    """
    wanted = {"api": config.api, "mqtt": config.mqtt, "mqtt_alpn": config.mqtt_alpn}
    wanted |= {"public": config.public, "est": config.est}
    reserved: dict[str, ReservedPort] = {}
    for name, address in wanted.items():
        if address is None:
            continue
        port = config.mqtt_port if name == "mqtt" else address.port
        try:
            reserved[name] = reserve_port(address.host, port)
        except OSError:
            if name != "mqtt" or config.is_given("mqtt"):
                raise
            service_log.warning("the port is taken: devices connect to another one", port=port)
            reserved[name] = reserve_port(address.host, 0)
    return reserved


def settings_of_worker(config: Config, ports: Mapping[str, ReservedPort], passphrase_file: Path | None) -> Config:
    """Return the settings of each worker: with the reserved ports, and its share of the key workers."""

    def shared(name: str, address: Address) -> Address:
        return Address(address.host, ports[name].number) if name in ports else address

    return replace(
        config,
        api=shared("api", config.api),
        mqtt=shared("mqtt", config.mqtt),
        mqtt_alpn=None if config.mqtt_alpn is None else shared("mqtt_alpn", config.mqtt_alpn),
        public=None if config.public is None else shared("public", config.public),
        est=None if config.est is None else shared("est", config.est),
        ca_passphrase_file=passphrase_file,
        key_workers=config.key_workers or max(1, usable_cores() // config.workers),
        key_reserve=-(-config.key_reserve // config.workers),
    )
