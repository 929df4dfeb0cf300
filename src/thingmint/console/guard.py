"""Owns the protection of the console in a browser: header fields, the session's cookie, and the origin of forms.

A form is accepted if a page of this origin has sent it, as the browser says, and if it has the token of the session.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

COOKIE: Final = "__Host-thingmint"
_LONGEST_TOKEN: Final = 128

_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # With no-referrer, browsers would send the origin of a form as null.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_NO_STORE: Final = (b"cache-control", b"no-store")


def protected(application: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """Return the ASGI application, with the header fields of the console added to each answer."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        async def send_protected(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = [*message.get("headers", ()), *_HEADERS]
                if not any(name == b"cache-control" for name, _ in own):
                    own.append(_NO_STORE)
                message = {**message, "headers": own}
            await send(message)

        await application(scope, receive, send_protected)

    return serve


def session_token(request: Request) -> str | None:
    """Return the token of the cookie, None without a cookie.

    The value is taken as it is (RFC 6265, 4.2.1). Starlette would also remove the quoting of all cookies, in which
    Python before 3.11.10 and 3.12.6 takes seconds for a long header (CVE-2024-7592).
    """
    for header in request.headers.getlist("cookie"):
        for pair in header.split(";"):
            name, _, token = pair.strip(" \t").partition("=")
            if name == COOKIE:
                return token if 0 < len(token) <= _LONGEST_TOKEN else None
    return None


def set_session(response: Response, token: str) -> None:
    """Set the cookie, which browsers send to this origin only, hide from scripts, and delete when they are closed."""
    response.set_cookie(COOKIE, token, path="/", secure=True, httponly=True, samesite="strict")


def end_session(response: Response) -> None:
    """Delete the cookie, and what the browser has cached of pages."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    response.headers["clear-site-data"] = '"cache"'


def form_token(token: str) -> str:
    """Return the token of a session's forms. The token of the session cannot be computed from it."""
    return hashlib.sha256(b"thingmint console form\0" + token.encode()).hexdigest()


def is_form_of(token: str, given: str) -> bool:
    """Return whether the form token belongs to the session of this token."""
    return hmac.compare_digest(form_token(token).encode(), given.encode("utf-8", "replace"))


def is_same_origin(request: Request) -> bool:
    """Return whether no header field says that a page of another origin has sent the request.

    Browsers send both fields with a form (Fetch, "Origin header"; Fetch Metadata), and no page of another origin can
    prevent that. Programs send neither.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        return False
    # Behind a proxy that ends TLS, the scheme of the request is not that of the browser.
    return origin is None or origin.partition("://")[2] == request.headers.get("host", "")
