"""Commands whose output cannot be written: the error names the file, and what was done before it is not done again."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.services.forked import run_thingmint, start_thingmint
from tests.support.services.service import running_service
from tests.support.services.small_disk import fill, small_disk  # noqa: F401  a fixture is found by name


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a service that has stopped; its keys are not sealed."""
    data_dir = tmp_path_factory.mktemp("unwritable") / "data"
    with running_service(data_dir, key_reserve=0):
        pass
    return data_dir


@pytest.fixture
def full_disk(small_disk: Path) -> Iterator[Path]:  # noqa: F811  a fixture
    """A file system without space."""
    fill(small_disk / "ballast")
    yield small_disk
    (small_disk / "ballast").unlink()


def issuers(data_dir: Path) -> dict[str, str]:
    """Return the status of each issuer."""
    listed = run_thingmint("issuer", "list", "--json", "--data-dir", str(data_dir), check=True).stdout
    return {row["name"].removeprefix("issuer "): row["status"] for row in json.loads(listed)}


def with_full_output(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command whose standard output is a full device."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123  a device
        process = start_thingmint(*words, stdout=full)
        _, errors = process.communicate()
    assert process.returncode is not None
    return subprocess.CompletedProcess(words, process.returncode, "", errors)


@pytest.mark.parametrize("way", ["no folder", "full disk", "standard output"])
def test_an_issuer_whose_request_cannot_be_written_is_named_and_the_request_is_written_by_the_named_command(
    data_dir: Path, full_disk: Path, tmp_path: Path, way: str
) -> None:
    before = issuers(data_dir)
    own = ("--data-dir", str(data_dir))
    if way == "standard output":
        ended = with_full_output("issuer", "csr", "--out", "-", *own)
    else:
        out = {"no folder": tmp_path / "absent" / "issuer.csr", "full disk": full_disk / "issuer.csr"}[way]
        ended = run_thingmint("issuer", "csr", "--out", str(out), *own)
        assert str(out) in ended.stderr
    assert ended.returncode == 1
    (made,) = issuers(data_dir).keys() - before.keys()
    told = f"thingmint issuer csr {made} --out FILE"
    assert told in ended.stderr

    written = tmp_path / "issuer.csr"
    again = run_thingmint(*told.replace("FILE", str(written)).split()[1:], *own, check=True)
    assert made in again.stdout
    assert written.read_bytes().startswith(b"-----BEGIN CERTIFICATE REQUEST-----")
    assert issuers(data_dir) == {**before, made: "PENDING"}


@pytest.mark.parametrize("command", ["create", "rotate"])
def test_a_new_issuer_whose_id_cannot_be_printed_is_named_in_the_error(data_dir: Path, command: str) -> None:
    before = issuers(data_dir)
    ended = with_full_output("issuer", command, "--data-dir", str(data_dir))
    assert ended.returncode == 1
    (made,) = issuers(data_dir).keys() - before.keys()
    assert f"{made} {issuers(data_dir)[made]}" in ended.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("backup", "FILE", "--unsealed-keys"),
        ("log", "export", "FILE"),
        ("issue", "--offline", "--key-type", "ec-p256", "--out", "FILE"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_an_error_of_a_full_disk_names_the_file(data_dir: Path, full_disk: Path, words: tuple[str, ...]) -> None:
    file = full_disk / "out"
    asked = [str(file) if word == "FILE" else word for word in words]
    ended = run_thingmint(*asked, "--data-dir", str(data_dir))
    assert ended.returncode == 1
    assert f"thingmint: {file}" in ended.stderr
    assert "No space left on device" in ended.stderr


@pytest.mark.parametrize("words", [("backup", "FILE", "--unsealed-keys"), ("issuer", "csr", "--out", "FILE")])
def test_a_device_or_pipe_is_not_replaced_by_a_file(data_dir: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # As /dev/stdout is.
    link = tmp_path / "stdout"
    link.symlink_to("/proc/self/fd/1")
    for named in (pipe, link):
        asked = [str(named) if word == "FILE" else word for word in words]
        ended = run_thingmint(*asked, "--data-dir", str(data_dir))
        assert ended.returncode == 1
        assert f"{named}: is no regular file" in ended.stderr
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert {each.name for each in tmp_path.iterdir()} == {"pipe", "stdout"}
