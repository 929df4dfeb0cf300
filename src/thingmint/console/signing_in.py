"""Owns sign-in and sign-out: the form, its rate limits, and the session that it starts."""

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from thingmint.console.guard import end_session, is_same_origin, session_token, set_session
from thingmint.console.rendering import Templates
from thingmint.console.services import ConsoleServices
from thingmint.console.visit import Visit, as_fields, read_form
from thingmint.core.errors import AuthenticationFailure, InvalidRequest, Throttled
from thingmint.registration.access.console_sessions import SignIn

_LONGEST_ID: Final = 128
_LONGEST_SECRET: Final = 1024
_LONGEST_TOKEN: Final = 4096
_WAIT: Final = "There were too many attempts. Wait a little and try again."


async def show(services: ConsoleServices, pages: Templates, request: Request) -> Response:
    """Return the form; somebody who is signed in goes on to the console."""
    token = session_token(request)
    if token is not None and await services.sessions.find(token) is not None:
        return RedirectResponse("/console", 303)
    return _form(pages, 200, "", services.version)


async def sign_in(services: ConsoleServices, pages: Templates, request: Request) -> Response:
    """Begin a session with a token of its own; a token that the browser has shown is not used."""
    if not is_same_origin(request):
        raise InvalidRequest("The form comes from another site.")
    form, _ = as_fields(await read_form(request))
    key_id, secret = form.get("access_key_id", "").strip(), form.get("secret_access_key", "").strip()
    session_token_given = form.get("session_token", "").strip() or None
    address = "" if request.client is None else request.client.host
    try:
        services.sign_in_limits.admit(address, "address")
        _require_short(key_id, secret, session_token_given)
        # An attacker who tries one key from many addresses has its budget, too.
        services.sign_in_limits.admit(key_id, "key")
        given = SignIn(key_id, secret, session_token_given, address, services.new_request_id())
        signed_in = await services.sessions.sign_in(given)
    except Throttled as error:
        request.state.error = "Throttled"
        refused = _form(pages, 429, _WAIT, services.version)
        refused.headers["retry-after"] = str(int(error.retry_after) + 1)
        return refused
    except AuthenticationFailure as error:
        request.state.error = "AuthenticationFailure"
        return _form(pages, 403, error.message, services.version)
    await _end_earlier(services, request, address)
    response = RedirectResponse("/console", 303)
    set_session(response, signed_in.token)
    return response


async def sign_out(visit: Visit) -> Response:
    """End the session on every node, and let the browser forget it."""
    await visit.services.sessions.sign_out(visit.signed_in, visit.caller.request_id, visit.caller.source_address)
    response = RedirectResponse("/console/login", 303)
    end_session(response)
    return response


async def _end_earlier(services: ConsoleServices, request: Request, address: str) -> None:
    token = session_token(request)
    earlier = None if token is None else await services.sessions.find(token, is_use=False)
    if earlier is not None:
        await services.sessions.sign_out(earlier, services.new_request_id(), address)


def _require_short(key_id: str, secret: str, token: str | None) -> None:
    too_long = len(key_id) > _LONGEST_ID or len(secret) > _LONGEST_SECRET or len(token or "") > _LONGEST_TOKEN
    if too_long or not key_id.isascii() or "\0" in key_id:
        raise AuthenticationFailure("The access key id or the secret access key is not right.")


def _form(pages: Templates, status: int, message: str, version: str) -> HTMLResponse:
    return HTMLResponse(pages.render("login.html", {"message": message, "version": version}), status)
