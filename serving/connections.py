"""Connections of the server: how many there are, and how long a client may take.

uvicorn by itself waits for ever for a client that sends half a head, sends nothing at all, or does
not read its answer; each holds a connection then. What is overridden here is of the pinned uvicorn.
"""

import h11
from uvicorn.protocols.http import h11_impl

TIMEOUT = (b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\n"
           b"content-length: 49\r\nconnection: close\r\n\r\n"
           b'{"error": "the request did not arrive in time"}\r\n')
OVER_LIMIT = "over_limit"  # key of a scope's state


class Connection(h11_impl.H11Protocol):
    """uvicorn's, bounded.

    A connection over the limit is told so by the application, which finds OVER_LIMIT in the scope's
    state; over twice the limit, it is closed at once.

    Args:
      limit: of connections at a time.
      seconds: for a client to send a request, to take an answer, and to close.
    """

    def __init__(self, limit, seconds, **options):
        super().__init__(**options)
        self._limit, self._seconds = limit, seconds
        self._reading = self._writing = None  # timers

    def connection_made(self, transport):
        super().connection_made(transport)
        if len(self.connections) > 2 * self._limit:
            transport.abort()
        elif len(self.connections) > self._limit:
            self.app_state = dict(self.app_state, **{OVER_LIMIT: True})
        self._watch_reading()

    def connection_lost(self, exc):
        super().connection_lost(exc)
        self._stop_reading()
        self._stop_writing()

    def data_received(self, data):
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self._stop_reading()  # a request begins: its time does
        super().data_received(data)
        self._watch_reading()

    def _watch_reading(self):
        """The timer runs while the client owes a head or a body."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_reading()
        elif self._reading is None:
            self._reading = self.loop.call_later(self._seconds, self._read_too_slowly)

    def _stop_reading(self):
        if self._reading:
            self._reading.cancel()
        self._reading = None

    def _read_too_slowly(self):
        self._reading = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._watch_reading()  # the application has a limit of its own, from the head on
            return
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self.transport.write(TIMEOUT)
        self._close()

    def timeout_keep_alive_handler(self):
        super().timeout_keep_alive_handler()
        self._close()

    def on_response_complete(self):
        super().on_response_complete()
        if self.transport.is_closing():
            self._close()

    def _close(self):
        """Closes; what the client has not taken by then is dropped in the end."""
        self.transport.close()
        self._watch_writing()

    def pause_writing(self):
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self):
        super().resume_writing()
        self._stop_writing()

    def _watch_writing(self):
        if self._writing is None:
            self._writing = self.loop.call_later(self._seconds, self.transport.abort)

    def _stop_writing(self):
        if self._writing:
            self._writing.cancel()
        self._writing = None
