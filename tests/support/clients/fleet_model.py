"""Owns a reference of what two accounts may do with policies, things, groups and certificates, and to each other.

Plain dictionaries, nothing of the product's code: each method does what an operation should do and returns "ok", or
returns the name of AWS's error and changes nothing. A copy of it is what would have been if it had gone otherwise.
"""

from dataclasses import dataclass, field, replace

OK = "ok"
NOT_FOUND = "ResourceNotFoundException"
INVALID = "InvalidRequestException"
EXISTS = "ResourceAlreadyExistsException"
IN_USE = "DeleteConflictException"
TOO_MANY = "VersionsLimitExceededException"
STATE = "CertificateStateException"
CONFLICT = "TransferConflictException"
COMPLETED = "TransferAlreadyCompletedException"

ACTIVE, INACTIVE, REVOKED, PENDING = "ACTIVE", "INACTIVE", "REVOKED", "PENDING_TRANSFER"


@dataclass(frozen=True)
class ModelCertificate:
    """A certificate as its owner would note it; of transfers, the latest counts."""

    owner: int
    status: str = ACTIVE
    offered_to: int | None = None
    accepted: bool = False
    previous_owner: int | None = None

    @property
    def waits_for(self) -> int | None:
        """The account that may accept it."""
        return self.offered_to if self.status == PENDING else None


@dataclass(frozen=True)
class ModelPolicy:
    """A policy's versions."""

    versions: frozenset[int] = frozenset({1})
    default: int = 1
    last: int = 1


@dataclass
class FleetModel:
    """Everything that there is. Accounts are 0 and 1; what one has, the other cannot see."""

    policies: dict[tuple[int, str], ModelPolicy] = field(default_factory=dict)
    things: set[tuple[int, str]] = field(default_factory=set)
    groups: set[tuple[int, str]] = field(default_factory=set)
    certificates: dict[str, ModelCertificate] = field(default_factory=dict)
    policy_targets: set[tuple[int, str, str]] = field(default_factory=set)
    thing_principals: dict[tuple[int, str, str], bool] = field(default_factory=dict)
    members: set[tuple[int, str, str]] = field(default_factory=set)

    def copy(self) -> "FleetModel":
        """Return another model that is the same; what it holds never changes in place."""
        return FleetModel(
            dict(self.policies),
            set(self.things),
            set(self.groups),
            dict(self.certificates),
            set(self.policy_targets),
            dict(self.thing_principals),
            set(self.members),
        )

    def apply(self, account: int, verb: str, arguments: tuple[object, ...]) -> str:
        """Do what the operation does, and return what it answers."""
        answer: str = getattr(self, verb)(account, *arguments)
        return answer

    def create_policy(self, account: int, name: str) -> str:
        """A name is taken once."""
        if (account, name) in self.policies:
            return EXISTS
        self.policies[account, name] = ModelPolicy()
        return OK

    def delete_policy(self, account: int, name: str) -> str:
        """Neither attached nor of several versions."""
        found = self.policies.get((account, name))
        if found is None:
            return NOT_FOUND
        if len(found.versions) > 1 or any(each[:2] == (account, name) for each in self.policy_targets):
            return IN_USE
        del self.policies[account, name]
        return OK

    def create_version(self, account: int, name: str, as_default: bool) -> str:
        """Five at most; numbers never come back."""
        found = self.policies.get((account, name))
        if found is None:
            return NOT_FOUND
        if len(found.versions) == 5:
            return TOO_MANY
        number = found.last + 1
        default = number if as_default else found.default
        self.policies[account, name] = ModelPolicy(found.versions | {number}, default, number)
        return OK

    def set_default(self, account: int, name: str, version: int) -> str:
        """One that exists."""
        found = self.policies.get((account, name))
        if found is None or version not in found.versions:
            return NOT_FOUND
        self.policies[account, name] = replace(found, default=version)
        return OK

    def delete_version(self, account: int, name: str, version: int) -> str:
        """Any but the default."""
        found = self.policies.get((account, name))
        if found is None or version not in found.versions:
            return NOT_FOUND
        if version == found.default:
            return IN_USE
        self.policies[account, name] = replace(found, versions=found.versions - {version})
        return OK

    def attach_policy(self, account: int, name: str, target: str) -> str:
        """To what exists and is not on its way to another account."""
        if (account, name) not in self.policies or not self._has(account, target):
            return NOT_FOUND
        if target in self.certificates and self.certificates[target].status == PENDING:
            return INVALID
        self.policy_targets.add((account, name, target))
        return OK

    def detach_policy(self, account: int, name: str, target: str) -> str:
        """Whether it is attached or not."""
        if (account, name) not in self.policies or not self._has(account, target):
            return NOT_FOUND
        self.policy_targets.discard((account, name, target))
        return OK

    def create_thing(self, account: int, name: str) -> str:
        """All in the same words."""
        self.things.add((account, name))
        return OK

    def delete_thing(self, account: int, name: str) -> str:
        """Without principals; it leaves its groups."""
        if any(each[:2] == (account, name) for each in self.thing_principals):
            return INVALID
        self.things.discard((account, name))
        self.members = {each for each in self.members if each[:2] != (account, name)}
        return OK

    def attach_principal(self, account: int, name: str, certificate: str, exclusive: bool) -> str:
        """One kind for all attachments of a certificate; an exclusive one is its only one."""
        if (account, name) not in self.things or not self._has(account, certificate):
            return NOT_FOUND
        others = {
            each: kind for each, kind in self.thing_principals.items() if (each[0], each[2]) == (account, certificate)
        }
        present = others.pop((account, name, certificate), None)
        if self.certificates[certificate].status == PENDING or present not in (None, exclusive):
            return INVALID
        if others and (exclusive or any(others.values())):
            return INVALID
        self.thing_principals[account, name, certificate] = exclusive
        return OK

    def detach_principal(self, account: int, name: str, certificate: str) -> str:
        """Whether it is attached or not."""
        if (account, name) not in self.things or not self._has(account, certificate):
            return NOT_FOUND
        self.thing_principals.pop((account, name, certificate), None)
        return OK

    def create_group(self, account: int, name: str) -> str:
        """All in the same words."""
        self.groups.add((account, name))
        return OK

    def delete_group(self, account: int, name: str) -> str:
        """Members leave, policies are detached."""
        self.groups.discard((account, name))
        self.members = {each for each in self.members if (each[0], each[2]) != (account, name)}
        self.policy_targets = {each for each in self.policy_targets if (each[0], each[2]) != (account, name)}
        return OK

    def join(self, account: int, name: str, group: str) -> str:
        """Both exist."""
        if (account, name) not in self.things or (account, group) not in self.groups:
            return NOT_FOUND
        self.members.add((account, name, group))
        return OK

    def leave(self, account: int, name: str, group: str) -> str:
        """Both exist, whether it is a member or not."""
        if (account, name) not in self.things or (account, group) not in self.groups:
            return NOT_FOUND
        self.members.discard((account, name, group))
        return OK

    def update_certificate(self, account: int, certificate: str, status: str) -> str:
        """What is revoked stays so; what is offered changes by the transfer's end alone."""
        found = self.certificates.get(certificate)
        if found is None or account not in (found.owner, found.waits_for):
            return NOT_FOUND
        if found.status == PENDING or (found.status == REVOKED and status != REVOKED):
            return STATE
        self.certificates[certificate] = replace(found, status=status)
        return OK

    def delete_certificate(self, account: int, certificate: str, force: bool) -> str:
        """Neither active nor offered nor attached; force is for policies."""
        found = self.certificates.get(certificate)
        if found is None or account not in (found.owner, found.waits_for):
            return NOT_FOUND
        if found.status in (ACTIVE, PENDING):
            return STATE
        if self._things_of(certificate) or (self._policies_of(certificate) and not force):
            return IN_USE
        self.policy_targets = {each for each in self.policy_targets if each[2] != certificate}
        del self.certificates[certificate]
        return OK

    def transfer(self, account: int, certificate: str) -> str:
        """To the other account, when it is inactive and nothing is attached."""
        found = self.certificates.get(certificate)
        if found is None or found.owner != account:
            return NOT_FOUND
        if found.status != INACTIVE:
            return STATE
        if self._things_of(certificate) or self._policies_of(certificate):
            return CONFLICT
        self.certificates[certificate] = replace(found, status=PENDING, offered_to=1 - account, accepted=False)
        return OK

    def accept(self, account: int, certificate: str, active: bool) -> str:
        """It then belongs to the account."""
        found, refusal = self._offered_to(account, certificate)
        if found is None:
            return refusal
        status = ACTIVE if active else INACTIVE
        self.certificates[certificate] = ModelCertificate(account, status, account, True, found.owner)
        return OK

    def reject(self, account: int, certificate: str) -> str:
        """It goes back."""
        found, refusal = self._offered_to(account, certificate)
        if found is None:
            return refusal
        self.certificates[certificate] = replace(found, status=INACTIVE)
        return OK

    def cancel(self, account: int, certificate: str) -> str:
        """It stays."""
        found = self.certificates.get(certificate)
        if found is None:
            return NOT_FOUND
        if found.owner == account and found.status == PENDING:
            self.certificates[certificate] = replace(found, status=INACTIVE)
            return OK
        is_back = found.owner == account and found.offered_to is not None and not found.accepted
        if is_back or (found.offered_to is not None and found.previous_owner == account):
            return COMPLETED
        return INVALID if account in (found.owner, found.waits_for) else NOT_FOUND

    def _offered_to(self, account: int, certificate: str) -> tuple[ModelCertificate | None, str]:
        found = self.certificates.get(certificate)
        if found is None:
            return None, NOT_FOUND
        if found.waits_for == account:
            return found, OK
        if found.offered_to == account:
            return None, COMPLETED
        return None, INVALID if account == found.owner else NOT_FOUND

    def _has(self, account: int, target: str) -> bool:
        found = self.certificates.get(target)
        return (account, target) in self.groups if found is None else found.owner == account

    def _things_of(self, certificate: str) -> bool:
        return any(each[2] == certificate for each in self.thing_principals)

    def _policies_of(self, certificate: str) -> bool:
        return any(each[2] == certificate for each in self.policy_targets)
