"""Who may ask the studio, and for what: each attack is tried, and each kind of text that a page may send."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.cli.asked import refused
from tests.verdict.test_method import ROOT, tables
from thalweg.formulas import FORMULAS
from thalweg.studio.guard import LARGEST_BODY, LONGEST_ADDRESS
from thalweg.studio.server import application
from thalweg.studio.words import scripts

TOKEN, HOME = "right", "http://127.0.0.1:8642"
OWN = {"origin": HOME}


@pytest.fixture
def client() -> TestClient:
    """A reader who has opened the printed address."""
    client = stranger()
    assert client.get("/", params={"token": TOKEN}).status_code == 200
    return client


def stranger(**options: object) -> TestClient:
    return TestClient(application(TOKEN, "127.0.0.1", 8642), HOME, **options)  # pyright: ignore


def test_the_token_opens_and_a_cookie_remembers_it() -> None:
    client = stranger(follow_redirects=False)
    assert client.get("/").status_code == 403
    for wrong in ("", "wrong", "rightly", "righ", "�"):
        assert client.get("/", params={"token": wrong}).status_code == 403
    opened = client.get("/", params={"token": TOKEN, "language": "ko"})
    assert (opened.status_code, opened.headers["location"]) == (303, "/?language=ko")
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert client.get("/").status_code == 200
    assert client.get("/facts", headers={"cookie": "thalweg-8642=wrong"}).status_code == 403
    assert client.get("/facts", headers={"cookie": 'thalweg-8642="; x'}).status_code == 403
    assert client.post("/", params={"token": TOKEN}, headers=OWN).status_code == 405  # a token posted opens nothing


@pytest.mark.parametrize("path", ["/", "/facts", "/page/race.js", "/page/made.js", "/make", "/nothing"])
def test_nothing_is_said_without_the_token(path: str) -> None:
    client = stranger()
    answers = [client.get(path), client.post(path, json={}, headers=OWN), client.get(f"{path}?token=wrong")]
    assert [answer.status_code for answer in answers] == [403] * 3


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8642", "127.0.0.1", "127.0.0.1:1", "localhost:8642.evil.example", ""]
)
def test_another_name_for_this_address_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 403
    assert client.get("/", params={"token": TOKEN}, headers={"host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:8642", ""])
def test_another_site_cannot_ask(client: TestClient, origin: str) -> None:
    body = {"kind": "surface", "text": "x^2"}
    assert client.post("/make", json=body, headers={"origin": origin}).status_code == 403
    assert client.get("/facts", headers={"origin": origin}).status_code == 403
    assert client.post("/make", json=body).status_code == 403  # no browser sends a POST without it
    assert client.post("/make", json=body, headers=OWN).status_code == 200


def test_another_site_cannot_include_what_is_here(client: TestClient) -> None:
    for site in ("cross-site", "same-site"):
        assert client.get("/page/race.js", headers={"sec-fetch-site": site}).status_code == 403
        assert client.get("/", headers={"sec-fetch-site": site}).status_code == 200  # a link to it may be followed


def test_every_answer_has_the_policies(client: TestClient) -> None:
    for answer in (client.get("/"), client.get("/page/race.js"), client.get("/nothing"), stranger().get("/")):
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["../server.py", "..%2fserver.py", "%2e%2e/server.py", "....//race.js", "/etc/passwd", "race.js%00", "", "."],
)
def test_no_path_leads_out_of_the_page(client: TestClient, path: str) -> None:
    assert client.get(f"/page/{path}").status_code == 404


@pytest.mark.slow
def test_the_page_has_all_its_files_and_no_script_of_its_own(client: TestClient) -> None:
    page = client.get("/").text
    assert re.findall(r"<script(?![^>]*src=)|\son\w+=|style=", page) == []
    for name in re.findall(r'(?:src|href)="(/[^"]+)"', page):
        assert client.get(name).status_code == 200
    for name, text in scripts().items():
        assert client.get(f"/page/{name}").text == text
        for other in re.findall(r'from "\./([^"]+)"', text):
            assert client.get(f"/page/{other}").headers["content-type"].startswith("text/javascript")


def test_a_surface_is_made_of_what_is_typed(client: TestClient) -> None:
    asked = {"kind": "surface", "text": "x^2 + 3*sin(y)"}
    assert client.post("/make", json=asked, headers=OWN).json() == {"key": "x^2 + 3*sin(y)"}
    module = client.get("/page/made.js", params=asked).text
    assert "Math.sin" in module
    assert client.post("/make", json={"kind": "rule", "text": "adam(beta2=0.9)"}, headers=OWN).status_code == 200


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("surface", "__import__('os').system('id')", "import"),
        ("surface", "x.__class__", "x.__class__"),
        ("surface", "x^2</script><script>alert(1)</script>", "script"),
        ("surface", "9^9^9^9^9*x", ""),
        ("surface", "x+" * 5000 + "x", "shorten it"),
        ("surface", "x + y + z", "one or two"),
        ("surface", "rosenbrock(dimensions=900)", "one or two"),
        ("rule", "nope", "not a rule"),
        ("rule", "LBFGS", "not a rule"),
        ("rule", "muon", "more than one weight"),
        ("rule", "adam(beta2=__import__('os'))", ""),
        ("file", "/etc/passwd", "not a kind of text"),
    ],
)
def test_what_is_typed_runs_nothing_and_is_refused_in_a_sentence(
    client: TestClient, kind: str, text: str, words: str
) -> None:
    for answer in (
        client.post("/make", json={"kind": kind, "text": text}, headers=OWN),
        client.get("/page/made.js", params={"kind": kind, "text": text[:2500]}),
    ):
        assert answer.status_code == 400
        assert words in answer.json()["error"]


@pytest.mark.parametrize("body", ["", "[", "[]", "{}", '{"kind": 1, "text": ""}', "[" * 30_000, '{"kind": "surface"}'])
def test_bodies_have_their_form(client: TestClient, body: str) -> None:
    answer = client.post("/make", content=body, headers=OWN)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_everything_has_a_limit(client: TestClient) -> None:
    large = b"x" * (LARGEST_BODY + 1)
    assert client.post("/make", content=large, headers=OWN).status_code == 413
    assert client.post("/make", content=iter([large[:50_000]] * 3), headers=OWN).status_code == 413  # its length unsaid
    assert client.post("/make", content=b"", headers={**OWN, "content-length": "-1"}).status_code == 413
    assert client.get("/", params={"x": "x" * LONGEST_ADDRESS}).status_code == 414
    assert client.get("/facts", params={"language": "xx"}).status_code == 400


@pytest.mark.slow
def test_the_command_prints_its_address_first_and_ends_at_once(tmp_path: Path) -> None:
    code = [sys.executable, "-c", "from thalweg.cli.main import main; main()", "studio", "--no-browser", "--port", "0"]
    out = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = subprocess.Popen(code, cwd=tmp_path, text=True, env={**os.environ, "THALWEG_LANGUAGE": "en"}, **out)
    try:
        assert running.stdout is not None
        address = running.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", address)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        assert b"/page/studio.js" in opener.open(address, timeout=30).read()
        port = int(address.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port)):  # a client that stays
            running.send_signal(signal.SIGINT)
            _, words = running.communicate(timeout=20)
        assert (running.returncode, "Traceback" in words) == (0, False)
    finally:
        running.kill()
        running.communicate()


def test_addresses_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert "every address" in refused("studio", "--no-browser", "--host", "0.0.0.0")
    assert "not an address" in refused("studio", "--no-browser", "--host", "no such")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "cannot be listened on" in refused("studio", "--no-browser", "--port", port, status=1)


@pytest.mark.slow
def test_the_catalogue_and_a_rule_that_is_typed(client: TestClient) -> None:
    rules = client.get("/formulas", params={"language": "ko"}).json()
    assert {rule["name"] for rule in rules} == {*FORMULAS}
    for rule in FORMULAS:
        shown = client.get("/formulas/one", params={"label": rule}).json()
        assert len(shown["math"]) == shown["latex"].count("\\\\\n") + 1, rule
        assert "\\" not in str(shown["math"]).replace("\\\\", "\\x"), rule  # every command has become an element
    assert client.get("/formulas/one", params={"label": "os:system"}).status_code == 400
    text = "def mine(g, *, lr=0.1):\n    return Update(-lr * sign(g))"
    shown = client.post("/formulas/own", json={"text": text}, headers=OWN).json()
    assert (shown["name"], shown["races"]) == ("mine", True)
    asked = {"kind": "rule", "text": text}
    assert client.post("/make", json=asked, headers=OWN).json() == {"key": "mine"}
    assert "Math.sign" in client.get("/page/made.js", params=asked).text
    for wrong in (text.replace("mine", "adam"), text.replace("sign(g)", "exec('1')"), "def "):
        for answer in (
            client.post("/formulas/own", json={"text": wrong}, headers=OWN),
            client.post("/make", json={"kind": "rule", "text": wrong}, headers=OWN),
        ):
            assert answer.status_code == 400
            assert answer.json()["error"]


def test_the_page_on_the_studio_says_what_was_measured() -> None:
    """The table is written by `benchmarks/studio.py`."""
    (start, paint, *_) = tables("studio")[0]
    text = " ".join((ROOT / "docs" / "studio.md").read_text(encoding="utf-8").split())
    assert f"within {paint[2]} ms of their event" in text
    assert f"{float(start[1]):.1f} s from its start to the first page" in text
