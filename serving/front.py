"""What every request passes first and last: its number, its line in the log, its count.

Front(application, observe) is an ASGI application around another.
"""

import logging
import re
import time
import uuid

from starlette.datastructures import MutableHeaders

from serving import json_log
from serving.connections import OVER_LIMIT

ID = re.compile(r"[A-Za-z0-9._-]{1,64}$")
ALWAYS = ("/health/live", "/health/ready", "/metrics")  # however many connections there are
VANISHED = 499  # nginx's number for a client that did not wait for its answer


class Front(object):
    """Gives a request an id (X-Request-ID, the client's or a new one), logs and counts it.

    What the application raises is logged whole under the id. A request of a connection over the
    limit gets 503 without the application.

    Args:
      application: ASGI; finds in scope["state"] "id", and "log", a dict for what the line in the
        log shall have besides.
      observe: called with path, status and seconds of every request.
    """

    def __init__(self, application, observe):
        self._application, self._observe = application, observe

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        try:
            if exchange.state.get(OVER_LIMIT) and scope["path"] not in ALWAYS:
                await exchange.refuse()
            else:
                await self._application(scope, receive, exchange.send)
        except Exception:  # it was answered before it came here
            json_log.write("error", logging.ERROR, exc_info=True, id=exchange.id)
        finally:
            seconds = time.monotonic() - exchange.began
            self._observe(scope["path"], exchange.status, seconds)
            if scope["path"] not in ALWAYS:
                exchange.log(seconds)


class _Exchange(object):
    """A request and what was sent for it."""

    def __init__(self, scope, send):
        self._scope, self._send = scope, send
        self.began = time.monotonic()
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        self.id = given if ID.match(given) else uuid.uuid4().hex[:16]
        self.state = scope.setdefault("state", {})
        self.state.update(id=self.id, log={})
        self.status = VANISHED

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.id
            headers["X-Content-Type-Options"] = "nosniff"
        await self._send(message)

    async def refuse(self):
        """Answers for a connection over the limit."""
        body = b'{"error": "too many connections; try again in 1 s"}'
        await self.send({"type": "http.response.start", "status": 503, "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"retry-after", b"1"), (b"connection", b"close")]})
        await self.send({"type": "http.response.body", "body": body})

    def log(self, seconds):
        client = self._scope.get("client")
        json_log.write("request", id=self.id, method=self._scope["method"],
                       path=self._scope["path"][:200], status=self.status,
                       ms=round(1000 * seconds, 1), client=client and client[0],
                       **self.state["log"])
