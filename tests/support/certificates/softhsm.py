"""Owns a token of SoftHSM2 for tests, in a folder of its own, that can be removed and put back."""

import importlib.util
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.machine.required import require, required_program

LABEL = "devices"
PIN = "8641-secret"
_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)


@dataclass(frozen=True)
class SoftHSM:
    """A token, and what a program needs to use it. ``SOFTHSM2_CONF`` in its environment names the configuration."""

    folder: Path
    module: Path

    @property
    def pin_file(self) -> Path:
        """The file with the PIN."""
        return self.folder / "pin"

    @property
    def uri(self) -> str:
        """The URI of the token."""
        return f"pkcs11:token={LABEL}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes SoftHSM2 find the token."""
        return {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}

    @property
    def flags(self) -> tuple[str, ...]:
        """The settings with which Thingmint uses the token."""
        return ("--pkcs11-module", str(self.module), "--pkcs11-pin-file", str(self.pin_file))

    def remove(self) -> None:
        """Take the token away."""
        (self.folder / "tokens").rename(self.folder / "away")

    def put_back(self) -> None:
        """Bring it back."""
        (self.folder / "away").rename(self.folder / "tokens")


def new_softhsm(folder: Path) -> SoftHSM:
    """Return a new token in the folder; skip or fail the test if SoftHSM2 or python-pkcs11 is not installed."""
    program = required_program("softhsm2-util")
    module = next((Path(each) for each in _MODULES if Path(each).exists()), None)
    require(module, "the module of SoftHSM2 was not found")
    require(importlib.util.find_spec("pkcs11"), "python-pkcs11 is not installed")
    assert module is not None
    (folder / "tokens").mkdir(parents=True)
    made = SoftHSM(folder, module)
    (folder / "softhsm2.conf").write_text(
        f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    made.pin_file.write_text(f"{PIN}\n")
    subprocess.run(
        [program, "--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", "5678"],
        check=True,
        capture_output=True,
        env=made.environment,
    )
    return made
