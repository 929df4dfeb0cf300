"""Owns requests to the console without a browser: exact header fields, exact forms, and what came back."""

import contextlib
import http.client
import re
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.clients.aws import AccessKey, Live

_FORM_TOKEN = re.compile(r'name="form_token" value="([0-9a-f]{64})"')
_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """An answer; the names of header fields are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The page."""
        return self.body.decode()


class Pages:
    """A client that keeps the cookie as a browser does, and sends the token of forms unless told otherwise."""

    def __init__(self, live: Live) -> None:
        self._address = urllib.parse.urlsplit(live.service.endpoints.api).netloc
        self._tls = ssl.create_default_context(cafile=live.ca_file)
        self.cookie: str | None = None
        self.form_token = ""
        self.is_patient = True

    def sign_in(self, key: AccessKey) -> "Pages":
        """Sign in, and learn the token of forms."""
        answer = self.post("/login", access_key_id=key.access_key_id, secret_access_key=key.secret_access_key)
        assert answer.status == 303, answer.text
        self.learn()
        return self

    def learn(self) -> None:
        """Learn the token of the session's forms."""
        found = _FORM_TOKEN.search(self.get("").text)
        assert found is not None
        self.form_token = found[1]

    def get(self, path: str, **headers: str) -> Answer:
        """Ask for a page."""
        return self.ask("GET", path, None, headers)

    def post(self, path: str, headers: Mapping[str, str] | None = None, **fields: str) -> Answer:
        """Send a form; one that begins a session is sent again once the address has waited long enough."""
        body = urllib.parse.urlencode({"form_token": self.form_token, **fields}).encode()
        kind = {"content-type": "application/x-www-form-urlencoded", **(headers or {})}
        answer = self.ask("POST", path, body, kind)
        while path == "/login" and answer.status == 429 and self.is_patient:
            time.sleep(int(answer.headers["retry-after"]))
            answer = self.ask("POST", path, body, kind)
        return answer

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send a request on a connection of its own."""
        own = {} if self.cookie is None else {"cookie": self.cookie}
        with contextlib.closing(
            http.client.HTTPSConnection(self._address, context=self._tls, timeout=_TIMEOUT_SECONDS)
        ) as connection:
            connection.request(method, f"/console{path}", body, {**own, **headers})
            with connection.getresponse() as response:
                fields = {name.lower(): value for name, value in response.getheaders()}
                answer = Answer(response.status, fields, response.read())
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer
