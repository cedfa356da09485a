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
def imported_names(path, at_top=False):
    """The dotted names that a file imports, e.g. {"os", "util", "util.files"}.

    Args:
      path: of a Python file, relative to the repository's root.
      at_top: leaves out what is imported inside functions, that is only when those are called.
    """
    names = set()
    for node in _nodes(ast.parse(_content(path)), at_top):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
            names.update("%s.%s" % (node.module, alias.name) for alias in node.names)
    return names


def _nodes(tree, at_top):
    """The nodes of a syntax tree, with `at_top` without those inside functions."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if not (at_top and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))):
            yield node
            waiting += ast.iter_child_nodes(node)


def imports(path, at_top=False):
    """The project files among `imported_names`: a sorted list of paths, without __init__.py."""
    paths = {name.replace(".", "/") + ".py" for name in imported_names(path, at_top)}
    return sorted(path for path in paths if os.path.isfile(os.path.join(ROOT, path)))


def closure(*paths, imports_of=imports):
    """The files themselves and all project files that they import, directly or not, sorted."""
    seen, waiting = set(), list(paths)
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += imports_of(path)
    return sorted(seen)


def loads(path, package):
    """Whether importing a file imports the package, at the top of that file or of another."""
    return any(name.split(".")[0] == package
               for file in closure(path, imports_of=functools.partial(imports, at_top=True))
               for name in imported_names(file, at_top=True))


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
