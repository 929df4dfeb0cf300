"""The table of roles in the settings: policies there or in files, and what cannot be one ends the start."""

import json
from pathlib import Path

import pytest

from thingmint.core.policies.language import parse_policy
from thingmint.service.start.role_settings import read_role_policies
from thingmint.settings.config import StartRefused

ROLE = "arn:aws:iam::000000000000:role/Provisioning"
OTHER = "arn:aws:iam::000000000000:role/path/Other"
POLICY = json.dumps({"Statement": [{"Effect": "Allow", "Action": "iot:CreateThing", "Resource": "*"}]})


def test_a_policy_stands_in_the_table_or_in_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "role.json").write_text(POLICY)
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(POLICY)
    given = {ROLE: "role.json", OTHER: f"\n{POLICY}", "*": str(elsewhere)}
    policies = read_role_policies(given, tmp_path)
    same = parse_policy(POLICY)
    assert policies.by_arn == {ROLE: same, OTHER: parse_policy(f"\n{POLICY}"), "*": same}


def test_the_star_is_for_roles_that_are_not_named(tmp_path: Path) -> None:
    none = POLICY.replace("iot:CreateThing", "iot:ListThings")
    named = read_role_policies({ROLE: POLICY}, tmp_path)
    assert named.policy_of(ROLE) is not None
    assert named.policy_of(OTHER) is None
    starred = read_role_policies({ROLE: POLICY, "*": none}, tmp_path)
    assert [starred.policy_of(each) for each in (ROLE, OTHER)] == [starred.by_arn[ROLE], starred.by_arn["*"]]


@pytest.mark.parametrize(
    ("arn", "value", "reason"),
    [
        ("Provisioning", POLICY, "roles.Provisioning: the name is neither the ARN of an IAM role nor *"),
        ("arn:aws:lambda:us-east-1:000000000000:function:f", POLICY, "neither the ARN of an IAM role"),
        (ROLE, "missing.json", "missing.json cannot be read: "),
        (ROLE, "bytes.json", "bytes.json cannot be read: "),
        (ROLE, "", "cannot be read: "),
        (ROLE, "{}", f"roles.{ROLE}: line 1, column 1: "),
        (ROLE, "{", f"roles.{ROLE}: line 1, column 2: "),
    ],
)
def test_what_is_no_role_or_no_policy_ends_the_start(tmp_path: Path, arn: str, value: str, reason: str) -> None:
    (tmp_path / "bytes.json").write_bytes(b"\xff")
    with pytest.raises(StartRefused) as refused:
        read_role_policies({arn: value}, tmp_path)
    assert reason in str(refused.value)
