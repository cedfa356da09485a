"""The body of a request: read within limits of size and time, then understood.

    body = await request_body.read(request, max_bytes=1 << 20, seconds=10)
    name, items = request_body.parse(body, max_items=256)

Raises starlette's HTTPException, with the sentence for the client.
"""

import asyncio
import json

from starlette.exceptions import HTTPException

KEYS = ("items", "model")


async def read(request, max_bytes, seconds):
    """bytes; what is announced as too long, or not as JSON, is refused before it is read.

    Raises:
      HTTPException: 408, 413 or 415.
      starlette.requests.ClientDisconnect: the client is gone.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, "Content-Type is %.80s, expected application/json; with curl: "
                            "-H 'Content-Type: application/json'" % ascii(media_type))
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise HTTPException(415, "Content-Encoding is %.80s; send the body as it is"
                            % ascii(encoding))
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > max_bytes:
        raise _too_large(max_bytes)
    try:
        return await asyncio.wait_for(_collect(request, max_bytes), seconds)
    except asyncio.TimeoutError:
        raise HTTPException(408, "the body did not arrive in %g seconds" % seconds,
                            {"Connection": "close"}) from None


async def _collect(request, max_bytes):
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def _too_large(max_bytes):
    return HTTPException(413, "the body has more than %d bytes; send fewer items a request"
                         % max_bytes)


def parse(body, max_items):
    """bytes -> (name of a model or None, the list of items, of any form).

    Raises:
      HTTPException: 400.
    """
    try:
        values = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except RecursionError:
        raise HTTPException(400, "the body is nested too deeply") from None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError among others
        raise HTTPException(400, "the body is not JSON in UTF-8: %s" % error) from None
    if not isinstance(values, dict) or not isinstance(values.get("items"), list):
        raise HTTPException(400, 'expected an object with a list "items", as '
                            '{"items": ["a text", ["a text", "and another"]]}')
    for key in values:
        if key not in KEYS:
            raise HTTPException(400, "unknown key %.80s; expected %s"
                                % (ascii(key), " and maybe ".join(KEYS)))
    if not isinstance(values.get("model", ""), str):
        raise HTTPException(400, '"model" is not a text; GET /v1/models names them')
    if len(values["items"]) > max_items:
        raise HTTPException(400, "%d items, at most %d a request"
                            % (len(values["items"]), max_items))
    return values.get("model"), values["items"]


def _no_number(name):
    raise ValueError("%s is no number of JSON" % name)


def characters(item):
    """How many characters the texts of an item have: of itself, its list, or its object."""
    if isinstance(item, str):
        return len(item)
    if isinstance(item, dict):
        item = list(item.values())
    if not isinstance(item, list):
        return 0
    return sum(len(text) for part in item for text in (part if isinstance(part, list) else [part])
               if isinstance(text, str))
