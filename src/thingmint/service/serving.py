"""Owns the life of a node: opens it, serves until it is told to stop, and finishes the requests in progress.

Its parts are made in `node`, `device_port` and `api_server`; its background tasks run in `background`.
"""

import asyncio
import contextlib
import gc
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from thingmint.data_directory.files import held, make_directory
from thingmint.data_directory.handover import Endpoints, remove_endpoints, write_endpoints
from thingmint.host.service_log import service_log
from thingmint.registration.log.sequencing import Sequencer
from thingmint.registration.provisioning.bulk_runner import BulkRunner
from thingmint.registration.provisioning.sweep import sweep
from thingmint.rest.http.limits import Limits
from thingmint.rest.http.server import Server
from thingmint.service.addresses import Ports, endpoints_of
from thingmint.service.background import BackgroundWork, purge_credentials
from thingmint.service.backup.last_backup import show_last_backup
from thingmint.service.clocks import SkewWatch, skew_watched
from thingmint.service.devices.connection_limits import shares_of
from thingmint.service.devices.device_edge import DeviceEdge
from thingmint.service.devices.device_port import device_edge
from thingmint.service.http.api_server import api_server
from thingmint.service.node import OpenNode, open_node
from thingmint.service.opening import store_of_heartbeats
from thingmint.service.public.publication import public_server
from thingmint.service.server_identity import Rotation, ServerIdentity
from thingmint.service.start.storage_choice import database_options
from thingmint.service.workers import Worker
from thingmint.settings.config import Config
from thingmint.storage import listener_of

GRACE_SECONDS = 20.0
# The interpreter's own threshold: with it, a collection of new objects takes a tenth of a millisecond.
_NEW_OBJECTS_BEFORE_COLLECTION = 700


async def serve(config: Config, *, on_ready: Callable[[Endpoints], None], stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set, then finish the requests in progress.

    Raises StartRefused, DirectoryInUse, ServiceUnavailable or OSError if the service cannot start.
    """

    def ready(endpoints: Endpoints) -> None:
        write_endpoints(config.data_dir, endpoints)
        on_ready(endpoints)

    with directory_served(config.data_dir):
        await _serve(config, None, on_ready=ready, stop=stop)


@contextlib.contextmanager
def directory_served(data_dir: Path) -> Iterator[None]:
    """Hold the lock of a data directory for a service; raise DirectoryInUse or OSError."""
    make_directory(data_dir)
    with held(data_dir, "thingmint serve"):
        remove_endpoints(data_dir)
        try:
            yield
        finally:
            remove_endpoints(data_dir)
    service_log.info("stopped")


async def serve_as_worker(
    config: Config, worker: Worker, *, on_ready: Callable[[Endpoints], None], stop: asyncio.Event
) -> None:
    """Serve as one of several processes on a data directory, which another process holds and has prepared.

    Raises StartRefused, ServiceUnavailable or OSError if the worker cannot start.
    """
    await _serve(config, worker, on_ready=on_ready, stop=stop)


async def _serve(
    config: Config, worker: Worker | None, *, on_ready: Callable[[Endpoints], None], stop: asyncio.Event
) -> None:
    async with open_node(config, worker) as node, _running(node) as endpoints:
        # Objects that exist now live as long as the service. A full garbage collection, which stops all threads, skips
        # them from now on.
        gc.freeze()
        # A command line that starts quickly has raised it.
        gc.set_threshold(_NEW_OBJECTS_BEFORE_COLLECTION)
        on_ready(endpoints)
        await stop.wait()
        if worker is None:
            service_log.info("stopping")


@contextlib.asynccontextmanager
async def _running(node: OpenNode) -> AsyncIterator[Endpoints]:
    """Listen on all ports and run the background tasks; yield the node's endpoints, and stop everything afterwards."""
    shares = shares_of(node.config)
    async with contextlib.AsyncExitStack() as stack:
        heartbeats = await stack.enter_async_context(store_of_heartbeats(node.config))
        edge = device_edge(node, shares.devices, heartbeats)
        node.events.listeners.append(edge)
        clock, metrics = node.registry.clock, node.metrics
        await stack.enter_async_context(skew_watched(SkewWatch(clock, service_log, metrics.clock_skew)))
        await edge.start()
        stack.push_async_callback(edge.stop, GRACE_SECONDS)
        api = api_server(node, edge, shares.api)
        server = api.server
        await server.start()
        stack.push_async_callback(server.stop, GRACE_SECONDS)
        public_port = None
        if node.config.public is not None:
            public = public_server(
                node.publication,
                node.config.public,
                shares.public,
                node.config.proxy_protocol,
                node.metrics,
                shares_port=node.worker is not None,
            )
            await public.start()
            stack.push_async_callback(public.stop, GRACE_SECONDS)
            public_port = public.port
        est = None
        if node.config.est is not None:
            # Imported only if it is served, because its payloads (PKCS#7, MIME) need modules that nothing else needs.
            from thingmint.service.http.est import est_server

            # Clients of EST may fill only a part of the queue for keys; the rest is for operators.
            est_limits = Limits(max_connections=shares.est, max_requests=shares.devices.max_provisioning)
            est = est_server(node, edge.devices, api.calls, node.config.est, est_limits)
            await est.start()
            stack.push_async_callback(est.stop, GRACE_SECONDS)
        stack.callback(api.end_streams)
        if node.worker is None:
            stack.callback(remove_endpoints, node.config.data_dir)
        await stack.enter_async_context(_background_work(node, server, edge, est))
        ports = Ports(server.port, edge.port, edge.alpn_port, public_port, None if est is None else est.port)
        yield endpoints_of(node.config, ports)


def _background_work(node: OpenNode, server: Server, edge: DeviceEdge, est: Server | None) -> BackgroundWork:
    rotation = Rotation(
        node.identities, node.identity, node.clock.check, partial(_use, node, server, edge, est), service_log
    )
    works: list[Callable[[], Awaitable[None]]] = [
        # A unique name for this process.
        BulkRunner(node.authority, str(uuid.uuid4())).run,
        partial(sweep, node.authority),
        partial(purge_credentials, node.registry, node.events),
        Sequencer(node.registry.store, node.log, node.metrics.log_grew).run,
        node.clock.run,
        node.issuer_watch.run,
        partial(show_last_backup, node.registry.store, node.metrics),
        node.publication.publisher.run,
        rotation.run,
        *(() if node.worker is None else (partial(node.worker.show, node.metrics.render),)),
        *_listening(node, edge),
    ]
    return BackgroundWork(works, service_log)


def _listening(node: OpenNode, edge: DeviceEdge) -> Sequence[Callable[[], Awaitable[None]]]:
    """Return the task that receives the database's notifications of other nodes' changes; on SQLite, none."""
    config = node.config
    if config.database_url is None:
        return ()
    listener = listener_of(config.database_url, edge.wakers, database_options(config))
    return () if listener is None else (listener.run,)


def _use(node: OpenNode, server: Server, edge: DeviceEdge, est: Server | None, identity: ServerIdentity) -> None:
    if not node.config.insecure_http:
        server.use_tls_context(identity.context)
    edge.use_tls_context(identity.device_context)
    if est is not None:
        est.use_tls_context(identity.est_context)
    node.show_expiries(identity)
