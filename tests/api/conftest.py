"""The whole API on an authority of its own."""

import pytest
from tests.support.registration.api import Api, new_api


@pytest.fixture
def api() -> Api:
    return new_api()
