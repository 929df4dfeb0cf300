"""The page of the settings is the one that follows from their table."""

from tools.settings_page import PAGE, page

from thingmint.settings.table import SETTINGS


def test_the_page_is_generated_from_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "run tools/settings_page.py"
    assert all(f"| `{setting.name}`" in text and setting.meaning in text for setting in SETTINGS)
