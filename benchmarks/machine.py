"""What a result was measured with, for the head of every table in results/."""

from __future__ import annotations

from pathlib import Path

from thalweg.store.provenance import provenance

RESULTS = Path(__file__).parent / "results"


def heading(title: str) -> str:
    """A Markdown title with the processor, cores and versions."""
    facts = provenance("cpu", "float32")
    return (
        f"# {title}\n\n"
        f"{facts['processor']}, {facts['cores']} cores, {facts['system']}; Python {facts['python']}, "
        f"torch {facts['torch']}, numba {facts['numba']}, NumPy {facts['numpy']}; {str(facts['started'])[:10]}.\n"
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column is left-aligned, the others right-aligned."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def write(name: str, text: str) -> None:
    """Keep a result, and print it."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)
    print(f"\n{text}")
