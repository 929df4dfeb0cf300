"""Owns the context object that Python handlers get as their second argument, with the attributes of AWS Lambda's.

Source: "Using the Lambda context object to retrieve Python function information" in AWS Lambda's developer guide.
"""

import time
import uuid
from dataclasses import dataclass, field

# Lambda's default. This service does not limit a handler's memory.
_MEMORY_MB = "128"
_NAME_FIELD = 6


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """The facts of an invocation: the ARN of the function in the settings, and the time that remains."""

    invoked_function_arn: str
    deadline: float = field(repr=False)
    """When the caller stops waiting, by `time.monotonic`."""
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    memory_limit_in_mb: str = _MEMORY_MB
    identity: None = None
    client_context: None = None

    @property
    def function_name(self) -> str:
        """The function's name in its ARN."""
        return self.invoked_function_arn.split(":")[_NAME_FIELD]

    @property
    def function_version(self) -> str:
        """The version or alias in the function's ARN."""
        _, _, version = self.invoked_function_arn.partition(f":function:{self.function_name}:")
        return version or "$LATEST"

    @property
    def log_group_name(self) -> str:
        """The name that the function's log group has at AWS; this service has no log groups."""
        return f"/aws/lambda/{self.function_name}"

    @property
    def log_stream_name(self) -> str:
        """The name of an invocation's log stream; this service has no log streams."""
        return self.aws_request_id

    def get_remaining_time_in_millis(self) -> int:
        """Return for how many milliseconds the caller still waits; zero after its time limit."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))
