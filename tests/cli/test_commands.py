"""The commands that work on a data directory, run in this process: what they print, and how they end."""

import asyncio
import getpass
import json
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner, Result
from tests.support.certificates.ifma import package_replaced

from thingmint import __version__
from thingmint.cli.commands import main
from thingmint.cli.settings import config_of
from thingmint.data_directory.files import held
from thingmint.data_directory.handover import OperatorCredentials, write_credentials
from thingmint.service.opening import open_registry

POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Describe*","Resource":"*"}]}'
ENDPOINTS = {
    "api": "https://127.0.0.1:1",
    "api_port": 1,
    "mqtt": "127.0.0.1",
    "mqtt_port": 2,
    "ca_file": "/a b/ca.pem",
    "account": "000000000000",
    "region": "us-east-1",
    "pid": 1,
}
pytestmark = pytest.mark.usefixtures("own_logging")


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Put back the handlers that a command replaces in this process."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    yield
    root.handlers[:] = handlers


@pytest.fixture(autouse=True)
def nobody_elses_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of the developer's own shell away."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "THINGMINT_")):
            monkeypatch.delenv(name)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory that was used once."""
    make_registry(tmp_path / "data")
    result = run("access-key", "create", "--policy", "-", data_dir=tmp_path / "data", stdin=POLICY)
    assert result.exit_code == 0, result.output
    return tmp_path / "data"


def make_registry(data_dir: Path) -> None:
    """Make what a first start makes; commands that work beside a service make nothing."""

    async def begin() -> None:
        async with open_registry(config_of({"data_dir": str(data_dir)})):
            pass

    asyncio.run(begin())


def run(*arguments: str, data_dir: Path, stdin: str = "") -> Result:
    """Run a command on the directory."""
    return CliRunner().invoke(main, [*arguments, "--data-dir", str(data_dir)], input=stdin)


def refusal_of(*arguments: str, data_dir: Path, stdin: str = "") -> str:
    """Return what a command says that ends with an error."""
    result = run(*arguments, data_dir=data_dir, stdin=stdin)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("thingmint: ")
    return result.stderr


def test_version_is_shown() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"thingmint {__version__}\n"


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        (("fleet", "simulate", "--devices", "1"), "--duration", "nan"),
        (("fleet", "simulate", "--devices", "1"), "--publish", "nan"),
        (("fleet", "simulate", "--devices", "1"), "--publish", "1e-320"),
        (("fleet", "simulate", "--devices", "1"), "--publish", "inf"),
        (("issue",), "--patience", "nan"),
    ],
)
def test_what_is_no_ordinary_number_is_refused(
    command: tuple[str, ...], option: str, value: str, tmp_path: Path
) -> None:
    result = run(*command, option, value, data_dir=tmp_path / "data")
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.stderr


def test_permanent_key_is_printed_as_a_credentials_file_has_it(data_dir: Path) -> None:
    result = run("access-key", "create", "--policy", "-", "--user", "line-7", data_dir=data_dir, stdin=POLICY)
    first, second = result.stdout.splitlines()
    assert first.startswith("aws_access_key_id = AKIA")
    assert second.startswith("aws_secret_access_key = ")
    assert "shown only once" in result.stderr


def test_temporary_key_has_a_token_and_an_end(data_dir: Path) -> None:
    arguments = ("access-key", "create", "--policy", "-", "--expires-in", "900")
    result = run(*arguments, data_dir=data_dir, stdin=POLICY)
    assert [line.split(" = ")[0] for line in result.stdout.splitlines()] == [
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
    ]
    assert result.stderr.startswith("expires ")
    fields = json.loads(run(*arguments, "--json", data_dir=data_dir, stdin=POLICY).stdout)
    assert set(fields) == {"Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    assert fields["AccessKeyId"].startswith("ASIA")


def test_keys_are_listed_without_their_secrets_and_deleted(data_dir: Path) -> None:
    arguments = ("access-key", "create", "--policy", "-", "--user", "line-7", "--expires-in", "900", "--json")
    created = json.loads(run(*arguments, data_dir=data_dir, stdin=POLICY).stdout)
    as_text = run("access-key", "list", data_dir=data_dir).stdout
    heading, _, line = as_text.splitlines()
    assert heading.split() == ["access", "key", "account", "user", "origin", "created", "expires"]
    assert line.startswith(f"{created['AccessKeyId']}  000000000000  line-7         OPERATOR  ")
    assert len(line.split()) == 6
    listed = json.loads(run("access-key", "list", "--json", data_dir=data_dir).stdout)
    assert [each["UserName"] for each in listed] == ["operator-made", "line-7"]
    assert listed[0]["Policy"] == json.loads(POLICY)
    for shown in (as_text, json.dumps(listed)):
        assert created["SecretAccessKey"] not in shown
        assert created["SessionToken"] not in shown
    assert run("access-key", "delete", created["AccessKeyId"], data_dir=data_dir).exit_code == 0
    assert created["AccessKeyId"] not in run("access-key", "list", data_dir=data_dir).stdout
    assert "does not exist" in refusal_of("access-key", "delete", created["AccessKeyId"], data_dir=data_dir)


def test_keys_of_all_accounts_are_listed_together(data_dir: Path) -> None:
    arguments = ("access-key", "create", "--policy", "-", "--account", "222222222222")
    assert run(*arguments, data_dir=data_dir, stdin=POLICY).exit_code == 0
    listed = json.loads(run("access-key", "list", "--all-accounts", "--json", data_dir=data_dir).stdout)
    assert [each["Account"] for each in listed] == ["000000000000", "222222222222"]
    assert len(json.loads(run("access-key", "list", "--json", data_dir=data_dir).stdout)) == 1
    assert run("access-key", "list", "--account", "333333333333", data_dir=data_dir).stdout == ""


def test_deleting_the_administrators_key_removes_its_file(data_dir: Path) -> None:
    [key] = json.loads(run("access-key", "list", "--json", data_dir=data_dir).stdout)
    write_credentials(data_dir, OperatorCredentials(key["AccessKeyId"], "secret"))
    result = run("access-key", "delete", key["AccessKeyId"], data_dir=data_dir)
    assert result.exit_code == 0
    assert "the credentials file is removed too" in result.stderr
    assert not (data_dir / "credentials").exists()


@pytest.mark.parametrize("policy", ["", "{}", "[1]", POLICY.replace("Allow", "Perhaps")])
def test_policy_that_is_none_is_refused(data_dir: Path, policy: str) -> None:
    assert refusal_of("access-key", "create", "--policy", "-", data_dir=data_dir, stdin=policy)


def test_trail_shows_who_changed_what_newest_first(data_dir: Path) -> None:
    run("access-key", "create", "--policy", "-", "--user", "line-7", data_dir=data_dir, stdin=POLICY)
    lines = run("audit", data_dir=data_dir).stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["time", "(UTC)", "action", "resource", "by", "from", "detail"]
    operator = "arn:aws:iam::000000000000:user/operator"
    assert lines[1].split()[1:4] == ["CreateAccessKey", "arn:aws:iam::000000000000:user/line-7", operator]
    assert "access_key_id=AKIA" in lines[1]
    [newest] = run("audit", "--json", "--limit", "1", data_dir=data_dir).stdout.splitlines()
    entry = json.loads(newest)
    assert set(entry) == {
        "at",
        "account",
        "region",
        "principal",
        "source_address",
        "request_id",
        "action",
        "resource",
        "detail",
    }
    assert entry["resource"] == "arn:aws:iam::000000000000:user/line-7"
    assert entry["source_address"] == f"local user {getpass.getuser()}"


def test_trail_of_nothing_makes_nothing(tmp_path: Path) -> None:
    assert "holds no registry yet" in refusal_of("audit", data_dir=tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("arguments", [("list",), ("create", "--policy", "-"), ("delete", "AKIAIOSFODNN7EXAMPLE")])
def test_access_keys_of_a_mistyped_directory_make_nothing(arguments: tuple[str, ...], tmp_path: Path) -> None:
    said = refusal_of("access-key", *arguments, data_dir=tmp_path / "dota", stdin=POLICY)
    assert f"{tmp_path / 'dota'} holds no registry yet: `thingmint serve` makes it" in said
    assert not (tmp_path / "dota").exists()


OF_KEYS = ("certificates/issuing-ca.pem", "keys/issuing-ca.key", "keys/sealing.key")


@pytest.mark.parametrize(
    ("command", "lost"),
    [
        # The trail is read without keys.
        (("audit",), "thingmint.sqlite"),
        *(
            (command, lost)
            for command in (("access-key", "list"), ("log", "checkpoint"))
            for lost in (*OF_KEYS, "thingmint.sqlite")
        ),
    ],
)
def test_what_was_lost_is_named_and_not_replaced(command: tuple[str, ...], lost: str, data_dir: Path) -> None:
    (data_dir / lost).unlink()
    assert f"{data_dir / lost} is missing" in refusal_of(*command, data_dir=data_dir)
    examined = run("doctor", data_dir=data_dir)
    assert examined.exit_code == 1
    assert f"wrong    {data_dir / lost} is missing" in examined.stdout
    assert not (data_dir / lost).exists()


def test_authorities_are_shown(data_dir: Path) -> None:
    shown = json.loads(run("issuer", "show", "--json", data_dir=data_dir).stdout)
    issuer_id = shown[1]["sha256"]
    assert [each["name"] for each in shown] == ["root-ca", f"issuer {issuer_id}", "service-ca", "rsa-service-ca"]
    assert [each["key"] for each in shown] == ["ECDSA P-256"] * 3 + ["RSA 2048"]
    assert all("not sealed" in each["private_key"] for each in shown)
    as_text = run("issuer", "show", data_dir=data_dir).stdout
    assert all(each["sha256"] in as_text for each in shown)
    (data_dir / "keys" / "root-ca.key").unlink()
    assert "not in the data directory" in run("issuer", "show", data_dir=data_dir).stdout


def test_authorities_that_are_not_there_or_cannot_be_read_are_named(data_dir: Path, tmp_path: Path) -> None:
    assert "holds no authorities yet" in refusal_of("issuer", "show", data_dir=tmp_path / "other")
    (data_dir / "certificates" / "issuing-ca.pem").write_text("junk")
    assert "issuing-ca.pem holds no certificate" in refusal_of("issuer", "show", data_dir=data_dir)


def test_doctor_finds_a_sound_directory_sound(data_dir: Path) -> None:
    result = run("doctor", data_dir=data_dir)
    assert result.exit_code == 0
    assert "wrong" not in result.stdout
    assert f"ok       a service is not running on {data_dir}" in result.stdout
    assert "warning " in result.stdout
    (unsealed,) = (line for line in result.stdout.splitlines() if line.startswith("warning  not sealed: "))
    assert all(
        f"keys/{name}.key" in unsealed for name in ("issuing-ca", "root-ca", "rsa-service-ca", "sealing", "service-ca")
    )
    assert "keys match their certificates and their database" in result.stdout


def test_doctor_names_the_key_engine_and_why_not_the_fast_one(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "ok       keys are made by OpenSSL: key_engine is openssl" in run("doctor", data_dir=data_dir).stdout
    monkeypatch.setenv("THINGMINT_KEY_ENGINE", "auto")
    with package_replaced(tmp_path) as write_package:
        write_package("def is_applicable(): return False")
        said = run("doctor", data_dir=data_dir).stdout
        assert "ok       keys are made by OpenSSL: this processor has no AVX512-IFMA" in said
        write_package("def is_applicable(): return True\nif __name__ == '__main__': raise SystemExit(3)")
        said = run("doctor", data_dir=data_dir).stdout
        assert "warning  keys are made by OpenSSL: the self-test ended with 3" in said
        write_package("def is_applicable(): return True\nif __name__ == '__main__': print('crypto_mb 2')")
        said = run("doctor", data_dir=data_dir).stdout
        assert "ok       keys are made by the engine ifma, whose self-test passed: crypto_mb 2" in said
        write_package("def is_applicable(): return False")
        monkeypatch.setenv("THINGMINT_KEY_ENGINE", "ifma")
        refused = run("doctor", data_dir=data_dir)
        assert refused.exit_code == 1
        assert "wrong    key_engine is ifma, but this processor has no AVX512-IFMA" in refused.stdout


def test_doctor_names_what_is_wrong(data_dir: Path) -> None:
    (data_dir / "keys" / "issuing-ca.key").chmod(0o644)
    said = run("doctor", data_dir=data_dir)
    assert said.exit_code == 1
    assert f"wrong    {data_dir / 'keys' / 'issuing-ca.key'} can be read by others: chmod 600" in said.stdout
    (data_dir / "keys" / "issuing-ca.key").chmod(0o600)
    (data_dir / "certificates" / "service-ca.pem").write_text("junk")
    assert "service-ca.pem holds no certificate" in run("doctor", data_dir=data_dir).stdout
    (data_dir / "certificates" / "issuing-ca.pem").unlink()
    assert "issuing-ca.pem is missing" in run("doctor", data_dir=data_dir).stdout


def test_doctor_names_what_an_earlier_version_registered_twice(data_dir: Path) -> None:
    connection = apsw.Connection(str(data_dir / "thingmint.sqlite"))
    for number, first in ((1, None), (2, f"{1:064x}")):
        connection.execute(
            "INSERT INTO certificate (account, region, certificate_id, serial_number, status, mode, not_before, "
            "not_after, created_at, modified_at, customer_version, generation_id, der, other_encoding_of) "
            "VALUES ('000000000000', 'us-east-1', ?, '7', 'ACTIVE', 'SNI_ONLY', 0, 1, 0, 0, 1, 'g', x'00', ?)",
            (f"{number:064x}", first),
        )
    connection.close()
    result = run("doctor", data_dir=data_dir)
    assert result.exit_code == 0
    assert (
        f"warning  account 000000000000, region us-east-1: certificate {2:064x} (ACTIVE) is another encoding of "
        f"{1:064x}; it opens no connections: delete it" in result.stdout
    )


def test_doctor_of_nothing_makes_nothing(tmp_path: Path) -> None:
    result = run("doctor", data_dir=tmp_path / "data")
    assert result.exit_code == 1
    assert "holds no authorities" in result.stdout
    assert not (tmp_path / "data").exists()


def test_environment_of_a_running_service_is_printed(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no service is running on" in refusal_of("env", data_dir=data_dir)
    (data_dir / "endpoints.json").write_text(json.dumps(ENDPOINTS))
    assert "no service is running on" in refusal_of("env", data_dir=data_dir)
    monkeypatch.setenv("AWS_PROFILE", "somebody")
    with held(data_dir, "a service"):
        assert "holds no credentials file" in refusal_of("env", data_dir=data_dir)
        write_credentials(data_dir, OperatorCredentials("AKIAIOSFODNN7EXAMPLE", "it's secret"))
        lines = run("env", data_dir=data_dir).stdout.splitlines()
        (data_dir / "credentials").write_text("junk")
        assert "is not in the format of AWS's shared credentials file" in refusal_of("env", data_dir=data_dir)
    assert lines[0] == "unset AWS_PROFILE"
    assert "export AWS_ENDPOINT_URL_IOT=https://127.0.0.1:1" in lines
    assert "export AWS_ENDPOINT_URL_IOT_DATA_PLANE=https://127.0.0.1:1" in lines
    assert "export AWS_CA_BUNDLE='/a b/ca.pem'" in lines
    assert """export AWS_SECRET_ACCESS_KEY='it'"'"'s secret'""" in lines


def test_identities_are_issued_without_a_service(data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("issue", "--offline", "--active", "--count", "2", "--out", str(out))
    assert run(*arguments, data_dir=data_dir).stdout == f"2 identities in {out} (manifest.csv, manifest.jsonl)\n"
    assert stat.S_IMODE((out / "000002.key.pem").stat().st_mode) == 0o600
    assert run("issue", "--verify", str(out), data_dir=data_dir).stdout == f"{out}: 2 identities, all well\n"
    assert "another service" not in run(*arguments, data_dir=data_dir).stderr
    assert "was begun with --active" in refusal_of(*arguments[:2], *arguments[3:], data_dir=data_dir)
    with held(data_dir, "a service"):
        assert "is in use by a service" in refusal_of(*arguments, data_dir=data_dir)


def test_setting_that_cannot_be_used_is_named(data_dir: Path) -> None:
    assert "account" in refusal_of("access-key", "list", "--account", "12", data_dir=data_dir)
    assert "no-such-file" in refusal_of(
        "access-key", "list", "--ca-passphrase-file", str(data_dir / "no-such-file"), data_dir=data_dir
    )


def test_a_command_that_is_interrupted_before_it_begins_ends_as_shells_expect(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(flags: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thingmint.cli.commands.config_of", interrupted)
    result = run("doctor", data_dir=data_dir)
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")
