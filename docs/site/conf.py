"""How Sphinx builds the documentation site: from the Markdown of the repository as it is, without other sources.

`make docs` runs it. The pages and their order are those of docs/README.md.
"""

import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx

_ROOT = Path(__file__).parents[2]
_CONTENTS = _ROOT / "docs" / "README.md"

project = "Thingmint"
author = "The authors of Thingmint"
extensions = ["myst_parser"]
include_patterns = ["*.md", "docs/*.md", "docs/**/*.md"]
root_doc = "README"
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = "Thingmint"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_favicon = "../../src/thingmint/console/static/mark.svg"
myst_heading_anchors = 4
# Blocks that show messages and grammars, and highlighters that are stricter than what they are given.
highlight_language = "text"
suppress_warnings = ["misc.highlighting_failure", "myst.header"]

_ENTRY = re.compile(r"\[([^]]+)\]\(([^)#\s]+\.md)\)")
_LINK = re.compile(r"(?<!!)\[([^]]*)\]\(([^)\s#]+)((?:#[^)\s]*)?)\)")


def _entry(title: str, path: str) -> str:
    name = (_CONTENTS.parent / path).resolve().relative_to(_ROOT).with_suffix("")
    words = " ".join(title.split())
    return f"{words[:1].upper()}{words[1:]} </{name}>"


def _contents() -> str:
    """Return the tables of contents, one for each section of docs/README.md."""
    parts = []
    for group in re.split(r"^## ", _CONTENTS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading, _, links = group.partition("\n")
        entries = [_entry(title, path) for title, path in _ENTRY.findall(links) if not path.endswith("README.md")]
        parts.append(_table(heading, entries))
    parts.append(_table("Project", ["/docs/README", "/CONTRIBUTING", "/CHANGELOG", "/SECURITY"]))
    parts.append(_table("Decisions", ["/docs/decisions/*"], ":glob:"))
    return "\n\n".join(parts)


def _table(caption: str, entries: list[str], *options: str) -> str:
    return "\n".join(("```{toctree}", ":hidden:", f":caption: {caption}", *options, "", *entries, "```"))


def _prepare(app: Sphinx, name: str, source: list[str]) -> None:
    """Add the tables of contents to the first page; show links to what is no page as their text."""
    folder = (_ROOT / name).parent

    def shown(link: "re.Match[str]") -> str:
        text, path, _ = link.groups()
        if path.startswith(("http:", "https:")):
            return link[0]
        target = (folder / path).resolve()
        is_page = target.suffix in (".md", ".png") and target.exists()
        return link[0] if is_page or not target.exists() else text

    source[0] = _LINK.sub(shown, source[0])
    if name == root_doc:
        source[0] += f"\n\n{_contents()}\n"


def _finish(app: Sphinx, failure: Exception | None) -> None:
    """Give servers the first page under the name that they look for."""
    if failure is None:
        shutil.copy(Path(app.outdir) / f"{root_doc}.html", Path(app.outdir) / "index.html")


def setup(app: Sphinx) -> None:
    """Connect with Sphinx."""
    app.connect("source-read", _prepare)
    app.connect("build-finished", _finish)
