"""The unit of `deploy/systemd`: what systemd says of it, and that the service works within its rules."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.clients.aws import Live
from tests.support.devices.live_devices import device, new_credentials
from tests.support.machine.required import required_program
from tests.support.services import sandboxed
from tests.support.services.nodes import client_of
from tests.support.services.service import running_service

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "thingmint.service"
DROP_IN = UNIT.with_name("thingmint.service.d") / "postgresql.conf"
PAGE = Path(__file__).parents[2] / "docs" / "operate" / "deploy.md"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return the unit with its drop-in and a program that exists, as systemd finds them."""
    program = shutil.which("true")
    assert program is not None
    unit = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    assert "/opt/thingmint/bin/thingmint serve" in text
    unit.write_text(text.replace("/opt/thingmint/bin/thingmint serve", program))
    shutil.copytree(DROP_IN.parent, tmp_path / DROP_IN.parent.name)
    return unit


def _is_252(systemd: str) -> bool:
    """Return whether this is the version of systemd that the page names."""
    said = subprocess.run([systemd, "--version"], capture_output=True, text=True, check=True).stdout
    return said.startswith("systemd 252 ")


def test_systemd_accepts_the_unit_and_its_exposure_is_as_documented(installed: Path) -> None:
    systemd = required_program("systemd-analyze")
    verified = subprocess.run([systemd, "verify", str(installed)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stdout) == (0, ""), verified.stderr
    assert str(installed) not in verified.stderr
    analysed = subprocess.run(
        [systemd, "security", "--offline=true", "--no-pager", str(installed)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Overall exposure level for thingmint.service: ([0-9.]+)", analysed.stdout)
    assert found is not None, analysed.stdout
    documented = re.search(r"exposure of ([0-9.]+) of 10", PAGE.read_text(encoding="utf-8"))
    assert documented is not None
    # Versions of systemd count a little differently.
    assert float(found[1]) == pytest.approx(float(documented[1]), abs=0.05 if _is_252(systemd) else 0.5)


def test_service_makes_keys_and_serves_devices_within_the_units_rules(tmp_path: Path) -> None:
    required_program("systemd-analyze")
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "thingmint-ca-passphrase").write_text("correct horse battery staple\n")
    inside = (sys.executable, str(Path(sandboxed.__file__)), str(UNIT))
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    options = ("--mqtt", "127.0.0.1:0")
    with running_service(tmp_path / "node", *options, before=inside, environment=environment, key_reserve=2) as service:
        node = Live(service, None)
        credentials = new_credentials(client_of(node))
        with device(node, credentials, tmp_path, "lamp") as lamp:
            assert lamp.subscribe("room")
            assert lamp.publish("room", b"1") == "Success"
            assert bytes(lamp.hear().payload) == b"1"
        keys = [path.read_bytes() for path in (service.data_dir / "keys").glob("*.key")]
        assert len(keys) > 3
        assert not any(b"BEGIN PRIVATE KEY" in key or b"BEGIN EC PRIVATE KEY" in key for key in keys)
        status = Path(f"/proc/{service.process.pid}/status").read_text()
        assert "Seccomp:\t2\n" in status
        assert "Traceback" not in service.log
