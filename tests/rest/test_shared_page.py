"""A page that costs time is shared by those that ask at a time, and rendered seldom however many ask."""

import asyncio

import pytest

from thingmint.rest.shared_page import SharedPage


class Renderer:
    """Counts its pages; each of them takes the same time on a clock that stands still otherwise."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.now, self.pages = seconds, 0.0, 0
        self.error: Exception | None = None

    def __call__(self) -> bytes:
        self.pages += 1
        self.now += self.seconds
        if self.error is not None:
            raise self.error
        return b"%d" % self.pages

    def page(self) -> SharedPage:
        return SharedPage(self, lambda: self.now)


def watch_sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let nobody sleep, and return the list of the seconds that are asked for."""
    waits: list[float] = []
    really = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await really(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return waits


async def test_eight_that_ask_at_a_time_share_one_page() -> None:
    renderer = Renderer()
    page = renderer.page()
    assert await asyncio.gather(*(page.get() for _ in range(20))) == [b"1"] * 8 + [b"2"] * 8 + [b"3"] * 4
    assert renderer.pages == 3


async def test_who_asks_later_gets_a_page_that_is_rendered_after_it_asked() -> None:
    page = Renderer().page()
    assert [await page.get() for _ in range(3)] == [b"1", b"2", b"3"]


async def test_next_page_waits_twenty_times_as_long_as_the_last_one_took(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = watch_sleeps(monkeypatch)
    renderer = Renderer(seconds=0.25)
    page = renderer.page()
    await page.get()
    await page.get()
    renderer.now += 100
    await page.get()
    assert waits == [0.0, 5.0, 0.0]


async def test_pages_rest_a_moment_while_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = watch_sleeps(monkeypatch)
    page = Renderer().page()
    await asyncio.gather(*(page.get() for _ in range(9)))
    assert waits == [0.0, 0.02]


async def test_caller_that_leaves_does_not_take_the_page_from_others() -> None:
    page = Renderer().page()
    leaving, staying = asyncio.create_task(page.get()), asyncio.create_task(page.get())
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == b"1"
    assert leaving.cancelled()


async def test_page_that_nobody_waits_for_any_more_is_not_rendered() -> None:
    renderer = Renderer()
    page = renderer.page()
    leaving = asyncio.create_task(page.get())
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait({leaving})
    assert await page.get() == b"1"


async def test_error_of_one_page_is_not_kept() -> None:
    renderer = Renderer()
    page = renderer.page()
    renderer.error = ArithmeticError()
    with pytest.raises(ArithmeticError):
        await page.get()
    renderer.error = None
    assert await page.get() == b"2"
