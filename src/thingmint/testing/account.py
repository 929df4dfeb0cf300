"""Owns an account in a test: its callers with their clients, and its devices and claims."""

import functools
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import boto3

from thingmint.testing.certificates import foreign_certificate, new_key_pair, write_private
from thingmint.testing.claim import Claim
from thingmint.testing.device import Address, Device

CertificateKind: TypeAlias = Literal["active", "inactive", "revoked", "expired", "foreign"]
Client: TypeAlias = Any
"""boto3 creates the class of a client from AWS's model at run time."""

EVERYTHING: Mapping[str, object] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}],
}
_POLICY_OF_DEVICES = "thingmint-testing"
_ROLE = "arn:aws:iam::{account}:role/thingmint-testing"


@dataclass(frozen=True, slots=True)
class Place:
    """The common facts of a service's callers: its addresses, and a directory for files of the test."""

    api: str
    ca_file: str
    region: str
    devices: Address
    directory: Path


@dataclass
class Caller:
    """An access key of an account, and the clients that use it."""

    account_id: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    place: Place = field(repr=False)

    def __post_init__(self) -> None:
        """Begin without clients."""
        self._clients: dict[str, Client] = {}

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables with which AWS's tools and SDKs call the service as this caller."""
        return {
            "AWS_ENDPOINT_URL": self.place.api,
            "AWS_CA_BUNDLE": self.place.ca_file,
            "NODE_EXTRA_CA_CERTS": self.place.ca_file,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.place.region,
            "AWS_DEFAULT_REGION": self.place.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, name: str = "iot") -> Client:
        """Return boto3's client of a service: ``iot``, ``iot-data`` or ``sts``; the same one each time."""
        if name not in self._clients:
            self._clients[name] = _session().client(
                name,
                endpoint_url=self.place.api,
                verify=self.place.ca_file,
                region_name=self.place.region,
                aws_access_key_id=self.access_key_id,
                aws_secret_access_key=self.secret_access_key,
            )
        return self._clients[name]

    def close(self) -> None:
        """Close the clients."""
        while self._clients:
            self._clients.popitem()[1].close()

    def __enter__(self) -> Self:
        """Return the caller, which is closed at the end of the block."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close everything."""
        self.close()


@dataclass
class Account(Caller):
    """An account with its administrator and its devices. Other accounts cannot see its resources."""

    new_caller: Callable[[str, Mapping[str, object]], Caller] = field(repr=False, kw_only=True)
    moved_back: Callable[[], Any] = field(repr=False, kw_only=True)
    """A context that sets the service's clock back, so that certificates that ended in the last days are valid."""

    def __post_init__(self) -> None:
        """Begin with nothing."""
        super().__post_init__()
        self._things_made: list[Caller | Device] = []

    @property
    def endpoint(self) -> str:
        """Host and port that the account's devices connect to."""
        return f"{self.place.devices.host}:{self.place.devices.port}"

    def caller(self, policy: Mapping[str, object]) -> Caller:
        """Return another caller of the account, with the permissions of this IAM policy."""
        made = self.new_caller(self.account_id, policy)
        self._things_made.append(made)
        return made

    def device(
        self,
        thing_name: str | None = None,
        *,
        certificate: CertificateKind = "active",
        policy: Mapping[str, object] = EVERYTHING,
        connected: bool | None = None,
    ) -> Device:
        """Return a device with a thing, a certificate and a policy; it is connected if its certificate is active.

        ``inactive`` and ``revoked`` are statuses of a certificate that the service has issued. An ``expired``
        certificate ended a day ago and is registered as ACTIVE. A ``foreign`` certificate is from an unknown CA and not
        registered.
        """
        name = thing_name or f"device-{uuid.uuid4().hex[:12]}"
        keys = new_key_pair()
        iot = self.client("iot")
        registered = self._certificate(certificate, keys.signing_request(name), lambda: keys)
        arn = registered.get("certificateArn")
        iot.create_thing(thingName=name)
        if arn is not None:
            iot.attach_thing_principal(thingName=name, principal=arn)
            iot.attach_policy(policyName=self._policy(policy, name), target=arn)
        if certificate == "revoked":
            iot.update_certificate(certificateId=registered["certificateId"], newStatus="REVOKED")
        pem = registered["certificatePem"]
        device = self._device(name, pem, keys.pem, certificate_id=registered.get("certificateId"), certificate_arn=arn)
        wanted = certificate == "active" if connected is None else connected
        return device.connect() if wanted else device

    def renewed(self, device: Device) -> Device:
        """Return a device with the same thing and policies and a new certificate and key; the old ones stay valid.

        It is not connected yet. If it connects with the same client id, it replaces the old connection.
        """
        assert device.thing_name is not None
        assert device.certificate_arn is not None
        iot, keys = self.client("iot"), new_key_pair()
        made = iot.create_certificate_from_csr(
            certificateSigningRequest=keys.signing_request(device.thing_name), setAsActive=True
        )
        arn = made["certificateArn"]
        for policy in iot.list_attached_policies(target=device.certificate_arn)["policies"]:
            iot.attach_policy(policyName=policy["policyName"], target=arn)
        iot.attach_thing_principal(thingName=device.thing_name, principal=arn)
        return self._device(
            device.thing_name,
            made["certificatePem"],
            keys.pem,
            certificate_id=made["certificateId"],
            certificate_arn=arn,
        )

    def claim(self, template: str | Mapping[str, object]) -> Claim:
        """Return a claim of a provisioning template: of an existing one, by name, or of a new one with this body."""
        iot = self.client("iot")
        name = template if isinstance(template, str) else f"template-{uuid.uuid4().hex[:12]}"
        if not isinstance(template, str):
            iot.create_provisioning_template(
                templateName=name,
                templateBody=json.dumps(template),
                provisioningRoleArn=_ROLE.format(account=self.account_id),
                enabled=True,
            )
        made = iot.create_provisioning_claim(templateName=name)
        key = made["keyPair"]["PrivateKey"]
        device = self._device(None, made["certificatePem"], key, certificate_id=made["certificateId"])
        return Claim(name, device, self._device)

    @contextmanager
    def in_environment(self) -> Iterator[None]:
        """Set the account's variables in this process until the end of the block."""
        changed = self.environment
        others = [name for name in os.environ if name.startswith("AWS_") and name not in changed]
        before = {name: os.environ.pop(name) for name in [*others, *changed] if name in os.environ}
        os.environ.update(changed)
        try:
            yield
        finally:
            for name in changed:
                del os.environ[name]
            os.environ.update(before)

    def close(self) -> None:
        """Disconnect the devices and close all clients; the account's resources are kept."""
        while self._things_made:
            self._things_made.pop().close()
        super().close()

    def _certificate(self, kind: CertificateKind, request: str, keys: Callable[[], Any]) -> dict[str, Any]:
        """Return id, ARN and PEM of a new certificate; a foreign one has only its PEM."""
        iot = self.client("iot")
        if kind == "foreign":
            return {"certificatePem": foreign_certificate(keys(), "foreign")}
        if kind == "expired":
            pem = foreign_certificate(keys(), "expired", expired=True)
            with self.moved_back():
                registered = iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")
            return {**registered, "certificatePem": pem}
        made: dict[str, Any] = iot.create_certificate_from_csr(
            certificateSigningRequest=request, setAsActive=kind != "inactive"
        )
        return made

    def _policy(self, policy: Mapping[str, object], name: str) -> str:
        """Return the name of an AWS IoT policy with this document, created if it is missing."""
        iot = self.client("iot")
        chosen = _POLICY_OF_DEVICES if policy is EVERYTHING else f"{_POLICY_OF_DEVICES}-{name}".replace(":", "_")
        try:
            iot.create_policy(policyName=chosen, policyDocument=json.dumps(policy))
        except iot.exceptions.ResourceAlreadyExistsException:
            if policy is not EVERYTHING:
                raise
        return chosen

    def _device(
        self,
        thing_name: str | None,
        certificate_pem: str,
        private_key_pem: str,
        *,
        certificate_id: str | None = None,
        certificate_arn: str | None = None,
    ) -> Device:
        client_id = thing_name or f"client-{uuid.uuid4().hex[:12]}"
        stem = self.place.directory / uuid.uuid4().hex
        certificate_file = stem.with_suffix(".pem")
        certificate_file.write_text(certificate_pem, encoding="ascii")
        device = Device(
            address=self.place.devices,
            client_id=client_id,
            certificate_pem=certificate_pem,
            private_key_pem=private_key_pem,
            certificate_file=certificate_file,
            private_key_file=write_private(stem.with_suffix(".key"), private_key_pem),
            thing_name=thing_name,
            certificate_id=certificate_id,
            certificate_arn=certificate_arn,
        )
        self._things_made.append(device)
        return device


@functools.cache
def _session() -> boto3.session.Session:
    # One for all accounts, because loading AWS's model takes longer than most tests.
    return boto3.session.Session()
