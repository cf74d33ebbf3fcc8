"""Carrying a plan out: search, choose, confirm; stopping and taking up again.

The search goes seed by seed, so that a study stopped half way holds whole seeds of everything rather
than all seeds of something; with halving (see `halving.py`) it goes rung by rung. Where a best rate lies on its edge
the grid grows (`growth.py`), and around each best rate finer ones are tried (`refinement.py`). Then the chosen
settings, of each optimizer and each level of whatever else is ranked, run again with fresh seeds, and only those runs
ever meet the test part. Read next: `ledger.py`, which writes what workers report.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import pandas as pd
from torch.utils.data import DataLoader

from ..errors import PlanError
from ..language import say
from ..plan.factors import Setting
from ..plan.looks import SEARCH, Look
from ..plan.plan import MOST_RUNS, Plan
from ..plan.stored import HALVING
from ..population.place import CPU, devices
from ..problem.loop import Loop
from ..problem.prepare import Prepared
from ..store.file import BlockRow, Store
from ..verdict.sentences import trained_as
from ..verdict.verdict import to_confirm
from .batching import AUTO, decide, ways_of
from .costs import measure_costs
from .deadline import Deadline
from .footprint import too_large
from .growth import grown
from .halving import ahead, losses_at, regrouped, stopped
from .ledger import Ledger
from .loops import Loops
from .members import Members, alone_seconds
from .messages import Follow, StopFlag, Workers
from .pace import Opened, Pace, each_of
from .portable import portable
from .processes import Processes
from .programs import COMPILED, WORTH, Programs
from .progress import Progress
from .recipe_run import run_recipe
from .refinement import refined
from .threads import Threads

if TYPE_CHECKING:
    from .cluster import Cluster

More = Callable[[Plan, pd.DataFrame], Plan | None]
ADDED = ("grow", "grown", "refine", "refined")  # of a stored plan, by its search


def execute(
    store: Store,
    plan: Plan,
    problem: Prepared | Loop,
    progress: Progress,
    new: Opened | None = None,
    follow: Follow | None = None,
    cluster: Cluster | None = None,
) -> None:
    """Do whatever the plan still wants done. The store holds all that is finished at any moment.

    After Ctrl-C the block at work is saved as it stands, and KeyboardInterrupt raised.

    Args:
        new: the programs of this plan and problem, where they were made before, with what was foreseen of them.
        follow: hears of each pass in the store.
        cluster: whose workers train, in place of this machine.
    """
    plan = plan.as_far_as(store.meta("plan"))
    members: Members = _members(store, plan, problem) if new is None else new.programs.wider(plan)
    if cluster is not None:
        members.workers = cluster.on(plan.device)
        progress.note(
            say("A cluster trains; workers: {workers}, nodes: {nodes}.", workers=cluster.count, nodes=cluster.nodes)
        )
    if isinstance(members, Programs):
        for line in [*_set_batching(store, members), *too_large(members)]:
            progress.note(line)
    _note(store, progress, members)
    if store.meta("recipe_run") is None:
        store.set_meta("recipe_run", None)  # still to be run; finished studies of older versions lack the key
    if not store.blocks("search"):
        store.add_blocks("search", members.blocks(plan.settings, range(plan.seeds), plan.search_folds))
    pace = Pace.of_rows(members, store.blocks()) if new is None else Pace(each_of(members, new.would.programs))
    with closing(Ledger(store, progress, pace, follow, cluster)) as ledger:
        if new is not None and new.end is not None:
            ledger.deadline = Deadline(new.end, pace, new.would, store, progress)
        members = _search(ledger, members)
        for more in (grown, refined):
            while (wider := _widened(ledger, members, more)) is not None:
                members = _search(ledger, wider)
        if plan.confirmation:
            members = _confirm(ledger, members)
    store.clear_checkpoints()
    if store.meta("costs") is None:
        store.set_meta("costs", _costs(members, store))
    if not store.meta("recipe_run"):
        store.set_meta("recipe_run", _recipe_run(members, store))
    progress.end()


def _members(store: Store, plan: Plan, problem: Prepared | Loop) -> Members:
    if isinstance(problem, Loop):
        return Loops(plan, problem, store.meta("problem").get("text"))
    return Programs(plan, problem, ways_of(store.meta("batching", {})))


def _costs(programs: Members, store: Store) -> dict[str, Any]:
    """What a step of each optimizer costs."""
    rows = store.blocks("search")
    if isinstance(programs, Programs):
        return measure_costs(programs, rows, store.members())
    return programs.costs(rows)


def _recipe_run(programs: Members, store: Store) -> dict[str, Any]:
    """What came of running the winner's recipe; nothing of a loop of the user's own, which is all that would run."""
    if not isinstance(programs, Programs):
        return {}
    ran = run_recipe(programs, store.members(), store.meta("problem", {}), store.curve, store.parts())
    return {} if ran is None else ran.to_json()


def _set_batching(store: Store, programs: Programs) -> list[str]:
    """Set how members of each program are trained, as the store says, or as is measured now; in words."""
    batching = store.meta("batching", {})
    if "ways" not in batching and "reasons" not in batching:
        batching = {**batching, "ways": decide(programs, batching.get("asked", AUTO))}
        store.set_meta("batching", batching)
    programs.train_as(ways_of(batching))
    whole = all(way.name == COMPILED for way in programs.ways) and bool(programs.ways)
    return [
        *([say("Members are trained compiled: each step of a run is one function.")] if whole else []),
        *trained_as(batching),
    ]


def _search(ledger: Ledger, programs: Members) -> Members:
    """Every block to the end, or with halving: to each rung in turn, and there on with those that go on.

    Returns:
        The programs of the plan as it is then: seeds may have been left out.
    """
    store, progress, plan = ledger.store, ledger.progress, programs.plan
    _begin(ledger, programs, SEARCH)
    upcoming = ahead(plan, store.meta("rungs", []))
    for epoch in (*upcoming, None):
        if plan.budget == HALVING:
            ledger.outlook.pace.part_begins()
            ledger.outlook.update(programs, SEARCH)
            progress.cut(stopped(store.blocks("search")))
        _train(ledger, programs, "search", epoch)
        if epoch is not None:
            _halve(ledger, programs, epoch)
    return _as_stored(ledger, programs)


def _as_stored(ledger: Ledger, programs: Members) -> Members:
    plan = programs.plan.as_far_as(ledger.store.meta("plan"))
    return programs if plan == programs.plan else programs.wider(plan)


def _halve(ledger: Ledger, programs: Members, epoch: int) -> None:
    """Stop what cannot win any more; every block has reached the rung."""
    rows = ledger.waiting("search")
    if not rows:
        return  # all rates by which the grid grew have been stopped before
    store = ledger.store
    losses = losses_at(programs, store.blocks("search"), epoch, ledger.point)
    rung = [len(programs.plan.grown), epoch]
    meta: dict[str, Any] = {"rungs": [*store.meta("rungs", []), rung]}
    narrow = tuple(rung) in programs.plan.narrow
    if ledger.deadline is not None and not narrow:
        meta |= (short := ledger.deadline.narrow(programs, rows, rung))
        narrow = bool(short)
    ledger.regroup(programs, rows, regrouped(programs, rows, losses, narrow), meta)


def _widened(ledger: Ledger, programs: Members, more: More) -> Members | None:
    """Add what is to be tried next to the store, as blocks of the search; None if nothing is.

    Args:
        more: the plan and the table of members → the plan with what comes next.
    """
    store, before = ledger.store, programs.plan
    plan = more(before, store.members())
    if plan is None or store.stages().keys() - {SEARCH} or store.meta("costs") is not None:
        return None
    programs, known = programs.wider(plan), {*before.settings}
    settings = [setting for setting in plan.settings if setting not in known]
    if ledger.deadline is not None:
        limits = {"grow_total": len(before.grown)} if more is grown else {"refine_total": len(before.refined)}
        words = "further rates beyond the edges of the grid" if more is grown else "further rounds around the best"
        if not ledger.deadline.allows(programs, settings, limits, words):
            return None
    added = {name: value for name, value in plan.described().items() if name in ADDED}
    meta = {"plan": {**store.meta("plan"), **added}}
    store.add_blocks("search", programs.blocks(settings, range(plan.seeds), plan.search_folds), meta)
    return programs


def _confirm(ledger: Ledger, programs: Members) -> Members:
    """The chosen settings again, with fresh seeds; as `_search` returns."""
    store = ledger.store
    if ledger.deadline is not None and not store.stages().keys() - {SEARCH}:
        ledger.deadline.fresh(programs, to_confirm(programs.plan, store.members()))
        programs = _as_stored(ledger, programs)
    plan = programs.plan
    for look in plan.confirmations:  # a rerun has the looks of the study that it repeats from the start
        if blocks := _lacking(store, programs, look):
            store.add_blocks(plan.stage(look), blocks)
    for stage in dict.fromkeys(map(plan.stage, plan.confirmations)):
        _begin(ledger, programs, stage)
        _train(ledger, programs, stage)
    return _as_stored(ledger, programs)


def _lacking(store: Store, programs: Members, look: Look) -> list[tuple[int, list[Setting], int | None]]:
    """The blocks of a look at the confirmation that are not in the store."""
    plan, blocks, stage = programs.plan, store.blocks(), programs.plan.stage(look)
    there = {(row.seed, row.fold) for row in blocks if row.stage == stage}
    before = [setting for row in blocks if row.stage != SEARCH for setting in row.settings]
    settings = list(dict.fromkeys(before)) or to_confirm(plan, store.members())
    seeds: dict[tuple[int | None, ...], list[int]] = {}  # by the folds that they lack
    for seed in range(plan.seeds, plan.seeds + look.seeds):
        if folds := tuple(fold for fold in plan.fresh_folds(look) if (seed, fold) not in there):
            seeds.setdefault(folds, []).append(seed)
    return [block for folds, some in seeds.items() for block in programs.blocks(settings, some, folds)]


def add_fresh(store: Store, plan: Plan, problem: Prepared | Loop) -> None:
    """Put the blocks by which a plan was extended into the store, and the plan, in one transaction.

    Raises:
        PlanError: that would be more runs than are allowed.
    """
    programs = _members(store, plan, problem)
    look, settings = plan.confirmations[-1], len(to_confirm(plan, store.members()))
    if settings * look.seeds * len(plan.fresh_folds(look)) > MOST_RUNS:
        raise PlanError(
            "{settings} settings with {seeds:,} fresh seeds are more runs than the {most_runs:,} that "
            "are allowed; give fewer seeds.",
            settings=settings,
            seeds=look.seeds,
            most_runs=MOST_RUNS,
        )
    meta = {"plan": {**store.meta("plan"), **plan.extension()}, "recipe_run": None}
    store.add_blocks(plan.stage(look), _lacking(store, programs, look), meta)


def _begin(ledger: Ledger, programs: Members, stage: str) -> None:
    """Show that a stage begins, and what is still to come."""
    ledger.outlook.pace.part_begins()
    ledger.outlook.update(programs, stage)
    ledger.progress.begin(ledger.outlook.part, ledger.outlook)


def _train(ledger: Ledger, programs: Members, stage: str, until: int | None = None) -> None:
    """Train blocks to the end, or to the end of the pass `until`: those that are batched, then all others."""
    with _interrupts() as stop:
        here = ledger.cluster is None
        if isinstance(programs, Loops) and here and programs.unknown and (first := ledger.waiting(stage)[:1]):
            few = min(2, until or 2)  # reports, which say what workers are worth
            ledger.train(Threads(programs, 1), programs, first, few, stop)
        waiting = ledger.waiting(stage)
        if programs.restarts and until is not None:
            waiting = [row for row in waiting if row.step < until]
        alone = [row for row in waiting if programs.alone(row.settings[0])]
        if batched := [row for row in waiting if row not in alone]:
            assert isinstance(programs, Programs)
            ledger.train(_together(ledger, programs, batched), programs, batched, until, stop)
        if alone and not stop.is_set():
            ledger.train(_workers(ledger, programs, alone, until), programs, alone, until, stop)
        _note(ledger.store, ledger.progress, programs)
        if stop.interrupted:
            raise KeyboardInterrupt


def _note(store: Store, progress: Progress, programs: Members) -> None:
    """Say, and keep in the store, what the programs note about how they run; each sentence once."""
    batching = store.meta("batching", {})
    before = batching.get("notes", [])
    if new := [sentence for sentence in programs.notes if sentence not in before]:
        store.set_meta("batching", {**batching, "notes": [*before, *new]})
    for sentence in new:
        progress.note(sentence)


def _together(ledger: Ledger, programs: Programs, rows: Sequence[BlockRow]) -> Workers:
    """For blocks whose members are batched: threads of this process; on several GPUs a process each; or a cluster."""
    if ledger.cluster is not None:
        return ledger.cluster.give(programs)
    if isinstance(programs.problem.train, DataLoader):
        return Threads(programs, 1)
    several = len(programs.devices) > 1 and len(rows) > 1
    processes = _processes(ledger, programs) if several else None
    return processes or Threads(programs, None if programs.place.device.type == CPU else 1)


def _workers(ledger: Ledger, programs: Members, rows: Sequence[BlockRow], until: int | None) -> Workers:
    """For blocks whose members are not batched: processes, or one thread where there can be none, or where they would
    take longer to start than to work; or a cluster. Processes that have started serve whatever follows."""
    if ledger.cluster is not None:
        return ledger.cluster.give(programs)
    cores = min(programs.at_once, len(rows))
    if isinstance(programs, Loops) and programs.problem.is_command:
        return Threads(programs, cores)  # which only wait for the processes that they have started
    passes = until or programs.plan.epochs_of(rows[0].stage)  # that of all
    seconds = alone_seconds(programs, ((row.settings, row.fold) for row in rows), passes)
    if cores > 1 and (ledger.processes is not None or seconds >= WORTH):
        return _processes(ledger, programs) or Threads(programs, 1)
    return Threads(programs, 1)


def _processes(ledger: Ledger, programs: Members) -> Workers | None:
    """Processes of their own, each with a core, or a GPU; None, which is said, where the problem is only here."""
    content = portable(programs)
    if content is None:
        ledger.progress.note(
            "They are trained one after another in this process, because the problem cannot be made again in "
            "another; give it as file.py:function to use all cores."
        )
        return None
    names = [str(device) for device in devices(programs.plan.device)]
    ledger.processes = ledger.processes or Processes(content[0], programs.at_once, names)
    ledger.processes.plan = content[1]
    return ledger.processes


@contextmanager
def _interrupts() -> Iterator[StopFlag]:
    """Ctrl-C asks every worker to stop at its next whole step; a second one stops at once."""
    stop = StopFlag()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.interrupted:
            raise KeyboardInterrupt
        stop.interrupted = True
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
