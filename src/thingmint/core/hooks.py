"""Owns how an operator's functions are named, called and how they fail. Does no I/O.

Hooks of provisioning templates and certificate providers are such functions. Each is named by the ARN of a Lambda
function, as AWS's clients name it.
"""

import re
from typing import Protocol

# AWS's limit on a hook's run time.
HOOK_SECONDS = 5.0
_LAMBDA_ARN = re.compile(
    r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[a-zA-Z0-9_-]{1,64}(:(\$LATEST|[a-zA-Z0-9_-]{1,128}))?"
)


def is_function_arn(text: str) -> bool:
    """Return whether the text is the ARN of a Lambda function, of a version or of an alias of one."""
    return _LAMBDA_ARN.fullmatch(text) is not None


class HookFailed(Exception):
    """A hook could not be called, or its answer has the wrong form. The text is for the log, never for a device."""


class HookBusy(HookFailed):
    """A hook had its maximum number of calls in progress until the wait ended. The device can try again."""


class Question(Protocol):
    """A request to an operator's function, which is a hook or a certificate provider."""

    @property
    def asked_for(self) -> str:
        """The ARN of the resource that the question is about, for the log."""
        ...

    def as_json(self) -> dict[str, object]:
        """Return the question as the JSON object that the function reads."""
        ...

    def check(self, answer: object) -> None:
        """Raise HookFailed unless the answer has the form of an answer to this question."""
        ...
