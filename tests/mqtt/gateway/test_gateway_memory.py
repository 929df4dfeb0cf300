"""What a connected, idle device costs in memory: in a process that does nothing else, and by the system's count."""

import contextlib
import os
import resource
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.devices.device_identities import Identity, new_identity, rsa_key
from tests.support.machine.loop_thread import GENEROUS
from tests.support.machine.required import require
from tests.support.machine.soak import examples

from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, QoS, Subscribe, Subscription

V3 = ProtocolVersion.MQTT_3_1_1
pytestmark = pytest.mark.soak
DEVICES = examples(400, 5000)
# The first connections also pay for what all share.
WARM_UP = 50
KIB_PER_DEVICE = 50
RESERVED_DESCRIPTORS = 100


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = DEVICES + WARM_UP + RESERVED_DESCRIPTORS
    require(hard == resource.RLIM_INFINITY or hard >= needed, f"the system allows fewer than {needed} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def gateway_process(identity: Identity) -> Iterator[tuple[int, int]]:
    """Start a gateway that knows this device; give its process id and its port."""
    command = [sys.executable, "-m", "tests.support.devices.gateway_process", identity.certificate_id]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(GENEROUS)


def resident_kib(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def connect(port: int, context: ssl.SSLContext, number: int) -> ssl.SSLSocket:
    """Open a connection with one subscription, as a device has that waits for orders."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=GENEROUS)
    device = context.wrap_socket(plain)
    subscription = Subscription(f"orders/{number}", QoS.AT_LEAST_ONCE)
    device.sendall(encode(Connect(V3, f"device {number}"), V3) + encode(Subscribe(1, (subscription,)), V3))
    answers = b""
    while len(answers) < len(b"CONN" + b"SUBAC"):
        answers += device.recv(100)
    return device


@pytest.mark.usefixtures("many_descriptors")
def test_idle_device_takes_at_most_60_kib(tmp_path: Path) -> None:
    identity = new_identity(key=rsa_key())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The gateway's certificate is made in its own process, and does not matter here.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(*identity.files(tmp_path))
    with gateway_process(identity) as (pid, port), contextlib.ExitStack() as stack:
        for number in range(WARM_UP):
            stack.enter_context(connect(port, context, number))
        before = resident_kib(pid)
        for number in range(WARM_UP, WARM_UP + DEVICES):
            stack.enter_context(connect(port, context, number))
        taken = (resident_kib(pid) - before) / DEVICES
    print(f"{taken:.1f} KiB for each of {DEVICES} devices")
    assert taken <= KIB_PER_DEVICE
