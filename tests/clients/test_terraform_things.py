"""Terraform with AWS's provider on things and all that surrounds them: create, plan again without a change, destroy."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.aws import IoT, Live
from tests.support.service import running_service
from tests.support.terraform import ready_terraform

CONFIGURATION = """
resource "aws_iot_thing_type" "light" {
  name = "light"
  properties {
    description           = "gives light"
    searchable_attributes = ["wattage"]
  }
}

resource "aws_iot_thing_type" "bare" {
  name       = "bare"
  deprecated = true
}

resource "aws_iot_thing_group" "house" {
  name = "house"
}

resource "aws_iot_thing_group" "attic" {
  name              = "attic"
  parent_group_name = aws_iot_thing_group.house.name
  properties {
    description = "upstairs"
    attribute_payload { attributes = { floor = "3" } }
  }
  tags = { stage = "test" }
}

resource "aws_iot_billing_group" "ward" {
  name = "ward"
  properties { description = "pays" }
}

resource "aws_iot_thing" "lamp" {
  name            = "lamp"
  thing_type_name = aws_iot_thing_type.light.name
  attributes      = { wattage = "60" }
}

resource "aws_iot_thing" "bare" {
  name = "bare"
}

resource "aws_iot_thing_group_membership" "lamp" {
  thing_name       = aws_iot_thing.lamp.name
  thing_group_name = aws_iot_thing_group.attic.name
}

resource "aws_iot_certificate" "lamp" {
  active = true
}

resource "aws_iot_thing_principal_attachment" "lamp" {
  thing     = aws_iot_thing.lamp.name
  principal = aws_iot_certificate.lamp.arn
}
"""


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Live]:
    """A service that lets deprecated types be deleted at once; at AWS, Terraform waits for five minutes."""
    with running_service(tmp_path / "data", "--thing-type-deletable-after", "0") as service:
        yield Live(service, None)


def test_apply_plan_again_change_and_destroy(impatient: Live, tmp_path: Path) -> None:
    folder = tmp_path / "terraform"
    folder.mkdir()
    terraform = ready_terraform(impatient, folder, CONFIGURATION)
    client: IoT = impatient.client()
    terraform.must("apply", "-input=false", "-auto-approve")

    # Exit code 2 would mean that something is to be changed.
    plan = terraform.run("plan", "-input=false", "-detailed-exitcode")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    assert client.list_things_in_thing_group(thingGroupName="house", recursive=True)["things"] == ["lamp"]
    assert len(client.list_thing_principals(thingName="lamp")["principals"]) == 1

    main = folder / "main.tf"
    main.write_text(main.read_text().replace('wattage = "60"', 'wattage = "40"').replace("upstairs", "dusty"))
    terraform.must("apply", "-input=false", "-auto-approve")
    plan = terraform.run("plan", "-input=false", "-detailed-exitcode")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    assert client.describe_thing(thingName="lamp")["attributes"] == {"wattage": "40"}

    terraform.must("destroy", "-input=false", "-auto-approve")

    assert client.list_things()["things"] == client.list_thing_types()["thingTypes"] == []
    assert client.list_thing_groups()["thingGroups"] == client.list_billing_groups()["billingGroups"] == []
    client.close()
