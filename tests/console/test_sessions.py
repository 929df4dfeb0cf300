"""Sessions of the console: sign-in, what ends one, whose form is served, and what the answers let a browser keep."""

import contextlib
import http.cookies
import json
import re
import socket
import ssl
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, StorageState
from starlette.requests import Request
from tests.console.conftest import Filled
from tests.support.clients.aws import AccessKey, Live, allow, deny, policy
from tests.support.console.browser import READER, another_tab, tab_of
from tests.support.console.console_pages import Pages
from tests.support.services.service import running_service

from thingmint.console.guard import session_token

LARGE = "x" * 10_000_000


def test_a_session_has_a_cookie_that_only_this_origin_gets(live: Live) -> None:
    key = live.administrator
    answer = Pages(live).post("/login", access_key_id=key.access_key_id, secret_access_key=key.secret_access_key)
    assert answer.status == 303
    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert re.fullmatch(r"__Host-thingmint=[0-9a-f]{64}", name)
    assert {each.lower() for each in attributes} == {"httponly", "secure", "samesite=strict", "path=/"}


def test_every_answer_forbids_caches_frames_and_foreign_scripts(live: Live) -> None:
    pages = Pages(live)
    answers = [pages.get("/login"), pages.get(""), pages.get("/nothing"), pages.post("/login")]
    pages.sign_in(live.administrator)
    answers += [pages.get(""), pages.get("/certificates/ab"), pages.post("/create/keys", form_token="")]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


def test_pages_hold_no_script_or_style_of_their_own(live: Live, filled: Filled) -> None:
    pages = Pages(live).sign_in(live.administrator)
    for path in ("", f"/certificates/{filled.certificate_id}", "/create", "/policies", "/fleets", "/authorities"):
        text = pages.get(path).text
        assert re.findall(r"<script(?![^>]*\ssrc=)", text) == []
        assert re.findall(r"<style|\sstyle=|\son[a-z]+=\"|javascript:", text) == []
        assert re.findall(r'(?:src|href|action)="(?:https?:)?//', text) == []


@pytest.mark.parametrize(
    ("key_id", "secret"),
    [("AKIANOSUCHKEY", "x"), ("", ""), ("\0", "x"), ("ä", "ö"), ("x" * 10_000, "x"), ("ADMINISTRATOR", "wRong-7")],
)
def test_a_wrong_key_or_secret_begins_no_session(live: Live, key_id: str, secret: str) -> None:
    pages = Pages(live)
    known = live.administrator.access_key_id if key_id == "ADMINISTRATOR" else key_id
    answer = pages.post("/login", access_key_id=known, secret_access_key=secret)
    assert answer.status == 403
    assert "is not right" in answer.text
    assert pages.cookie is None
    assert secret == "x" or not secret or secret not in answer.text


def test_temporary_credentials_need_their_token(live: Live) -> None:
    key = live.create_access_key(READER, "--user", "visitor", "--expires-in", "3600")
    assert key.session_token is not None
    own = {"access_key_id": key.access_key_id, "secret_access_key": key.secret_access_key}
    assert Pages(live).post("/login", None, **own).status == 403
    assert Pages(live).post("/login", None, **own, session_token="x").status == 403
    assert Pages(live).post("/login", None, **own, session_token=key.session_token).status == 303


def test_a_cookie_that_was_there_before_is_not_the_session(live: Live) -> None:
    pages = Pages(live)
    pages.cookie = planted = "__Host-thingmint=" + "a" * 64
    pages.sign_in(live.administrator)
    assert pages.cookie != planted
    attacker = Pages(live)
    attacker.cookie = planted
    assert attacker.get("").headers["location"] == "/console/login"


def test_signing_in_again_ends_the_earlier_session(live: Live) -> None:
    pages = Pages(live).sign_in(live.administrator)
    earlier = pages.cookie
    pages.sign_in(live.administrator)
    old = Pages(live)
    old.cookie = earlier
    assert old.get("").status == 303
    assert pages.get("").status == 200


def test_signing_out_ends_the_session_and_its_copies(live: Live) -> None:
    pages = Pages(live).sign_in(live.administrator)
    copy = pages.cookie
    answer = pages.post("/logout")
    assert answer.status == 303
    assert answer.headers["clear-site-data"] == '"cache"'
    pages.cookie = copy
    assert pages.get("").status == 303
    assert pages.post("/create/keys").headers["location"] == "/console/login"


def test_deleting_the_access_key_ends_its_sessions_at_once(live: Live) -> None:
    key = live.create_access_key(READER, "--user", "leaver")
    pages = Pages(live).sign_in(key)
    assert pages.get("/things").status == 200
    live.thingmint("access-key", "delete", key.access_key_id)
    assert pages.get("/things").status == 303


@pytest.mark.parametrize("token", ["", "0" * 64, "ä"])
def test_a_form_without_the_sessions_token_changes_nothing(live: Live, filled: Filled, token: str) -> None:
    pages = Pages(live).sign_in(live.administrator)
    answer = pages.post(f"/certificates/{filled.certificate_id}/revoke", form_token=token)
    assert answer.status == 400
    assert "not of this session" in answer.text
    assert "ACTIVE" in pages.get(f"/certificates/{filled.certificate_id}").text


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=str,
)
def test_a_form_of_another_site_changes_nothing(live: Live, filled: Filled, headers: dict[str, str]) -> None:
    pages = Pages(live).sign_in(live.administrator)
    answer = pages.post(f"/certificates/{filled.certificate_id}/revoke", headers)
    assert answer.status == 400
    assert "another site" in answer.text
    key = live.administrator
    own = {"access_key_id": key.access_key_id, "secret_access_key": key.secret_access_key}
    assert Pages(live).post("/login", headers, **own).status == 400


def test_a_browser_sends_no_session_with_a_form_of_another_site(
    browser: Browser, live: Live, filled: Filled, states: dict[str, StorageState]
) -> None:
    target = f"{live.service.endpoints.api}/console/certificates/{filled.certificate_id}/revoke"
    page = f"<form method=post action='{target}'></form><script>document.forms[0].submit()</script>"

    def serve(route: Route) -> None:
        route.fulfill(content_type="text/html", body=page)

    with tab_of(browser, live, storage_state=states["administrator"]) as tab:
        tab.page.route("https://evil.example/**", serve)
        tab.page.goto("https://evil.example/")
        tab.page.wait_for_url("**/console/login")
        tab.open(f"/certificates/{filled.certificate_id}")
        assert "ACTIVE" in tab.page.get_by_role("heading", level=1).inner_text()


def test_nothing_is_left_behind_after_signing_out(browser: Browser, live: Live, reader: AccessKey) -> None:
    with tab_of(browser, live, reader) as tab:
        tab.open("/things")
        assert "Things" in tab.text
        tab.press("Sign out")
        tab.page.go_back()
        tab.page.wait_for_url("**/console/login")
        assert "Thingmint console" in tab.text


def test_another_tab_is_signed_out_too(browser: Browser, live: Live, nobody: AccessKey) -> None:
    with tab_of(browser, live, nobody) as tab:
        tab.open("/create")
        other = another_tab(tab.page.context, live)
        other.open("/create")
        tab.press("Sign out")
        other.page.get_by_role("button", name="Read the request").evaluate("button => button.form.submit()")
        other.page.wait_for_url("**/console/login")
        assert other.complaints == []


def test_a_live_page_ends_with_its_session(browser: Browser, live: Live) -> None:
    with tab_of(browser, live, live.administrator) as tab:
        tab.open("")
        tab.page.locator("#live-state", has_text="Live.").wait_for()
        other = another_tab(tab.page.context, live)
        other.open("/create")
        other.press("Sign out")
        tab.page.locator("#live-state", has_text="It has ended").wait_for()


def test_secrets_are_in_no_log_and_no_address(live: Live) -> None:
    key = live.create_access_key(READER, "--user", "logged")
    pages = Pages(live).sign_in(key)
    pages.get("/certificates?text=search-that-is-not-logged")
    assert pages.cookie is not None
    secrets = (key.secret_access_key, pages.cookie.partition("=")[2], pages.form_token, "search-that-is-not-logged")
    log = live.service.log
    assert [secret for secret in secrets if secret in log] == []
    lines = [json.loads(line) for line in log.splitlines() if '"console"' in line]
    assert any(line["page"] == "GET /console/certificates" and line["user"] == "logged" for line in lines)


def test_sign_in_and_sign_out_are_in_the_audit_trail(live: Live) -> None:
    pages = Pages(live).sign_in(live.administrator)
    text = pages.get("/audit/export?action=Console*").text
    actions = [json.loads(line)["action"] for line in text.splitlines()]
    assert actions[0] == "ConsoleSignIn"


PATHS = (
    "/login",
    "/create/read",
    "/create/download",
    "/things",
    "/groups",
    "/policies",
    "/policies/check",
    "/simulator",
    "/fleets",
    "/fleets/tasks",
    "/devices/client",
    "/certificates/bulk",
)


@pytest.mark.parametrize("path", PATHS)
def test_ten_megabytes_are_refused_in_every_form(live: Live, path: str) -> None:
    pages = Pages(live).sign_in(live.administrator)
    try:
        answer = pages.post(path, name=LARGE)
    except ConnectionError:
        # The server has answered, and has not read what it refused: the client was still sending.
        pass
    else:
        assert answer.status == 413
    assert pages.get("").status == 200


def test_forms_that_arrive_slowly_keep_nobody_from_pages(live: Live) -> None:
    pages = Pages(live).sign_in(live.administrator)
    head = (
        b"POST /console/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\na"
    )
    with ExitStack() as stack:
        for _ in range(80):
            stack.enter_context(raw_connection(live)).sendall(head)
        assert pages.get("").status == 200
        assert Pages(live).get("/login").status == 200


def test_half_a_megabyte_in_each_field_is_refused_by_the_operation(live: Live) -> None:
    pages = Pages(live).sign_in(live.administrator)
    text = "y" * 400_000
    for path, field in (
        ("/things", "name"),
        ("/groups", "name"),
        ("/policies", "document"),
        ("/create/read", "request_pem"),
    ):
        answer = pages.post(path, None, **{"name": "n", field: text})
        assert answer.status == 400, path
    assert pages.get(f"/certificates?common-name={'z' * 5000}").status in (400, 414)


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"a=%ff", b"a" * 100_000, b"&".join(b"a=1" for _ in range(2000)), b""], ids=len
)
def test_what_is_no_form_is_refused(live: Live, body: bytes) -> None:
    pages = Pages(live).sign_in(live.administrator)
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert pages.ask("POST", "/things", body, kind).status == 400
    assert pages.ask("POST", "/things", body, {"content-type": "multipart/form-data; boundary=x"}).status == 400


@contextlib.contextmanager
def raw_connection(live: Live) -> Iterator[ssl.SSLSocket]:
    """Yield a connection to the API."""
    address = urllib.parse.urlsplit(live.service.endpoints.api)
    assert address.hostname is not None
    tls = ssl.create_default_context(cafile=live.ca_file)
    with (
        socket.create_connection((address.hostname, address.port or 443), timeout=60) as plain,
        tls.wrap_socket(plain, server_hostname=address.hostname) as connection,
    ):
        yield connection


def test_many_attempts_to_sign_in_are_slowed_down(tmp_path: Path) -> None:
    with running_service(tmp_path / "data") as service:
        pages = Pages(Live(service, None))
        pages.is_patient = False
        # An address has one more attempt for every two seconds that these take.
        statuses: list[int] = []
        while 429 not in statuses:
            statuses.append(pages.post("/login", access_key_id="AKIASLOWED", secret_access_key="x").status)
        assert len(statuses) > 20
        assert set(statuses) == {403, 429}


def test_somebody_signs_in_by_the_form(browser: Browser, tmp_path: Path) -> None:
    with running_service(tmp_path / "data") as service:
        live = Live(service, None)
        with tab_of(browser, live) as tab:
            tab.sign_in(live.administrator)
            tab.page.wait_for_url("**/console")
            assert "Overview" in tab.text


def test_the_conditions_of_a_policy_are_asked_before_a_topic_is_watched(live: Live) -> None:
    by_agent = {"StringLike": {"aws:UserAgent": "Forbidden/*"}}
    key = live.create_access_key(policy(allow("*"), deny("iot:Subscribe") | {"Condition": by_agent}))
    pages = Pages(live).sign_in(key)
    for path in ("/devices/watch?filter=secret/%23", "/devices/watch/events?filter=secret/%23"):
        answer = pages.get(path, **{"user-agent": "Forbidden/1"})
        assert "not authorized to perform: iot:Subscribe" in answer.text
    assert "not authorized" not in pages.get("/devices/watch?filter=secret/%23", **{"user-agent": "Allowed/1"}).text


def test_an_administrator_of_another_account_sees_nothing_that_concerns_all_accounts(live: Live) -> None:
    key = live.create_access_key(policy(allow("*")), "--account", "555555555555")
    pages, owners = Pages(live).sign_in(key), Pages(live).sign_in(live.administrator)
    assert pages.get("/settings").status == 403
    assert owners.get("/settings").status == 200
    # What a node counts and finds is of all accounts, too.
    assert "is not of the service&#39;s own account" in pages.get("").text
    assert "is not of the service" not in owners.get("").text


@pytest.mark.parametrize("path", ["/", "/login/", "/login//", "/things/", "/things//?after=1", "/nothing/"])
def test_no_address_leads_to_the_host_that_a_request_names(live: Live, path: str) -> None:
    answer = Pages(live).get(path, host="elsewhere.example")
    assert answer.status in (303, 307)
    assert answer.headers["location"].startswith("/console")
    assert not path.endswith("?after=1") or answer.headers["location"] == "/console/things?after=1"


def test_cookies_of_others_are_not_unquoted(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(text: str) -> str:
        raise AssertionError(f"{len(text)} characters were unquoted")

    monkeypatch.setattr(http.cookies, "_unquote", never)
    quoted = '"' + "\\" * 60_000 + '"'
    for cookies, token in (
        ([f"a={quoted}; __Host-thingmint=0f"], "0f"),
        ([f"__Host-thingmint={quoted}"], None),
        ([f"a={quoted}", "b=1;__Host-thingmint=0f ;c"], "0f"),
        (["__Host-thingmint=; a"], None),
        ([f"x__Host-thingmint={quoted}"], None),
    ):
        headers = [(b"cookie", each.encode()) for each in cookies]
        assert session_token(Request({"type": "http", "headers": headers})) == token


def test_a_long_header_of_cookies_hides_no_session(live: Live) -> None:
    pages = Pages(live).sign_in(live.administrator)
    answer = pages.get("/settings", cookie=f'a="{"x" * 60_000}"; {pages.cookie}; b=1')
    assert answer.status == 200
