"""Owns the files of an export for AWS IoT, with which AWS's CLI registers the same devices there. Makes no calls.

Every device has a template and parameters for RegisterThing. The template's override settings make AWS refuse an
existing thing with another certificate, so the script may be run again.
"""

import json
import re
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from thingmint.cli.devices.device import ListedDevice
from thingmint.cli.devices.templates import (
    CA_CERTIFICATE_PEM,
    CERTIFICATE_ID_PARAMETER,
    CERTIFICATE_PEM,
    TemplateShape,
    shape_body,
    shape_of,
    shape_parameters,
)
from thingmint.cli.exchange.aws_script import Script
from thingmint.cli.exchange.fleet import CertificateItem, Fleet, ThingItem
from thingmint.data_directory.files import make_directory, write_durably
from thingmint.issuance.foreign.certificate import load_foreign_pem

_REVOKED = "REVOKED"
_ARN = re.compile(r"arn:aws(?:-[a-z]+)*:iot:(?:[a-z0-9-]+|\*):(?:[0-9]{12}|\*):")


class AwsExport(Struct):
    """One export. ``issuers`` are the CA certificates in PEM; ``arn_prefix`` begins the ARNs of the other account."""

    out: Path
    fleet: Fleet
    issuers: list[str]
    verification_pem: str | None
    arn_prefix: str | None

    def write(self) -> int:
        """Write the files and the script; return the number of devices in them."""
        for folder in ("ca", "policies", "certificates", "templates", "parameters", "bulk", "provisioning-templates"):
            make_directory(self.out / folder)
        script, shapes, bulk = Script(), dict[TemplateShape, int](), dict[TemplateShape, list[str]]()
        for number, pem in enumerate(self.issuers, start=1):
            # The verification certificate is from the first issuer, which is the active one.
            has_code = number == 1 and self.verification_pem is not None
            self._file(f"ca/{number}.pem", pem)
            script.authority(f"ca/{number}.pem", "ca/verification.pem" if has_code else None)
        if self.verification_pem is not None:
            self._file("ca/verification.pem", self.verification_pem)
        self._registry(script)
        held = {each.certificate_id for thing in self.fleet.things for each in self._usable(thing)}
        for thing in self.fleet.things:
            self._thing(thing, script, shapes, bulk)
        for certificate in self.fleet.certificates.values():
            self._file(f"certificates/{certificate.certificate_id}.pem", certificate.pem)
            if certificate.certificate_id not in held:
                script.certificate(certificate if certificate.status != _REVOKED else replace(certificate, policies=()))
        for shape, lines in bulk.items():
            self._file(f"bulk/{shapes[shape]}.jsonl", "".join(lines))
            script.bulk(f"bulk/{shapes[shape]}.jsonl", f"templates/{shapes[shape]}.json")
        write_durably(self.out / "register.sh", script.text().encode(), 0o755)
        return len(self.fleet.things)

    def _registry(self, script: Script) -> None:
        for name, document in self.fleet.policies.items():
            self._file(f"policies/{name}.json", self._elsewhere(document))
            script.policy(name, f"policies/{name}.json")
        for each in self.fleet.types:
            script.thing_type(each)
        for group in self.fleet.groups:
            script.group(group)
        for name, template in self.fleet.templates.items():
            body = self._elsewhere(str(template["templateBody"]))
            self._file(f"provisioning-templates/{name}.json", json.dumps({**template, "templateBody": body}, indent=2))
            script.template(f"provisioning-templates/{name}.json")

    def _thing(
        self, thing: ThingItem, script: Script, shapes: dict[TemplateShape, int], bulk: dict[TemplateShape, list[str]]
    ) -> None:
        certificates = self._usable(thing)
        if not certificates:
            script.bare_thing(thing)
            return
        first, *others = certificates
        device = ListedDevice(
            thing=thing.name,
            attributes=thing.attributes,
            type=thing.type,
            groups=thing.groups,
            policies=first.policies,
        )
        by_id = shape_of(device, CERTIFICATE_ID_PARAMETER, first.status)
        by_pem = shape_of(device, CERTIFICATE_PEM, first.status)
        for shape in (by_id, by_pem):
            if shape not in shapes:
                shapes[shape] = len(shapes) + 1
                self._file(f"templates/{shapes[shape]}.json", shape_body(shape))
        with_id = shape_parameters(device, {CERTIFICATE_ID_PARAMETER: first.certificate_id})
        source = {CERTIFICATE_PEM: first.pem, CA_CERTIFICATE_PEM: self._issuer_of(first)}
        with_pem = shape_parameters(device, source)
        self._file(f"parameters/{thing.name}.id.json", json.dumps(with_id, indent=2))
        self._file(f"parameters/{thing.name}.pem.json", json.dumps(with_pem, indent=2))
        bulk.setdefault(by_pem, []).append(json.dumps(with_pem) + "\n")
        script.device(thing.name, first, f"templates/{shapes[by_id]}.json", f"templates/{shapes[by_pem]}.json")
        for other in others:
            script.certificate(other, thing.name)

    def _usable(self, thing: ThingItem) -> list[CertificateItem]:
        """Return the thing's certificates except revoked ones, which AWS does not attach to things."""
        found = (self.fleet.certificates.get(each) for each in thing.certificates)
        return [each for each in found if each is not None and each.status != _REVOKED]

    def _issuer_of(self, certificate: CertificateItem) -> str:
        # Compared as octets, because devices' certificates can have names that the library does not read.
        issuer = load_foreign_pem(certificate.pem, "certificate").issuer
        for pem in self.issuers:
            if load_foreign_pem(pem, "CA certificate").subject == issuer:
                return pem
        return ""

    def _elsewhere(self, document: str) -> str:
        """Return the document with its AWS IoT ARNs changed to those of the other account."""
        return document if self.arn_prefix is None else _ARN.sub(self.arn_prefix, document)

    def _file(self, name: str, text: str) -> None:
        # Nothing here is secret: an export holds no private key.
        (self.out / name).write_text(text, encoding="utf-8")
