"""The page to try the models: one file, page.html, with the headers that hold it to itself."""

import base64
import hashlib
import os
import re

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.html")


def load():
    """(the page as bytes, its headers): a browser runs and loads nothing that is not in the file.
    """
    with open(FILE, "rb") as stream:
        content = stream.read()
    policy = ("default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
              "form-action 'none'; frame-ancestors 'none'; script-src %s; style-src %s" % (
                  _hashes(content, b"script"), _hashes(content, b"style")))
    return content, {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer",
                     "Cache-Control": "no-cache"}


def _hashes(content, element):
    """The sources of a Content-Security-Policy that are the elements of the page."""
    texts = re.findall(b"<%s>(.*?)</%s>" % (element, element), content, re.DOTALL)
    return " ".join("'sha256-%s'" % base64.b64encode(hashlib.sha256(text).digest()).decode()
                    for text in texts)
