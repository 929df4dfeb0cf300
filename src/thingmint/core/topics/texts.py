"""Owns which characters the texts of MQTT messages do not hold. Independent of packets."""

import re
from typing import Final

_PLANES: Final = range(0, 0x110000, 0x10000)
_LAST_OF_PLANES: Final = "".join(chr(plane | 0xFFFE) + chr(plane | 0xFFFF) for plane in _PLANES)
_UNSAFE: Final = re.compile(f"[\0-\x1f\x7f-\x9f\ufdd0-\ufdef{_LAST_OF_PLANES}]")


def has_unsafe_character(text: str) -> bool:
    """Return whether the text has a control character or a noncharacter of Unicode.

    MQTT advises against them, and a receiver may end its connection because of them (MQTT 5, 1.5.4; MQTT 3.1.1,
    1.5.3). Mosquitto's programs do, and AWS's SDKs do not send them.
    """
    return _UNSAFE.search(text) is not None
