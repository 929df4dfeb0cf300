"""Policies against a pure model: whatever the order of requests, both answer alike and know the same afterwards."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.databases.memory_store import MemoryStore
from tests.support.databases.stores import insert, sample_certificate
from tests.support.machine.soak import examples
from tests.support.registration.authority import REGION, caller_with, new_authority
from tests.support.registration.memberships import Memberships, store_memberships
from tests.support.registration.policies import document, effective_policies, statement

from thingmint.core.errors import (
    DeletionRefused,
    LimitExceeded,
    ResourceExists,
    ResourceNotFound,
    ThingmintError,
    VersionsLimitExceeded,
)
from thingmint.core.identifiers import PolicyName, ThingGroupName
from thingmint.core.paging import PageRequest
from thingmint.core.policies.target import CertificateTarget, CognitoTarget, PolicyTarget, ThingGroupTarget
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.changes import changes_from
from thingmint.registration.policies import policies, policy_attachments

CALLER = caller_with()
SCOPE = CALLER.scope
CERTIFICATE = sample_certificate(1, scope=SCOPE)
GROUPS = (("Top",), ("Top", "Middle"), ("Top", "Middle", "Low"))
TARGETS: tuple[PolicyTarget, ...] = (
    CertificateTarget(SCOPE, CERTIFICATE.certificate_id),
    *(ThingGroupTarget(SCOPE, ThingGroupName(path[-1])) for path in GROUPS),
    CognitoTarget(f"{REGION}:1"),
    ThingGroupTarget(SCOPE, ThingGroupName("Missing")),
)
MISSING = TARGETS[-1]
ALL = PageRequest(100, None, ascending=True)
DOCUMENTS = tuple(document(statement(Action=f"iot:{action}")) for action in ("Connect", "Publish", "Receive"))
# More than a target may have, so that the limit is met.
NAMES = tuple(PolicyName(f"policy-{number}") for number in range(12))


@dataclass(slots=True)
class ModelPolicy:
    """A policy as a caller understands it."""

    versions: dict[int, str]
    default: int = 1
    last: int = 1


@dataclass(slots=True)
class Model:
    """What the registry should know, and what a change of it touches."""

    policies: dict[str, ModelPolicy] = field(default_factory=dict)
    attached: list[tuple[str, str]] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)

    def found(self, name: str) -> ModelPolicy:
        if name not in self.policies:
            raise ResourceNotFound(name)
        return self.policies[name]

    def version(self, name: str, version: int) -> ModelPolicy:
        policy = self.found(name)
        if version not in policy.versions:
            raise ResourceNotFound(name)
        return policy

    def touch_policy(self, name: str) -> None:
        self.touched.add(f"arn:aws:iot:{SCOPE.region}:{SCOPE.account}:policy/{name}")


@dataclass(frozen=True, slots=True)
class Create:
    name: PolicyName
    document: str

    def on_model(self, model: Model) -> None:
        if self.name in model.policies:
            raise ResourceExists(self.name)
        model.policies[self.name] = ModelPolicy({1: self.document})

    async def on_registry(self, authority: RegistrationAuthority) -> None:
        await policies.create(authority, CALLER, self.name, self.document, {})


@dataclass(frozen=True, slots=True)
class CreateVersion:
    name: PolicyName
    document: str
    as_default: bool

    def on_model(self, model: Model) -> None:
        policy = model.found(self.name)
        if len(policy.versions) == 5:
            raise VersionsLimitExceeded(self.name)
        policy.last += 1
        policy.versions[policy.last] = self.document
        if self.as_default:
            policy.default = policy.last
            model.touch_policy(self.name)

    async def on_registry(self, authority: RegistrationAuthority) -> None:
        await policies.create_version(authority, CALLER, self.name, self.document, as_default=self.as_default)


@dataclass(frozen=True, slots=True)
class SetDefault:
    name: PolicyName
    version: int

    def on_model(self, model: Model) -> None:
        policy = model.version(self.name, self.version)
        if policy.default != self.version:
            policy.default = self.version
            model.touch_policy(self.name)

    async def on_registry(self, authority: RegistrationAuthority) -> None:
        await policies.set_default_version(authority, CALLER, self.name, self.version)


@dataclass(frozen=True, slots=True)
class DeleteVersion:
    name: PolicyName
    version: int

    def on_model(self, model: Model) -> None:
        policy = model.version(self.name, self.version)
        if policy.default == self.version:
            raise DeletionRefused(self.name)
        del policy.versions[self.version]

    async def on_registry(self, authority: RegistrationAuthority) -> None:
        await policies.delete_version(authority, CALLER, self.name, self.version)


@dataclass(frozen=True, slots=True)
class Delete:
    name: PolicyName

    def on_model(self, model: Model) -> None:
        policy = model.found(self.name)
        if any(name == self.name for name, _ in model.attached) or len(policy.versions) > 1:
            raise DeletionRefused(self.name)
        del model.policies[self.name]

    async def on_registry(self, authority: RegistrationAuthority) -> None:
        await policies.delete(authority, CALLER, self.name)


@dataclass(frozen=True, slots=True)
class Attach:
    name: PolicyName
    target: PolicyTarget

    def on_model(self, model: Model) -> None:
        model.found(self.name)
        if self.target is MISSING:
            raise ResourceNotFound(self.target.name)
        if (self.name, self.target.name) in model.attached:
            return
        if sum(target == self.target.name for _, target in model.attached) == 10:
            raise LimitExceeded(self.target.name)
        model.attached.append((self.name, self.target.name))
        model.touched.add(self.target.name)

    async def on_registry(self, authority: RegistrationAuthority) -> None:
        await policy_attachments.attach(authority, CALLER, "AttachPolicy", self.name, self.target)


@dataclass(frozen=True, slots=True)
class Detach:
    name: PolicyName
    target: PolicyTarget

    def on_model(self, model: Model) -> None:
        model.found(self.name)
        if self.target is MISSING:
            raise ResourceNotFound(self.target.name)
        if (self.name, self.target.name) in model.attached:
            model.attached.remove((self.name, self.target.name))
            model.touched.add(self.target.name)

    async def on_registry(self, authority: RegistrationAuthority) -> None:
        await policy_attachments.detach(authority, CALLER, "DetachPolicy", self.name, self.target)


Step = Create | CreateVersion | SetDefault | DeleteVersion | Delete | Attach | Detach

# Few names are asked for most of the time, so that requests meet each other.
names = st.one_of(st.sampled_from(NAMES[:2]), st.sampled_from(NAMES))
documents, versions, targets = st.sampled_from(DOCUMENTS), st.integers(1, 7), st.sampled_from(TARGETS)
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Create, names, documents),
    st.builds(CreateVersion, names, documents, st.booleans()),
    st.builds(SetDefault, names, versions),
    st.builds(DeleteVersion, names, versions),
    st.builds(Delete, names),
    st.builds(Attach, names, targets),
    st.builds(Detach, names, targets),
)
# Some examples begin where limits are near: with a full target, and with versions of which some are gone.
full: list[Step] = [
    *(Create(name, DOCUMENTS[0]) for name in NAMES),
    *(Attach(name, TARGETS[0]) for name in NAMES[2:]),
]
versioned: list[Step] = [
    Create(NAMES[0], DOCUMENTS[0]),
    *(CreateVersion(NAMES[0], document, as_default=False) for document in DOCUMENTS),
    DeleteVersion(NAMES[0], 2),
    CreateVersion(NAMES[0], DOCUMENTS[0], as_default=True),
]


@given(beginning=st.sampled_from([list[Step](), full, versioned]), chosen=st.lists(steps, max_size=30))
@settings(max_examples=examples(20, 150))
async def test_the_registry_answers_and_knows_what_the_model_does(beginning: list[Step], chosen: list[Step]) -> None:
    store, model = await new_registry(), Model()
    authority = new_authority(store)
    for step in [*beginning, *chosen]:
        await taken_alike(authority, model, step)
    await require_same(authority, store, model)


async def new_registry() -> MemoryStore:
    store = MemoryStore()
    await insert(store, CERTIFICATE)
    memberships = Memberships(GROUPS, ("lamp",), (("lamp", GROUPS[-1]),), (("lamp", CERTIFICATE.arn),))
    await store_memberships(store, SCOPE, memberships)
    return store


async def taken_alike(authority: RegistrationAuthority, model: Model, step: Step) -> None:
    """Take the step on both sides; fail unless both refuse it alike or neither does; a refusal changes nothing."""
    expected = refusal(lambda: step.on_model(model))
    assert isinstance(authority.store, MemoryStore)
    before = authority.store.tables.dump()
    stamp = (await changes_from(authority.store, None)).stamp
    try:
        await step.on_registry(authority)
        refused = None
    except ThingmintError as error:
        refused = type(error)
    assert refused is expected
    if refused is not None:
        assert authority.store.tables.dump() == before
    told = (await changes_from(authority.store, stamp)).resources
    assert told is not None
    # An identity is locked by its note, so more may be told than changed, but never less.
    assert (
        model.touched
        <= told
        <= model.touched | {target.name for target in TARGETS if isinstance(target, CognitoTarget)}
    )
    model.touched.clear()


def refusal(take: Callable[[], None]) -> type[ThingmintError] | None:
    try:
        take()
    except ThingmintError as error:
        return type(error)
    return None


async def require_same(authority: RegistrationAuthority, store: MemoryStore, model: Model) -> None:
    listed = await policies.list_policies(authority, CALLER, ALL)
    assert [policy.name for policy in listed.items] == list(model.policies)
    for name, policy in model.policies.items():
        found, version = await policies.describe(authority, CALLER, PolicyName(name))
        assert (found.default_version, found.last_version) == (policy.default, policy.last)
        assert version.document == policy.versions[policy.default]
        stored = await policies.list_versions(authority, CALLER, PolicyName(name))
        assert [each.version for each in stored] == sorted(policy.versions, reverse=True)
        targets_of = await policy_attachments.list_targets(authority, CALLER, PolicyName(name), ALL)
        assert [each.name for each in targets_of.items] == [t for n, t in model.attached if n == name]
    for target in TARGETS[:-1]:
        page = await policy_attachments.list_attached(authority, CALLER, target, ALL, inherited=False)
        assert [each.name for each in page.items] == [n for n, t in model.attached if t == target.name]
    reached = [target.name for target in TARGETS[:4]]
    in_force = list(dict.fromkeys(n for n, t in model.attached if t in reached))
    effective = await effective_policies(store, SCOPE, CERTIFICATE.arn)
    assert [policy.name for policy in effective.policies] == in_force
    assert [policy.document for policy in effective.policies] == [
        model.policies[name].versions[model.policies[name].default] for name in in_force
    ]
    page = await policy_attachments.list_attached(authority, CALLER, TARGETS[0], ALL, inherited=True)
    assert [each.name for each in page.items] == in_force
