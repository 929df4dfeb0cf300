"""Owns the reference model of wildcards: simple, and slow for some patterns; the service uses `core.wildcards`."""

from dataclasses import dataclass

from thingmint.core.wildcards import Fixed, Predicate, Wildcard


def reference_glob(tokens: tuple[Fixed, ...]) -> Predicate:
    """Return whether a whole text matches the tokens; ``*`` crosses everything."""
    if tokens == (Wildcard.ANY_RUN,):
        return lambda _text: True
    segments = [_segment(part) for part in _split_at_runs(tokens)]
    first, last, between = segments[0], segments[-1], segments[1:-1]
    if len(segments) == 1:
        return lambda text: len(text) == first.length and first.is_at(text, 0)

    def matches(text: str) -> bool:
        end = len(text) - last.length
        if end < first.length or not first.is_at(text, 0) or not last.is_at(text, end):
            return False
        offset = first.length
        for segment in between:
            # The leftmost place is as good as any: whatever follows has the most room then.
            offset = segment.find(text, offset, end)
            if offset < 0:
                return False
            offset += segment.length
        return True

    return matches


@dataclass(frozen=True, slots=True)
class _Segment:
    """A text of known length: literal runs at offsets, any character between them."""

    length: int
    runs: tuple[tuple[int, str], ...]

    def is_at(self, text: str, offset: int) -> bool:
        return all(text.startswith(run, offset + start) for start, run in self.runs)

    def find(self, text: str, start: int, end: int) -> int:
        if not self.runs:
            return start if start + self.length <= end else -1
        lead, run = self.runs[0]
        offset = start
        while True:
            found = text.find(run, offset + lead, end)
            offset = found - lead
            if found < 0 or offset + self.length > end:
                return -1
            if self.is_at(text, offset):
                return offset
            offset += 1


def _segment(tokens: tuple[Fixed, ...]) -> _Segment:
    runs: list[tuple[int, str]] = []
    length = 0
    for token in tokens:
        if isinstance(token, str):
            runs.append((length, token))
            length += len(token)
        else:
            length += 1
    return _Segment(length, tuple(runs))


def _split_at_runs(tokens: tuple[Fixed, ...]) -> list[tuple[Fixed, ...]]:
    parts: list[list[Fixed]] = [[]]
    for token in tokens:
        if token is Wildcard.ANY_RUN:
            parts.append([])
        else:
            parts[-1].append(token)
    return [tuple(part) for part in parts]


def reference_tokens(text: str, variables: dict[str, str]) -> tuple[Fixed, ...] | None:
    """Return the tokens of a pattern, one for each character or variable; None if a variable has no value."""
    tokens: list[Fixed] = []
    offset = 0
    while offset < len(text):
        if text.startswith("${", offset):
            end = text.index("}", offset)
            key, _, default = text[offset + 2 : end].partition(", ")
            value = key if key in "*?$" else variables.get(key, default.strip("'") if default else None)
            if value is None:
                return None
            tokens.append(value)
            offset = end + 1
        else:
            tokens.append(Wildcard(text[offset]) if text[offset] in "*?" else text[offset])
            offset += 1
    return tuple(tokens)
