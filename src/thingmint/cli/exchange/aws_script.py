"""Owns the shell script of an export: the idempotent calls of AWS's CLI that register the devices."""

import json
import shlex

from msgspec import Struct, field

from thingmint.cli.exchange.fleet import CertificateItem, GroupItem, ThingItem, ThingTypeItem

_HEAD = """\
#!/bin/sh
# Makes AWS IoT know the devices of this export, with AWS's CLI and the credentials of its environment.
#
#   sh register.sh without-ca    each certificate by itself; no CA is registered
#   sh register.sh ca            the CA first, then certificates that it has issued
#   sh register.sh bulk          the CA first, then tasks of StartThingRegistrationTask; BUCKET names a bucket that
#                                holds the files of bulk/, ROLE_ARN the role of the tasks
#
# Run it again after an interruption: what exists already is left. A device that differs is named, and the others go on.
set -eu
cd "$(dirname "$0")"
way=${1:?without-ca, ca or bulk?}
failed=0
exists() { grep -q -e ResourceAlreadyExistsException -e 'already exists' "$1"; }
create() { # what exists already is no failure
    errors=$(mktemp)
    if aws iot "$@" --output json >/dev/null 2>"$errors" || exists "$errors"; then rm -f "$errors"; return 0; fi
    cat "$errors" >&2
    rm -f "$errors"
    echo "failed: aws iot $*" >&2
    failed=$((failed + 1))
}
device() { # NAME CERTIFICATE-ID STATUS TEMPLATE-BY-ID TEMPLATE-BY-PEM
    case $way in
    without-ca)
        create register-certificate-without-ca --certificate-pem "file://certificates/$2.pem" --status "$3"
        create register-thing --template-body "file://$4" --parameters "file://parameters/$1.id.json"
        ;;
    ca)
        create register-thing --template-body "file://$5" --parameters "file://parameters/$1.pem.json"
        ;;
    esac
}
certificate() { # CERTIFICATE-ID STATUS
    case $way in
    without-ca) create register-certificate-without-ca --certificate-pem "file://certificates/$1.pem" --status "$2" ;;
    *) create register-certificate --certificate-pem "file://certificates/$1.pem" --status "$2" ;;
    esac
}
arn_of() { aws iot describe-certificate --certificate-id "$1" --query certificateDescription.certificateArn \
    --output text; }
case $way in without-ca | ca | bulk) ;; *) echo "without-ca, ca or bulk?" >&2; exit 2 ;; esac
"""
_FOOT = """\
[ "$failed" = 0 ] || { echo "$failed calls failed" >&2; exit 1; }
echo "done"
"""


class Script(Struct):
    """The lines of a script, in the order of its parts."""

    _parts: dict[str, list[str]] = field(
        default_factory=lambda: {part: [] for part in ("registry", "devices", "certificates", "bulk")}
    )

    def authority(self, file: str, verification: str | None) -> None:
        """Register a CA: with a verification certificate, or SNI_ONLY, which needs none."""
        how = f"--verification-certificate file://{verification}" if verification else "--certificate-mode SNI_ONLY"
        self._line(
            "registry",
            f"[ $way = without-ca ] || create register-ca-certificate --ca-certificate file://{file} {how} "
            "--set-as-active",
        )

    def policy(self, name: str, file: str) -> None:
        """Create a policy."""
        self._call("registry", "create-policy", "--policy-name", name, "--policy-document", f"file://{file}")

    def thing_type(self, each: ThingTypeItem) -> None:
        """Create a thing type."""
        properties: dict[str, object] = {"searchableAttributes": list(each.searchable)} if each.searchable else {}
        if each.description:
            properties["thingTypeDescription"] = each.description
        more = ["--thing-type-properties", json.dumps(properties)] if properties else []
        self._call("registry", "create-thing-type", "--thing-type-name", each.name, *more)

    def group(self, group: GroupItem) -> None:
        """Create a thing group and attach its policies."""
        more = [] if group.parent is None else ["--parent-group-name", group.parent]
        self._call("registry", "create-thing-group", "--thing-group-name", group.name, *more)
        for policy in group.policies:
            arn = f"describe-thing-group --thing-group-name {shlex.quote(group.name)} --query thingGroupArn"
            self._attach("registry", policy, f"aws iot {arn} --output text")

    def template(self, file: str) -> None:
        """Create a provisioning template from its request."""
        self._call("registry", "create-provisioning-template", "--cli-input-json", f"file://{file}")

    def device(self, name: str, certificate: CertificateItem, by_id: str, by_pem: str) -> None:
        """Register a thing with its certificate."""
        words = ("device", name, certificate.certificate_id, certificate.status, by_id, by_pem)
        self._line("devices", shlex.join(words))

    def bare_thing(self, thing: ThingItem) -> None:
        """Create a thing without a certificate."""
        more = [] if thing.type is None else ["--thing-type-name", thing.type]
        payload = json.dumps({"attributes": thing.attributes})
        self._call("devices", "create-thing", "--thing-name", thing.name, "--attribute-payload", payload, *more)
        for group in thing.groups:
            names = ("--thing-group-name", group, "--thing-name", thing.name)
            self._call("devices", "add-thing-to-thing-group", *names)

    def certificate(self, certificate: CertificateItem, thing: str | None = None) -> None:
        """Register a thing's further certificate, or one without a thing; attach policies and thing separately."""
        self._line("certificates", shlex.join(("certificate", certificate.certificate_id, certificate.status)))
        arn = f"arn_of {certificate.certificate_id}"
        for policy in certificate.policies:
            self._attach("certificates", policy, arn)
        if thing is not None:
            call = f'create attach-thing-principal --thing-name {shlex.quote(thing)} --principal "$({arn})"'
            self._line("certificates", call)

    def bulk(self, file: str, template: str) -> None:
        """Start the registration task for a file."""
        self._line(
            "bulk",
            f"[ $way != bulk ] || create start-thing-registration-task --template-body file://{template} "
            f'--input-file-bucket "$BUCKET" --input-file-key {file} --role-arn "$ROLE_ARN"',
        )

    def text(self) -> str:
        """Return the script."""
        lines = [line for part in self._parts.values() for line in part]
        return _HEAD + "\n".join(lines) + "\n" + _FOOT

    def _call(self, part: str, *words: str) -> None:
        self._line(part, shlex.join(("create", *words)))

    def _attach(self, part: str, policy: str, target: str) -> None:
        self._line(part, f'create attach-policy --policy-name {shlex.quote(policy)} --target "$({target})"')

    def _line(self, part: str, line: str) -> None:
        self._parts[part].append(line)
