"""The image of `deploy/container` is built and run: not as root, with a root that cannot be written to."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.support.clients.aws import Live
from tests.support.devices.live_devices import device, new_credentials
from tests.support.machine.required import require, required_program
from tests.support.services.container import Image, built_image, skip_where_nothing_can_be_built, started
from tests.support.services.nodes import client_of
from tests.support.services.service import Service, assert_consistent

from thingmint.data_directory.handover import read_endpoints

pytestmark = pytest.mark.long


def service_of(image: Image, data: Path) -> Service:
    """Start the image's process; its log is beside the data."""
    log_file = data.with_name("container.log")
    command = started(image, data, "--api", "127.0.0.1:0", "--mqtt", "127.0.0.1:0")
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    greeting = process.stdout.readline()
    assert "is ready" in greeting, log_file.read_text()
    endpoints = read_endpoints(data / "node")
    assert endpoints is not None
    return Service(process, data / "node", endpoints, log_file, [greeting])


def test_image_serves_callers_and_devices_with_a_read_only_root(tmp_path: Path) -> None:
    for program in ("buildah", "unshare", "setpriv"):
        required_program(program)
    require(os.geteuid() == 0, "the image is built and mounted by root")
    skip_where_nothing_can_be_built(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    with built_image(tmp_path) as image:
        service = service_of(image, data)
        try:
            node = Live(service, None)
            credentials = new_credentials(client_of(node))
            with device(node, credentials, tmp_path, "lamp") as lamp:
                assert lamp.publish("room", b"1") == "Success"
            status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="ascii")
            assert re.findall(r"^[UG]id:\t(.*)$", status, re.MULTILINE) == ["\t".join(["65532"] * 4)] * 2
            assert re.search(r"^CapEff:\t0{16}$", status, re.MULTILINE)
            inside = Path(f"/proc/{service.process.pid}/mounts").read_text(encoding="utf-8")
            writable = {line.split()[1] for line in inside.splitlines() if line.split()[3].split(",")[0] == "rw"}
            assert "/" not in writable
            assert "/var/lib/thingmint" in writable
        finally:
            service.close_clients()
            ended = service.terminate()
            assert service.process.stdout is not None
            service.process.stdout.close()
        assert ended == 0
        assert not (image.root / "opt/thingmint/bin/pip").exists()
    assert_consistent(data / "node", None)
