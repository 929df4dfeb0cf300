"""Owns the merging of several workers' metrics into one page in Prometheus's text format. Independent of the metrics.

Exposition formats, "Text-based format": the lines of a metric form one group, under one HELP and one TYPE.
"""

from collections.abc import Mapping

_LABEL = "worker"


def merged(pages: Mapping[int, bytes]) -> bytes:
    """Return one page, in which each sample has the number of its worker as the first label."""
    comments: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for number, page in sorted(pages.items()):
        family = ""
        for line in page.decode().splitlines():
            if line.startswith("# "):
                _, kind, family, *_ = line.split(" ", 3)
                known = comments.setdefault(family, [])
                if not any(each.split(" ", 2)[1] == kind for each in known):
                    known.append(line)
            elif line:
                samples.setdefault(family, []).append(_labelled(line, number))
    lines = [line for family, known in comments.items() for line in (*known, *samples.get(family, ()))]
    return ("\n".join(lines) + "\n").encode()


def _labelled(line: str, number: int) -> str:
    name, space, value = line.partition(" ")
    if "{" in name:
        # A label's value may contain spaces and braces, so the name ends at the first brace.
        name, _, rest = line.partition("{")
        return f'{name}{{{_LABEL}="{number}",{rest}'
    return f'{name}{{{_LABEL}="{number}"}}{space}{value}'
