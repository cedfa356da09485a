"""The server's description of itself, as OpenAPI 3.1: one table of its paths, and its schemas."""

import collections

from serving import items

# A path: its method; a summary; statuses beside 200; closed: whether a token is asked for; body and
# answer: names of schemas, or media types.
Path = collections.namedtuple("Path", "method summary statuses closed body answer")

PATHS = collections.OrderedDict([
    ("/v1/predict", Path(
        "post", "Answers items: texts, pairs, contexts with questions, as the model's task asks",
        (400, 401, 404, 408, 413, 415, 429, 503, 504), True, "Request", "Answers")),
    ("/v1/models", Path("get", "The models, and what they take", (401, 503), True, None, "Models")),
    ("/health/live", Path("get", "Whether the process answers", (), False, None, "Health")),
    ("/health/ready", Path("get", "Whether requests are answered: after the warm-up",
                           (503,), False, None, "Health")),
    ("/metrics", Path("get", "Metrics for Prometheus", (401,), True, None, "text/plain")),
    ("/openapi.json", Path("get", "This document", (503,), False, None, "Document")),
    ("/", Path("get", "A page to try the models", (503,), False, None, "text/html")),
])
STATUSES = {
    400: "The body is not JSON of the expected form, or has too many items",
    401: "The token is missing or wrong",
    404: "There is no such model", 408: "The body did not arrive in time",
    413: "The body is too long", 415: "The body is not application/json",
    429: "Too much waits already; try again after Retry-After seconds",
    503: "Too many connections, or the warm-up is not over", 504: "There was no answer in time"}
RETRY = (429, 503)

_TEXT, _NUMBER, _COUNT = {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 0}
_MAYBE_COUNT = {"type": ["integer", "null"], "minimum": 0}


def _object(properties, required=None, **more):
    return dict({"type": "object", "properties": properties,
                 "required": sorted(properties if required is None else required)}, **more)


def _list(of):
    return {"type": "array", "items": of}


def _reference(name):
    return {"$ref": "#/components/schemas/" + name}


_PROBABILITIES = {"description": "Of every label; of a choice, in the order of the choices",
                  "oneOf": [{"type": "object", "additionalProperties": _NUMBER}, _list(_NUMBER)]}
_ANSWER = _object({
    "label": dict(_TEXT, description="Of one label"),
    "labels": dict(_list(_TEXT), description="Of several"),
    "probabilities": _PROBABILITIES,
    "value": dict(_NUMBER, description="Of a regression"),
    "entities": _list(_object({"type": _TEXT, "start": _COUNT, "end": _COUNT, "text": _TEXT})),
    "answer": dict(_TEXT, description="Of reading; empty: there is none"),
    "start": _MAYBE_COUNT, "end": _MAYBE_COUNT, "probability": _NUMBER, "score": _NUMBER,
    "no_answer_odds": _NUMBER,
    "choice": dict(_COUNT, description="From 0"), "text": _TEXT,
    "masks": dict(_list(_list({"type": "array", "prefixItems": [_TEXT, _NUMBER]})),
                  description="Words and probabilities for every [MASK], the best first"),
    "tokens_cut": dict(_COUNT, description="How many tokens did not fit"),
    "error": dict(_TEXT, description="Instead of all else: why this item has no answer")}, ())


def _item(max_characters):
    forms = [
        {"title": "A text", "type": "string", "examples": ["我喜欢妈妈做的汤"]},
        {"title": "Several texts", "type": "array", "items": _TEXT,
         "examples": [["我喜欢妈妈做的汤", "妈妈做的汤我很喜欢喝"]]},
        _object({"text": _TEXT, "text_b": _TEXT}, ["text"], title="A text or a pair"),
        _object({"context": _TEXT, "question": _TEXT}, title="Reading",
                examples=[{"context": "长江是最长的河流。", "question": "最长的河流是什么?"}]),
        _object({"context": _TEXT, "question": _TEXT, "choices": _list(_TEXT)}, title="A choice"),
        {"title": "Anything else", "description": "It is answered by an error in its place."}]
    return {"anyOf": forms, "description": "What the model's task asks for, of at most %d "
            "characters. An item that is not is answered by an error in its place; the others are "
            "answered all the same." % max_characters}


def _schemas(settings):
    return {
        "Request": _object({
            "items": dict(_list(_reference("Item")), maxItems=settings.max_items),
            "model": dict(_TEXT, description="One of /v1/models; default: the first")}, ["items"],
            additionalProperties=False),
        "Item": _item(settings.max_characters),
        "Answers": _object({
            "model": _TEXT, "fingerprint": dict(_TEXT, description="Of the model's weights"),
            "answers": dict(_list(_reference("Answer")), description="In the order of the items")}),
        "Answer": dict(_ANSWER, description="Of one item. Offsets count Unicode characters (code "
                       "points); the end is excluded."),
        "Models": _object({"models": _list(_reference("Model"))}),
        "Model": _object({
            "name": _TEXT, "fingerprint": _TEXT, "task": {"type": ["string", "null"]},
            "head": {"enum": list(items.FORMS)}, "kind": {"type": ["string", "null"]},
            "labels": _list(_TEXT), "max_seq_length": _COUNT, "engine": _TEXT,
            "expects": dict(_TEXT, description="What an item is")}),
        "Health": _object({"status": _TEXT}),
        "Document": {"type": "object"},
        "Error": _object({"error": dict(_TEXT, description="One sentence")})}


def document(settings):
    """The document as a dict.

    Args:
      settings: server_flags.Settings.
    """
    described = {
        "openapi": "3.1.0",
        "info": {"title": "ALBERT in service", "version": "1"},
        "servers": [{"url": "."}],
        "paths": {path: {row.method: _operation(path, row, settings)}
                  for path, row in PATHS.items()},
        "components": {"schemas": _schemas(settings)}}
    if settings.token:
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return described


def _operation(path, row, settings):
    operation = {"summary": row.summary, "operationId": path.strip("/").replace("/", "_") or "page",
                 "responses": {"200": _response("The answer", row.answer)}}
    for status in row.statuses:
        if status != 401 or settings.token:
            operation["responses"][str(status)] = _response(STATUSES[status], "Error", status)
    if row.body:
        operation["requestBody"] = {"required": True, "content": _content(row.body)}
    if row.closed and settings.token:
        operation["security"] = [{"token": []}]
    return operation


def _response(text, answer, status=200):
    response = {"description": text, "content": _content(answer)}
    if status in RETRY:
        response["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}
    return response


def _content(name):
    if "/" in name:
        return {name: {"schema": {"type": "string"}}}
    return {"application/json": {"schema": _reference(name)}}
