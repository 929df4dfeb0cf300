"""Owns the bystander of the fairness figures: a process that reads over the API and sends itself messages over MQTT.

Jobs arrive as lines of JSON on standard input, results on standard output. Both are measured every 50 ms, each in a
thread of its own, so that a slow one does not hide the other.
"""

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bench.load import Caller
from bench.service import describe_request, endpoint_of
from thingmint.cli.connection import SignedClient, find_connection
from thingmint.cli.fleet.api import Api
from thingmint.cli.fleet.client import Client
from thingmint.cli.fleet.identity import Identity, new_signing_request
from thingmint.cli.fleet.target import Target, find_target
from thingmint.hardening import harden_process

EVERY_S = 0.05
TOPIC = "bystander/echo"
POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'


class Bystander:
    """A device and an operator of the first account, who do nothing special."""

    def __init__(self, data_directory: Path) -> None:
        connection = find_connection(data_directory, {})
        assert connection.ca_file is not None
        api = Api(SignedClient(connection))
        self._target: Target = find_target(
            api.text("GET", "/endpoint", "endpointAddress"), connection.ca_file, allow_remote=False
        )
        request = new_signing_request("bystander")
        made = api.call(
            "POST", "/certificates", {"setAsActive": "true"}, {"certificateSigningRequest": request.csr_pem}
        )
        api.call("POST", "/policies/bystander", body={"policyDocument": POLICY})
        api.call("PUT", "/target-policies/bystander", body={"target": made["certificateArn"]})
        self._identity = Identity(str(made["certificatePem"]), request.private_key_pem)
        self._read = describe_request(str(made["certificateId"]))
        self._endpoint = endpoint_of(data_directory)

    def watch(self, seconds: float) -> dict[str, Any]:
        """Measure for so long and return the latencies in milliseconds."""
        reads: list[float] = []
        trips: list[float] = []
        reader = threading.Thread(target=self._read_repeatedly, args=(seconds, reads))
        reader.start()
        asyncio.run(self._echo_repeatedly(seconds, trips))
        reader.join()
        return {"api_ms": reads, "mqtt_ms": trips}

    def _read_repeatedly(self, seconds: float, latencies: list[float]) -> None:
        caller, end = Caller(self._endpoint), time.perf_counter() + seconds
        caller.text(self._read)
        while (began := time.perf_counter()) < end:
            caller.text(self._read)
            latencies.append((time.perf_counter() - began) * 1000)
            time.sleep(EVERY_S)
        caller.close()

    async def _echo_repeatedly(self, seconds: float, latencies: list[float]) -> None:
        client = await Client.connect(self._target, self._identity.tls_context(self._target), "bystander")
        await client.subscribe(TOPIC)
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            heard = client.expect(lambda message: message.topic == TOPIC)
            await client.publish(TOPIC, b"")
            await heard
            latencies.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(EVERY_S)
        await client.disconnect()


def main() -> None:
    """Answer each line of standard input."""
    harden_process()
    known: list[Bystander] = []
    while line := sys.stdin.readline():
        job = json.loads(line)
        if job["work"] == "prepare":
            known.append(Bystander(Path(job["data_directory"])))
            print("{}", flush=True)
        else:
            print(json.dumps(known[0].watch(job["seconds"])), flush=True)


if __name__ == "__main__":
    main()
