"""Transfers against a model: whatever three accounts do in whatever order, both agree on who has what, and on refusals.

The model knows one certificate and no code of the registry: it is the table of AWS's documentation, written down again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.databases.memory_store import MemoryStore
from tests.support.databases.stores import sample_access_key
from tests.support.machine.soak import examples
from tests.support.registration.authority import caller_with, new_authority

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import (
    CertificateStateRefused,
    InvalidRequest,
    ResourceNotFound,
    ThingmintError,
    TransferCompleted,
)
from thingmint.core.identifiers import AccountId, CertificateId
from thingmint.records.access import access_keys as access_key_table
from thingmint.registration.certificates import certificates, transfers
from thingmint.registration.kernel.authority import RegistrationAuthority

ACCOUNTS = 3
CALLERS = tuple(caller_with(account=AccountId(f"{number + 1}" * 12)) for number in range(ACCOUNTS))
Refusal: TypeAlias = type[ThingmintError] | None


@dataclass(frozen=True, slots=True)
class Step:
    """An account does something; ``other`` is the account that it offers the certificate to."""

    verb: str
    account: int
    other: int


VERBS = ("offer", "accept", "accept active", "reject", "cancel", "ACTIVE", "INACTIVE", "REVOKED", "delete")
# Mostly offers and their ends: revoked and deleted certificates lead nowhere.
steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(VERBS + ("offer", "accept", "reject", "cancel", "INACTIVE") * 4),
        st.integers(0, ACCOUNTS - 1),
        st.integers(0, ACCOUNTS - 1),
    ),
    max_size=30,
)


@dataclass(slots=True)
class Model:
    """Where the certificate is; ``pending`` is the account that may accept it."""

    owner: int | None = 0
    status: str = "INACTIVE"
    pending: int | None = None
    latest_target: int | None = None
    was_accepted: bool = False
    previous_owner: int | None = None

    def take(self, step: Step) -> Refusal:
        """Change as the step says, or return the refusal and do not."""
        if self.owner is None:
            return ResourceNotFound
        match step.verb:
            case "offer":
                return self._offer(step.account, step.other)
            case "accept" | "accept active":
                return self._accept(step.account, active=step.verb == "accept active")
            case "reject":
                return self._target_refusal(step.account) or self._give_back()
            case "cancel":
                return self._source_refusal(step.account) or self._give_back()
            case "delete":
                return self._delete(step.account)
            case status:
                return self._change(step.account, status)

    def _offer(self, account: int, target: int) -> Refusal:
        if account != self.owner:
            return ResourceNotFound
        if target == account:
            return InvalidRequest
        if self.status != "INACTIVE":
            return CertificateStateRefused
        self.status, self.pending, self.latest_target, self.was_accepted = "PENDING_TRANSFER", target, target, False
        return None

    def _accept(self, account: int, *, active: bool) -> Refusal:
        refusal = self._target_refusal(account)
        if refusal is None:
            self.previous_owner, self.owner, self.pending = self.owner, account, None
            self.status, self.was_accepted = "ACTIVE" if active else "INACTIVE", True
        return refusal

    def _target_refusal(self, account: int) -> Refusal:
        if self.pending == account:
            return None
        if self.latest_target == account:
            return TransferCompleted
        return InvalidRequest if account == self.owner else ResourceNotFound

    def _source_refusal(self, account: int) -> Refusal:
        if self.pending is not None and account == self.owner:
            return None
        offered_in_vain = account == self.owner and self.latest_target is not None and not self.was_accepted
        if offered_in_vain or account == self.previous_owner:
            return TransferCompleted
        return InvalidRequest if account in (self.owner, self.pending) else ResourceNotFound

    def _give_back(self) -> Refusal:
        self.status, self.pending = "INACTIVE", None
        return None

    def _delete(self, account: int) -> Refusal:
        if account not in (self.owner, self.pending):
            return ResourceNotFound
        if self.status in ("ACTIVE", "PENDING_TRANSFER"):
            return CertificateStateRefused
        self.owner = None
        return None

    def _change(self, account: int, status: str) -> Refusal:
        if account not in (self.owner, self.pending):
            return ResourceNotFound
        if self.status == "PENDING_TRANSFER" or (self.status == "REVOKED" and status != "REVOKED"):
            return CertificateStateRefused
        self.status = status
        return None


async def attempt(authority: RegistrationAuthority, certificate_id: CertificateId, step: Step) -> Refusal:
    """Take the step in the registry and return how it was refused, if it was."""
    caller, other = CALLERS[step.account], CALLERS[step.other].account
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "offer": lambda: transfers.begin(authority, caller, certificate_id, other, None),
        "accept": lambda: transfers.accept(authority, caller, certificate_id, active=False),
        "accept active": lambda: transfers.accept(authority, caller, certificate_id, active=True),
        "reject": lambda: transfers.reject(authority, caller, certificate_id, None),
        "cancel": lambda: transfers.cancel(authority, caller, certificate_id),
        "delete": lambda: certificates.delete(authority, caller, certificate_id),
    }
    try:
        if step.verb in calls:
            await calls[step.verb]()
        else:
            await certificates.update_status(authority, caller, certificate_id, CertificateStatus(step.verb))
    except ThingmintError as error:
        return type(error)
    return None


@given(steps)
@settings(max_examples=examples(20, 150))
async def test_three_accounts_and_the_registry_agree(taken: list[Step]) -> None:
    store, model = MemoryStore(), Model()
    for number, caller in enumerate(CALLERS):
        key = sample_access_key(number, account=caller.account)
        await store.write(lambda key=key: access_key_table.insert_access_key(key))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    authority = new_authority(store)
    issued = await certificates.issue_with_new_key(authority, CALLERS[0], active=False)
    for step in taken:
        before = store.tables.dump()
        refusal = model.take(step)
        assert await attempt(authority, issued.certificate.certificate_id, step) == refusal, step
        if refusal is not None:
            assert store.tables.dump() == before
        present = [(each.scope.account, str(each.status), each.transfer_to) for each in store.tables.certificates]
        assert present == (
            []
            if model.owner is None
            else [
                (
                    CALLERS[model.owner].account,
                    model.status,
                    None if model.pending is None else CALLERS[model.pending].account,
                )
            ]
        )
