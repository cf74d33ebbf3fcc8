"""The studies that the page can show and start: what is there, what may be asked, and what is refused.

A store is known by a name in a table: those in one folder, and those given on the command line. A problem is a built-in
one, or one given on the command line; optimizers are those of the catalogue, or the text of a rule, which is read and
never run; schedules are those of the catalogue. So nothing that the page sends names a file or a module, and opening a
store runs nothing that it names.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import StoreError, UsageError
from ..formulas import FORMULAS
from ..formulas.registry import of_text
from ..formulas.typed import is_text
from ..language import say
from ..numbers import Range
from ..unknown import unknown
from .drawn import Landscapes
from .live import Follower, Followers
from .training import Trainings

MOST_LISTED = 200  # stores, the newest first
MOST_OPTIMIZERS, LONGEST_LABEL = 40, 200
MOST_RATES = 200
SEEDS, EPOCHS = Range(1, 1000, whole=True), Range(1, 100_000, whole=True)
ENDING = ".db"


class Studies:
    """Attributes:
    folder: where stores are listed and made.
    stores: those given, by name.
    problems: those given, file.py:function or package.module:function.
    """

    def __init__(self, folder: Path = Path("runs"), given: Sequence[str] = ()) -> None:
        self.folder, self.stores, self.problems = folder, dict[str, Path](), list[str]()
        for each in given:
            from ..store.connection import kind_of

            path = Path(each)
            if kind_of(path) == "store":
                self.stores[path.stem if path.stem not in self.stores else str(path)] = path.resolve()
            elif path.suffix == ENDING:
                raise StoreError(f"{each} does not exist." if kind_of(path) == "none" else kind_of(path))
            else:
                self.problems.append(each)
        self.trainings = Trainings()
        self.followers = Followers(self.trainings)
        self.landscapes = Landscapes()
        self.closing = False

    def close(self) -> None:
        """No event is sent any more."""
        self.closing = True

    def end(self) -> None:
        """Stop what is at work; what is done is in the stores."""
        self.close()
        self.followers.end()
        self.landscapes.end()
        self.trainings.end()

    def paths(self) -> dict[str, Path]:
        """Name → store, of all that can be opened; a link out of the folder is not followed."""
        home = self.folder.resolve()
        files = [path for path in home.glob(f"*{ENDING}") if path.resolve().parent == home] if home.is_dir() else []
        newest = sorted(files, key=lambda path: -path.stat().st_mtime)[:MOST_LISTED]
        return {**self.stores, **{path.stem: path for path in newest if path.stem not in self.stores}}

    def path(self, name: str) -> Path:
        """Of a store, or of a study that has just begun.

        Raises:
            UsageError: there is none of that name.
        """
        if (path := self.paths().get(name)) is not None:
            return path
        if (path := self._new(name)) is not None and self.trainings.of(path) is not None:
            return path
        raise UsageError(unknown("study here", name[:LONGEST_LABEL], self.paths()))

    def _new(self, name: str) -> Path | None:
        """Where a study of that name is to be."""
        plain = re.fullmatch(r"\w[\w.-]{0,99}", name)
        return self.folder.resolve() / f"{name}{ENDING}" if plain else None

    def offers(self) -> dict[str, Any]:
        """What can be started, and what can be opened."""
        from ..problem.builtin import PROBLEMS  # what takes long to import is imported where it is needed
        from ..results import Results
        from ..schedules import SCHEDULES
        from ..store.connection import kind_of

        stores = []
        for name, path in self.paths().items():
            if kind_of(path) != "store":
                continue
            training = self.trainings.of(path)
            results = Results(path)
            try:
                facts = {"problem": results.name, "optimizers": list(results.stored_plan.get("optimizers", []))}
                state = "running" if training and training.alive else "finished" if results.finished else "stopped"
            except StoreError as error:
                facts, state = {"trouble": str(error)}, "damaged"
            stores.append({"name": name, "state": state, **facts})
        built_in = {name: say((inspect.getdoc(make) or "").partition("\n")[0]) for name, make in PROBLEMS.items()}
        return {
            "stores": stores,
            "problems": {**dict.fromkeys(self.problems, ""), **built_in},
            "optimizers": list(FORMULAS),
            "schedules": list(SCHEDULES),
        }

    def follower(self, name: str, language: str) -> Follower:
        return self.followers.of(self.path(name), language)

    def start(
        self, problem: str, optimizers: list[Any], rates: str, schedules: list[Any], seeds: int, epochs: int
    ) -> dict[str, str]:
        """Begin a study; its name.

        Raises:
            UsageError: something of it is not offered.
        """
        from ..problem.builtin import PROBLEMS
        from ..schedules import SCHEDULES
        from ..store.connection import stem_of

        if problem not in (allowed := [*self.problems, *PROBLEMS]):
            raise UsageError(unknown("problem here", problem[:LONGEST_LABEL], allowed))
        _known("optimizer", optimizers, FORMULAS)
        _known("schedule", schedules, SCHEDULES)
        how = {"problem": problem, "optimizers": optimizers, "schedules": schedules, "rates": _rates(rates)}
        how |= {"seeds": SEEDS.check("seeds", seeds, UsageError), "epochs": EPOCHS.check("epochs", epochs, UsageError)}
        stem = stem_of(re.sub(r".*[/:]", "", problem))[:80]
        taken = self.paths()
        numbered = (f"{stem}-{count}" if count > 1 else stem for count in range(1, 10_000))
        name = next(one for one in numbered if one not in taken and self._is_free(one))
        path = self._new(name)
        assert path is not None
        self.trainings.begin(path, do="compare", **how)
        return {"name": name}

    def _is_free(self, name: str) -> bool:
        path = self._new(name)
        return path is not None and not path.exists() and self.trainings.of(path) is None

    def carry(self, name: str, do: str, seeds: int, trust: bool) -> None:
        """Pause, continue, stop, resume or extend a study.

        Raises:
            UsageError: it is not at work, or is at work already.
        """
        path = self.path(name)
        if do in ("pause", "continue", "stop"):
            training = self.trainings.at_work(path)
            {"pause": training.pause, "continue": training.go_on, "stop": training.stop}[do]()
        elif do == "resume":
            self.trainings.begin(path, do=do, trust=trust)
        elif do == "extend":
            self.trainings.begin(path, do=do, trust=trust, seeds=SEEDS.check("seeds", seeds, UsageError))
        else:
            raise UsageError(unknown("request", do[:40], ("pause", "continue", "stop", "resume", "extend")))

    def setting(self, name: str, key: str) -> dict[str, Any]:
        """A setting of a study, and the script that trains with it.

        Raises:
            UsageError: there is no such setting.
        """
        from ..recipe import recipe as recipes
        from ..results import Results
        from .view import setting_of, words

        results = Results(self.path(name))
        setting = setting_of(results, key)
        code = ""
        if not results.problem.get("loop"):
            code = recipes.recipe(results.judged_plan, results.problem, setting, 0).code
        return {"key": key, "words": words(setting.levels), "code": code}


def _rates(text: str) -> list[float]:
    """As on the command line, and not so many that the list itself is an attack."""
    from ..plan.plan import parse_rates

    count = text.rpartition(":")[2].strip() if ":" in text else str(text.count(",") + 1)
    if len(text) > LONGEST_LABEL * 10 or not re.fullmatch(r"\d{1,3}", count, re.ASCII) or int(count) > MOST_RATES:
        raise UsageError(f"rates are LOW:HIGH:COUNT or a list, e.g. 1e-4:1:13, and at most {MOST_RATES}.")
    return list(parse_rates(text))


def _known(kind: str, given: Any, known: Any) -> None:
    if not isinstance(given, list) or not given or len(given) > MOST_OPTIMIZERS:
        raise UsageError(f"{kind}s must be a list of 1 to {MOST_OPTIMIZERS} names.")
    for one in given:
        if kind == "optimizer" and isinstance(one, str) and is_text(one):
            of_text(one)
        elif not isinstance(one, str) or len(one) > LONGEST_LABEL or one.partition("(")[0] not in known or ":" in one:
            raise UsageError(unknown(kind, str(one)[:LONGEST_LABEL], known))
