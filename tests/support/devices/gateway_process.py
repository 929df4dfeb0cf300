"""Runs the device gateway alone in a process, to measure its memory: prints its port, ends with its input."""

import sys
import tempfile
from pathlib import Path

from tests.support.devices.device_gateway import FakeDevice, live_gateway

from thingmint.core.identifiers import CertificateId
from thingmint.mqtt.transport.limits import GatewayLimits

MANY = 20_000


def main(certificate_id: str) -> None:
    """Serve the device with this certificate until the standard input ends."""
    limits = GatewayLimits(max_connections=MANY)
    with tempfile.TemporaryDirectory() as directory, live_gateway(Path(directory), limits=limits) as live:
        known = CertificateId(certificate_id)
        live.registry.devices[known] = FakeDevice(known)
        print(live.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
