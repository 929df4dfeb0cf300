"""Owns several processes that do the same work: forks, watches, restarts and ends them. Independent of the work.

The parent has no threads and no event loop, so that it can fork at any time. A worker inherits two pipes. The first one
closes when the parent ends, even by a crash. The worker writes a message to the second one when it is ready.
"""

import contextlib
import os
import selectors
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final, NoReturn

from msgspec import Struct, field

from thingmint.core.operational_log import OperationalLog

# A worker that has run for this long did not fail at its start.
_LIVED_SECONDS: Final = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_READ_BYTES: Final = 65_536
_NUMBERS = (signal.SIGTERM, signal.SIGINT)


class WorkerFailed(Exception):
    """A worker ended before all workers were ready for the first time; ``is_told`` if it has reported the reason."""

    def __init__(self, message: str, *, is_told: bool) -> None:
        super().__init__(message)
        self.is_told = is_told


class Lifeline(Struct, frozen=True):
    """A worker's link to its parent: a pipe that closes when the parent ends, and one to report that it is ready."""

    descriptor: int
    ready: Callable[[bytes], None]

    def watch(self, gone: Callable[[], object], patience: float) -> None:
        """Call ``gone`` in a thread when the parent has ended; end this process if it still runs ``patience`` later."""
        threading.Thread(target=self._watch, args=(gone, patience), daemon=True).start()

    def _watch(self, gone: Callable[[], object], patience: float) -> None:
        while os.read(self.descriptor, 1):
            pass
        gone()
        time.sleep(patience)
        os._exit(1)


class _Worker(Struct):
    number: int
    pid: int = 0
    said: bytes = b""
    reader: int = -1
    is_ready: bool = False
    began_at: float = 0.0
    pause: float = _FIRST_PAUSE
    due_at: float = 0.0


class Workers(Struct):
    """Worker processes with numbers from 1 to the count; each runs ``work`` and exits with the code that it returns.

    ``on_ready`` is called once, with the message of one worker, when all are ready for the first time; ``ended`` is
    called with the number of each worker that has ended. Workers are ended by SIGTERM, and by SIGKILL if they still run
    after ``patience``.
    """

    count: int
    work: Callable[[int, Lifeline], int]
    on_ready: Callable[[bytes], None]
    ended: Callable[[int], None]
    log: OperationalLog
    patience: float
    stdin: int | None = None
    """If given, the workers are ended when this descriptor reaches its end."""
    _workers: dict[int, _Worker] = field(default_factory=dict)
    # Standard input may be a file, which epoll does not accept.
    _selector: selectors.BaseSelector = field(default_factory=selectors.PollSelector)
    _is_stopping: bool = False
    _was_ready: bool = False
    _life: tuple[int, int] = (-1, -1)

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; raise WorkerFailed, after all have ended, if one cannot be started at first."""
        self._life = os.pipe()
        with self._signals() as wakeup:
            self._selector.register(wakeup, selectors.EVENT_READ)
            if self.stdin is not None:
                self._selector.register(self.stdin, selectors.EVENT_READ)
            for number in range(1, self.count + 1):
                self._workers[number] = _Worker(number)
                self._start(self._workers[number])
            try:
                while not self._is_stopping:
                    self._wait(wakeup)
                self.log.info("stopping")
            finally:
                self._end_all()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[int]:
        """Yield a descriptor that becomes readable when a signal arrives."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        before = {number: signal.signal(number, self._stop) for number in _NUMBERS}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)
        woken = signal.set_wakeup_fd(writer)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(reader)
            os.close(writer)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._is_stopping = True

    def _wait(self, wakeup: int) -> None:
        now = time.monotonic()
        due = [each.due_at - now for each in self._workers.values() if not each.pid]
        for key, _ in self._selector.select(max(0.0, min(due)) if due else None):
            if key.data is not None:
                self._hear(key.data)
            elif key.fd == wakeup:
                while _read(wakeup):
                    pass
            elif not os.read(key.fd, _READ_BYTES):
                self._is_stopping = True
        self._reap()
        for each in self._workers.values():
            if not each.pid and each.due_at <= time.monotonic() and not self._is_stopping:
                self._start(each)

    def _start(self, worker: _Worker) -> None:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._become(worker.number, writer, reader)
        os.close(writer)
        worker.pid, worker.reader, worker.said, worker.is_ready = pid, reader, b"", False
        worker.began_at = time.monotonic()
        self._selector.register(reader, selectors.EVENT_READ, worker)

    def _become(self, number: int, writer: int, reader: int) -> NoReturn:
        """Run the work in the forked process, and exit."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # Ctrl-C reaches all processes of a terminal; the parent ends its workers.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._selector.close()
            os.close(self._life[1])
            os.close(reader)
            for each in self._workers.values():
                if each.reader >= 0:
                    os.close(each.reader)

            def ready(said: bytes) -> None:
                os.write(writer, said)
                os.close(writer)

            code = self.work(number, Lifeline(self._life[0], ready))
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except Exception as error:  # noqa: BLE001  with any error the worker ends, and says so
            self.log.error("a worker has failed", worker=number, cause=type(error).__name__)  # noqa: TRY400  the type alone
        finally:
            # Exit without the parent's cleanup handlers.
            os._exit(code)

    def _hear(self, worker: _Worker) -> None:
        read = os.read(worker.reader, _READ_BYTES)
        if read:
            worker.said += read
            return
        self._forget_reader(worker)
        if not worker.said:
            # The worker is ending; its end is handled as a separate event.
            return
        worker.is_ready = True
        if not self._was_ready and all(each.is_ready for each in self._workers.values()):
            self._was_ready = True
            self.on_ready(worker.said)

    def _forget_reader(self, worker: _Worker) -> None:
        if worker.reader >= 0:
            self._selector.unregister(worker.reader)
            os.close(worker.reader)
            worker.reader = -1

    def _reap(self) -> None:
        """Record the workers that have ended."""
        for worker in self._workers.values():
            if not worker.pid:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._has_ended(worker, os.waitstatus_to_exitcode(status))

    def _has_ended(self, worker: _Worker, code: int) -> None:
        self._forget_reader(worker)
        worker.pid = 0
        self.ended(worker.number)
        if self._is_stopping:
            return
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if not self._was_ready:
            raise WorkerFailed(f"worker {worker.number} ended with {how} before it was ready", is_told=code == 1)
        lived = time.monotonic() - worker.began_at
        worker.pause = _FIRST_PAUSE if lived >= _LIVED_SECONDS else worker.pause
        worker.due_at = time.monotonic() + worker.pause
        self.log.error("a worker has ended: it is started again", worker=worker.number, how=how, seconds=worker.pause)
        worker.pause = min(2 * worker.pause, _LONGEST_PAUSE)

    def _end_all(self) -> None:
        """End all workers, first by SIGTERM, then by SIGKILL."""
        self._is_stopping = True
        for worker in self._workers.values():
            if worker.pid:
                os.kill(worker.pid, signal.SIGTERM)
        deadline = time.monotonic() + self.patience
        while any(each.pid for each in self._workers.values()):
            if time.monotonic() >= deadline:
                for worker in self._workers.values():
                    if worker.pid:
                        os.kill(worker.pid, signal.SIGKILL)
            self._reap()
            # SIGCHLD ends the wait early.
            time.sleep(0.02)
        for descriptor in self._life:
            os.close(descriptor)
        self._selector.close()


def run_apart(work: Callable[[], int]) -> int:
    """Run work in a separate process and return its exit code; the memory of the work is released when it ends."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = work()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _READ_BYTES)
    except BlockingIOError:
        return b""
