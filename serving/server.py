"""Models in service: JSON over HTTP, and a page to try them.

    server.run(OrderedDict([("lcqmc", predictor.load("exported/lcqmc"))]), settings, listener)

A request is read within limits (request_body.py), its items become rows of tokens in a thread, the
rows wait in the queue of the one thread that computes (batching.py), and a thread makes answers of
the outputs. Each item fails for itself: its answer is {"error": a sentence}.
"""

import asyncio
import concurrent.futures
import contextlib
import functools
import hmac
import json
import math
import os
import signal
import socket
import threading
import time

from util import console
from util.errors import UserError

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from serving import batching, items, json_log, openapi, page, request_body, service_metrics
from serving.connections import Connection
from serving.front import Front
from serving.work import Work, sample

KEEP_ALIVE_SECONDS = 5
SENTENCES = {"Not Found": "no such path; GET /openapi.json lists them",
             "Method Not Allowed": "no such method of this path; GET /openapi.json lists them"}


class Service(object):
    """The models, the queue before them and what answers requests.

    Args:
      models: {name: Predictor}, the default first.
      settings: server_flags.Settings.
      connections: returns how many are open.
      on_failure: called where the warm-up failed, which `failure` then is.

    Attributes:
      application: ASGI.
    """

    def __init__(self, models, settings, connections=lambda: 0, on_failure=lambda: None):
        self._models, self._settings, self._on_failure = models, settings, on_failure
        self._ready, self.failure = False, None
        self._metrics = service_metrics.Metrics(
            {predictor: name for name, predictor in models.items()}, openapi.PATHS,
            waiting=lambda: self._batcher.waiting, connections=connections)
        self._batcher = batching.Batcher(settings.batching, self._metrics)
        self._pool = concurrent.futures.ThreadPoolExecutor(max(2, os.cpu_count() or 1))
        self._page = page.load()
        self._document = openapi.document(settings)
        self.application = Front(self._starlette(), self._metrics.request)

    def _starlette(self):
        endpoints = {"/": self._get_page, "/v1/predict": self._predict,
                     "/v1/models": self._get_models, "/health/live": self._get_live,
                     "/health/ready": self._get_ready, "/metrics": self._get_metrics,
                     "/openapi.json": self._get_document}
        routes = [Route(path, functools.partial(self._checked, row, endpoints[path]),
                        methods=[row.method.upper()]) for path, row in openapi.PATHS.items()]
        origins = self._settings.cors_origins
        cors = [Middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"],
                           allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
                           expose_headers=["Retry-After", "X-Request-ID"])] if origins else []
        application = Starlette(routes=routes, middleware=cors, lifespan=self._lifespan,
                                exception_handlers={HTTPException: _as_json, Exception: _failed})
        application.router.redirect_slashes = False
        return application

    @contextlib.asynccontextmanager
    async def _lifespan(self, _):
        warming = asyncio.get_running_loop().run_in_executor(None, self._warm_up)
        yield
        await warming
        await asyncio.get_running_loop().run_in_executor(None, self._batcher.close)
        self._pool.shutdown()

    def _warm_up(self):
        """Computes the shortest and the longest that may come, so that no client is the first."""
        began = time.time()
        try:
            for predictor in self._models.values():
                for words in (1, predictor.package.max_seq_length):
                    rows = predictor.rows(sample(predictor.package.head, words))
                    count = max(1, self._settings.batching.batch_tokens
                                // sum(len(row["input_ids"]) for row in rows))
                    for number in {1, count}:
                        for future in self._batcher.submit(predictor, [rows] * number):
                            future.result()
        except Exception as error:  # whatever it is, nobody would get an answer
            self.failure = error
            self._on_failure()
            return
        self._ready = True
        self._metrics.ready()
        json_log.write("ready", seconds=round(time.time() - began, 2))

    async def _checked(self, row, endpoint, request):
        """An endpoint, of whoever has the token where one is asked for."""
        token = self._settings.token
        if row.closed and token:
            scheme, _, given = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(
                    given.encode("latin-1"), token.encode()):
                raise HTTPException(401, "the header Authorization: Bearer TOKEN is missing or "
                                    "wrong", {"WWW-Authenticate": "Bearer"})
        return await endpoint(request)

    # ---- what is asked about the server ----

    async def _get_page(self, _):
        content, headers = self._page
        return Response(content, headers=headers, media_type="text/html")

    async def _get_document(self, _):
        return _json(self._document)

    async def _get_live(self, _):
        return _json({"status": "live"})

    async def _get_ready(self, _):
        self._check_ready()
        return _json({"status": "ready"})

    async def _get_metrics(self, _):
        return Response(self._metrics.text(), media_type=self._metrics.content_type)

    async def _get_models(self, _):
        return _json({"models": [describe(name, predictor)
                                 for name, predictor in self._models.items()]})

    def _check_ready(self):
        if not self._ready:
            raise HTTPException(503, "the warm-up is not over", {"Retry-After": "1"})

    # ---- answers ----

    async def _predict(self, request):
        self._check_ready()
        try:
            body = await request_body.read(
                request, self._settings.max_body_bytes, self._settings.read_seconds)
            return await while_connected(
                request, self._answer(body, request.state.log), self._settings.answer_seconds)
        except ClientDisconnect:
            return _nothing

    async def _answer(self, body, log):
        """The body of a request -> the Response."""
        in_thread = functools.partial(asyncio.get_running_loop().run_in_executor, self._pool)
        work = await in_thread(self._work_of, body)
        log.update(model=work.name, items=len(work.items))
        try:
            computed = self._batcher.submit(work.predictor, work.rows())
        except batching.Full as full:
            raise HTTPException(429, "%s; try again in %d s" % (full, full.seconds),
                                {"Retry-After": str(full.seconds)}) from None
        outputs = await asyncio.gather(*map(asyncio.wrap_future, computed), return_exceptions=True)
        content = await in_thread(self._content, work, outputs)
        log.update(refused=len(work.errors))
        return Response(content, media_type="application/json")

    def _work_of(self, body):
        name, given = request_body.parse(body, self._settings.max_items)
        name = next(iter(self._models)) if name is None else name
        if name not in self._models:
            raise HTTPException(404, "no model %.80s; expected %s"
                                % (ascii(name), " or ".join(self._models)))
        began = time.monotonic()
        work = Work(name, self._models[name], given, self._settings.max_characters)
        self._metrics.tokenized(work.predictor, time.monotonic() - began)
        return work

    def _content(self, work, outputs):
        """The answers as bytes of JSON."""
        answers = work.answers(outputs)
        self._metrics.answered(work.predictor, answers)
        return _encode({"model": work.name, "fingerprint": work.predictor.package.fingerprint,
                        "answers": answers})


async def while_connected(request, work, seconds):
    """What `work` returns.

    Raises:
      HTTPException: 504, not in time.
      ClientDisconnect: the client is gone, and the work is cancelled.
    """
    tasks = work, gone = asyncio.ensure_future(work), asyncio.ensure_future(request.receive())
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds,
                                     return_when=asyncio.FIRST_COMPLETED)
        if work in done:
            return work.result()
        if gone in done:
            raise ClientDisconnect()
        raise HTTPException(504, "no answer in %g seconds" % seconds)
    finally:
        for task in tasks:
            task.cancel()


def describe(name, predictor):
    """A model as /v1/models shows it."""
    model = predictor.package
    return {"name": name, "fingerprint": model.fingerprint, "task": model.task, "head": model.head,
            "kind": model.kind, "labels": list(model.labels or ()),
            "max_seq_length": model.max_seq_length, "engine": predictor.engine.name,
            "expects": items.FORMS[model.head][0]}


def _encode(values):
    return json.dumps(values, ensure_ascii=False, allow_nan=False).encode("utf-8")


def _json(values, status=200, headers=None):
    return Response(_encode(values), status, headers, "application/json")


async def _as_json(_, error):
    """An HTTPException as its answer."""
    return _json({"error": SENTENCES.get(error.detail, error.detail)}, error.status_code,
                 error.headers)


async def _failed(request, _):
    """What was not foreseen: Front logs it, and it is none of the client's business."""
    return _json({"error": "the server failed; its log says more under " + request.state.id}, 500)


async def _nothing(scope, receive, send):
    """The response to a client that is gone."""


def listen(host, port):
    """A socket on which clients may wait already.

    Raises:
      UserError: the address is taken, or none of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        raise UserError("--host=%s --port=%d: %s; choose others" % (
            host, port, error.strerror)) from None
    return listener


class Server(object):
    """A Service on a socket.

    Args:
      models: {name: Predictor}, the default first.
      settings: server_flags.Settings.
    """

    def __init__(self, models, settings):
        self._service = Service(models, settings, lambda: len(
            self._uvicorn.server_state.connections), self.stop)
        self._uvicorn = uvicorn.Server(uvicorn.Config(
            self._service.application, http=functools.partial(
                Connection, settings.max_connections, settings.read_seconds),
            loop="asyncio", ws="none", lifespan="on", log_config=None, access_log=False,
            server_header=False, proxy_headers=False, timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=math.ceil(settings.drain_seconds)))

    def run(self, listener):
        """Serves until SIGTERM, SIGINT or `stop`; what has been asked by then is answered.

        Args:
          listener: of `listen`.

        Raises:
          UserError: a model does not compute.
        """
        with _signals_ignored():
            self._uvicorn.run([listener])
        if self._service.failure:
            raise UserError("a model does not compute: %s" % self._service.failure)

    def stop(self):
        self._uvicorn.should_exit = True


def run(models, settings, listener):
    """Runs a Server, and says so."""
    console.say("listening on http://%s:%d/ for %s", *listener.getsockname()[:2],
                ", ".join(models))
    Server(models, settings).run(listener)
    console.say("stopped")


@contextlib.contextmanager
def _signals_ignored():
    """uvicorn stops at a signal and raises it again in the end; that is no failure here."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)
