"""Tasks on many machines by `dask.distributed`: workers share nothing, and may die, hang or differ.

A task is a function of the package, what is common to all tasks, and an item; its answer, which is
not None, comes back to the caller, who keeps it. A worker that is lost costs what it was doing. A
worker that is not like the caller, in versions or in arithmetic, does nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import logging
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from rl_ablation import limits
from rl_ablation.errors import LabError
from rl_ablation.files import one_line
from rl_ablation.formats import whole
from rl_ablation.versions import PACKAGES, ROOMS, source

if TYPE_CHECKING:
    from distributed import Client, Future

log = logging.getLogger(__name__)

LOCAL = "local:"
PATIENCE = 60.0
"""Seconds after which a task that takes ten times as long as the slowest so far counts as hung."""
FIRST = 1800.0
"""The same while none is done yet."""
ANSWER = 10.0
"""Seconds that a scheduler has to answer at first."""
TRIES = 10
"""How often a task may be lost with its worker."""
_QUIET = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller is told"
_LOOK = 0.5  # s between looks at the workers

Item = TypeVar("Item")
Result = TypeVar("Result")
_current: ContextVar[Any] = ContextVar("scheduler", default=None)


@contextlib.contextmanager
def using(scheduler: str | Client | None) -> Iterator[None]:
    """Have what is run inside use a scheduler where it is given none itself."""
    token = _current.set(scheduler)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Any:
    """The scheduler of `using`; None outside."""
    return _current.get()


@lru_cache(maxsize=1)
def identity() -> str:
    """Versions of what numbers depend on, and a digest of this lab's source, in one line."""
    found = [f"{p} {importlib.metadata.version(p)}" for p in PACKAGES]
    every = source(ROOMS)
    return ", ".join([*found, f"source {every}"])


def connect(scheduler: str | Client) -> Client:
    """A client of a scheduler: ``tcp://host:8786``, or ``local:4`` for four processes here.

    Raises:
        LabError: The extra is not installed, the address is none, or nobody answers there.
    """
    try:
        import distributed
    except ImportError:
        how = "pip install 'rl-ablation[cluster]'"
        raise LabError(f"--scheduler needs the extra `cluster`: {how}") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is told below
    return _connected(scheduler) if isinstance(scheduler, str) else _client(scheduler, distributed)


def _client(client: Any, distributed: Any) -> Client:
    if not isinstance(client, distributed.Client):
        raise LabError(f"a scheduler is an address or a dask Client, not {client!r}")
    return client


@lru_cache(maxsize=4)
def _connected(address: str) -> Client:
    from distributed import Client, LocalCluster

    if address.startswith(LOCAL):
        count = address.removeprefix(LOCAL)
        try:
            workers = whole(count)
            limits.check_range("worker processes", workers, 1, limits.THREADS)
        except ValueError as error:
            how = "write local:N with N worker processes"
            raise LabError(f"scheduler {address!r}: {error}; {how}") from None
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0",
            memory_limit=0, silence_logs=logging.CRITICAL,
            preload=[_QUIET],
        )  # fmt: skip
        return Client(cluster)
    try:
        return Client(address, timeout=ANSWER, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise LabError(f"no scheduler at {address!r}: {one_line(error)}") from None


class Refused(str):
    """Why a worker did not take a task."""


def _same(value: Any) -> Any:
    return value


@lru_cache(maxsize=1)
def _keep_memory() -> None:
    """Have the C library keep the memory that arrays leave, as it does where nobody interferes.

    Dask starts its workers with ``MALLOC_TRIM_THRESHOLD_`` at 64 KiB. The pages of every array are
    then handed back and asked for again; a shard took 1.4 times as long.
    """
    trim, mmap = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(trim, 256 << 20)
        mallopt(mmap, 32 << 20)


def _task(
    function: Callable[[Any, Any], Any],
    common: Any,
    item: Any,
    wanted: str,
    alike: Callable[[Any], str] | None,
) -> Any:
    """What runs on a worker: the answer, or why there is none."""
    _keep_memory()
    found = _like_here(common, alike)
    return function(common, item) if found == wanted else Refused(found)


def _like_here(common: Any, alike: Callable[[Any], str] | None) -> str:
    return identity() if alike is None else f"{identity()}, arithmetic {alike(common)[:8]}"


def scattered(
    function: Callable[[Any, Item], Result],
    common: Any,
    items: Iterable[Item],
    scheduler: str | Client,
    alike: Callable[[Any], str] | None = None,
) -> Iterator[tuple[Item, Result]]:
    """Give ``(item, function(common, item))`` as the workers of a scheduler get them done.

    Functions are named ones of this package, and all values can be pickled. ``alike(common)`` is a
    digest of some arithmetic that must be the same on a worker as here.

    Raises:
        LabError: A task failed, was lost too often, or no worker is like this machine; or the
            scheduler is gone. What was given before stands.
    """
    work = _Scattered(connect(scheduler), function, common, _like_here(common, alike), alike)
    try:
        yield from work.run(deque(items))
    finally:
        with contextlib.suppress(Exception):  # a scheduler that is gone has nothing to cancel
            work.client.cancel(list(work.running))


@dataclass(frozen=True)
class _Sent:
    """A task that a worker has."""

    item: Any
    where: str
    began: float


class _Scattered:
    """The tasks of one `scattered`. Each is sent to a worker by name: dask would rather keep all
    beside what is common to them, on one."""

    def __init__(self, client: Client, function: Any, common: Any, wanted: str, alike: Any) -> None:
        self.client, self.function, self.wanted, self.alike = client, function, wanted, alike
        self.running: dict[Future, _Sent] = {}
        self.refused: set[str] = set()
        self.lost: Counter[str] = Counter()
        self.slowest = 0.0
        self.news = threading.Event()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            # As a task of its own it is made again where the worker that holds it dies.
            self.common = client.submit(_same, common, pure=False)

    def run(self, waiting: deque[Any]) -> Iterator[tuple[Any, Any]]:
        """Give items and answers until none is waiting or running."""
        while waiting or self.running:
            self._send(waiting, self._workers(waiting))
            for future in self._done():
                sent = self.running.pop(future)
                answer = self._answer(future, sent)
                if answer is None:
                    waiting.append(sent.item)
                elif isinstance(answer, Refused):
                    waiting.append(sent.item)
                    why = f"is not like this machine: {answer}; here {self.wanted}"
                    self._refuse(sent.where, why)
                else:
                    self.slowest = max(self.slowest, time.monotonic() - sent.began)
                    yield sent.item, answer

    def _workers(self, waiting: deque[Any]) -> dict[str, int]:
        """Threads of each worker that may be used; takes back what was sent to one that is gone."""
        from distributed.comm import CommClosedError

        try:
            if self.client.status != "running":
                raise OSError
            there = self.client.nthreads()
        except (OSError, CommClosedError, TimeoutError):
            raise LabError(
                "the scheduler is gone; what was done is kept, the same command goes on from here"
            ) from None
        limit = max(PATIENCE, 10 * self.slowest) if self.slowest else FIRST
        for future, sent in list(self.running.items()):
            late = time.monotonic() - sent.began > limit
            if future.done() or (sent.where in there and not late):
                continue
            del self.running[future]
            self.client.cancel([future], force=True)
            waiting.append(sent.item)
            if late:
                self._refuse(sent.where, f"has not answered for {limit:.0f} s")
            else:
                self._lose(sent, "it left")
        free = {where: n for where, n in there.items() if where not in self.refused}
        if there and not free:
            raise LabError("no worker can be used; see the lines above")
        return free

    def _send(self, waiting: deque[Any], workers: dict[str, int]) -> None:
        """Have every thread of every worker busy, with one task more to follow at once."""
        busy = Counter(sent.where for sent in self.running.values())
        for _ in range(len(waiting)):
            where = min(workers, key=lambda w: busy[w] / workers[w], default=None)
            if where is None or busy[where] >= 2 * workers[where]:
                return
            item = waiting.popleft()
            future = self.client.submit(
                _task, self.function, self.common, item, self.wanted, self.alike,
                workers=[where], pure=False,
            )  # fmt: skip
            future.add_done_callback(lambda _: self.news.set())
            self.running[future] = _Sent(item, where, time.monotonic())
            busy[where] += 1

    def _done(self) -> list[Future]:
        self.news.wait(_LOOK)
        self.news.clear()
        return [future for future in self.running if future.done()]

    def _answer(self, future: Future, sent: _Sent) -> Any:
        """A worker's answer; None for one that was lost with it."""
        from distributed import CancelledError, KilledWorker
        from distributed.comm import CommClosedError

        try:
            return future.result(timeout=60)
        except LabError:
            raise
        except (KilledWorker, CancelledError, CommClosedError, TimeoutError) as error:
            self._lose(sent, one_line(error))
            return None
        except Exception as error:
            raise LabError(
                f"worker {sent.where} failed: {type(error).__name__}: {one_line(error)}"
            ) from None

    def _lose(self, sent: _Sent, why: str) -> None:
        self.lost[str(sent.item)] += 1
        if self.lost[str(sent.item)] >= TRIES:
            raise LabError(f"a task was lost {TRIES} times with its worker, at last: {why}")

    def _refuse(self, where: str, why: str) -> None:
        if where not in self.refused:
            self.refused.add(where)
            log.warning("worker %s is not used: it %s", where, why)
