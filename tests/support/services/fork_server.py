"""Owns a process that imports the modules of a program and forks for each run: `-m …fork_server SOCKET MODULE…`.

Importing takes most of the processor time of a short program. Each run is a process of its own, with its own arguments,
environment, folder and files, so that nothing of it remains for the next run.

A client sends one message (`Run.read`) with three files: standard input, output and error. The answers are the process
id (with a descriptor of the process) and, when the process has ended, its exit code as `subprocess` counts. If the
client ends before, the process is killed: nobody else would, and it would keep its files open. The server ends when its
standard input does.
"""

import atexit
import contextlib
import gc
import importlib
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric import rsa

_MOST_OCTETS = 1 << 17
_FEW_ROUNDS = 1000
"""With so many a passphrase is made into a key that seals others."""
_READY_KEYS = 8
"""So many RSA keys for the identities of services: two for each start, so that four services in a row share none."""
# What `python -m` runs, and what only tests import.
_NOT_OF_PROGRAMS = ("__main__", "pytest_plugin", "testing")


@dataclass(frozen=True)
class Run:
    """What a client asks for."""

    program: str
    """A script's absolute path, or a module to be run as `python -m` does."""
    arguments: list[str]
    environment: dict[str, str]
    folder: str

    @classmethod
    def read(cls, message: bytes) -> Self:
        """Return what a message asks for.

        Its texts are separated by zero bytes, which none of them can have: the program, the folder, the number of
        arguments, the arguments, and the variables as `NAME=value`. The programs of `forked.py` write it, which have
        no time to import `json`.
        """
        program, folder, number, *texts = map(os.fsdecode, message.split(b"\0"))
        arguments, variables = texts[: int(number)], texts[int(number) :]
        return cls(program, arguments, dict(each.split("=", 1) for each in variables), folder)


def wait_for_a_run(path: str, modules: list[str]) -> Run:
    """Serve until standard input ends. Return in the forked processes only."""
    before = dict(os.environ)
    for module in modules:
        _import(module)
    # The AWS CLI tells itself in this way where its data is.
    set_by_imports = {name: value for name, value in os.environ.items() if before.get(name) != value}
    if "awscli.clidriver" in sys.modules:
        _read_models()
    if "thingmint.issuance.keys.private_keys" in sys.modules:
        # Half of the time of a start with a passphrase. How many there are in earnest is tested where keys are.
        vars(sys.modules["thingmint.issuance.keys.private_keys"])["_KDF_ROUNDS"] = _FEW_ROUNDS
    ready = ReadyKeys()
    # The collector leaves what exists already alone, so that runs share its memory.
    gc.collect()
    gc.freeze()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening,
        selectors.DefaultSelector() as selector,
        contextlib.ExitStack() as of_others,
    ):
        listening.bind(path)
        listening.listen(128)
        selector.register(listening, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        print("listening", flush=True)
        while True:
            for key, _ in selector.select():
                if key.fileobj is sys.stdin:
                    # Runs that have not ended go on, as the children of other processes do.
                    os._exit(0)
                if key.fileobj is not listening:
                    _end_or_kill(key, selector)
                    continue
                run = _accept(listening, selector, ready)
                if run is not None:
                    for other in {key.data for key in selector.get_map().values()} - {None}:
                        of_others.callback(_close, other)
                    return replace(run, environment=run.environment | set_by_imports)


def _import(module: str) -> None:
    """Import a module; with `.*` at the end, also all below it that no program is made of."""
    package = importlib.import_module(module.removesuffix(".*"))
    if module.endswith(".*"):
        for below in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if below.name.rpartition(".")[2] not in _NOT_OF_PROGRAMS:
                # Without an extra such as `pkcs11`, the run that needs it tells so.
                with contextlib.suppress(ModuleNotFoundError):
                    _import(f"{below.name}.*" if below.ispkg else below.name)


def _read_models() -> None:
    """Let the AWS CLI read the models of its services once: to find and parse them is half of the time of a command."""
    # The AWS CLI imports its commands when it makes its driver. This driver is not used.
    clidriver = vars(sys.modules["awscli.clidriver"])
    session = clidriver["create_clidriver"]().session
    for service in ("iot", "iot-data"):
        session.create_client(service, region_name="us-east-1", aws_access_key_id="-", aws_secret_access_key="-")
        session.get_paginator_model(service)
    session.get_available_services()
    # Each command looks for waiters.
    session.get_component("data_loader").list_available_services("waiters-2")
    read = session.get_component("data_loader")
    vars(sys.modules[type(session).__module__])["create_loader"] = lambda *_: read
    # To register the handlers of a driver's events is half of the rest.
    driver = clidriver["create_clidriver"]()

    def ready() -> object:
        # The files of settings that this process's environment names were read. Those of the run's are to be read.
        vars(driver.session).update(dict.fromkeys(("_config", "_profile", "_profile_map")))
        return driver

    clidriver["create_clidriver"] = ready


class ReadyKeys:
    """RSA keys that starting services use instead of making their own: to make two is a third of a start.

    They are the keys of a service's own certificate and of its authority for clients without ECDSA, never those of
    issuers or devices.
    """

    def __init__(self) -> None:
        self._keys: list[rsa.RSAPrivateKey] = []
        self._starts = 0

    def for_next_start(self) -> tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey]:
        """Return the keys of the next service."""
        first = 2 * self._starts % _READY_KEYS
        self._starts += 1
        while len(self._keys) < first + 2:
            self._keys.append(rsa.generate_private_key(65537, 2048))
        return self._keys[first], self._keys[first + 1]


def _use_keys(of_server: rsa.RSAPrivateKey, of_authority: rsa.RSAPrivateKey) -> None:
    """Let the service that this process becomes start with these keys."""
    authorities, generated = vars(sys.modules["thingmint.data_directory.authorities"]), set[str]()
    generate = authorities["generate_private_key"]

    def ready_or_new(key_type: str) -> object:
        # The authority for clients without ECDSA is the last one. If others have RSA keys too, there is none for it.
        is_last = bool(generated) and "rsa-2048" not in generated
        generated.add(key_type)
        return of_authority if key_type == "rsa-2048" and is_last else generate(key_type)

    async def ready() -> rsa.RSAPrivateKey:
        return of_server

    authorities["generate_private_key"] = ready_or_new
    vars(sys.modules["thingmint.service.node"])["new_rsa_key"] = ready


def _accept(listening: socket.socket, selector: selectors.BaseSelector, ready: ReadyKeys) -> Run | None:
    """Fork for the next client. Return what to run in the new process, and None in this one."""
    client, _ = listening.accept()
    message, files, _, _ = socket.recv_fds(client, _MOST_OCTETS, 3)
    if not message:
        client.close()
        return None
    run = Run.read(message)
    keys = ready.for_next_start() if (run.program, *run.arguments[:1]) == ("thingmint", "serve") else None
    pid = os.fork()
    if pid == 0:
        client.close()
        _take_files(files)
        if keys is not None:
            _use_keys(*keys)
        return run
    for file in files:
        os.close(file)
    started = _Started(pid, os.pidfd_open(pid), client)
    with contextlib.suppress(OSError):
        socket.send_fds(client, [b"%d" % pid], [started.process])
    selector.register(started.process, selectors.EVENT_READ, started)
    selector.register(client, selectors.EVENT_READ, started)
    return None


@dataclass(frozen=True)
class _Started:
    """A run that has not ended: its process, a descriptor of it, and the client that waits for its end."""

    pid: int
    process: int
    client: socket.socket


def _end_or_kill(key: selectors.SelectorKey, selector: selectors.BaseSelector) -> None:
    """Tell the client that its run has ended; kill the run if the client has gone before."""
    run: _Started = key.data
    if key.fileobj is run.client:
        # A client sends nothing more. The end of the process is another event, unless it has been handled just now.
        if run.client.fileno() >= 0:
            selector.unregister(run.client)
            signal.pidfd_send_signal(run.process, signal.SIGKILL)
        return
    _, status = os.waitpid(run.pid, 0)
    with contextlib.suppress(OSError):
        run.client.send(b"%d" % os.waitstatus_to_exitcode(status))
    for each in (run.process, run.client):
        with contextlib.suppress(KeyError):
            selector.unregister(each)
    _close(run)


def _close(run: _Started) -> None:
    os.close(run.process)
    run.client.close()


def _take_files(files: list[int]) -> None:
    for standard, file in enumerate(files):
        os.dup2(file, standard)
    for file in files:
        os.close(file)
    streams = {
        "stdin": os.fdopen(0, encoding="utf-8", closefd=False),
        "stdout": os.fdopen(1, "w", encoding="utf-8", closefd=False),
        "stderr": os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False),
    }
    for name, stream in streams.items():
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def become(run: Run) -> None:
    """Run the program, with everything that it can tell as if it had been executed."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(run.environment)
    os.chdir(run.folder)
    gc.enable()
    sys.argv = [run.program, *run.arguments]
    try:
        if run.program.startswith("/"):
            sys.path[0] = str(Path(run.program).parent)
            runpy.run_path(run.program, run_name="__main__")
        else:
            sys.path[0] = run.folder
            runpy.run_module(run.program, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise
        _end(ended.code or 0)
    _end(0)


def _end(code: int) -> None:
    """End as the interpreter does, but leave the memory to the system: to free all modules takes half of the time."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as at the end of every interpreter
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except OSError:
        # Nobody reads. The interpreter has its own words and exit code for that.
        sys.exit(code)
    os._exit(code)


if __name__ == "__main__":
    gc.disable()
    # Ctrl-C is meant for the tests, which then end this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    become(wait_for_a_run(sys.argv[1], sys.argv[2:]))
