"""What workers elsewhere are sent of a study, the problem and the plan, and what they make of it.

Processes of this machine find files and modules where this one found them, so names are enough; another machine is
sent the code itself.
"""

from __future__ import annotations

import io
import os
import pickle
import site
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

from .. import formulas
from ..errors import PlanError, TrainingError, first_line
from ..formulas import Formula
from ..formulas.registry import usual
from ..plan.plan import Plan
from ..problem.find import declared, load
from ..problem.loop import Loop
from ..problem.prepare import prepare
from ..problem.trust import remember
from .loops import Loops
from .members import Members
from .programs import Programs


def portable(programs: Members) -> tuple[bytes, bytes] | None:
    """What a process needs to train the same, the problem and the plan; None where these could not be made again there.

    A problem or a formula that a script or a notebook holds itself exists nowhere else. A loop of the user's own is
    sent with all that it refers to there.
    """
    plan = programs.plan
    portable_plan: Any = plan.to_json()
    try:
        for factor in Plan.from_json(portable_plan).factors:
            for level in factor.levels:
                _ = factor.objects[level]
    except PlanError:
        portable_plan = plan
    try:
        if isinstance(programs, Loops):
            loop = programs.problem
            found = loop.kind in ("file", "module")
            of_problem = cloudpickle.dumps((loop.spec if found else loop, loop.fingerprint))
            return of_problem, cloudpickle.dumps((portable_plan, None))
        problem = programs.problem
        spec = problem.source.get("spec") if problem.source.get("kind", "object") != "object" else None
        of_problem = pickle.dumps((spec or problem, problem.fingerprint))
        of_plan = pickle.dumps((portable_plan, programs.ways))
    except Exception:  # whatever a user's objects may raise
        return None
    return None if b"__main__" in of_problem + of_plan else (of_problem, of_plan)


def whole_problem(programs: Members) -> bytes:
    """The problem for a machine that has none of the user's files: data and code, but for what is installed.

    Raises:
        PlanError: something of it cannot be sent.
    """
    return _whole(programs, (programs.problem, programs.problem.fingerprint))


def whole_plan(programs: Members) -> bytes:
    """The plan for such a machine; as `whole_problem`."""
    return _whole(programs, (programs.plan, programs.ways if isinstance(programs, Programs) else None))


def _whole(programs: Members, thing: Any) -> bytes:
    try:
        with _by_value():
            file = io.BytesIO()
            _Pickler(file).dump(thing)
            return file.getvalue()
    except Exception as error:  # whatever a user's objects may raise
        raise PlanError(
            f"the problem {programs.problem.name} cannot be sent to other machines ({first_line(error)}): let its "
            "functions make such things where they need them, or leave the cluster out."
        ) from error


class _Pickler(cloudpickle.Pickler):
    """Formulas of the catalogue are sent by name: there they have to be these, which PyTorch may have a class for."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Formula) and usual(obj) is not None:
            return formulas.get, (obj.label,)
        return super().reducer_override(obj)


@contextmanager
def _by_value() -> Iterator[None]:
    """Inside, what is pickled carries the code of all modules that are not installed."""
    before = cloudpickle.list_registry_pickle_by_value()
    modules = [module for name, module in list(sys.modules.items()) if name not in before and _is_own(name, module)]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _installed() -> tuple[str, ...]:
    """The folders of Python, of packages and of this library."""
    paths = sysconfig.get_paths()
    known = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    known += [*site.getsitepackages(), site.getusersitepackages(), str(Path(__file__).parents[1])]
    return tuple({form + os.sep for path in known for form in (path, os.path.realpath(path))})


def _is_own(name: str, module: ModuleType) -> bool:
    """Whether a module is the user's: a file of Python that is not installed."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py") or getattr(module, "__name__", None) != name:
        return False
    return name != "__main__" and not os.path.abspath(file).startswith(_installed())


class Received:
    """In a worker: what it was sent.

    Args:
        problem: the first of what `portable` gave, or `whole_problem`.
        device: on which it trains.
    """

    def __init__(self, problem: bytes, device: str) -> None:
        self._problem, self._device = problem, device
        self._members: Members | None = None
        self._plan = b""

    def members(self, plan: bytes) -> Members:
        """Made with the first job and not before: an error there ends the job, and has its sentence.

        Args:
            plan: the second of what was given.
        """
        if self._members is None or plan != self._plan:
            self._members, self._plan = self._of(plan), plan
        return self._members

    def _of(self, content: bytes) -> Members:
        plan, ways = pickle.loads(content)
        if isinstance(plan, dict):
            # which the sender has loaded
            remember(spec for specs in plan["specs"].values() for spec in specs.values())
            plan = Plan.from_json(plan)
        plan = replace(plan, device=self._device)
        members = self._made(plan, ways) if self._members is None else self._members.wider(plan)
        if isinstance(members, Programs):
            members.train_as(ways)
        return members

    def _made(self, plan: Plan, ways: Any) -> Members:
        problem, fingerprint = pickle.loads(self._problem)
        if ways is None:
            loop = declared(problem)
            assert isinstance(loop, Loop)
            return Loops(plan, loop)
        if isinstance(problem, str):
            problem = prepare(load(problem))
        if problem.fingerprint != fingerprint:
            raise TrainingError(
                f"the problem {problem.name} is another each time it is made; give its data and its model a seed."
            )
        return Programs(plan, problem, ways)
