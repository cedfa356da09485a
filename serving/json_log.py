"""Log lines as JSON objects, one a line, on standard error.

    json_log.start()
    json_log.write("request", path="/v1/predict", status=200, ms=4.1)
    # {"time": "2026-11-28T12:00:00.123Z", "level": "info", "event": "request", "path": …}

What the commands say (`console.say`) and what uvicorn warns of become such lines too, as "message".
"""

import datetime
import json
import logging
import sys

from util import console

_log = logging.getLogger("albert.serving")


class Formatter(logging.Formatter):
    """A record as a line of JSON; `fields` of it are merged in."""

    def format(self, record):
        when = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        values = {"time": when.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % record.msecs,
                  "level": record.levelname.lower()}
        if hasattr(record, "fields"):
            values.update(record.fields)
        else:
            values["message"] = record.getMessage()
        if record.exc_info:
            values["exception"] = self.formatException(record.exc_info)
        return json.dumps(values)  # ASCII, whatever standard error can write


def start():
    """Makes all that is logged lines of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter())
    for log, level in ((console.log, logging.INFO),
                       (logging.getLogger("uvicorn"), logging.WARNING)):
        log.handlers = [handler]
        log.setLevel(level)
        log.propagate = False


def write(event, level=logging.INFO, exc_info=None, **fields):
    """Logs an event with its fields."""
    _log.log(level, event, exc_info=exc_info, extra={"fields": dict(event=event, **fields)})
