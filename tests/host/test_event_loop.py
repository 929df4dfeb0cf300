"""The service runs on uvloop where it is installed, and on asyncio's own event loop otherwise."""

import subprocess
import sys

import pytest

CHILD = """
import sys
if sys.argv[1] == "asyncio":
    sys.modules["uvloop"] = None
from thingmint.host.event_loop import new_event_loop
loop = new_event_loop()
print(type(loop).__module__.split(".")[0])
loop.close()
"""


@pytest.mark.parametrize("expected", ["asyncio", "uvloop"])
def test_event_loop_is_the_fastest_that_is_installed(expected: str) -> None:
    printed = subprocess.run([sys.executable, "-c", CHILD, expected], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == expected
