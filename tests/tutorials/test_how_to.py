"""The how-to pages do what they say: every command is typed in as it stands."""

from pathlib import Path

from tests.support.clients.tutorial import DOCS, Reader
from tests.support.machine.required import required_program

from thingmint.data_directory.handover import read_endpoints


def test_offline_station(reader: Reader) -> None:
    reader.follow(DOCS / "how-to" / "offline-station.md")


def test_station(reader: Reader, tmp_path: Path) -> None:
    reader.serve()
    endpoints = read_endpoints(tmp_path / "thingmint-data")
    assert endpoints is not None
    reader.replaced = {"https://iot.factory.example:8443": endpoints.api}
    reader.follow(DOCS / "how-to" / "station.md")


def test_replace_certificate(reader: Reader) -> None:
    required_program("mosquitto_pub")
    reader.serve()
    reader.follow(DOCS / "how-to" / "replace-certificate.md")


def test_est(reader: Reader) -> None:
    required_program("curl")
    reader.replaced = {"127.0.0.1:9443": "127.0.0.1:0"}
    reader.follow(DOCS / "how-to" / "est.md")


def test_aws(reader: Reader, tmp_path: Path) -> None:
    reader.serve()
    (tmp_path / "first.md").write_text(
        "```console\n$ printf 'thing\\nsensor-1\\n' > d.csv\n"
        "$ thingmint issue --from d.csv --data-dir thingmint-data --key-type ec-p256\n```\n"
    )
    reader.follow(tmp_path / "first.md")
    reader.follow(DOCS / "how-to" / "aws.md")


def test_disaster_drill(reader: Reader) -> None:
    for program in ("mosquitto_pub", "curl"):
        required_program(program)
    reader.follow(DOCS / "how-to" / "disaster-drill.md")
