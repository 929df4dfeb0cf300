"""Owns the lookup of the service for a simulation, done when it is needed: a run with all options does not need it."""

import os
from pathlib import Path

from thingmint.cli.connection import Connection, SignedClient, find_connection
from thingmint.cli.simulation.api import Api
from thingmint.cli.simulation.target import require_loopback_url
from thingmint.data_directory.handover import read_endpoints


class Service:
    """The service of AWS's variables, or of the data directory. Methods raise LookupError if there is none."""

    def __init__(self, data_dir: Path, endpoint: str | None, *, is_named: bool = False, allow_remote: bool) -> None:
        """Store where to look. ``endpoint`` and a named data directory take precedence over the variables."""
        self._is_named = is_named and endpoint is None
        self._data_dir = data_dir
        self._environment = dict(os.environ) | ({} if endpoint is None else {"AWS_ENDPOINT_URL_IOT": endpoint})
        self._allow_remote = allow_remote
        self._client: SignedClient | None = None

    def api(self) -> Api:
        """Return its API; raise TargetRefused if it is on another machine and that is not allowed."""
        if self._client is None:
            self._client = SignedClient(self.connection())
        return Api(self._client)

    def connection(self) -> Connection:
        """Return how its API is called; raise TargetRefused if it is on another machine and that is not allowed."""
        connection = self._connection()
        if not self._allow_remote:
            require_loopback_url(connection.endpoint)
        return connection

    def ca_file(self) -> str:
        """Return the path of the CA file that verifies its certificate."""
        ca_file = self._connection().ca_file
        if ca_file is None:
            raise LookupError("no CA file verifies the device port's certificate: name one with --ca")
        return ca_file

    def est(self) -> str:
        """Return the URL of EST; raise LookupError if the service of the data directory does not serve it."""
        endpoints = read_endpoints(self._data_dir)
        if endpoints is None or endpoints.est is None:
            raise LookupError("the service does not serve EST: start it with --est ADDRESS, or name the URL with --est")
        return endpoints.est

    def close(self) -> None:
        """End calls in progress, also those in other threads."""
        if self._client is not None:
            self._client.close()

    def _connection(self) -> Connection:
        return find_connection(self._data_dir, self._environment, is_named=self._is_named)
