"""Runs an HTTP server that answers questions as a webhook does, on the loopback and in a thread of its own."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer

_POLLED_EACH_SECONDS = 0.01
"""So often the server looks whether it shall end."""


@contextlib.contextmanager
def webhook_server(answer: Callable[[bytes, Message], bytes]) -> Iterator[int]:
    """Yield the port of a server whose answers to a body and its headers this function makes."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = answer(self.rfile.read(int(self.headers["Content-Length"])), self.headers)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(_POLLED_EACH_SECONDS,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
