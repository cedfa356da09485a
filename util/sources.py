"""The project's source files and their imports, read from the source.

    sources.imports("pretraining/shards.py")     # ["pretraining/instances.py", "util/files.py", …]
    sources.code_version("finetuning/features.py")     # changes with it and with all it imports
"""

import ast
import functools
import hashlib
import os

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@functools.lru_cache(None)
def imports(path):
    """The project files that a file imports, at the top or inside a function.

    Args:
      path: of a Python file, relative to the repository's root.

    Returns:
      A sorted list of such paths, without the __init__.py of packages.
    """
    names = set()
    for node in ast.walk(ast.parse(_content(path))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
            names.update("%s.%s" % (node.module, alias.name) for alias in node.names)
    paths = {name.replace(".", "/") + ".py" for name in names}
    return sorted(path for path in paths if os.path.isfile(os.path.join(ROOT, path)))


def closure(*paths):
    """The given files and all project files that they import, directly or indirectly, sorted."""
    visited, waiting = set(), list(paths)
    while waiting:
        path = waiting.pop()
        if path not in visited:
            visited.add(path)
            waiting += imports(path)
    return sorted(visited)


def path_of(module):
    """An imported module of this project -> its path, relative to the repository's root."""
    return os.path.relpath(os.path.abspath(module.__file__), ROOT).replace(os.sep, "/")


def code_version(*paths):
    """A hash of the content of `closure(*paths)`."""
    digest = hashlib.sha256()
    for path in closure(*paths):
        digest.update(_content(path))
    return digest.hexdigest()


def _content(path):
    with open(os.path.join(ROOT, path), "rb") as stream:
        return stream.read()
