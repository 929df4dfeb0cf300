"""`thingmint fleet simulate`: runs a simulation from the command line: its preparation, its end, its exit code."""

import asyncio
import secrets
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import BinaryIO

from msgspec import Struct

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable
from thingmint.cli.settings import fail
from thingmint.cli.simulation import crowd
from thingmint.cli.simulation.bystander import BystanderOrders
from thingmint.cli.simulation.clean_up import remove_devices
from thingmint.cli.simulation.clients.client import BrokerRefused, ConnectionLost
from thingmint.cli.simulation.clients.device import Orders, SimulatedDevice
from thingmint.cli.simulation.clients.est import EstBusy, EstTarget, find_est
from thingmint.cli.simulation.clients.identity import Identity
from thingmint.cli.simulation.crowd import Schedule
from thingmint.cli.simulation.measures import Measures
from thingmint.cli.simulation.preparation import (
    CreatedResources,
    SharedPolicy,
    make_bystander,
    make_claim,
    make_template,
    parameters_of,
)
from thingmint.cli.simulation.progress import progress
from thingmint.cli.simulation.report import RunOutcome, print_json, print_report
from thingmint.cli.simulation.service import Service
from thingmint.cli.simulation.storm import FEWEST_DEVICES, Storm, StormKind, will_topic_of_storms
from thingmint.cli.simulation.target import Target, TargetRefused, find_target
from thingmint.core.error_text import in_words
from thingmint.host.given_files import read_opened
from thingmint.host.hardening import harden_process
from thingmint.host.open_files import most_open_files

ROTATED = "rotated"
"""The value of ``renew`` with which devices wait for another issuer."""

_INTERRUPTED = 130
_SPARE_DESCRIPTORS = 64
_REFUSALS = (BrokerRefused, ConnectionLost, EstBusy, LookupError, ServiceRefused, ServiceUnreachable, TargetRefused)


class Options(Struct, frozen=True, kw_only=True):
    """The values of the command line's flags."""

    devices: int
    concurrency: int
    keys: bool
    duration: float
    publish: float
    reconnect: bool
    renew: str | None
    est: str | None
    storm: str | None
    template: str | None
    parameters: tuple[str, ...]
    topic: str
    claim_certificate: BinaryIO | None
    claim_key: BinaryIO | None
    endpoint: str | None
    mqtt: str | None
    ca_file: str | None
    allow_remote: bool
    clean_up: bool
    as_json: bool


def simulate_fleet(data_dir: Path, options: Options, *, is_named: bool) -> None:
    """Run the simulation; the exit code is 0 only if no device failed.

    ``is_named``: the data directory was given as a flag, so only its own service may be used.
    """
    # The devices' keys are as secret as the service's, and their connections need as many descriptors.
    harden_process()
    run, made = f"sim-{secrets.token_hex(4)}", CreatedResources()
    service = Service(data_dir, options.endpoint, is_named=is_named, allow_remote=options.allow_remote)
    try:
        _require_descriptors(options)
        outcome = _simulate(run, made, options, service)
    except KeyboardInterrupt:
        fail(f"interrupted{_left(run, made)}", _INTERRUPTED)
    except (*_REFUSALS, OSError) as error:
        fail(f"{in_words(error)}{_left(run, made)}")
    finally:
        service.close()
    (print_json if options.as_json else print_report)(outcome)
    if outcome.interrupted:
        sys.exit(_INTERRUPTED)
    if outcome.failed or outcome.troubles:
        sys.exit(1)


def _simulate(run: str, made: CreatedResources, options: Options, service: Service) -> RunOutcome:
    est = None if options.renew is None else _est(options, service)
    storm_kind = None if options.storm is None else _storm_kind(options.storm, options)
    orders = _prepared(run, made, options, service)
    measures = Measures()
    devices = [SimulatedDevice(f"{run}-{number:05}", orders, measures) for number in range(1, options.devices + 1)]
    schedule = Schedule(
        options.concurrency,
        options.duration,
        options.publish,
        options.reconnect,
        est,
        options.renew == ROTATED,
        None if storm_kind is None else _storm(storm_kind, run, made, orders, measures, service),
    )
    troubles: list[str] = []
    began = perf_counter()
    with progress(options.devices, measures) as advance:
        try:
            is_interrupted = _lived(devices, schedule, advance)
            seconds = perf_counter() - began
        finally:
            if options.clean_up:
                troubles += remove_devices(service.api(), devices, lambda: advance("remove"))
                troubles += made.remove()
    return RunOutcome(
        run=run,
        devices=options.devices,
        failed=sum(device.has_failed for device in devices),
        seconds=seconds,
        interrupted=is_interrupted,
        measures=measures,
        kept=[*made.names, *_kept(run, devices, options)],
        troubles=troubles,
        renews=options.renew is not None,
        storm=storm_kind,
    )


def _kept(run: str, devices: Sequence[SimulatedDevice], options: Options) -> list[str]:
    count = 0 if options.clean_up else sum(device.certificate_id is not None for device in devices)
    return [f"{count} devices named {run}-…"] if count else []


def _lived(devices: Sequence[SimulatedDevice], schedule: Schedule, advance: Callable[[str], None]) -> bool:
    """Run the devices; return whether the run was interrupted."""
    try:
        asyncio.run(crowd.run(devices, schedule, advance))
    except KeyboardInterrupt:
        return True
    return False


def _prepared(run: str, made: CreatedResources, options: Options, service: Service) -> Orders:
    """Return the orders of all devices; on failure, remove what was made for them."""
    given, parameters = _given_claim(options), _parameters(options)
    target = _target(options, service)
    try:
        template = options.template or make_template(service.api(), made, run)
        parameters = parameters or parameters_of(service.api(), template)
        claim = given or make_claim(service.api(), made, run, template)
        return Orders(
            target,
            _claim_context(claim, target),
            template,
            parameters,
            options.topic,
            not options.keys,
            will_topic_of_storms(run) if options.storm == StormKind.WILLS else None,
        )
    except BaseException:
        made.remove()
        raise


def _target(options: Options, service: Service) -> Target:
    authority = options.mqtt
    if authority is None:
        authority = service.api().text("GET", "/endpoint", "endpointAddress", {"endpointType": "iot:Data-ATS"})
    return find_target(authority, options.ca_file or service.ca_file(), allow_remote=options.allow_remote)


def _est(options: Options, service: Service) -> EstTarget:
    ca_file = options.ca_file or service.ca_file()
    return find_est(options.est or service.est(), ca_file, allow_remote=options.allow_remote)


def _storm_kind(kind: str, options: Options) -> StormKind:
    if options.template or options.claim_certificate or options.claim_key:
        raise LookupError("a storm needs a policy that is the run's own: leave --template and --claim-… out")
    if options.devices < FEWEST_DEVICES:
        raise LookupError(f"a storm needs {FEWEST_DEVICES} devices or more")
    return StormKind(kind)


def _storm(
    kind: StormKind, run: str, made: CreatedResources, orders: Orders, measures: Measures, service: Service
) -> Storm:
    api, name = service.api(), f"{run}-bystander"
    try:
        certificate = make_bystander(api, made, name)
    except BaseException:
        made.remove()
        raise
    watch = BystanderOrders(service.connection(), orders.target, name, certificate)
    return Storm(kind, watch, SharedPolicy(api, run), measures)


def _claim_context(claim: Identity, target: Target) -> ssl.SSLContext:
    try:
        return claim.tls_context(target)
    except OSError as error:
        raise LookupError(f"the claim cannot be used: {in_words(error)}") from error


def _given_claim(options: Options) -> Identity | None:
    certificate, key = options.claim_certificate, options.claim_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise LookupError("a claim is a certificate and its key: give both --claim-certificate and --claim-key")
    try:
        return Identity(read_opened(certificate).decode(), read_opened(key).decode())
    except (OSError, UnicodeDecodeError) as error:
        raise LookupError(f"the claim cannot be used: {in_words(error)}") from error


def _parameters(options: Options) -> Mapping[str, str]:
    parameters = dict(each.partition("=")[::2] for each in options.parameters)
    if "" in parameters or not all("=" in each for each in options.parameters):
        raise LookupError("a parameter is NAME=VALUE")
    return parameters


def _require_descriptors(options: Options) -> None:
    stays = options.duration > 0 or options.reconnect or bool(options.renew or options.storm)
    wanted = (options.devices if stays else min(options.devices, options.concurrency)) + _SPARE_DESCRIPTORS
    most = most_open_files()
    if most is not None and most < wanted:
        raise LookupError(f"{wanted} descriptors are needed and this process may have {most}: raise `ulimit -n`")


def _left(run: str, made: CreatedResources) -> str:
    return f"; left behind: {', '.join(made.names)} and any devices named {run}-…" if made.names else ""
