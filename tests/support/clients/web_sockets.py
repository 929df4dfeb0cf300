"""Owns presigned addresses of MQTT over WebSockets, signed by botocore as AWS's SDKs sign them."""

from typing import Final
from urllib.parse import quote, urlsplit

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.support.clients.aws import AccessKey, Live

PATH: Final = "/mqtt"
SERVICE: Final = "iotdevicegateway"


def presigned_target(
    live: Live, key: AccessKey, *, service: str = SERVICE, region: str = "us-east-1", expires: int = 60
) -> str:
    """Return path and query; the session token, if there is one, is appended after signing."""
    host = f"localhost:{live.service.endpoints.api_port}"
    request = AWSRequest(method="GET", url=f"https://{host}{PATH}", headers={"Host": host})
    unnamed = Credentials(key.access_key_id, key.secret_access_key)
    SigV4QueryAuth(unnamed, service, region, expires=expires).add_auth(request)
    parts = urlsplit(request.url)
    token = "" if key.session_token is None else f"&X-Amz-Security-Token={quote(key.session_token, safe='')}"
    return f"{parts.path}?{parts.query}{token}"
