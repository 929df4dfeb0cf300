"""The check of the documentation site finds what a browser would load from elsewhere; `make docs` runs it in CI."""

from pathlib import Path

import pytest
from tools.site_addresses import loaded_from_elsewhere

HARMLESS = """<a href="https://example.com/">a link</a><script src="_static/a.js"></script>
<link rel="stylesheet" href="_static/a.css"><p>url and import are words here: https://example.com</p>"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<script src="https://cdn.example/a.js"></script>'),
        ("a.html", '<link rel="stylesheet" href="//cdn.example/a.css">'),
        ("a.html", '<img src="HTTP://cdn.example/a.png">'),
        ("a.html", '<p style="background: url(https://cdn.example/a.png)">'),
        ("a.html", "<script>fetch('https://cdn.example/a.json')</script>"),
        ("a.css", "@font-face { src: url('https://cdn.example/a.woff2') }"),
        ("a.css", '@import "https://cdn.example/a.css";'),
        ("a.js", 'importScripts("https://cdn.example/a.js")'),
    ],
)
def test_what_is_loaded_from_elsewhere_is_found(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "harmless.html").write_text(HARMLESS)
    assert list(loaded_from_elsewhere(tmp_path)) == []
    (tmp_path / name).write_text(text)
    assert [path.name for path, _ in loaded_from_elsewhere(tmp_path)] == [name]
