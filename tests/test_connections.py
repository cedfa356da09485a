"""Clients that are slow, gone, or too many, on sockets."""

import contextlib
import json
import socket
import time

import pytest

pytest.importorskip("starlette", reason="the server's packages are of Python 3.9 and newer")

import processes  # noqa: E402
from served import TOLD, model, running, settings  # noqa: E402
from serving import connections  # noqa: E402

HEAD = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"


def request(body, headers=b""):
    return HEAD + headers + b"content-length: %d\r\n\r\n%s" % (len(body), body)


@contextlib.contextmanager
def connected(port):
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        yield client


def answer(client):
    """(status, JSON) of one answer; (None, None) where the connection ended before it."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = client.recv(1 << 16)
        if not piece:
            return None, None
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += client.recv(1 << 16)
    return int(head.split()[1]), json.loads(body.decode())


def ended(client):
    """Whether the server closes the connection, without a word."""
    with contextlib.suppress(ConnectionResetError):
        return client.recv(1) == b""
    return True


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def port(made):
    """Of a server with room for 4 connections and 0.3 s for a request."""
    with running({"own": made}, settings(max_connections=4, read_seconds=0.3)) as port:
        yield port


def test_several_requests_of_a_connection(port):
    with connected(port) as client:
        for text, label in ((TOLD, "yes"), ("丁", "no")):
            client.sendall(request(json.dumps({"items": [text]}).encode()))
            status, found = answer(client)
            assert status == 200 and found["answers"][0]["label"] == label
        client.sendall(LIVE + LIVE)  # without waiting for the first answer
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 2:
            received += client.recv(1 << 16)


@pytest.mark.parametrize("begun, status", [
    (b"", None), (HEAD, 408), (b"G", 408),
    (HEAD + b"content-length: 9\r\n\r\n{", 408),
    (HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n", 408)])
def test_clients_that_do_not_go_on_are_left(port, begun, status):
    began = time.monotonic()
    with connected(port) as client:
        client.sendall(begun)
        assert answer(client)[0] == status and ended(client)
    assert time.monotonic() - began < 5


def test_one_byte_now_and_then_is_not_enough(port):
    with connected(port) as client, pytest.raises(OSError):
        client.sendall(HEAD + b"content-length: 1000\r\n\r\n")
        for _ in range(100):
            client.sendall(b"x")
            time.sleep(0.05)


def test_a_body_that_was_refused_is_taken_and_dropped_but_not_for_ever(port):
    body = b"x" * 3000000
    with connected(port) as client:
        client.sendall(request(body))
        assert answer(client)[0] == 413
        client.sendall(request(b'{"items": []}'))  # the same connection goes on
        assert answer(client)[0] == 200
    with connected(port) as client, pytest.raises(OSError):
        client.sendall(HEAD + b"content-length: 1000000000\r\n\r\n")
        for _ in range(100):
            client.sendall(b"x" * 1000)
            time.sleep(0.05)


def test_timeout_is_http():
    head, _, body = connections.TIMEOUT.partition(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % len(body) in head and "error" in json.loads(body.decode())


@pytest.mark.parametrize("sent", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/9\r\n\r\n",
    HEAD + b"content-length: x\r\n\r\n", b"GET /" + b"a" * 100000])
def test_what_is_not_http(port, sent):
    with connected(port) as client:
        client.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(20).startswith(b"HTTP/1.1 400 ")


def test_too_many_connections(port):
    """503 for those over the limit, but not to Kubernetes; over twice the limit, nothing."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(port)) for _ in range(4)]
        for client in clients:
            client.sendall(LIVE)
            assert answer(client)[0] == 200
        over = [stack.enter_context(connected(port)) for _ in range(3)]
        over[0].sendall(request(b'{"items": []}'))
        assert answer(over[0]) == (503, {"error": "too many connections; try again in 1 s"})
        over[1].sendall(LIVE)
        assert answer(over[1])[0] == 200
        more = [stack.enter_context(connected(port)) for _ in range(4)]
        assert ended(more[-1])
    processes.wait_until(lambda: can_ask(port), 10)


def can_ask(port):
    with connected(port) as client:
        client.sendall(request(b'{"items": []}'))
        return answer(client)[0] == 200


def test_who_does_not_take_the_answer_is_left(tmp_path):
    """Megabytes of answers to a client that reads none of them and stays."""
    def count():
        with connected(port) as asking:
            asking.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            text = b"".join(iter(lambda: asking.recv(1 << 16), b""))
        return int(text.partition(b"\nalbert_connections ")[2].split(b".")[0])

    made = model(tmp_path, labels=["l" * 100000, "m" * 100000])
    with running({"own": made}, settings(read_seconds=0.3)) as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(request(json.dumps({"items": ["a"] * 200}).encode()))
        received = len(client.recv(1))
        processes.wait_until(lambda: count() == 1, 20)
        received += sum(map(len, iter(lambda: client.recv(1 << 20), b"")))
    assert 0 < received < 1 << 23  # of 40 MB
