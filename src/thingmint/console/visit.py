"""Owns one request to a page: its session and caller, the form, checks of permissions, and the answer."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from thingmint.api.wire.calls import Sent
from thingmint.console.calling import OperationAnswer, Operations
from thingmint.console.guard import form_token
from thingmint.console.rendering import Templates
from thingmint.console.services import READ_LOG, ConsoleServices
from thingmint.core.caller import Caller
from thingmint.core.errors import AccessDenied, InvalidRequest, ResourceNotFound, ThingmintError
from thingmint.core.identifiers import Scope, iot_arn, partition_of
from thingmint.registration.access.console_sessions import SignedIn
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.policies.authorization import Permission

PAGE_SIZE: Final = 50
_MOST_FIELDS: Final = 1000
_FORM: Final = "application/x-www-form-urlencoded"

# The sentence of a page after an action. The address has the name of the sentence, never a text.
DONE: Final[Mapping[str, str]] = {
    "activated": "The certificate is active.",
    "deactivated": "The certificate is inactive.",
    "revoked": "The certificate is revoked.",
    "deleted": "It was deleted.",
    "transferred": "The transfer has begun. The other account must accept it.",
    "accepted": "The certificate belongs to this account now.",
    "rejected": "The transfer was rejected.",
    "cancelled": "The transfer was cancelled.",
    "attached": "It was attached.",
    "detached": "It was detached.",
    "created": "It was created.",
    "updated": "The change is stored.",
    "disconnected": "The connection was ended.",
    "sent": "The message was sent.",
    "started": "The task was started.",
    "stopped": "The task was stopped.",
}


@dataclass(frozen=True, slots=True)
class PartOfPage:
    """A part of a page: the answer of an operation, or the reason of its refusal."""

    answer: OperationAnswer = field(default_factory=OperationAnswer)
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """A request with a session."""

    services: ConsoleServices
    pages: Templates
    request: Request
    signed_in: SignedIn
    caller: Caller
    form: Mapping[str, str] = field(repr=False)
    selected: tuple[str, ...] = field(repr=False)
    """The values of all fields named ``selected``."""

    @property
    def authority(self) -> RegistrationAuthority:
        """The registration authority, for pages that no operation serves."""
        return self.services.authority

    @property
    def scope(self) -> Scope:
        """The account and region of the caller."""
        return self.caller.scope

    @property
    def operations(self) -> Operations:
        """The operations, called by this caller."""
        return Operations(self.services.calls, self.caller, self._sent)

    @property
    def conditions(self) -> Mapping[str, tuple[str, ...]]:
        """The condition keys of the request, with the present time."""
        return self.services.calls.conditions(self._sent)

    @property
    def _sent(self) -> Sent:
        return Sent(self.request.url.scheme, self.request.headers.raw)

    @property
    def is_partial(self) -> bool:
        """Whether htmx asks for a part of a page, to put it into the present page."""
        return self.request.headers.get("hx-request") == "true"

    def query(self, name: str) -> str:
        """Return a parameter of the address without surrounding white space, empty if it is absent."""
        return self.exact(name).strip()

    def exact(self, name: str) -> str:
        """Return a parameter of the address as it is, for values that a device chooses; empty if it is absent."""
        return self.request.query_params.get(name, "")

    def named(self, name: str) -> str:
        """Return a part of the path; raise ResourceNotFound if it cannot be a name."""
        value = str(self.request.path_params[name])
        if value in (".", "..") or "/" in value:
            raise ResourceNotFound("Nothing has this name")
        return value

    async def call(self, name: str, **members: object) -> OperationAnswer:
        """Call an operation; raise its errors."""
        return await self.operations.call(name, **members)

    async def attempt(self, name: str, **members: object) -> PartOfPage:
        """Call an operation for a part of a page, which shows a refusal if there is one."""
        try:
            return PartOfPage(await self.call(name, **members))
        except ThingmintError as error:
            return PartOfPage(refusal=error.message)

    async def why_not(self, name: str, **members: object) -> str | None:
        """Return why the caller may not call an operation with these members, None if it is allowed."""
        return await _refusal(self.operations.require(name, **members))

    async def require(self, action: str, resource: str = "*") -> None:
        """Raise AccessDenied unless the caller's policies allow an action that is not an operation."""
        await self.services.calls.require(self.caller, [Permission(action, resource)], self._sent)

    async def require_of_service(self, action: str) -> None:
        """Raise AccessDenied unless the caller may see what concerns all accounts.

        Besides the permission, this requires an access key of the service's own account: the administrator of another
        account does not administrate the service.
        """
        await self.require(action)
        self._require_own_account()

    def _require_own_account(self) -> None:
        if self.caller.account != self.services.own_account:
            raise AccessDenied(f"{self.caller.principal.arn} is not of the service's own account")

    async def require_log(self) -> None:
        """Raise AccessDenied unless the caller may read the verifiable log, which has entries of all accounts."""
        await self.require(READ_LOG, iot_arn(self.scope, "log"))
        self._require_own_account()

    async def refusal_of_log(self) -> str | None:
        """Return why the caller may not read the verifiable log, None if it may."""
        return await _refusal(self.require_log())

    async def refusal_of(self, action: str) -> str | None:
        """Return why the caller's policies do not allow the action, None if they do."""
        return await _refusal(self.require(action))

    async def refusal_of_service(self, action: str) -> str | None:
        """Return why the caller may not see what concerns all accounts, None if it may."""
        return await _refusal(self.require_of_service(action))

    def page(self, template: str, status: int = 200, /, **values: object) -> HTMLResponse:
        """Return the rendered page."""
        shown = {
            "visit": self,
            "path": self.request.url.path,
            "user": self.caller.principal.arn,
            "account": self.caller.account,
            "region": self.caller.region,
            "partition": partition_of(self.caller.region),
            "version": self.services.version,
            "form_token": form_token(self.signed_in.token),
            "done": DONE.get(self.query("done")),
            **values,
        }
        return HTMLResponse(self.pages.render(template, shown), status)

    def to(self, path: str, done: str = "") -> Response:
        """Redirect the browser to a page of the console, which shows the sentence ``done`` of `DONE`."""
        return RedirectResponse(f"/console{path}{f'?done={done}' if done else ''}", 303)


def in_path(name: str) -> str:
    """Return a name as a part of a path of the console."""
    return quote(name, safe="")


async def _refusal(required: Awaitable[None]) -> str | None:
    try:
        await required
    except ThingmintError as error:
        return error.message
    return None


async def read_form(request: Request) -> list[tuple[str, str]]:
    """Return the fields of a form; raise InvalidRequest for another body."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise InvalidRequest("A form is sent as application/x-www-form-urlencoded")
    body = await request.body()
    try:
        return parse_qsl(body.decode("ascii"), True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise InvalidRequest("The form cannot be read") from error


def as_fields(pairs: list[tuple[str, str]]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the fields of a form by name (the last of each name), and all values named ``selected``."""
    return dict(pairs), tuple(value for name, value in pairs if name == "selected")
