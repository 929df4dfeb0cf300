"""Owns the table of actions on certificates: operation, fitting statuses, and what happens to connected devices."""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

Members = dict[str, object]
Form = Mapping[str, str]

_ENDS: Final = "Connections of devices that show this certificate end within a second, on every node."


class Action(Struct, frozen=True):
    """One action. ``consequence`` is the text of the confirmation, ``field`` one more field of its form."""

    name: str
    label: str
    operation: str
    consequence: str
    done: str
    from_statuses: frozenset[str]
    make: Callable[[str, Form], Members]
    of_others: bool = False
    in_bulk: bool = False
    is_final: bool = False
    field: tuple[str, str] | None = None

    def fits(self, status: str, is_own: bool) -> bool:
        """Return whether the action fits a certificate of this status, of this account or of another one."""
        return status in self.from_statuses and is_own is not self.of_others

    def members(self, certificate_id: str, form: Form) -> Members:
        """Return the members of the operation's request."""
        return {"certificateId": certificate_id, **self.make(certificate_id, form)}


def _status(status: str) -> Callable[[str, Form], Members]:
    return lambda certificate_id, form: {"newStatus": status}


def _nothing(certificate_id: str, form: Form) -> Members:
    del certificate_id, form
    return {}


def _transfer(certificate_id: str, form: Form) -> Members:
    del certificate_id
    return {
        "targetAwsAccount": form.get("account", "") or "0" * 12,
        "transferMessage": form.get("message") or None,
    }


def _accept(certificate_id: str, form: Form) -> Members:
    del certificate_id, form
    return {"setAsActive": True}


_LIVING = frozenset({"ACTIVE", "INACTIVE", "PENDING_ACTIVATION", "REGISTER_INACTIVE"})
_ALL = (
    Action(
        "activate",
        "Activate",
        "UpdateCertificate",
        "Devices that show this certificate may connect, as far as their policies allow.",
        "activated",
        _LIVING - {"ACTIVE"},
        _status("ACTIVE"),
        in_bulk=True,
    ),
    Action(
        "deactivate",
        "Deactivate",
        "UpdateCertificate",
        f"{_ENDS} They cannot connect again until it is activated.",
        "deactivated",
        frozenset({"ACTIVE"}),
        _status("INACTIVE"),
        in_bulk=True,
    ),
    Action(
        "revoke",
        "Revoke",
        "UpdateCertificate",
        f"{_ENDS} They can never connect with it again: a revoked certificate stays revoked.",
        "revoked",
        _LIVING,
        _status("REVOKED"),
        in_bulk=True,
        is_final=True,
    ),
    Action(
        "delete",
        "Delete",
        "DeleteCertificate",
        "The certificate is deleted from the registry. No device is connected with it, because it is not active. Its "
        "serial number is not used again. Detach its things and policies first.",
        "deleted",
        frozenset({"INACTIVE", "REVOKED", "PENDING_ACTIVATION", "REGISTER_INACTIVE"}),
        _nothing,
        in_bulk=True,
        is_final=True,
    ),
    Action(
        "transfer",
        "Transfer",
        "TransferCertificate",
        "The certificate waits until the other account accepts it. No device is connected with it, because it is not "
        "active. Detach its things and policies first.",
        "transferred",
        frozenset({"INACTIVE"}),
        _transfer,
        field=("account", "Account that gets it, twelve digits"),
    ),
    Action(
        "cancel-transfer",
        "Cancel the transfer",
        "CancelCertificateTransfer",
        "The certificate stays in this account and is inactive.",
        "cancelled",
        frozenset({"PENDING_TRANSFER"}),
        _nothing,
    ),
    Action(
        "accept",
        "Accept the transfer",
        "AcceptCertificateTransfer",
        "The certificate belongs to this account and is active: devices that show it may connect.",
        "accepted",
        frozenset({"PENDING_TRANSFER"}),
        _accept,
        of_others=True,
    ),
    Action(
        "reject",
        "Reject the transfer",
        "RejectCertificateTransfer",
        "The certificate stays in the other account and is inactive.",
        "rejected",
        frozenset({"PENDING_TRANSFER"}),
        _nothing,
        of_others=True,
    ),
)
ACTIONS: Final[Mapping[str, Action]] = {action.name: action for action in _ALL}
