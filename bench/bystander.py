"""Owns the clients of the fairness figures: a process that is an operator and a device of one account.

Jobs arrive as lines of JSON on standard input, results on standard output. To watch is to read over the API and to send
oneself messages over MQTT every 50 ms, in a thread for each, so that a slow one does not hide the other. To publish is
to send messages to a new topic each time, as fast as they are acknowledged.
"""

import asyncio
import dataclasses
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bench.load import Caller
from bench.service import describe_request, endpoint_of
from bench.wire import Credentials
from thingmint.cli.connection import SignedClient, find_connection
from thingmint.cli.simulation.api import Api
from thingmint.cli.simulation.clients.client import Client
from thingmint.cli.simulation.clients.identity import Identity, new_signing_request
from thingmint.cli.simulation.target import Target, find_target
from thingmint.host.hardening import harden_process

EVERY_S = 0.05
TOPIC = "bystander/echo"
LONGEST = 250
POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'


class Participant:
    """A device and an operator of one account: of the first, unless another one's credentials are given."""

    def __init__(self, job: dict[str, Any]) -> None:
        directory = Path(job["data_directory"])
        connection, self._endpoint = find_connection(directory, {}), endpoint_of(directory)
        if "credentials" in job:
            key, secret = job["credentials"]
            connection = dataclasses.replace(connection, access_key_id=key, secret_access_key=secret)
            self._endpoint = dataclasses.replace(self._endpoint, credentials=Credentials(key, secret))
        assert connection.ca_file is not None
        api = Api(SignedClient(connection))
        endpoint = api.text("GET", "/endpoint", "endpointAddress")
        self._target: Target = find_target(endpoint, connection.ca_file, allow_remote=False)
        request = new_signing_request("bench")
        made = api.call(
            "POST", "/certificates", {"setAsActive": "true"}, {"certificateSigningRequest": request.csr_pem}
        )
        if "policies" not in job:
            api.call("POST", "/policies/bystander", body={"policyDocument": POLICY})
        for name in job.get("policies", ["bystander"]):
            api.call("PUT", f"/target-policies/{name}", body={"target": made["certificateArn"]})
        self._identity = Identity(str(made["certificatePem"]), request.private_key_pem)
        self._read = describe_request(str(made["certificateId"]))

    def watch(self, job: dict[str, Any]) -> dict[str, Any]:
        """Measure for so long and return the latencies in milliseconds."""
        reads: list[float] = []
        trips: list[float] = []
        reader = threading.Thread(target=self._read_repeatedly, args=(job["seconds"], reads))
        reader.start()
        asyncio.run(self._echo_repeatedly(job["seconds"], trips))
        reader.join()
        return {"api_ms": reads, "mqtt_ms": trips}

    def publish(self, job: dict[str, Any]) -> dict[str, Any]:
        """Publish for so long with so many clients and return how many messages were acknowledged."""
        return {"published": asyncio.run(self._publish_with(job["clients"], job["seconds"]))}

    def _read_repeatedly(self, seconds: float, latencies: list[float]) -> None:
        caller, end = Caller(self._endpoint), time.perf_counter() + seconds
        caller.text(self._read)
        while (began := time.perf_counter()) < end:
            caller.text(self._read)
            latencies.append((time.perf_counter() - began) * 1000)
            time.sleep(EVERY_S)
        caller.close()

    async def _echo_repeatedly(self, seconds: float, latencies: list[float]) -> None:
        client = await self._client("bystander")
        await client.subscribe(TOPIC)
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            heard = client.expect(lambda message: message.topic == TOPIC)
            await client.publish(TOPIC, b"")
            await heard
            latencies.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(EVERY_S)
        await client.disconnect()

    async def _publish_with(self, clients: int, seconds: float) -> int:
        published = await asyncio.gather(*(self._publish(f"publisher-{each}", seconds) for each in range(clients)))
        return sum(published)

    async def _publish(self, client_id: str, seconds: float) -> int:
        client, count = await self._client(client_id), 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            await client.publish(f"{client_id}/{count}/".ljust(LONGEST, "a"), b"")
            count += 1
        await client.disconnect()
        return count

    async def _client(self, client_id: str) -> Client:
        return await Client.connect(self._target, self._identity.tls_context(self._target), client_id)


def main() -> None:
    """Answer each line of standard input."""
    harden_process()
    known: list[Participant] = []
    while line := sys.stdin.readline():
        job = json.loads(line)
        if job["work"] == "prepare":
            known.append(Participant(job))
            answer: dict[str, Any] = {}
        else:
            answer = getattr(known[0], job["work"])(job)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
