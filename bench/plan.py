"""Owns how much is measured: rounds, seconds and rows, for the full run and for the sanity check."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CLIENTS = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each figure is measured; a round runs every side of a ratio once, one right after the other."""

    key_rounds: int
    key_slice_s: float
    latency_rounds: int
    latency_burst: int
    csr_rounds: int
    csr_slice_s: float
    read_rounds: int
    read_slice_s: float
    rows: int
    few_rows: int
    row_rounds: int
    row_requests: int
    relay_rounds: int
    relay_slice_s: float
    provisioning_rounds: int
    provisioning_slice_s: float
    csr_flow_rounds: int
    csr_flow_slice_s: float
    handshake_rounds: int
    handshake_slice_s: float
    crowd: int
    crowd_messages: int
    crowd_shared: int
    storm_devices: int
    sleepers: int
    room_rounds: int
    idle_devices: int
    bystander_s: float
    bystander_devices: int
    ocsp_rounds: int
    ocsp_answers: int
    list_rounds: int
    list_entries: int
    listed_revocations: int
    revocations: int
    node_devices: int
    idle_connections: int
    issue_rounds: int
    issue_rows: int
    starts: int
    settle_s: float


# Generating a key takes a random time whose standard deviation is two thirds of its mean. 12 slices of 6 s on two cores
# hold about 4,000 keys a side, which makes the standard error of a ratio of sums about 1.5 %.
FULL = Plan(
    key_rounds=12,
    key_slice_s=6.0,
    latency_rounds=25,
    latency_burst=32,
    csr_rounds=10,
    csr_slice_s=2.0,
    read_rounds=6,
    read_slice_s=4.0,
    rows=1_000_000,
    few_rows=1_000,
    row_rounds=10,
    row_requests=300,
    relay_rounds=10,
    relay_slice_s=2.0,
    provisioning_rounds=12,
    provisioning_slice_s=6.0,
    csr_flow_rounds=6,
    csr_flow_slice_s=3.0,
    handshake_rounds=8,
    handshake_slice_s=3.0,
    crowd=1_000,
    crowd_messages=40,
    crowd_shared=20_000,
    storm_devices=2_000,
    sleepers=10_000,
    room_rounds=5,
    idle_devices=5_000,
    bystander_s=20.0,
    bystander_devices=3_000,
    ocsp_rounds=6,
    ocsp_answers=3_000,
    list_rounds=5,
    list_entries=100_000,
    listed_revocations=60,
    revocations=100,
    node_devices=5_000,
    idle_connections=30_000,
    issue_rounds=6,
    issue_rows=600,
    starts=9,
    settle_s=3.0,
)
QUICK = Plan(
    key_rounds=3,
    key_slice_s=2.5,
    latency_rounds=5,
    latency_burst=16,
    csr_rounds=3,
    csr_slice_s=1.0,
    read_rounds=2,
    read_slice_s=1.5,
    rows=20_000,
    few_rows=1_000,
    row_rounds=3,
    row_requests=100,
    relay_rounds=3,
    relay_slice_s=1.0,
    provisioning_rounds=3,
    provisioning_slice_s=3.0,
    csr_flow_rounds=3,
    csr_flow_slice_s=1.0,
    handshake_rounds=3,
    handshake_slice_s=1.0,
    crowd=300,
    crowd_messages=20,
    crowd_shared=5_000,
    storm_devices=300,
    sleepers=3_000,
    room_rounds=2,
    idle_devices=400,
    bystander_s=8.0,
    bystander_devices=300,
    ocsp_rounds=2,
    ocsp_answers=1_000,
    list_rounds=2,
    list_entries=100_000,
    listed_revocations=12,
    revocations=20,
    node_devices=300,
    idle_connections=1_000,
    issue_rounds=2,
    issue_rows=100,
    starts=3,
    settle_s=1.0,
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmarks: its plan, and a directory for whatever the servers write."""

    plan: Plan
    directory: Path


def rotated(sides: Sequence[T], round_number: int) -> list[T]:
    """Return the sides beginning with another one in each round, so that no side always follows the same one."""
    first = round_number % len(sides)
    return [*sides[first:], *sides[:first]]
