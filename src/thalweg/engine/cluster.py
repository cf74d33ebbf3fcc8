"""Workers on other machines, by Ray: a process for each core, or each GPU, of a cluster that is there already.

The problem, its code and its data, lies in the object store of every node once; jobs go out, and events come back as a
stream. Here they go into the ledger, so this process alone knows the study's store. A worker that is gone has told what
it told: its block goes on from the checkpoint in the store, on another. Nodes that join later have workers too. Workers
of a process that ends end with it.
"""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, Queue, SimpleQueue
from types import SimpleNamespace
from typing import Any, Self

from ..errors import WorkError, first_line
from ..population.place import CPU
from ..programs.native import single_threaded
from .members import Members
from .messages import LAST, Ended, Event, Failed, Job, Lost, Passed, Saved, Steps, StopFlag, failed, told
from .portable import Received, whole_plan, whole_problem
from .relay import Events, relay
from .work import work

LOSSES = 3  # workers in a row that a block may lose without having come any further
PATIENCE = 5.0  # seconds for an address to answer
PAUSE = 0.1  # seconds between two messages of a worker, at least
RATE = 500  # messages per second of all workers, at most; Ray takes half a millisecond of this process for each
WATCH = 5.0  # seconds after which new nodes are looked for
UNREAD = 4  # messages of a worker on their way, before it waits


class Cluster:
    """Workers on all nodes of a Ray cluster, for one study after another.

    Args:
        address: "auto" for the cluster that this machine belongs to, the HOST:PORT of its head, or "local" for one that
            is begun here, and ended with the workers.

    Attributes:
        count, nodes: workers, and the machines that have any.

    Raises:
        WorkError: Ray is not installed, no cluster answers there, or a node has other versions.
    """

    def __init__(self, address: str = "auto") -> None:
        self._ray = _ray()
        self._own = _connect(self._ray, address)
        self.count = self.nodes = 0
        self._device, self._begun = CPU, False
        self._sent: object = None  # whose bytes are in the object store
        self._workers: set[Any] = set()
        self._losses = Counter[int]()
        self._run = self._stopped = 0
        self._events: Events = SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._free: asyncio.Queue[Any] = asyncio.Queue()
        self._thread = threading.Thread(target=self._loop.run_forever, name="thalweg-cluster", daemon=True)
        self._thread.start()
        self._checked: set[str] = set()
        try:
            self._start(self._check_versions()).result()
        except BaseException:
            self.close()
            raise

    def on(self, device: str) -> int:
        """The count of workers: one for each core, or GPU.

        Raises:
            WorkError: there is none.
        """
        self._device = device if device == CPU else f"{device.partition(':')[0]}:0"
        if not self._counted():
            unit = self._unit
            raise WorkError(
                f"no node of the cluster has a {unit}; start one that has (ray start --num-{unit.lower()}s=1), or give "
                "another device."
            )
        return self.count

    def give(self, programs: Members) -> Self:
        """Itself, told what the jobs to come are of. A problem is sent once; workers begin with the first.

        Raises:
            PlanError: something of it cannot be sent.
            WorkError: the object store of a node is too small for it.
        """
        if programs.problem is not self._sent:
            content = whole_problem(programs)
            _check_size(self._ray, len(content))
            self._problem, self._sent = self._ray.put(content), programs.problem
        self._plan, self._programs = self._ray.put(whole_plan(programs)), programs
        programs.workers = self.count
        if not self._begun:
            self._begun = True
            kind = self._ray.remote(num_cpus=1, num_gpus=int(self._device != CPU), max_concurrency=2)
            self._kind = kind(Worker)
            for _ in range(self.count):
                self._start(self._hire())
            self._start(self._watch())
        return self

    def run(self, jobs: Callable[[], Job | None], stop: StopFlag) -> Generator[tuple[Job, Event], None, None]:
        self._run += 1
        self._losses.clear()
        stop.share(SimpleNamespace(set=partial(self._loop.call_soon_threadsafe, self._stop, self._run)))
        yield from relay(
            jobs, lambda job: self._start(self._train(job)), self._events, lambda: self._programs.at_once, stop
        )

    @property
    def _unit(self) -> str:
        """What a worker takes one of."""
        return "CPU" if self._device == CPU else "GPU"

    def _counted(self) -> int:
        """How many workers there may be; the nodes that have them are counted too."""
        each = [int(node["Resources"].get(self._unit, 0)) for node in _nodes(self._ray)]
        self.count, self.nodes = sum(each), sum(map(bool, each))
        return self.count

    def close(self) -> None:
        """End the workers, and leave the cluster."""
        self._start(self._end()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._own:
            self._ray.shutdown()

    # In the thread of the loop

    def _start(self, what: Coroutine[Any, Any, None]) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(what, self._loop)

    async def _watch(self) -> None:
        """Workers for nodes that join, and jobs for them."""
        while True:
            await asyncio.sleep(WATCH)
            if not self._strange():
                continue
            try:
                await self._check_versions()
            except WorkError as error:  # Ray may begin any worker there
                self._free.put_nowait(error)
                return
            for _ in range(self._counted() - len(self._workers)):
                self._start(self._hire())
            self._programs.workers = self.count
            self._events.put((-1, Ended(), int))  # so that jobs are handed out again

    def _strange(self) -> list[dict[str, Any]]:
        """Nodes whose versions are not known yet."""
        return [node for node in _nodes(self._ray) if node["NodeID"] not in self._checked]

    async def _check_versions(self) -> None:
        """Refuse nodes with other versions, whose results would be others."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here, nodes = _look()(), self._strange()
        places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
        look = self._ray.remote(_look())
        found = [look.options(num_cpus=0, scheduling_strategy=place).remote() for place in places]
        for node, versions in zip(nodes, found, strict=True):
            try:
                there = await versions
            except self._ray.exceptions.RayError:
                continue  # the node is gone again
            for name, version in there.items():
                if version != here[name]:
                    raise WorkError(
                        f"node {node['NodeManagerAddress']} of the cluster has {name} {version}, and this machine "
                        f"({platform.node()}) {here[name]}; install the same on all, because results would differ."
                    )
            self._checked.add(node["NodeID"])

    async def _hire(self) -> None:
        """A worker, as soon as there is room for it; or why there cannot be one."""
        why = ""
        for _ in range(LOSSES):
            worker = self._kind.remote()
            self._workers.add(worker)
            try:
                await worker.begin.remote(self._device, os.getcwd())
            except self._ray.exceptions.RayActorError as error:  # its node is gone before it began
                why = first_line(error)
                self._dismiss(worker)
            else:
                self._free.put_nowait(worker)
                return
        self._free.put_nowait(WorkError(f"a worker on the cluster does not begin: {why}."))

    def _dismiss(self, worker: Any) -> None:
        self._workers.discard(worker)
        with suppress(Exception):  # it is gone already
            self._ray.kill(worker)

    async def _ready(self) -> Any:
        """A free worker that answers; None once all are to stop."""
        while self._stopped < self._run:
            worker = await self._free.get()
            if worker is None and self._stopped < self._run:
                continue  # of a run before, which was stopped
            if worker is None or isinstance(worker, WorkError):
                self._free.put_nowait(worker)  # for those who wait as well
                if worker is None:
                    break
                raise worker
            try:
                await worker.answers.remote()
                return worker
            except self._ray.exceptions.RayActorError:
                self._replace(worker)
        return None

    def _replace(self, worker: Any) -> None:
        self._dismiss(worker)
        self._start(self._hire())

    async def _train(self, job: Job) -> None:
        if (worker := await self._ready()) is None:
            await self._tell(job, [Ended()])
            return
        errors = self._ray.exceptions
        try:
            pause = max(PAUSE, self.count / RATE)
            options = {"num_returns": "streaming", "_generator_backpressure_num_objects": UNREAD}
            content = [self._problem], self._plan
            async for reference in worker.work.options(**options).remote(job, *content, self._run, pause):
                await self._tell(job, await reference)
        except (errors.RayActorError, errors.ObjectLostError, errors.NodeDiedError) as error:
            self._replace(worker)
            self._losses[job.block] += 1
            often = self._losses[job.block] >= LOSSES
            await self._tell(job, [_given_up(error) if often else Lost()])
        except errors.RayTaskError as error:
            raise error.cause from error
        else:
            self._free.put_nowait(worker)

    async def _tell(self, job: Job, events: list[Event]) -> None:
        """Put events where `run` takes them, and wait until it has dealt with the last."""
        if any(isinstance(event, Passed | Saved) for event in events):
            self._losses.pop(job.block, None)
        handled = asyncio.Event()
        for event in events:
            last = event is events[-1]
            self._events.put((job.block, event, partial(self._loop.call_soon_threadsafe, handled.set) if last else int))
        await handled.wait()

    def _stop(self, run: int) -> None:
        """Every worker at work saves its state at its next whole step, and ends its job."""
        if run > self._stopped:
            self._stopped = run
            self._free.put_nowait(None)
            for worker in self._workers:
                worker.stop.remote(run)

    async def _end(self) -> None:
        for worker in [*self._workers]:
            self._dismiss(worker)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _given_up(error: BaseException) -> Failed:
    sentence = f"{LOSSES} workers in a row ended by force while they trained the same block, perhaps for want of memory"
    return Failed(failed(sentence, error), "")


# Joining a cluster


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # as it will be, without a warning
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise WorkError("a cluster needs Ray: pip install 'thalweg[cluster]', or leave the cluster out.") from error
    return ray


def _connect(ray: Any, address: str) -> bool:
    """Join the cluster, unless this process has; whether it had not."""
    host, colon, port = str(address).rpartition(":")
    known = address in ("auto", "local") or (colon and "/" not in host and port.isdecimal())
    if not known:
        raise WorkError(
            f"the cluster is {address!r}; give auto for the one that this machine belongs to, the HOST:PORT of its "
            "head, or local for one on this machine alone."
        )
    if ray.is_initialized():
        here = ray.get_runtime_context().gcs_address
        if colon and address != here:
            raise WorkError(f"this process has joined the Ray cluster at {here}; give that, or auto, for the cluster.")
        return False
    try:
        if colon:
            socket.create_connection((host, int(port)), PATIENCE).close()
        ray.init(address=address, log_to_driver=False, configure_logging=False, include_dashboard=False)
    except Exception as error:  # Ray has one for each thing that may be wrong
        raise WorkError(
            f"no Ray cluster can be joined at {address} ({first_line(error)}); start its head with `ray start --head`, "
            "and Ray on this machine with `ray start --address=HOST:6379`."
        ) from error
    return True


def _nodes(ray: Any) -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _look() -> Callable[[], dict[str, str]]:
    def look() -> dict[str, str]:  # which is sent as it is, because a node may lack this library
        import importlib.metadata as packages
        import platform

        found = {"Python": platform.python_version()}
        for name in ("torch", "thalweg"):
            try:
                found[name] = packages.version(name)
            except packages.PackageNotFoundError:
                found[name] = "none"
        return found

    return look


def _check_size(ray: Any, size: int) -> None:
    for node in _nodes(ray):
        room = node["Resources"].get("object_store_memory", 0)
        if size > room and (node["Resources"].get("CPU") or node["Resources"].get("GPU")):
            raise WorkError(
                f"the problem with its data has {size / 2**30:.2g} GiB, and the object store of node "
                f"{node['NodeManagerAddress']} {room / 2**30:.2g} GiB; start its Ray with a larger "
                "--object-store-memory, or let the data be read where they are needed, by a DataLoader."
            )


# In a worker


def shorter(events: list[Event], begun: bool = True) -> list[Event]:
    """A message without reports of progress that a later one in it outdates; a block's first says where it begins."""
    steps = [k for k, event in enumerate(events) if isinstance(event, Steps)]
    outdated = steps[0 if begun else 1 : -1]
    return [event for k, event in enumerate(events) if k not in outdated]


class Worker:
    """On a core, or a GPU, of some node."""

    def begin(self, device: str, folder: str) -> None:
        with suppress(OSError):  # nodes may share the folder with the user's files
            os.chdir(folder)
        self._device, self._stopped = device, 0
        self._problem: list[Any] | None = None

    def answers(self) -> None:
        """Whether it is there."""

    def stop(self, run: int) -> None:
        self._stopped = max(self._stopped, run)

    def work(self, job: Job, problem: list[Any], plan: bytes, run: int, pause: float) -> Iterator[list[Event]]:
        """Train a block; its events, those of `pause` seconds together.

        Args:
            problem: where it is in the object store, from which it is read once.
        """
        events: Queue[Event] = Queue(100)  # beyond which training waits
        threading.Thread(target=self._work, args=(job, problem, plan, run, events.put), daemon=True).start()
        together, begun = list[Event](), False
        while not (together and isinstance(together[-1], LAST)):
            together, until = [events.get()], time.monotonic() + pause
            while not isinstance(together[-1], LAST):
                try:
                    together.append(events.get(timeout=max(0.0, until - time.monotonic())))
                except Empty:
                    break
            yield shorter(together, begun)
            begun = True

    def _work(self, job: Job, problem: list[Any], plan: bytes, run: int, tell: Callable[[Event], None]) -> None:
        stop = SimpleNamespace(is_set=lambda: self._stopped >= run)
        try:
            if problem != self._problem:
                self._received = Received(_ray().get(*problem), self._device)
                self._problem = problem
            with single_threaded():
                work(job, self._received.members(plan), stop, lambda event: tell(told(event)))
        except BaseException as error:  # whatever it is, the driver hears of it
            tell(told(Failed(error)))
