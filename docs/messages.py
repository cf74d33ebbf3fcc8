"""Collect what thalweg says, and bring the catalogues of `src/thalweg/locale` up to date with it: `make messages`.

A message is a literal given to `say`, to `mark`, or to an error of thalweg's, the head of a column, what an entry
of a catalogue says of itself, or a line of the help. New ones are added with an empty translation, those that are gone
are dropped, and the compiled catalogue is written beside the edited one.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from typer.main import get_command

import thalweg
from thalweg import errors, schedules
from thalweg.cli import loss, regularizer
from thalweg.cli.help import EXAMPLE
from thalweg.cli.listing import headline
from thalweg.cli.main import app
from thalweg.formulas import FORMULAS, WRAPPERS
from thalweg.gallery import PICTURES
from thalweg.landscapes import SURFACES
from thalweg.language import FOLDER, LANGUAGES
from thalweg.pictures.markup import WORDS
from thalweg.problem.builtin import PROBLEMS
from thalweg.sizes.known import KNOWN
from thalweg.studio.words import said as said_on_pages

ROOT = Path(thalweg.__file__).parent
DATE = datetime(2026, 1, 1, tzinfo=UTC)
HEADS = {"Column": ((1, 4), ("title", "brief")), "columns": ((0,), ("title",)), "columns_of": ((1,), ())}
HEADS |= dict.fromkeys(("formula", "around"), ((), ("direction", "rate", "idea")))


def collected() -> dict[str, list[str]]:
    """Message → the files it is said in."""
    found: dict[str, list[str]] = {}
    for path in (path for ending in ("py", "html", "js") for path in sorted(ROOT.rglob(f"*.{ending}"))):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            tree = ast.parse(text)
            said = [*_said(tree), *(_drawn(tree) if path.parent.name == "gallery" else ())]
        elif path.suffix == ".js":
            said = said_on_pages(text)
        else:
            said = [one[1] for one in WORDS.finditer(text) if one[1]]
        for message in dict.fromkeys(said):
            found.setdefault(message, []).append(path.relative_to(ROOT).as_posix())
    for message in (
        *_helped(),
        *_entries(),
        *(inspect.cleandoc(picture.make.__doc__ or "") for picture in PICTURES.values()),
    ):
        found.setdefault(message, []).append("cli")
    return found


def _said(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if says(node):
            yield from _texts(node.args[:1])
        if not isinstance(node.func, ast.Name):
            continue
        name = node.func.id
        if name == "map" and isinstance(node.args[0], ast.Name) and node.args[0].id == "mark":
            yield from _texts(node.args[1:])
        elif name in HEADS:
            places, keywords = HEADS[name]
            yield from _texts([node.args[place] for place in places if place < len(node.args)])
            yield from _texts([keyword.value for keyword in node.keywords if keyword.arg in keywords])


def says(call: ast.Call) -> bool:
    """Whether it is given a message: by `say` or `mark`, or as an error of thalweg's."""
    name = getattr(call.func, "attr", "") or getattr(call.func, "id", "")
    return name in ("say", "mark", "error") or isinstance(vars(errors).get(name), type)


def _drawn(tree: ast.AST) -> Iterator[str]:
    """What the pictures of the gallery say: the words that are given to what draws them."""
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    silent |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        words = node.value if isinstance(node, ast.Constant) and id(node) not in silent else None
        spoken = isinstance(words, str) and re.search(r"[a-z]{2} \S|\S [a-z]{2}", words)
        if spoken and not re.search(r"[a-z_]\d?=|= $|\*", words):
            yield words


def _texts(nodes: list[ast.expr]) -> Iterator[str]:
    """The words among the literals of these expressions, apart from the keys of dictionaries."""
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and any(map(str.isalpha, node.value)):
            yield node.value
        elif isinstance(node, ast.IfExp):
            yield from _texts([node.body, node.orelse])
        elif isinstance(node, ast.Tuple | ast.List):
            yield from _texts(node.elts)
        elif isinstance(node, ast.Starred):
            yield from _texts([node.value])
        elif isinstance(node, ast.Dict):
            yield from _texts(node.values)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            yield from _texts([node.left, node.right])


def _helped() -> Iterator[str]:
    """What commands and their options say of themselves."""
    program = get_command(app)
    for command in (program, *program.commands.values()):  # pyright: ignore
        yield from (words for words in (command.help, *(getattr(p, "help", None) for p in command.params)) if words)
        assert command.epilog.startswith(EXAMPLE), command.name


def _entries() -> Iterator[str]:
    """What the entries of the catalogues say of themselves in their docstrings."""
    for entry in (*loss.documents(), *regularizer.documents()):
        yield from (entry.formula, *entry.words, *(words for _, words in entry.options.values() if words))
        yield from (part for part in entry.facts.get(loss.LIKELIHOOD, "").split(", ") if " " in part)
    every = (schedules.Several, *map(type, map(schedules.example, schedules.names())))
    for kind in (*every, *SURFACES.values(), *PROBLEMS.values()):
        yield headline(kind)
    yield from (known.note for known in KNOWN.values())
    for rule in (*FORMULAS.values(), *WRAPPERS.values()):
        meanings = rule.meanings.values()
        said = (rule.doc.partition("\n")[0], rule.departs, *(words for m in meanings for words in (m.words, m.range)))
        yield from (words for words in said if re.search(r"[a-z]{2}", words))


def catalogue(language: str) -> Catalog:
    """That of a language, brought up to date."""
    path = folder(language) / "thalweg.po"
    with path.open("rb") as file:
        old = read_po(file, locale=language)
    new = Catalog(locale=language, project="thalweg", fuzzy=False, header_comment="# Messages of thalweg.")
    for message, places in collected().items():
        known = old.get(message)
        new.add(message, string=known.string if known else "", locations=[(place, None) for place in places[:1]])
    return new


def folder(language: str) -> Path:
    return FOLDER / language / "LC_MESSAGES"


def written(messages: Catalog) -> tuple[bytes, bytes]:
    """The catalogue as text and compiled; what no translation has is English."""
    messages.revision_date = messages.creation_date = DATE  # so that equal messages are equal files
    text, compiled = io.BytesIO(), io.BytesIO()
    write_po(text, messages, width=118, sort_output=True)
    write_mo(compiled, messages)
    return text.getvalue(), compiled.getvalue()


if __name__ == "__main__":
    for language in LANGUAGES[1:]:
        text, compiled = written(catalogue(language))
        (folder(language) / "thalweg.po").write_bytes(text)
        (folder(language) / "thalweg.mo").write_bytes(compiled)
        missing = sum(not one.string for one in catalogue(language) if one.id)
        print(f"{language}: {len(collected())} messages, {missing} without a translation")
