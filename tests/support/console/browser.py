"""Owns a browser for tests: Debian's Chromium, pages of a service's console, and axe, which judges them."""

import contextlib
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, StorageState, sync_playwright
from tests.support.clients.aws import AccessKey, Live
from tests.support.clients.npm import node_with
from tests.support.console.console_pages import Pages
from tests.support.machine.required import require

_CHROMIUM = Path("/usr/bin/chromium")
_FOLDER = Path(__file__).parents[2] / "console"
_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
RULES_OF_COLOURS = ("color-contrast", "link-in-text-block")
"""All that axe finds in the colours of a page. What else it looks at is the same in the dark."""
READER: Mapping[str, object] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["iot:Describe*", "iot:Get*", "iot:List*", "iot:TestAuthorization", "thingmint:*"],
            "Resource": "*",
        }
    ],
}
NOTHING: Mapping[str, object] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "iot:DescribeEndpoint", "Resource": "*"}],
}


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Yield the browser; skip the test or fail it where it is not installed."""
    require(_CHROMIUM.exists(), f"{_CHROMIUM} is not installed")
    with sync_playwright() as playwright:
        # Tests may run as root, for whom Chromium's sandbox does not start.
        browser = playwright.chromium.launch(executable_path=str(_CHROMIUM), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def axe_source() -> str:
    """Return axe's script; skip the test or fail it where it cannot be had."""
    node_with("axe-core", _FOLDER)
    return (_FOLDER / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def violations(page: Page, axe: str | None = None, rules: Sequence[str] = ()) -> list[str]:
    """Return what of WCAG 2.2 AA the page does not keep, each rule with the places that break it.

    Without the script of axe, the page must have it already. ``rules`` are those of axe to look at, by default all.
    """
    if axe is not None:
        page.evaluate(axe)
    # Without these options, axe looks for selectors of every place, right or wrong, and nobody reads them.
    only = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": list(_RULES)}
    options = {"runOnly": only, "resultTypes": ["violations"], "selectors": False}
    found: Mapping[str, Any] = page.evaluate("options => axe.run(document, options)", options)
    return [f"{each['id']}: {[node['html'][:200] for node in each['nodes']]}" for each in found["violations"]]


@dataclass
class Tab:
    """A tab, and what its pages complained about."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(error.message))
        self.page.on("dialog", lambda dialog: self._dialog(dialog.message))

    def _note(self, kind: str, text: str) -> None:
        # The browser itself writes a line for each answer that is an error.
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.complaints.append(text)

    def _dialog(self, message: str) -> None:
        self.complaints.append(f"a dialog: {message}")

    def open(self, path: str) -> int:
        """Load a page of the console and return its status."""
        answer = self.page.goto(f"{self.origin}/console{path}", wait_until="domcontentloaded")
        return 0 if answer is None else answer.status

    def sign_in(self, key: AccessKey) -> None:
        """Sign in by the form."""
        self.open("/login")
        self.page.get_by_label("Access key id").fill(key.access_key_id)
        self.page.get_by_label("Secret access key").fill(key.secret_access_key)
        self.page.get_by_role("button", name="Sign in").click()

    def press(self, name: str) -> None:
        """Press the button of this name, and wait for the page that follows."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=name, exact=True).click()

    @property
    def text(self) -> str:
        """What the page says."""
        return self.page.locator("main").inner_text()


def signed_in(live: Live, key: AccessKey) -> StorageState:
    """Return the cookies of a browser in which somebody has signed in."""
    answer = Pages(live).post("/login", access_key_id=key.access_key_id, secret_access_key=key.secret_access_key)
    assert answer.status == 303, answer.text
    name, _, value = answer.headers["set-cookie"].partition(";")[0].partition("=")
    host = urllib.parse.urlsplit(live.service.endpoints.api).hostname
    assert host is not None
    return {
        "cookies": [
            {
                "name": name,
                "value": value,
                "domain": host,
                "path": "/",
                "expires": -1,
                "httpOnly": True,
                "secure": True,
                "sameSite": "Strict",
            }
        ],
        "origins": [],
    }


@contextlib.contextmanager
def tab_of(browser: Browser, live: Live, key: AccessKey | None = None, **options: Any) -> Iterator[Tab]:
    """Yield a tab of a browser profile of its own, signed in if there is a key; nothing may have complained."""
    if key is not None:
        options["storage_state"] = signed_in(live, key)
    context = browser.new_context(ignore_https_errors=True, **options)
    try:
        tab = Tab(context.new_page(), live.service.endpoints.api)
        yield tab
        assert tab.complaints == []
    finally:
        context.close()


def another_tab(context: BrowserContext, live: Live) -> Tab:
    """Return another tab of the same browser profile."""
    return Tab(context.new_page(), live.service.endpoints.api)
