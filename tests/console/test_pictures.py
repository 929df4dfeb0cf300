"""The pictures of the documents: each is made from a running service, and is small enough for a repository.

With THINGMINT_PICTURES=1 they are written to docs/images.
"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, StorageState
from tests.console.conftest import Filled
from tests.support.clients.aws import Live
from tests.support.console.browser import tab_of

IMAGES = Path(__file__).parents[2] / "docs" / "images"
PICTURES = {"console-overview": "", "console-certificate": "/certificates/{id}", "console-create": "/create"}
MOST_BYTES = 200_000


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_the_documents_are_made(
    browser: Browser, live: Live, filled: Filled, states: dict[str, StorageState], name: str, tmp_path: Path
) -> None:
    path = (IMAGES if os.environ.get("THINGMINT_PICTURES") == "1" else tmp_path) / f"{name}.png"
    viewport = {"width": 1200, "height": 760}
    with tab_of(browser, live, storage_state=states["administrator"], viewport=viewport, color_scheme="light") as tab:
        tab.open(PICTURES[name].format(id=filled.certificate_id))
        if not PICTURES[name]:
            tab.page.locator(".chart canvas").wait_for()
        tab.page.screenshot(path=path)
    assert 5_000 < path.stat().st_size < MOST_BYTES


def test_every_picture_of_the_documents_is_there_and_small() -> None:
    for name in PICTURES:
        assert (IMAGES / f"{name}.png").stat().st_size < MOST_BYTES
