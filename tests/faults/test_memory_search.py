"""How long private keys stay readable in the service's memory after they were handed out, as root would see it."""

import base64
import os
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.support.clients.client import client_of, create_keys
from tests.support.services.memory import found_in_memory, processes_of
from tests.support.services.service import running_service

GIVEN = 30
LAST = 20
pytestmark = [pytest.mark.long, pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")]


def traces_of(pem: str) -> list[bytes]:
    """Return what would give the key away: lines of it, its factors and its exponent, in the forms they have."""
    lines = pem.splitlines()
    key = serialization.load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    der = base64.b64decode("".join(lines[1:-1]))
    found = [lines[12].encode(), lines[20].encode(), der[400:432]]
    for number in (numbers.p, numbers.q, numbers.d):
        size = (number.bit_length() + 7) // 8
        # OpenSSL keeps numbers in machine words, little end first.
        found += [number.to_bytes(size, "big")[:48], number.to_bytes(size, "little")[:48]]
    return found


def test_few_of_the_last_keys_are_readable_in_the_services_memory(tmp_path: Path) -> None:
    # The first keys come from the reserve, the others are made on demand.
    with running_service(tmp_path / "data", key_reserve=8) as service:
        client = client_of(service)
        given = [create_keys(client).private_key_pem for _ in range(GIVEN)]
        of_each = [traces_of(str(pem)) for pem in given[-LAST:]]
        traces = {trace: number for number, of_one in enumerate(of_each) for trace in of_one}
        # This process holds the keys still, so a search that finds none here finds nothing anywhere. One trace of each
        # is enough: to look for all nine of them in all memory of a long test run takes longer than all the rest.
        held = {of_one[0] for of_one in of_each}
        assert found_in_memory(os.getpid(), held) == held

        processes = processes_of(service.process.pid)
        assert len(processes) > 1
        found = {process: found_in_memory(process, traces) for process in processes}
        readable = {traces[trace] for each in found.values() for trace in each}
        print(f"{len(readable)} of the last {LAST} keys are readable")
        # Two to four are what CPython and OpenSSL leave in freed memory; something that keeps keys would keep them all.
        assert len(readable) <= LAST // 2
