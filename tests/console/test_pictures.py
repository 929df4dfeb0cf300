"""The pictures of the documents: each is made from a running service, and is small enough for a repository.

With THINGMINT_PICTURES=1 they are written to docs/images.
"""

import os
from pathlib import Path

import pytest
from tests.console.conftest import Filled
from tests.support.console.browser import Tab

IMAGES = Path(__file__).parents[2] / "docs" / "images"
PICTURES = {"console-overview": "", "console-certificate": "/certificates/{id}", "console-create": "/create"}
MOST_BYTES = 200_000


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_the_documents_are_made(administrator: Tab, filled: Filled, name: str, tmp_path: Path) -> None:
    path = (IMAGES if os.environ.get("THINGMINT_PICTURES") == "1" else tmp_path) / f"{name}.png"
    administrator.page.set_viewport_size({"width": 1200, "height": 760})
    administrator.open(PICTURES[name].format(id=filled.certificate_id))
    if not PICTURES[name]:
        administrator.page.locator(".chart canvas").wait_for()
    administrator.page.screenshot(path=path)
    assert 5_000 < path.stat().st_size < MOST_BYTES


def test_every_picture_of_the_documents_is_there_and_small() -> None:
    for name in PICTURES:
        assert (IMAGES / f"{name}.png").stat().st_size < MOST_BYTES
