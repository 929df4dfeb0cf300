"""Owns the frames of one WebSocket (RFC 6455), the server's side, after the opening handshake. Uses no sockets.

MQTT is in binary frames, and packets and frames need not begin or end together (MQTT 5, 6.0). There are no extensions,
so there is no compression.
"""

import logging
from enum import Enum, auto
from typing import Final

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import SERVER, Protocol, State

MAX_FRAME_BYTES: Final = 256 * 1024
"""The largest frame of a client, larger than the largest MQTT packet. It is kept until it is complete."""
MAX_MESSAGE_BYTES: Final = 1024 * 1024
"""The largest message of a client, in any number of frames."""
_DATA: Final = frozenset({Opcode.BINARY, Opcode.CONT})
# At the level of debugging, the library's own logger would write the content of frames, which may be private keys.
SILENT: Final = logging.Logger("websockets", logging.CRITICAL + 1)  # noqa: LOG001  no setting of loggers reaches it


class Closing(Enum):
    """How the peer's data has ended."""

    FAREWELL = auto()
    """With a Close frame."""
    FAULT = auto()
    """With frames that a client must not send, or that are too large."""


class WebSocketFrames:
    """Received bytes go in, and the payloads of binary frames come out; `output` has the bytes to send.

    Pings are answered, and Close frames, too. A fault is answered with a Close frame that names it.
    """

    __slots__ = ("_protocol", "frames")

    def __init__(self) -> None:
        self._protocol = Protocol(SERVER, max_size=(MAX_MESSAGE_BYTES, MAX_FRAME_BYTES), logger=SILENT)
        self.frames = 0
        """How many frames have been received."""

    @property
    def closing(self) -> Closing | None:
        """How the peer's data has ended; None if more may follow."""
        if self._protocol.close_rcvd is not None and self._protocol.parser_exc is None:
            return Closing.FAREWELL
        return Closing.FAULT if self._protocol.eof_sent else None

    def take(self, received: bytes, most: int) -> bytes:
        """Return the payloads of the frames that these bytes complete; a frame of more than ``most`` bytes is a fault.

        Nothing is returned after the end.
        """
        protocol = self._protocol
        protocol.max_fragment_size = most
        protocol.receive_data(received)
        payloads = []
        for frame in protocol.events_received():
            assert isinstance(frame, Frame), "the opening handshake is over"
            self.frames += 1
            if frame.opcode is Opcode.TEXT:
                # MQTT-6.0.0-1.
                protocol.fail(CloseCode.UNSUPPORTED_DATA, "MQTT is in binary frames")
                break
            if frame.opcode in _DATA:
                payloads.append(frame.data)
        return b"".join(payloads)

    def send(self, data: bytes | bytearray) -> None:
        """Put one binary frame into the output, unless a Close frame was sent."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_binary(data)

    def close(self) -> None:
        """Put a Close frame into the output, unless one was sent."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)

    def let_go(self) -> None:
        """Release the memory: the library's parser and its state would keep each other. Nothing may be called then."""
        self._protocol.parser.close()

    def output(self) -> bytes:
        """Return the bytes to send."""
        return b"".join(self._protocol.data_to_send())
