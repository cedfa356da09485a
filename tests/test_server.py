"""The server's answers and refusals, in this process; and once as a command that is stopped."""

import asyncio
import collections
import contextlib
import json
import logging
import re
import sys
import threading
import time
import urllib.request

from util.errors import UserError

import pytest

pytest.importorskip("starlette", reason="the server's packages are of Python 3.9 and newer")
TestClient = pytest.importorskip("httpx") and pytest.importorskip("starlette.testclient").TestClient

import processes  # noqa: E402
import serving  # noqa: E402
import similarity  # noqa: E402
import tiny  # noqa: E402
from served import TOLD, model, running, settings, write_model  # noqa: E402
from serving import (  # noqa: E402
    front,
    json_log,
    openapi,
    request_body,
    server,
    server_flags,
    service_metrics,
    work,
)

JSON = {"content-type": "application/json"}


@contextlib.contextmanager
def answering(models, ready=True, batch=None, **changes):
    """A client of a Service without a socket; `client.service` is that."""
    if not isinstance(models, dict):
        models = {"own": models}
    service = server.Service(models, settings(batch, **changes))
    with TestClient(service.application, raise_server_exceptions=False) as client:
        client.service = service
        if ready:
            processes.wait_until(lambda: client.get("/health/ready").status_code == 200)
        yield client


def ask(client, *items, **options):
    body = json.dumps(dict({"items": list(items)}, **options))
    return client.post("/v1/predict", content=body, headers=JSON)


def answers(client, *items, **options):
    response = ask(client, *items, **options)
    assert response.status_code == 200, response.text
    return response.json()["answers"]


ANSWERED = [
    ("classification", ["丁" + TOLD, ["丁", TOLD]], {"label": "yes"}),
    ("classification", ["丁", {"text": "丁", "text_b": "丁"}], {"label": "no"}),
    ("tagging", ["丁" + TOLD, {"text": "丁" + TOLD}],
     {"entities": [{"type": "PER", "start": 1, "end": 2, "text": TOLD}]}),
    ("reading", [["丁" + TOLD, "丁"], {"context": "丁" + TOLD, "question": "丁"}],
     {"answer": TOLD, "start": 1, "end": 2}),
    ("choice", [["丁", "丁", "丁", TOLD],
                {"context": "丁", "question": "", "choices": ["丁", TOLD]}],
     {"choice": 1, "text": TOLD}),
    (None, ["[MASK]丁"], {})]


@pytest.mark.parametrize("head, items, expected", ANSWERED)
def test_every_task_is_answered(tmp_path, head, items, expected):
    with answering(model(tmp_path, head)) as client:
        response = ask(client, *items)
    found = response.json()
    assert (found["model"], found["fingerprint"]) == ("own", "ab12")
    assert len(found["answers"]) == len(items)
    for answer in found["answers"]:
        assert answer["tokens_cut"] == 0
        assert {name: answer[name] for name in expected} == expected
    if head is None:
        (word, share), *_ = found["answers"][0]["masks"][0]
        assert word == TOLD and share > 0.5
    assert TOLD in response.text or head == "classification"  # not as \\u4e00


def test_a_bad_item_fails_alone(tmp_path):
    with answering(model(tmp_path, max_seq_length=8), max_characters=50) as client:
        found = answers(client, TOLD, 3, None, "", "丁" * 51, ["丁"] * 3, {"text": 1}, "bad丁",
                        "\x00" + TOLD, "\ud800" + TOLD, TOLD * 20)
        count = client.get("/metrics").text
    assert [answer.get("label") for answer in found] == ["yes"] + [None] * 7 + ["yes"] * 3
    errors = [answer["error"] for answer in found[1:8]]
    assert errors[0].startswith("expected a text or a pair of texts") and "found 3" in errors[0]
    assert errors[2].startswith("text is empty")
    assert errors[3] == "51 characters, at most 50 may be"
    assert errors[6] == work.FAILED and found[10]["tokens_cut"] == 14
    assert 'albert_items_total{model="own",result="refused"} 7.0' in count
    assert 'albert_items_total{model="own",result="answered"} 4.0' in count
    assert 'albert_tokens_cut_total{model="own"} 14.0' in count


def test_an_item_that_is_nested_deeply(tmp_path):
    with answering(model(tmp_path)) as client:
        body = b'{"items": ["a", %s1%s]}' % (b"[" * 900, b"]" * 900)
        found = client.post("/v1/predict", content=body, headers=JSON).json()["answers"]
        assert "label" in found[0] and "error" in found[1]
        body = b'{"items": [%s' % (b"[" * 200000)
        response = client.post("/v1/predict", content=body, headers=JSON)
    assert response.status_code == 400 and "the body is nested too deeply" in response.text


@pytest.mark.parametrize("body, status, sentence", [
    (b"", 400, "not JSON in UTF-8"), (b"{", 400, "not JSON in UTF-8"),
    (b'{"items": ["\xff"]}', 400, "not JSON in UTF-8"),
    (b'{"items": [NaN]}', 400, "NaN is no number of JSON"),
    (b'{"items": [' + b"1" * 5000 + b"]}", 400, "not JSON in UTF-8"),
    (b"[]", 400, 'expected an object with a list "items"'),
    (b'{"items": "a"}', 400, 'expected an object with a list "items"'),
    (b'{"items": [], "model": 1}', 400, '"model" is not a text'),
    (b'{"items": [], "x": 1}', 400, "unknown key 'x'; expected items and maybe model"),
    (b'{"items": [], "model": "\\ud800"}', 404, "no model '\\ud800'; expected own"),
    (b'{"items": ["a", "a", "a", "a"]}', 400, "4 items, at most 3 a request"),
    (b'{"items": ["%s"]}' % (b"a" * 9000), 413, "more than 8000 bytes")])
def test_bodies_that_are_refused(tmp_path, body, status, sentence):
    with answering(model(tmp_path), max_items=3, max_body_bytes=8000) as client:
        response = client.post("/v1/predict", content=body, headers=JSON)
    assert response.status_code == status and sentence in response.json()["error"], response.text
    assert str(status) in openapi.document(settings())["paths"]["/v1/predict"]["post"]["responses"]


@pytest.mark.parametrize("headers", [
    {"content-type": "text/plain"}, {}, dict(JSON, **{"content-encoding": "gzip"})])
def test_bodies_of_another_type(tmp_path, headers):
    with answering(model(tmp_path)) as client:
        response = client.post("/v1/predict", content=b'{"items": []}', headers=headers)
        assert response.status_code == 415
        fitting = dict(JSON, **{"content-type": "Application/JSON; charset=utf-8"})
        assert client.post("/v1/predict", content=b'{"items": []}',
                           headers=fitting).json()["answers"] == []


def exchange(client, pieces, headers=(), gone=False):
    """A request whose body comes in these pieces and then no more -> (status, sentence, number of
    pieces that were read). gone: the request is whole, and so is the client's patience."""
    left, sent = list(pieces), []

    async def receive():
        if left:
            piece = left.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(left) or not gone}
        if gone:
            return {"type": "http.disconnect"}
        return await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    async def call():
        await client.service.application({
            "type": "http", "method": "POST", "path": "/v1/predict", "query_string": b"",
            "raw_path": b"/v1/predict", "root_path": "", "scheme": "http", "http_version": "1.1",
            "headers": [(b"content-type", b"application/json")] + list(headers),
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}, receive, send)

    client.portal.call(call)
    status, sentence = ((sent[0]["status"], json.loads(sent[1]["body"])["error"]) if sent
                        else (None, None))
    return status, sentence, len(pieces) - len(left)


def test_what_is_too_long_is_not_read(tmp_path):
    with answering(model(tmp_path), max_body_bytes=1000) as client:
        for length in (b"10000000", b"-1", b"x"):
            assert exchange(client, [b"x"] * 9, [(b"content-length", length)])[::2] == (413, 0)
        assert exchange(client, [b"x" * 300] * 9)[::2] == (413, 4)


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path):
    with answering(model(tmp_path), read_seconds=0.05) as client:
        assert exchange(client, [b'{"items"']) == (
            408, "the body did not arrive in 0.05 seconds", 1)


def test_an_answer_that_does_not_come_in_time_is_not_computed_later(tmp_path):
    made = model(tmp_path)
    with answering(made, answer_seconds=0.05) as client:
        made.engine.open.clear()
        del made.engine.batches[:]
        for text in ("a", "aaaa", "aaaa"):
            response = ask(client, text)
            assert response.status_code == 504 and response.json()["error"] == (
                "no answer in 0.05 seconds")
        processes.wait_until(lambda: "albert_queue_tokens 0.0" in client.get("/metrics").text)
        made.engine.open.set()
    assert made.engine.batches == [(1, 3)]  # which was begun


def test_who_is_gone_gets_no_work(tmp_path):
    made = model(tmp_path)
    with answering(made, batch={"wait_seconds": 0.3}) as client:
        del made.engine.batches[:]
        assert exchange(client, [b'{"items": ', b'["a"]}'], gone=True) == (None, None, 2)
        assert exchange(client, [], gone=True) == (None, None, 0)
        metrics = client.get("/metrics").text
    assert 'albert_requests_total{path="/v1/predict",status="%d"} 2.0' % front.VANISHED in metrics
    assert made.engine.batches == []


def test_queue_is_bounded(tmp_path):
    """429 where there is no room; whoever waits is answered."""
    made = model(tmp_path)
    with answering(made, batch={"queue_tokens": 40}) as client:
        made.engine.open.clear()
        statuses = []
        threads = [threading.Thread(target=lambda: statuses.append(
            ask(client, "丁" * 16).status_code)) for _ in range(2)]
        for thread in threads:  # one is computed, one waits
            thread.start()
            time.sleep(0.2)
        response = ask(client, "丁" * 26)
        assert response.status_code == 429 and int(response.headers["retry-after"]) >= 1
        assert "18 tokens wait to be computed, at most 40 may; try again in" in response.text
        assert "albert_queue_tokens 18.0" in client.get("/metrics").text
        made.engine.open.set()
        for thread in threads:
            thread.join()
        assert statuses == [200, 200] and ask(client, "丁" * 26).status_code == 200


def test_ready_after_the_warm_up(tmp_path):
    made = model(tmp_path)
    made.engine.open.clear()
    with answering(made, ready=False, batch={"batch_tokens": 64}) as client:
        for path in ("/health/ready", "/v1/predict"):
            method = client.get if path.startswith("/health") else client.post
            response = method(path)
            assert response.status_code == 503 and response.headers["retry-after"] == "1"
        assert client.get("/health/live").json() == {"status": "live"}
        assert client.get("/v1/models").status_code == 200
        assert "albert_ready 0.0" in client.get("/metrics").text
        made.engine.open.set()
        processes.wait_until(lambda: client.get("/health/ready").status_code == 200)
        assert "albert_ready 1.0" in client.get("/metrics").text
    assert made.engine.batches == [(1, 3), (21, 3), (1, 32), (2, 32)]


def test_a_model_that_does_not_compute_stops_the_server(tmp_path):
    made = model(tmp_path)
    made.engine.run = lambda features: 1 // 0
    values = settings()
    with server.listen("127.0.0.1", 0) as listener, pytest.raises(
            UserError, match="a model does not compute: integer division"):
        server.Server({"own": made}, values).run(listener)


def test_several_models(tmp_path):
    models = collections.OrderedDict([
        ("pairs", model(tmp_path)), ("names", model(tmp_path, "tagging", fingerprint="cd34"))])
    with answering(models) as client:
        listed = client.get("/v1/models").json()["models"]
        assert [(one["name"], one["fingerprint"], one["head"]) for one in listed] == [
            ("pairs", "ab12", "classification"), ("names", "cd34", "tagging")]
        assert listed[0]["labels"] == ["no", "yes"] and listed[0]["max_seq_length"] == 32
        assert "label" in answers(client, "a")[0]
        assert "entities" in answers(client, "a", model="names")[0]
        assert ask(client, "a", model="x").json() == {
            "error": "no model 'x'; expected pairs or names"}


def test_answers_of_many_clients_are_not_mixed_up(tmp_path):
    made, wrong = model(tmp_path), []
    texts = ["丁" * (1 + number % 7) + TOLD * (number % 2) for number in range(40)]
    with answering(made) as client:
        def check(number):
            for text in texts[number:] + texts[:number]:
                found = answers(client, text, "丁" + TOLD)
                if [one["label"] for one in found] != ["yes" if TOLD in text else "no", "yes"]:
                    wrong.append(text)

        threads = [threading.Thread(target=check, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == [] and max(len(shape) and shape[0] for shape in made.engine.batches) > 4


# ---- around the answers ----

def test_token(tmp_path):
    with answering(model(tmp_path), token="s3cret-token") as client:
        for headers in ({}, {"authorization": "Bearer s3cret-toke"},
                        {"authorization": "s3cret-token"}, {"authorization": "Bearer \xe4"}):
            response = client.post("/v1/predict", json={"items": []}, headers=[
                (name, value.encode("latin-1")) for name, value in headers.items()])
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
        for path in ("/v1/models", "/metrics"):
            assert client.get(path).status_code == 401
        for path in ("/", "/health/live", "/health/ready", "/openapi.json"):
            assert client.get(path).status_code == 200
        client.headers["authorization"] = "bearer s3cret-token"
        assert answers(client, TOLD)[0]["label"] == "yes"
        assert client.get("/metrics").status_code == 200


def test_pages_of_others_are_answered_when_named(tmp_path):
    origin, made = {"origin": "https://example.org"}, model(tmp_path)
    preflight = dict(origin, **{"access-control-request-method": "POST",
                                "access-control-request-headers": "content-type"})
    with answering(made) as client:
        assert "access-control-allow-origin" not in client.get("/v1/models", headers=origin).headers
        assert client.options("/v1/predict", headers=preflight).status_code == 405
    with answering(made, cors_origins=("https://example.org",), token="s3cret-token") as client:
        response = client.options("/v1/predict", headers=preflight)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == "https://example.org"
        other = dict(preflight, origin="https://example.com")
        assert "access-control-allow-origin" not in client.options(
            "/v1/predict", headers=other).headers


def test_metrics_have_few_labels(tmp_path):
    with answering(model(tmp_path)) as client:
        answers(client, "a", "aa")
        for number in range(5):
            assert client.get("/nowhere/%d" % number).json() == {
                "error": "no such path; GET /openapi.json lists them"}
        assert client.get("/v1/predict").headers["allow"] == "POST"
        response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    lines = response.text.splitlines()
    assert 'albert_requests_total{path="other",status="404"} 5.0' in lines
    assert 'albert_requests_total{path="/v1/predict",status="200"} 1.0' in lines
    assert 'albert_batch_rows_sum{model="own"}' in response.text
    for stage in (service_metrics.TOKENIZING, service_metrics.WAITING, service_metrics.COMPUTING):
        count, = re.findall(r'stage_seconds_count{model="own",stage="%s"} (\d+)' % stage,
                            response.text)
        assert int(count) > 0
    assert set(re.findall(r'path="([^"]*)"', response.text)) <= set(openapi.PATHS) | {"other"}


def test_log_lines_are_json_and_hold_no_texts(tmp_path, caplog):
    with answering(model(tmp_path)) as client, caplog.at_level(logging.INFO, "albert.serving"):
        client.headers["x-request-id"] = "abc-1"
        assert ask(client, TOLD, 3).headers["x-request-id"] == "abc-1"
        client.headers["x-request-id"] = "a b\tc"
        assert re.match(r"[0-9a-f]{16}$", client.get("/health/live").headers["x-request-id"])
    lines = [json_log.Formatter().format(record) for record in caplog.records]
    line = json.loads(lines[-1])
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", line.pop("time"))
    assert line.pop("ms") > 0
    assert line == {"level": "info", "event": "request", "id": "abc-1", "method": "POST",
                    "path": "/v1/predict", "status": 200, "client": "testclient", "model": "own",
                    "items": 2, "refused": 1}
    assert not any(TOLD in one for one in lines)


def test_what_fails_is_logged_and_not_shown(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(request_body, "parse", lambda *_: 1 // 0)
    with answering(model(tmp_path)) as client:
        response = ask(client, "a")
    assert response.status_code == 500 and "division" not in response.text
    identity = response.headers["x-request-id"]
    assert response.json() == {"error": "the server failed; its log says more under " + identity}
    logged, = [json.loads(json_log.Formatter().format(record)) for record in caplog.records
               if record.levelname == "ERROR"]
    assert logged["id"] == identity and "ZeroDivisionError" in logged["exception"]


def test_document_has_the_paths_and_the_schemas_that_it_names(tmp_path):
    with answering(model(tmp_path)) as client:
        document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {"/", "/v1/predict", "/v1/models", "/health/live",
                                      "/health/ready", "/metrics", "/openapi.json"}
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert named == set(document["components"]["schemas"])
    assert "securitySchemes" not in document["components"]
    closed = openapi.document(settings(token="s3cret-token"))
    assert closed["paths"]["/v1/predict"]["post"]["security"] == [{"token": []}]
    assert "security" not in closed["paths"]["/health/ready"]["get"]


# ---- the command ----

def flags(**values):
    return tiny.parse(server_flags.define_flags, **values)


def test_settings(tmp_path, monkeypatch):
    found = server_flags.settings_of(flags())
    assert (found.host, found.port, found.token) == ("127.0.0.1", 8000, None)
    assert found.cors_origins == ()
    monkeypatch.setenv(server_flags.TOKEN_VARIABLE, "from-environment")
    assert server_flags.settings_of(flags()).token == "from-environment"
    (tmp_path / "token").write_text("from-a-file\n")
    found = server_flags.settings_of(flags(token_file=tmp_path / "token", batch_wait_ms=5))
    assert found.token == "from-a-file" and found.batching.wait_seconds == 0.005
    for content in ("", "short", "two lines\nof it", "größer-als-acht"):
        (tmp_path / "token").write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match="--token_file=.*: expected a token of 8 or more"):
            server_flags.settings_of(flags(token_file=tmp_path / "token"))
    with pytest.raises(UserError, match="--cors_origins: 'example.org' is no origin"):
        server_flags.settings_of(flags(cors_origins="example.org"))


def test_models_of(tmp_path):
    assert server_flags.models_of("exported/lcqmc/") == {"lcqmc": "exported/lcqmc/"}
    assert list(server_flags.models_of("b=x/y,a=z").items()) == [("b", "x/y"), ("a", "z")]
    (tmp_path / "a=b").mkdir()
    assert server_flags.models_of(str(tmp_path / "a=b")) == {"a_b": str(tmp_path / "a=b")}
    with pytest.raises(UserError, match="--model: 'c' in 'a=b,c'; expected name=directory"):
        server_flags.models_of("a=b,c")
    with pytest.raises(UserError, match="--model: the name a stands twice"):
        server_flags.models_of("a=b,a=c")


def test_port_that_is_taken(tmp_path):
    with running({"own": model(tmp_path)}, settings()) as port, pytest.raises(
            UserError, match="--host=127.0.0.1 --port=%d: .*; choose others" % port):
        server.listen("127.0.0.1", port)


def test_packages_that_are_not_there(monkeypatch):
    monkeypatch.delattr(serving, "server")
    monkeypatch.delitem(sys.modules, "serving.server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(UserError, match="--serve: .*; pip install -r requirements-serving.txt"):
        similarity.main(tiny.parse(similarity.define_flags, model="x", serve=True))


@pytest.mark.parametrize("values, message", [
    ({}, "--model is missing"),
    ({"model": "x", "input_file": "y"}, "leave out --input_file and --output_file"),
    ({"model": "a=nowhere", "port": 0}, "nowhere: no such checkpoint")])
def test_command_that_cannot_serve(values, message, monkeypatch):
    monkeypatch.setattr(json_log, "start", lambda: None)
    with pytest.raises(UserError, match=message):
        similarity.main(tiny.parse(similarity.define_flags, serve=True, **values))


def test_nothing_of_the_server_is_loaded_without_serve():
    from util import sources
    assert not any(sources.loads(path, "starlette") for path in (
        "similarity.py", "serving/server_flags.py", "serving/batching.py"))


@pytest.mark.slow
def test_command_answers_what_it_was_asked_before_it_was_stopped(tmp_path):
    """SIGTERM while a request is under way: its answer comes, the status is 0."""
    write_model(tmp_path)
    log = tmp_path / "log"
    process = processes.start("similarity.py", {
        "model": tmp_path, "serve": True, "port": 0, "batch_wait_ms": 1500}, log)

    def lines():
        return [json.loads(line) for line in log.read_text().splitlines() if line[:1] == "{"]

    processes.wait_until(lambda: log.exists() and any(
        line.get("event") == "ready" for line in lines()), 120)
    url, = [found for line in lines() for found in re.findall(
        r"listening on (http://127.0.0.1:\d+/)", line.get("message", ""))]
    request = urllib.request.Request(url + "v1/predict", b'{"items": ["[MASK]"]}', JSON)
    found = []
    asking = threading.Thread(target=lambda: found.append(
        json.loads(urllib.request.urlopen(request, timeout=60).read())))
    asking.start()
    time.sleep(0.5)
    process.terminate()
    asking.join(60)
    process.join(60)
    assert found and len(found[0]["answers"][0]["masks"][0]) == 5
    assert process.exitcode == 0 and lines()[-1]["message"].startswith("stopped")
