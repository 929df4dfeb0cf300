"""Every page in a browser: what it shows to each role, and what axe says of it, light and dark, wide and narrow."""

import pytest
from playwright.sync_api import Browser, StorageState
from tests.console.conftest import NARROW, WIDE, Filled
from tests.support.clients.aws import Live
from tests.support.console.browser import RULES_OF_COLOURS, Tab, tab_of, violations
from tests.support.machine.soak import SOAK, examples

pytestmark = pytest.mark.long

PAGES = {
    "": "Overview",
    "/certificates": "Certificates",
    "/certificates?status=ACTIVE": "Certificates",
    "/certificates/{certificate_id}": "Certificate",
    "/certificates/{certificate_id}/revoke": "Revoke this certificate?",
    "/create": "Create a certificate",
    "/things": "Things",
    "/things/{thing}": "Thing sensor-17",
    "/groups": "Thing groups",
    "/groups/{group}": "Group sensors",
    "/policies": "Policies",
    "/policies/{policy}": "Policy sensor-policy",
    "/simulator": "Simulate policies",
    "/fleets": "Fleets",
    "/fleets/{template}": "Template sensor-template",
    "/devices": "Devices at this node",
    "/devices/client?id=sensor-17": "Client sensor-17",
    "/devices/watch?filter=a%2F%23": "Watch a topic",
    "/authorities": "Authorities",
    "/nodes": "Nodes and brokers",
    "/audit": "Audit trail",
    "/audit?follow=on": "Audit trail",
    "/settings": "Settings in force at this node",
}
# Of the rules of axe, this one alone is about sizes. No style sheet shows or hides anything by the width of the window.
RULES_OF_SIZES = ("target-size",)
# What somebody sees who may do nothing: a form has nothing to hide, other pages say what is not permitted.
FORMS = ("", "/create", "/simulator", "/fleets", "/devices/watch", "/authorities", "/devices/client")
# What a page has where something is not permitted.
REFUSED = ":disabled, .unavailable, .refused"


def path_of(page: str, filled: Filled) -> str:
    return page.format(
        **{name: getattr(filled, name) for name in ("certificate_id", "thing", "group", "policy", "template")}
    )


@pytest.mark.soak
def test_every_page_keeps_wcag_and_complains_about_nothing(administrator: Tab, filled: Filled, axe: str) -> None:
    for page, heading in PAGES.items():
        assert administrator.open(path_of(page, filled)) == 200, page
        assert heading in administrator.page.get_by_role("heading", level=1).inner_text()
        assert violations(administrator.page, axe) == [], page
        administrator.page.emulate_media(color_scheme="dark")
        assert violations(administrator.page, rules=() if SOAK else RULES_OF_COLOURS) == [], (page, "dark")
        administrator.page.emulate_media(color_scheme="light")
        assert administrator.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page
        administrator.page.set_viewport_size(NARROW)
        assert violations(administrator.page, rules=() if SOAK else RULES_OF_SIZES) == [], (page, "narrow")
        assert administrator.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (page, "narrow")
        administrator.page.set_viewport_size(WIDE)


def test_pages_without_a_session_keep_wcag(browser: Browser, live: Live, axe: str) -> None:
    with tab_of(browser, live) as tab:
        assert tab.open("/certificates") == 200
        assert tab.page.url.endswith("/console/login")
        assert "the file credentials of the data directory" in tab.text
        assert violations(tab.page, axe) == []
        assert tab.open("/no/such/page") == 404
        assert violations(tab.page, axe) == []


@pytest.mark.soak
def test_a_reader_sees_every_page_and_can_change_nothing(
    browser: Browser, live: Live, filled: Filled, states: dict[str, StorageState], axe: str
) -> None:
    judged = set()
    with tab_of(browser, live, storage_state=states["reader"]) as tab:
        for page in PAGES:
            assert tab.open(path_of(page, filled)) == 200, page
            # Where nothing is refused, the page is the administrator's.
            if SOAK or tab.page.locator(REFUSED).count():
                assert violations(tab.page, axe) == [], page
                judged.add(page)
        assert judged >= {"/things", "/create", "/certificates/{certificate_id}"}
        tab.open(f"/certificates/{filled.certificate_id}")
        assert "Revoke: not permitted" in tab.text
        tab.open(f"/certificates/{filled.certificate_id}/revoke")
        assert tab.page.get_by_role("button", name="Revoke", exact=True).is_disabled()
        assert "is not authorized to perform: iot:UpdateCertificate" in tab.text
        # The page's own form, with the button made usable: the operation decides.
        tab.page.evaluate("for (const button of document.querySelectorAll('button')) button.disabled = false")
        tab.press("Revoke")
        assert "Not permitted" in tab.text
        tab.open(f"/certificates/{filled.certificate_id}")
        assert "ACTIVE" in tab.page.get_by_role("heading", level=1).inner_text()


@pytest.mark.soak
def test_somebody_without_permissions_is_told_so_on_every_page(
    browser: Browser, live: Live, filled: Filled, states: dict[str, StorageState], axe: str
) -> None:
    refusals = 0
    with tab_of(browser, live, storage_state=states["nobody"]) as tab:
        for page in PAGES:
            status = tab.open(path_of(page, filled))
            is_form = page.partition("?")[0] in FORMS
            assert status == (200 if is_form else 403), page
            assert is_form or "is not authorized to perform" in tab.text, page
            refusals += not is_form
            # All refusals are one page with other names in it.
            if is_form or refusals <= examples(1, len(PAGES)):
                assert violations(tab.page, axe) == [], page
    assert refusals > 1


def test_the_overview_stays_live(administrator: Tab) -> None:
    administrator.open("")
    administrator.page.locator("#live-state", has_text="Live.").wait_for()
    administrator.page.locator("#by-status").wait_for()
    administrator.page.locator(".chart canvas").wait_for()
    assert "Findings about this node" in administrator.text
    assert " by " in administrator.page.locator("[aria-labelledby=changes]").inner_text()


def test_the_chart_of_the_overview_follows_the_width_of_the_window(administrator: Tab, axe: str) -> None:
    administrator.open("")
    chart = administrator.page.locator(".chart .uplot")
    chart.wait_for()
    widths = []
    for size in (NARROW, WIDE):
        administrator.page.set_viewport_size(size)
        administrator.page.wait_for_function(
            "() => document.querySelector('.uplot').clientWidth <= document.querySelector('.chart').clientWidth"
        )
        widths.append(chart.evaluate("each => each.clientWidth"))
        assert violations(administrator.page, axe) == [], size
    assert widths[0] < 320 < widths[1]


def test_pages_can_be_used_with_the_keyboard_alone(administrator: Tab) -> None:
    administrator.open("")
    administrator.page.keyboard.press("Tab")
    assert administrator.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    administrator.page.keyboard.press("Enter")
    assert administrator.page.evaluate("document.activeElement.id") == "main"
    administrator.open("")
    for _ in range(4):
        administrator.page.keyboard.press("Tab")
    administrator.page.keyboard.press("Enter")
    administrator.page.wait_for_url("**/console/certificates")


def test_dark_or_light_is_remembered(browser: Browser, live: Live, states: dict[str, StorageState]) -> None:
    with tab_of(browser, live, storage_state=states["administrator"], color_scheme="light") as tab:
        tab.open("")
        tab.page.get_by_role("button", name="Dark or light").click()
        tab.open("/things")
        assert tab.page.evaluate("document.documentElement.dataset.theme") == "dark"
