"""Tells what pages of a site would load from elsewhere, and ends with 1 if there is anything: the site works offline.

Links that a reader follows may lead anywhere. Everything that a browser fetches by itself must be in the folder.

    python tools/site_addresses.py FOLDER
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

_REMOTE = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_IN_STYLES = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s;]+)""", re.IGNORECASE)
# What scripts fetch or load: a remote address as the whole of an argument.
_IN_SCRIPTS = re.compile(r"""(?:fetch|import|importScripts|open|Worker)\(\s*[^)]{0,40}["'`]((?:https?:)?//[^"'`]+)""")
_LOADING = {"src", "srcset", "poster", "data", "action", "formaction", "background"}


class _Page(HTMLParser):
    """Collects the addresses that a browser loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag loads."""
        for name, value in attrs:
            loads = name in _LOADING or (name == "href" and tag in ("link", "base", "use", "image"))
            if value and loads and _REMOTE.match(value):
                self.loaded.append(value)


def loaded_from_elsewhere(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file and the address that it would have a browser load."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".html":
            text = path.read_text(encoding="utf-8")
            page = _Page()
            page.feed(text)
            found = page.loaded + _IN_STYLES.findall(text) + _IN_SCRIPTS.findall(text)
        elif path.suffix == ".css":
            found = _IN_STYLES.findall(path.read_text(encoding="utf-8"))
        elif path.suffix == ".js":
            found = _IN_SCRIPTS.findall(path.read_text(encoding="utf-8"))
        else:
            continue
        yield from ((path.relative_to(folder), address) for address in dict.fromkeys(found))


def main() -> None:
    """Print what was found."""
    folder = Path(sys.argv[1])
    pages = len(list(folder.rglob("*.html")))
    found = list(loaded_from_elsewhere(folder))
    for path, address in found:
        print(f"{path}: {address}")
    if found or not pages:
        sys.exit(1)
    print(f"{pages} pages, which load nothing from elsewhere: {folder / 'index.html'}")


if __name__ == "__main__":
    main()
