"""Studies as the studio shows and starts them: what is offered, what a stream says, and what is refused."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.report_study import made_study
from thalweg.errors import StoreError
from thalweg.problem.prepare import prepare
from thalweg.results import Results
from thalweg.store.file import Store
from thalweg.studio import streams
from thalweg.studio.server import application
from thalweg.studio.studies import Studies
from thalweg.studio.view import judged, searched, setting_of, status
from thalweg.study.study import Study


def awaited(work: Coroutine[Any, Any, Any]) -> Any:
    """Its result, from a thread of its own: a browser that other tests drive has a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(asyncio.wait_for(work, 60))).result()


HOME = "http://127.0.0.1:8642"
NEW = {"problem": "breast-cancer", "optimizers": ["sgd", "adam"], "rates": "0.01,0.1", "schedules": ["constant"]}
NEW |= {"seeds": 2, "epochs": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished study."""
    folder = tmp_path_factory.mktemp("runs")
    made_study(folder / "digits.db", rates=3, fingerprint=prepare("digits").fingerprint)
    return folder


@pytest.fixture
def studies(made: Path) -> Iterator[Studies]:
    studies = Studies(made)
    yield studies
    studies.end()


@pytest.fixture
def client(studies: Studies) -> TestClient:
    client = TestClient(application("token", "127.0.0.1", 8642, studies), HOME, headers={"origin": HOME})
    client.get("/?token=token")
    return client


def wait_for(ready: Callable[[], Any], seconds: float = 60) -> Any:
    until = time.monotonic() + seconds
    while not (value := ready()):
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.02)
    return value


def told(studies: Studies, name: str, last: str = "", count: int = 1) -> list[tuple[str, dict[str, Any]]]:
    """So many events of a stream: their ids and data."""

    async def read() -> list[tuple[str, dict[str, Any]]]:
        follower, events = studies.follower(name, "en"), []
        stream = streams._stream(studies, follower, last)
        async for text in stream:
            if text.startswith("id: "):
                number, data = text.removeprefix("id: ").rstrip().split("\ndata: ")
                events.append((number, json.loads(data)))
                if len(events) == count:
                    break
        await stream.aclose()  # pyright: ignore[reportAttributeAccessIssue]
        return events

    return awaited(read())


def test_what_is_there_is_offered(client: TestClient, made: Path) -> None:
    (made / "other.db").write_text("nothing")
    offers = client.get("/studies").json()
    (made / "other.db").unlink()
    assert [(one["name"], one["state"], one["problem"]) for one in offers["stores"]] == [
        ("digits", "finished", "digits")
    ]
    assert {"breast-cancer", "digits"} <= offers["problems"].keys()
    assert {"sgd", "adamw"} <= {*offers["optimizers"]}


def test_a_view_says_what_the_store_says(made: Path) -> None:
    results = Results(made / "digits.db")
    view, table = searched(results), results.table()
    settings = {key: one for key, one in view.items() if key.startswith("setting/")}
    assert sum(one["runs"] for one in settings.values()) == len(table)
    one = settings["setting/search/adam · lr 0.01 · cosine"]
    members = table.query("stage == 'search' and optimizer == 'adam' and lr == 0.01 and schedule == 'cosine'")
    curves = results.curves()
    curves = curves[curves["member"].isin(members["member"]) & (curves["metric"] == "validation_loss")]
    means = curves.groupby("step")["value"].mean()
    assert one["step"] == means.index.tolist()
    assert one["mean"] == pytest.approx(means.tolist(), rel=1e-4)
    assert one["n"] == [2] * len(means)
    lost = settings["setting/search/adam · lr 1 · cosine"]
    assert (lost["diverged"], lost["mean"][-1]) == (2, None)  # infinitely bad, and not the mean of those that are left
    assert view["diverged"]["count"] == (table["status"] == "diverged").sum() == status(results, None)["diverged"]
    assert view["rates/adam/cosine"]["seeds"] == [2, 2, 2]
    assert json.dumps(view, allow_nan=False)
    spoken = judged(results)
    assert spoken["guard"] == ""
    assert spoken["sentence"] == results.verdict.sentence


def test_it_is_too_early_until_fresh_seeds_have_been_met(tmp_path: Path) -> None:
    early = judged(made_study(tmp_path / "early.db", rates=3, ended=0, confirmed=False))
    assert early["guard"].startswith("Too early to say: no seed")
    assert early["rows"] == []
    made_study(tmp_path / "half.db", rates=3)
    with Store.open(tmp_path / "half.db", write=True) as store:
        store._db.execute("UPDATE blocks SET status = 'started' WHERE stage = 'confirmation'")
    half = judged(Results(tmp_path / "half.db"))
    assert half["guard"].startswith("Too early to say: what the search chooses")
    assert (half["sentence"], half["notes"]) == ("", [])
    assert len(half["rows"]) == 8
    assert len(half["heads"]) < 6  # no interval, no letters, no chance of being best


@pytest.mark.slow
def test_a_stream_goes_on_where_it_broke_off(studies: Studies, made: Path) -> None:
    ((number, first),) = told(studies, "digits")
    assert first["whole"]
    while "verdict" not in first["values"]:
        ((number, first),) = told(studies, "digits")
    with Store.open(made / "digits.db", write=True) as store:
        block = store.blocks()[0]
        values = {"validation_loss": np.full(len(block.settings), 0.5)}
        store.record(block.id, 9999, values, np.full(len(block.settings), -1), 0.1, finished=True)
    ((later, second),) = told(studies, "digits", number)
    assert not second["whole"]
    assert later != number
    changed = second["values"].keys()
    assert 0 < len(changed) < len(first["values"])
    assert all(second["values"][key]["step"][-1] == 9999 for key in changed if key.startswith("setting/"))
    assert told(studies, "digits", "other-3")[0][1]["whole"]  # the number of another follower
    assert told(studies, "digits", "9" * 40)[0][1]["whole"]


@pytest.mark.slow
def test_a_silent_stream_stays_open_and_ends_with_the_studio(studies: Studies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT", 0.1)

    async def read() -> str:
        follower = studies.follower("digits", "en")
        await asyncio.sleep(2)
        async for text in streams._stream(studies, follower, f"{follower.key}-{follower.number}"):
            if text.startswith(":"):
                studies.close()
                return text
        return ""

    assert awaited(read()).startswith(": still")

    async def ended() -> list[str]:
        return [text async for text in streams._stream(studies, studies.follower("digits", "en"), "")]

    assert awaited(ended()) == ["retry: 1000\n\n"]


@pytest.mark.slow
def test_a_setting_gives_its_recipe(client: TestClient) -> None:
    key = "setting/search/adam · lr 0.01 · cosine"
    answer = client.get("/studies/setting", params={"name": "digits", "key": key}).json()
    assert "torch.optim.Adam" in answer["code"]
    assert "0.01" in answer["code"]
    assert client.get("/studies/setting", params={"name": "digits", "key": "setting/x"}).status_code == 400
    page = client.get("/studies/report", params={"name": "digits"})
    assert page.headers["content-disposition"].startswith("attachment")


@pytest.mark.slow
def test_a_setting_shows_its_landscape(client: TestClient, studies: Studies) -> None:
    body = {"name": "digits", "key": "setting/search/adam · lr 0.01 · cosine", "trust": False}

    def ready() -> Any:
        answer = client.post("/studies/landscape", params={"language": "ko"}, json=body)
        return answer.json() if answer.status_code != 200 or "axes" in answer.json() else None

    shown = wait_for(ready)
    study = Study.open(studies.path("digits"))
    expected = study.landscape(setting_of(study, body["key"]))
    np.testing.assert_allclose(shown["losses"], expected.losses, rtol=1e-6)
    assert "경로" in shown["note"]
    assert ready() == shown
    assert client.post("/studies/landscape", json={**body, "key": "setting/x"}).status_code == 400


@pytest.mark.parametrize(
    "name", ["../digits", "..", "/etc/passwd", "digits.db", "", "a/b", "x\0", "runs/digits", "https:"]
)
def test_no_name_leads_out_of_the_folder(client: TestClient, made: Path, name: str) -> None:
    made_study(made.parent / "out.db", rates=2, confirmed=False) if not (made.parent / "out.db").exists() else None
    (made / "link.db").unlink(missing_ok=True)
    (made / "link.db").symlink_to(made.parent / "out.db")
    for path in ("/studies/events", "/studies/setting", "/studies/report"):
        assert client.get(path, params={"name": name}).status_code == 400
        assert client.get(path, params={"name": "link"}).status_code == 400
    body = {"name": name, "do": "resume", "seeds": 1, "trust": True}
    assert client.post("/studies/carry", json=body).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"problem": "own.py:problem"},
        {"problem": "/etc/passwd"},
        {"problem": "os:system"},
        {"optimizers": ["own.py:rule"]},
        {"optimizers": ["sgd:x"]},
        {"optimizers": ["def adam(g, *, lr=0.1): return Update(-lr * g)"]},
        {"optimizers": ["def mine(g, *, lr=0.1): return Update(-lr * g.__class__)"]},
        {"optimizers": ["@print\ndef mine(g, *, lr=0.1): return Update(-lr * g)"]},
        {"optimizers": []},
        {"optimizers": ["sgd"] * 41},
        {"optimizers": [["sgd"]]},
        {"schedules": ["own.py:schedule"]},
        {"schedules": ["warmup(own.py:schedule)"]},
        {"rates": "1e-4:1:100000000"},
        {"rates": "x" * 9999},
        {"seeds": 0},
        {"seeds": 10**9},
        {"epochs": -1},
        {"epochs": True},
        {"store": "/tmp/x.db"},
    ],
    ids=str,
)
def test_nothing_is_started_that_is_not_offered(client: TestClient, studies: Studies, changes: dict[str, Any]) -> None:
    answer = client.post("/studies/start", json={**NEW, **changes})
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert studies.trainings._all == {}


@pytest.mark.slow
def test_opening_a_store_runs_nothing_that_it_names(client: TestClient, studies: Studies, made: Path) -> None:
    (made / "evil.py").write_text(f"open({str(made / 'ran')!r}, 'w')\ndef problem(): ...\n")
    spec = f"{made / 'evil.py'}:problem"
    made_study(made / "evil.db", rates=2, ended=1, confirmed=False, kind="file", spec=spec, text="")
    facts = wait_for(lambda: told(studies, "evil")[0][1]["values"].get("facts"))
    assert facts["untrusted"] == [spec]
    client.get("/studies")
    client.get("/studies/setting", params={"name": "evil", "key": "setting/search/adam · lr 1 · cosine"})
    client.get("/studies/report", params={"name": "evil"})
    shown = {"name": "evil", "key": "setting/search/adam · lr 1 · cosine", "trust": False}
    refused = wait_for(lambda: client.post("/studies/landscape", json=shown).json().get("error"))
    assert "never ran on this machine" in refused
    body = {"name": "evil", "do": "resume", "seeds": 1, "trust": False}
    assert client.post("/studies/carry", json=body).status_code == 200
    path = studies.path("evil")
    training = studies.trainings.of(path)
    assert training is not None
    wait_for(lambda: not training.alive)
    assert "never ran on this machine" in wait_for(lambda: training.facts.get("error"))
    assert not (made / "ran").exists()


def test_a_store_given_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        Studies(tmp_path, [str(tmp_path / "a.db")])
    assert Studies(tmp_path, ["own.py:problem"]).offers()["problems"]["own.py:problem"] == ""


def ended(studies: Studies, path: Path) -> dict[str, Any]:
    """What the process at a store said, when it has ended."""
    training = studies.trainings.of(path)
    assert training is not None
    wait_for(lambda: not training.alive)
    return training.facts


@pytest.mark.slow
def test_a_study_is_started_paused_stopped_and_resumed(client: TestClient, studies: Studies) -> None:
    """In a process of its own; the page hears how far it is."""
    name = client.post("/studies/start", json={**NEW, "epochs": 4000}).json()["name"]

    def order(do: str) -> int:
        return client.post("/studies/carry", json={"name": name, "do": do, "seeds": 1, "trust": False}).status_code

    path = studies.path(name)
    training = studies.trainings.of(path)
    assert training is not None
    wait_for(lambda: path.exists() and Results(path).table()["step"].sum() > 0)
    assert order("resume") == 400  # it is at work
    assert order("pause") == 200
    assert status(Results(path), training)["state"] == "paused"
    before = Results(path).revision
    time.sleep(0.5)
    assert Results(path).revision == before
    order("continue")
    wait_for(lambda: Results(path).revision > before)
    assert 0 < status(Results(path), training)["share"] < 1
    order("stop")
    assert ended(studies, path).get("stopped")
    assert status(Results(path), training)["state"] == "stopped"
    assert order("stop") == 400
    before = Results(path).revision
    assert order("resume") == 200
    wait_for(lambda: Results(path).revision > before + 2)


@pytest.mark.slow
def test_a_study_comes_to_its_end_and_is_extended(client: TestClient, studies: Studies) -> None:
    name = client.post("/studies/start", json=NEW).json()["name"]
    path = studies.path(name)
    assert "error" not in ended(studies, path)
    assert Results(path).finished
    body = {"name": name, "do": "extend", "seeds": 2, "trust": False}
    assert client.post("/studies/carry", json=body).status_code == 200
    assert "error" not in ended(studies, path)
    assert Results(path).verdict.seeds == 12
