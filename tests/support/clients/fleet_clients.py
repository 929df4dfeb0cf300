"""Owns how two accounts' clients of AWS's SDK do what `fleet_model` knows, and what they then see."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from botocore.exceptions import ClientError
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import IoT
from tests.support.clients.fleet_model import OK, FleetModel

Facts: TypeAlias = set[tuple[object, ...]]
Call: TypeAlias = tuple[int, str, tuple[object, ...]]
"""An account, a verb of the model, its arguments."""

DOCUMENT = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'
_EXCLUSIVE = {True: "EXCLUSIVE_THING", False: "NON_EXCLUSIVE_THING"}


@dataclass
class FleetClients:
    """Clients of two accounts."""

    clients: tuple[IoT, IoT]
    accounts: tuple[str, str]
    region: str
    workers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))

    def new_certificate(self, account: int) -> str:
        """Return the id of a new, active certificate."""
        created = self.clients[account].create_certificate_from_csr(
            certificateSigningRequest=csr_pem("p-256"), setAsActive=True
        )
        certificate_id: str = created["certificateId"]
        return certificate_id

    def at_once(self, calls: list[Call]) -> list[str]:
        """Make the calls at the same time, and return their outcomes."""
        return list(self.workers.map(lambda call: self.apply(*call), calls))

    def apply(self, account: int, verb: str, arguments: tuple[Any, ...]) -> str:
        """Make a call, and return "ok" or the name of the error."""
        operation, parameters = self._requests(account, verb, arguments)
        try:
            getattr(self.clients[account], operation)(**parameters)
        except ClientError as error:
            answer = error.response
        else:
            return OK
        assert answer["ResponseMetadata"]["HTTPStatusCode"] < 500, answer
        return str(answer["Error"]["Code"])

    def _requests(self, account: int, verb: str, arguments: tuple[Any, ...]) -> tuple[str, dict[str, Any]]:
        name, *rest = arguments
        arn = [self._arn(account, each) if isinstance(each, str) else each for each in rest]
        table: dict[str, tuple[str, dict[str, Any]]] = {
            "create_policy": ("create_policy", {"policyName": name, "policyDocument": DOCUMENT}),
            "delete_policy": ("delete_policy", {"policyName": name}),
            "create_version": ("create_policy_version", {"policyName": name, "policyDocument": DOCUMENT}),
            "set_default": ("set_default_policy_version", {"policyName": name}),
            "delete_version": ("delete_policy_version", {"policyName": name}),
            "attach_policy": ("attach_policy", {"policyName": name}),
            "detach_policy": ("detach_policy", {"policyName": name}),
            "create_thing": ("create_thing", {"thingName": name}),
            "delete_thing": ("delete_thing", {"thingName": name}),
            "attach_principal": ("attach_thing_principal", {"thingName": name}),
            "detach_principal": ("detach_thing_principal", {"thingName": name}),
            "create_group": ("create_thing_group", {"thingGroupName": name}),
            "delete_group": ("delete_thing_group", {"thingGroupName": name}),
            "join": ("add_thing_to_thing_group", {"thingName": name}),
            "leave": ("remove_thing_from_thing_group", {"thingName": name}),
            "update_certificate": ("update_certificate", {"certificateId": name}),
            "delete_certificate": ("delete_certificate", {"certificateId": name}),
            "transfer": (
                "transfer_certificate",
                {"certificateId": name, "targetAwsAccount": self.accounts[1 - account]},
            ),
            "accept": ("accept_certificate_transfer", {"certificateId": name}),
            "reject": ("reject_certificate_transfer", {"certificateId": name}),
            "cancel": ("cancel_certificate_transfer", {"certificateId": name}),
        }
        operation, parameters = table[verb]
        match verb, rest:
            case "create_version", [as_default]:
                parameters["setAsDefault"] = as_default
            case (("set_default" | "delete_version"), [version]):
                parameters["policyVersionId"] = str(version)
            case (("attach_policy" | "detach_policy"), [_]):
                parameters["target"] = arn[0]
            case "attach_principal", [_, exclusive]:
                parameters |= {"principal": arn[0], "thingPrincipalType": _EXCLUSIVE[exclusive]}
            case "detach_principal", [_]:
                parameters["principal"] = arn[0]
            case (("join" | "leave"), [group]):
                parameters["thingGroupName"] = group
            case "update_certificate", [status]:
                parameters["newStatus"] = status
            case "delete_certificate", [force]:
                parameters["forceDelete"] = force
            case "accept", [active]:
                parameters["setAsActive"] = active
        return operation, parameters

    def _arn(self, account: int, name: str) -> str:
        kind = "cert" if len(name) == 64 else "thinggroup"
        return f"arn:aws:iot:{self.region}:{self.accounts[account]}:{kind}/{name}"

    def seen(self, prefix: str, certificates: Iterable[str]) -> Facts:
        """Return what the two accounts see of the names with the prefix and of the certificates."""
        seen: Facts = set()
        for account, client in enumerate(self.clients):
            seen |= set(_seen_policies(account, client, prefix))
            seen |= set(_seen_things(account, client, prefix))
            seen |= set(_seen_certificates(account, client, certificates))
        return seen

    def close(self) -> None:
        """Close the clients."""
        self.workers.shutdown()
        for client in self.clients:
            client.close()


def facts(model: FleetModel, prefix: str) -> Facts:
    """Return what the accounts should see of a model whose names all have the prefix."""
    known: Facts = set()
    for (account, name), policy in model.policies.items():
        known |= {(account, "policy", name), *((account, "version", name, each) for each in policy.versions)}
        known.add((account, "default", name, policy.default))
    known |= {(account, "thing", name) for account, name in model.things}
    known |= {(account, "group", name) for account, name in model.groups}
    known |= {(account, "member", name, group) for account, name, group in model.members}
    known |= {(account, "attached", name, target) for account, name, target in model.policy_targets}
    known |= {(account, "principal", *key, kind) for (account, *key), kind in model.thing_principals.items()}
    for certificate, found in model.certificates.items():
        known |= {(account, "certificate", certificate, found.status) for account in {found.owner, found.waits_for}}
    known = {each for each in known if each[0] is not None}
    assert all(str(each[2]).startswith(prefix) or each[1] == "certificate" for each in known)
    return known


def _seen_policies(account: int, client: IoT, prefix: str) -> Iterator[tuple[object, ...]]:
    for name in _names(client, "list_policies", "policies", "policyName", prefix):
        yield account, "policy", name
        for version in client.list_policy_versions(policyName=name)["policyVersions"]:
            number = int(version["versionId"])
            yield account, "version", name, number
            if version["isDefaultVersion"]:
                yield account, "default", name, number
        for target in client.list_targets_for_policy(policyName=name)["targets"]:
            yield account, "attached", name, target.rpartition("/")[2]


def _seen_things(account: int, client: IoT, prefix: str) -> Iterator[tuple[object, ...]]:
    for name in _names(client, "list_things", "things", "thingName", prefix):
        yield account, "thing", name
        for each in client.list_thing_principals_v2(thingName=name)["thingPrincipalObjects"]:
            exclusive = each["thingPrincipalType"] == _EXCLUSIVE[True]
            yield account, "principal", name, each["principal"].rpartition("/")[2], exclusive
    for group in _names(client, "list_thing_groups", "thingGroups", "groupName", prefix):
        yield account, "group", group
        for name in client.list_things_in_thing_group(thingGroupName=group)["things"]:
            yield account, "member", name, group


def _seen_certificates(account: int, client: IoT, certificates: Iterable[str]) -> Iterator[tuple[object, ...]]:
    for certificate in certificates:
        with suppress(client.exceptions.ResourceNotFoundException):
            found = client.describe_certificate(certificateId=certificate)["certificateDescription"]
            yield account, "certificate", certificate, found["status"]


def _names(client: IoT, operation: str, listed: str, member: str, prefix: str) -> list[str]:
    pages = client.get_paginator(operation).paginate()
    return [each[member] for page in pages for each in page[listed] if each[member].startswith(prefix)]
