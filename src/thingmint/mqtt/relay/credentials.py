"""Owns the broker logins of devices and of the service. No repr and no message contains a password."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from thingmint.core.error_text import in_words
from thingmint.core.identifiers import AccountId
from thingmint.core.topics.texts import has_unsafe_character
from thingmint.host.given_files import read_given_text

PLACEHOLDERS: Final = ("{certificate_id}", "{client_id}", "{account}")
# The service's own value for certificate id and client id. No device has such a certificate id.
SERVICE: Final = "thingmint"


class LoginUnusable(ValueError):
    """A user name or password cannot be used; the message says why and contains neither."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and a password for one connection."""

    username: str | None
    password: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class BrokerCredentials:
    """Templates of user name and password, or the files that hold them.

    In a template, `PLACEHOLDERS` are replaced by facts of the connection. A file is read again for each connection, so
    that a changed password needs no restart; white space around its content is removed.
    """

    username: str | None = "{certificate_id}"
    username_file: Path | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None

    @property
    def names_account(self) -> bool:
        """Whether each account has a different user name."""
        return self.username is not None and "{account}" in self.username

    def login(self, certificate_id: str, client_id: str, account: AccountId) -> Login:
        """Return the login of a connection; raise LoginUnusable if a file or the client id does not allow one."""
        username = self.username
        if self.username_file is not None:
            username = _content(self.username_file)
        elif username is not None:
            # RabbitMQ reads the part of a user name before a colon as the virtual host.
            if "{client_id}" in username and (":" in client_id or has_unsafe_character(client_id)):
                raise LoginUnusable("A client id that is part of a user name holds no colons and control characters")
            username = _filled(username, certificate_id, client_id, account)
        if self.password_file is not None:
            password: str | None = _content(self.password_file)
        else:
            password = None if self.password is None else _filled(self.password, certificate_id, client_id, account)
        return Login(username, None if password is None else password.encode())


def _filled(template: str, certificate_id: str, client_id: str, account: AccountId) -> str:
    values = dict(zip(PLACEHOLDERS, (certificate_id, client_id, str(account)), strict=True))
    # In one pass, so that a placeholder in a client id is not replaced.
    return re.sub("|".join(map(re.escape, PLACEHOLDERS)), lambda found: values[found[0]], template)


def _content(path: Path) -> str:
    try:
        return read_given_text(path).strip()
    except OSError as error:
        raise LoginUnusable(in_words(error)) from error
    except UnicodeDecodeError as error:
        raise LoginUnusable(f"{path} is not text in UTF-8") from error
