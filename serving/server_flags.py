"""The flags of similarity.py --serve, and the settings that they become."""

import collections
import os
import re

from util import text_lines
from util.errors import UserError

from absl import flags as absl_flags

from serving import batching

TOKEN_VARIABLE = "ALBERT_SERVER_TOKEN"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*$")

# host, port: where to listen; token: of whoever may ask, None for all; cors_origins: pages of other
# sites that may ask; max_*: limits of a request; *_seconds: of reading a request, of answering it,
# and of answering what is left at the end.
Settings = collections.namedtuple(
    "Settings", "host port token cors_origins max_connections max_body_bytes max_items "
    "max_characters read_seconds answer_seconds drain_seconds batching")


def define_flags():
    flags = absl_flags
    defaults = batching.Settings()
    flags.DEFINE_bool("serve", False, "Answer by JSON over HTTP (docs/serving.md) until stopped. "
                      "--model may be several: name=directory,name=directory.")
    flags.DEFINE_string("host", "127.0.0.1", "--serve: the address to listen on; 0.0.0.0: every "
                        "one of this machine.")
    flags.DEFINE_integer("port", 8000, "--serve: the port; 0: any that is free.", 0, 65535)
    flags.DEFINE_string("token_file", None, "--serve: a file with the token that clients must send "
                        "(Authorization: Bearer TOKEN); default: %s of the environment, else none "
                        "is asked for." % TOKEN_VARIABLE)
    flags.DEFINE_list("cors_origins", [], "--serve: origins whose pages may ask from a browser, as "
                      "https://example.org; *: all. Default: none but the server's own.")
    flags.DEFINE_integer("max_connections", 256, "--serve: connections at a time; others get 503.",
                         1)
    flags.DEFINE_integer("max_body_bytes", 1 << 20, "--serve: of a request; others get 413.", 1)
    flags.DEFINE_integer("max_items", 256, "--serve: of a request; others get 400.", 1)
    flags.DEFINE_integer("max_characters", 20000, "--serve: of an item; others are answered by an "
                         "error.", 1)
    flags.DEFINE_float("read_seconds", 10, "--serve: for a client to send its request, else 408.",
                       0.01)
    flags.DEFINE_float("answer_seconds", 30, "--serve: for an answer, else 504.", 0.01)
    flags.DEFINE_float("drain_seconds", 30, "--serve: after SIGTERM, for the answers of requests "
                       "that are there.", 0)
    flags.DEFINE_integer("batch_tokens", defaults.batch_tokens, "--serve: padded tokens that are "
                         "computed together.", 1)
    flags.DEFINE_float("batch_wait_ms", 1000 * defaults.wait_seconds, "--serve: milliseconds that "
                       "a request waits for others to be computed with.", 0)
    flags.DEFINE_integer("queue_tokens", defaults.queue_tokens, "--serve: tokens that may wait; "
                         "further requests get 429.", 1)


def settings_of(flags):
    """Parsed flags -> Settings.

    Raises:
      UserError: the token or an origin is none.
    """
    for origin in flags.cors_origins:
        if origin != "*" and not re.match(r"https?://[^/\s]+$", origin):
            raise UserError("--cors_origins: %r is no origin; expected one as https://example.org, "
                            "without a path, or *" % origin)
    return Settings(
        flags.host, flags.port, _token(flags.token_file), tuple(flags.cors_origins),
        flags.max_connections, flags.max_body_bytes, flags.max_items, flags.max_characters,
        flags.read_seconds, flags.answer_seconds, flags.drain_seconds,
        batching.Settings(flags.batch_tokens, flags.batch_wait_ms / 1000, flags.queue_tokens))


def _token(path):
    if path:
        source, token = "--token_file=" + path, "\n".join(
            line for _, line in text_lines.read_lines(path)).strip()
    else:
        source, token = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE)
    if token is None:
        return None
    if not re.match(r"[\x21-\x7e]{8,}$", token):
        raise UserError("%s: expected a token of 8 or more visible ASCII characters in one line; "
                        "make one by: python3 -c 'import secrets; "
                        "print(secrets.token_urlsafe(32))'" % source)
    return token


def models_of(value):
    """--model -> {name: path}: "a=x,b=y", or a single path, named by its last part.

    Raises:
      UserError: a name is none, or used twice.
    """
    parts = value.split(",")
    if os.path.exists(value) or "=" not in parts[0]:
        last = os.path.basename(os.path.abspath(value))
        return {re.sub(r"[^A-Za-z0-9._-]", "_", last).lstrip("._-") or "model": value}
    models = collections.OrderedDict()
    for part in parts:
        name, equals, path = part.partition("=")
        if not equals or not NAME.match(name) or not path:
            raise UserError("--model: %r in %r; expected name=directory, with names of letters, "
                            "digits, '.', '_' and '-'" % (part, value))
        if name in models:
            raise UserError("--model: the name %s stands twice in %r" % (name, value))
        models[name] = path
    return models
