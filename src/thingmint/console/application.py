"""Owns the console as an ASGI application: paths, sessions and form tokens that pages require, and error pages."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import Any, Final, TypeAlias

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from thingmint.api.wire.errors import ErrorMap
from thingmint.console import signing_in
from thingmint.console.guard import end_session, is_form_of, is_same_origin, protected, session_token
from thingmint.console.rendering import Templates
from thingmint.console.services import ConsoleServices
from thingmint.console.table import PAGES
from thingmint.console.visit import Visit, as_fields, read_form
from thingmint.core.error_text import trace_of
from thingmint.core.errors import AccessDenied, InvalidRequest, ThingmintError, Throttled
from thingmint.registration.access.console_sessions import SignedIn

_MOST_AT_ONCE: Final = 64
_TYPES: Final = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
# Static files change with the version only, and their addresses do not name it: browsers fetch them again each hour.
_STATIC_CACHE: Final = "public, max-age=3600"

Page: TypeAlias = Callable[[Visit], Awaitable[Response]]


class Console:
    """The console. ``stop`` ends its streams, which otherwise last as long as the page is open."""

    def __init__(self, services: ConsoleServices, errors: ErrorMap) -> None:
        self._services = services
        self._errors = errors
        self._pages = Templates()
        self._static = _static_files()
        self._room = _MOST_AT_ONCE
        application = Starlette(routes=self._routes(), exception_handlers={404: self._unknown})
        # Starlette would redirect to the host that the request names, which any client can choose.
        application.router.redirect_slashes = False
        self._application = protected(application)
        self._serving: set[asyncio.Task[Any]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one HTTP request."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._application(scope, receive, send)
        except ClientDisconnect:
            return
        finally:
            self._serving.discard(task)

    def stop(self) -> None:
        """Cancel the requests that are being served."""
        for task in tuple(self._serving):
            task.cancel()

    def error_page(self, error: Exception) -> tuple[int, bytes]:
        """Return the HTTP status and the page for an error that a page has raised and not handled."""
        answer = self._errors.answer(error)
        return answer.status, self._pages.render("error_alone.html", {"message": answer.message}).encode()

    def _routes(self) -> Sequence[Route]:
        return [
            Route("/console/static/{name:path}", self._static_file),
            Route("/console/login", self._signing_in(signing_in.show), methods=["GET"]),
            Route("/console/login", self._signing_in(signing_in.sign_in), methods=["POST"]),
            *(Route(each.path, self._served(each.page), methods=[each.method]) for each in PAGES),
            Route("/console/logout", self._served(signing_in.sign_out), methods=["POST"]),
        ]

    async def _static_file(self, request: Request) -> Response:
        found = self._static.get(request.path_params["name"])
        if found is None:
            return Response(status_code=404)
        body, kind = found
        return Response(body, media_type=kind, headers={"cache-control": _STATIC_CACHE})

    async def _unknown(self, request: Request, error: Exception) -> Response:
        del error
        path, query = request.scope["raw_path"].decode("ascii"), request.scope["query_string"].decode("ascii")
        if path.endswith("/") and request.method in ("GET", "HEAD"):
            return RedirectResponse(path.rstrip("/") + (f"?{query}" if query else ""), 307)
        return HTMLResponse(self._pages.render("error_alone.html", {"message": "There is no such page."}), 404)

    def _signing_in(
        self, page: Callable[[ConsoleServices, Templates, Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            return await self._observed(request, lambda: page(self._services, self._pages, request))

        return serve

    def _served(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            return await self._observed(request, lambda: self._visit(request, page))

        return serve

    async def _visit(self, request: Request, page: Page) -> Response:
        token = session_token(request)
        signed_in = None if token is None else await self._services.sessions.find(token)
        if signed_in is None:
            return _to_sign_in(request)
        request.state.user = signed_in.access_key.user_name
        visit = await self._visit_of(request, signed_in)
        try:
            if request.method == "POST":
                _require_own_form(visit)
            return await page(visit)
        except ThingmintError as error:
            answer = self._errors.answer(error)
            request.state.error = answer.name
            is_denied = isinstance(error, AccessDenied)
            return visit.page("error.html", answer.status, message=answer.message, is_denied=is_denied)

    async def _visit_of(self, request: Request, signed_in: SignedIn) -> Visit:
        pairs = await read_form(request) if request.method == "POST" else []
        form, selected = as_fields(pairs)
        address = "" if request.client is None else request.client.host
        caller = self._services.sessions.caller(signed_in.access_key, self._services.new_request_id(), address)
        return Visit(self._services, self._pages, request, signed_in, caller, form, selected)

    async def _observed(self, request: Request, serve: Callable[[], Awaitable[Response]]) -> Response:
        """Serve, count and log a request. The log gets neither the parameters of the address nor the form."""
        started, request.state.error, request.state.user = time.perf_counter(), "", None
        try:
            response = await self._admitted(serve)
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: the browser gets a page without details
            response = self._alone(request, error)
        seconds = time.perf_counter() - started
        self._services.observe(request.state.error, seconds)
        self._services.log.info(
            "console",
            page=_page_of(request),
            status=response.status_code,
            error=request.state.error or None,
            seconds=round(seconds, 6),
            user=request.state.user,
            source=None if request.client is None else request.client.host,
        )
        return response

    def _alone(self, request: Request, error: Exception) -> Response:
        answer = self._errors.answer(error)
        request.state.error = answer.name
        if not isinstance(error, ThingmintError):
            self._services.log.error("console page failed", page=_page_of(request), traceback=trace_of(error))
        return HTMLResponse(self._pages.render("error_alone.html", {"message": answer.message}), answer.status)

    async def _admitted(self, serve: Callable[[], Awaitable[Response]]) -> Response:
        if self._room <= 0:
            raise Throttled("Too many pages are being made. Try again in a moment.")
        self._room -= 1
        try:
            return await serve()
        finally:
            self._room += 1


def _page_of(request: Request) -> str:
    # The pattern of the route, not the path: a path may hold any text, a secret too.
    route = request.scope.get("route")
    return f"{request.method} {route.path if isinstance(route, Route) else 'unknown'}"


def _to_sign_in(request: Request) -> Response:
    if request.headers.get("hx-request") == "true" or "text/event-stream" in request.headers.get("accept", ""):
        # htmx and event streams cannot show the sign-in form: the header field makes them load the whole page.
        return Response(status_code=401, headers={"hx-redirect": "/console/login"})
    response = RedirectResponse("/console/login", 303)
    if session_token(request) is not None:
        end_session(response)
    return response


def _require_own_form(visit: Visit) -> None:
    if not is_same_origin(visit.request):
        raise InvalidRequest("The form comes from another site. Nothing was changed.")
    if not is_form_of(visit.signed_in.token, visit.form.get("form_token", "")):
        raise InvalidRequest("The form is not of this session. Load the page again. Nothing was changed.")


def _static_files() -> dict[str, tuple[bytes, str]]:
    folder = resources.files("thingmint.console").joinpath("static")
    files = [(file.name, file) for file in folder.iterdir() if file.is_file()]
    files += [(f"vendor/{file.name}", file) for file in folder.joinpath("vendor").iterdir()]
    return {
        name: (file.read_bytes(), _TYPES[name.rpartition(".")[2]])
        for name, file in files
        if name.rpartition(".")[2] in _TYPES
    }
