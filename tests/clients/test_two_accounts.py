"""Two accounts and several clients at once, against a reference of the rules: what happens is what could have happened.

Calls that are made at the same time must come out as they would in some order, one after the other; nothing may be
left half done, which the tables are also asked at the end of every live service.
"""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from tests.support.clients.aws import AccessKey, Live, allow, policy
from tests.support.clients.fleet_clients import Call, FleetClients, facts
from tests.support.clients.fleet_model import OK, PENDING, FleetModel, ModelCertificate
from tests.support.machine.soak import examples

OTHER = "888888888888"
pytestmark = [pytest.mark.soak, pytest.mark.engines]
_examples = itertools.count()

accounts = st.integers(0, 1)
policies, things, groups = (st.sampled_from([f"{kind}1", f"{kind}2"]) for kind in ("policy", "thing", "group"))
certificates = st.integers(0, 2)
versions = st.integers(1, 4)

CALLS = {
    "create_policy": (policies,),
    "delete_policy": (policies,),
    "create_version": (policies, st.booleans()),
    "set_default": (policies, versions),
    "delete_version": (policies, versions),
    "attach_policy": (policies, st.one_of(certificates, groups)),
    "detach_policy": (policies, st.one_of(certificates, groups)),
    "create_thing": (things,),
    "delete_thing": (things,),
    "attach_principal": (things, certificates, st.booleans()),
    "detach_principal": (things, certificates),
    "create_group": (groups,),
    "delete_group": (groups,),
    "join": (things, groups),
    "leave": (things, groups),
    "update_certificate": (certificates, st.sampled_from(["ACTIVE", "INACTIVE", "REVOKED"])),
    "delete_certificate": (certificates, st.booleans()),
    "transfer": (certificates,),
    "accept": (certificates, st.booleans()),
    "reject": (certificates,),
    "cancel": (certificates,),
}
calls = st.one_of(*(st.tuples(accounts, st.just(verb), st.tuples(*arguments)) for verb, arguments in CALLS.items()))


class TwoAccounts(RuleBasedStateMachine):
    """Makes calls, one or several at a time, and follows them with the model."""

    clients: FleetClients

    @initialize()
    def begin(self) -> None:
        self.prefix = f"example{next(_examples)}-"
        self.model = FleetModel()
        self.certificates = [self.clients.new_certificate(account) for account in (0, 0, 1)]
        for certificate, account in zip(self.certificates, (0, 0, 1), strict=True):
            self.model.certificates[certificate] = ModelCertificate(account)
        for account in (0, 1):
            for verb in ("create_policy", "create_thing", "create_group"):
                self.one((account, verb, (f"{verb.removeprefix('create_')}1",)))

    @rule(call=calls)
    def one(self, call: tuple[int, str, tuple[object, ...]]) -> None:
        account, verb, arguments = self.named(call)
        expected = self.model.apply(account, verb, arguments)
        assert self.clients.apply(account, verb, arguments) == expected, (verb, arguments)

    @rule(several=st.lists(calls, min_size=2, max_size=3))
    def at_once(self, several: list[tuple[int, str, tuple[object, ...]]]) -> None:
        made = [self.named(call) for call in several]
        answers = self.clients.at_once(made)
        seen = self.seen()
        possible = [model for model, told in self.orders(made) if told == answers and self.facts(model) == seen]
        assert possible, f"{made} came out as {answers}, which no order explains"
        self.model = possible[0]

    def teardown(self) -> None:
        if hasattr(self, "model"):
            assert self.seen() == self.facts(self.model)
            # Other tests of the session look at all outgoing transfers.
            for certificate, found in self.model.certificates.items():
                if found.status == PENDING:
                    assert self.clients.apply(found.owner, "cancel", (certificate,)) == OK

    def orders(self, made: list[Call]) -> Iterator[tuple[FleetModel, list[str]]]:
        """Yield what each order of the calls would have come to, and its answers in the order of the calls."""
        for order in itertools.permutations(range(len(made))):
            model = self.model.copy()
            told = {number: model.apply(*made[number]) for number in order}
            yield model, [told[number] for number in range(len(made))]

    def named(self, call: tuple[int, str, tuple[object, ...]]) -> Call:
        """Put in the names of this example, and the ids of its certificates."""
        account, verb, arguments = call
        kinds = CALLS[verb]
        return account, verb, tuple(self._name(each, kind) for each, kind in zip(arguments, kinds, strict=True))

    def _name(self, argument: object, kind: object) -> object:
        if isinstance(argument, str):
            is_name = argument[:-1] in ("policy", "thing", "group")
            return self.prefix + argument if is_name else argument
        is_certificate = not isinstance(argument, bool) and kind is not versions
        return self.certificates[argument] if is_certificate and isinstance(argument, int) else argument

    def seen(self) -> set[tuple[object, ...]]:
        return self.clients.seen(self.prefix, self.certificates)

    def facts(self, model: FleetModel) -> set[tuple[object, ...]]:
        return facts(model, self.prefix)


@pytest.fixture
def clients(live: Live) -> Iterator[FleetClients]:
    """A client of the service's own account, and one of another."""
    others: AccessKey = live.create_access_key(policy(allow("*")), "--account", OTHER)
    own, foreign = (
        live.client(key, max_pool_connections=4, retries={"max_attempts": 0}) for key in (live.administrator, others)
    )
    opened = FleetClients(
        (own, foreign),
        (live.service.endpoints.account, OTHER),
        live.service.endpoints.region,
    )
    yield opened
    opened.close()


def test_whatever_two_accounts_do_at_once_could_have_happened_in_some_order(clients: FleetClients) -> None:
    class Machine(TwoAccounts):
        pass

    Machine.clients = clients
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples(2, 60),
            stateful_step_count=examples(20, 40),
        ),
    )
