"""Lines of the documents that take host and port from an endpoint: with the default port, the endpoint names none."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINE = re.compile(r'^\$ (device="-h .*")$', re.MULTILINE)
PAGES = [path for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))) if LINE.search(path.read_text())]


def test_pages_have_such_lines() -> None:
    assert {page.name for page in PAGES} == {"README.md", "jitp.md", "own-ca.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.parametrize(("endpoint", "port"), [("localhost", "8883"), ("localhost:40137", "40137")])
def test_host_and_port_are_those_of_the_endpoint(page: Path, endpoint: str, port: str) -> None:
    for line in LINE.findall(page.read_text()):
        script = f"endpoint={endpoint}\n{line}\necho $device"
        printed = subprocess.run(["/bin/sh", "-euc", script], capture_output=True, text=True, check=True).stdout
        assert printed.startswith(f"-h localhost -p {port} --cafile thingmint-data/ca.pem ")
