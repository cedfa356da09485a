"""Where code lives and which way it imports, read from the files."""

import ast
import functools
import glob
import os

from util import sources
from util.sources import ROOT

import pytest

COMMANDS = {"benchmark.py", "convert_checkpoint.py", "create_pretraining_data.py",
            "create_vocab.py", "export_model.py", "run_classifier.py", "run_ner.py",
            "run_pretraining.py", "run_race.py", "run_squad.py", "similarity.py",
            "test_changes.py"}
LIBRARY = {"lamb_optimizer.py", "layers.py", "modeling.py", "muon_optimizer.py", "optimization.py",
           "token_rows.py", "tokenization.py"}
PACKAGES = {"benchmarks", "finetuning", "interchange", "pretraining", "serving", "tasks", "text",
            "training", "util"}

# From below: a file imports from its own room and from lower floors.
FLOORS = [{"util", "layers.py"},
          {"model", "optimization", "tokenization.py", "text"},
          {"interchange"},
          {"training"},
          {"tasks", "pretraining"},
          {"finetuning", "serving"},
          {"measurement"},
          {"benchmarks"},
          COMMANDS]
# Rooms of several files: the model, the optimizers, what measures from outside what others run.
OF_ROOM = {"token_rows.py": "model", "modeling.py": "model",
           "optimization.py": "optimization", "lamb_optimizer.py": "optimization",
           "muon_optimizer.py": "optimization",
           "benchmarks/running.py": "measurement", "benchmarks/trainings.py": "measurement",
           "benchmarks/ways.py": "measurement"}

# Modules that take a command's flags namespace: those that parse it and turn it into settings.
FLAG_MODULES = COMMANDS | {"benchmarks/cluster.py", "serving/server_flags.py", "util/commands.py",
                           "util/platforms.py"}

# What this imports inside functions is for remote paths alone.
LAZY = {"util/files.py"}

# Tests of something else than one module's contract.
SUBJECTS = {"architecture", "changes", "coming_over", "commands", "data_files", "data_refused",
            "determinism", "families", "invented_files", "invented_texts", "readme", "recompute",
            "resume", "sample_model", "scripts", "tasks", "training_graph"}
# Tested through the rows of tasks/datasets.py.
THROUGH_OTHERS = {"tasks/submissions.py"}


def package_files():
    return sorted(os.path.relpath(path, ROOT) for package in PACKAGES
                  for path in glob.glob(os.path.join(ROOT, package, "*.py")))


def project_files():
    return sorted(COMMANDS | LIBRARY) + package_files()


def test_files():
    return sorted("tests/" + os.path.basename(path)
                  for path in glob.glob(os.path.join(ROOT, "tests", "test_*.py")))


test_files.__test__ = False


def tree(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as stream:
        return ast.parse(stream.read())


def room(path):
    """"training/hooks.py" -> "training"; a file of the root is a room of its own or in OF_ROOM."""
    return OF_ROOM.get(path, path.split("/")[0])


def test_the_root_holds_commands_and_the_model():
    assert {name for name in os.listdir(ROOT) if name.endswith(".py")} == COMMANDS | LIBRARY


def test_every_folder_of_code_is_a_package_that_says_what_is_in_it():
    folders = {name for name in os.listdir(ROOT) if glob.glob(os.path.join(ROOT, name, "*.py"))}
    assert folders - {"tests"} == PACKAGES
    for package in PACKAGES:
        assert ast.get_docstring(tree(package + "/__init__.py")), package


def test_imports_go_down():
    floor = {name: number for number, rooms in enumerate(FLOORS) for name in rooms}
    wrong = []
    for path in project_files():
        here = room(path)
        for other in sources.imports(path):
            there = room(other)
            if here != there and floor[here] <= floor[there]:
                wrong.append("%s imports %s" % (path, other))
    assert wrong == []


def test_nothing_imports_a_command_and_none_reads_the_tests():
    wrong = ["%s imports %s" % (path, other) for path in project_files()
             for other in sources.imports(path) if other in COMMANDS or room(other) == "tests"]
    assert wrong == []


def test_no_circle():
    """No file is among what it imports, directly or not."""
    circles = [path for path in project_files()
               if path in sources.closure(*sources.imports(path))]
    assert circles == []


def test_a_command_is_at_most_six_rooms_deep():
    @functools.lru_cache(None)
    def depth(name):
        return 1 + max([depth(below) for below in rooms[name] if below != name] or [0])

    rooms = {}
    for path in project_files():
        rooms.setdefault(room(path), set()).update(map(room, sources.imports(path)))
    assert max(map(depth, rooms)) <= 6


def parameters(function):
    arguments = function.args
    named = (getattr(arguments, "posonlyargs", []) + arguments.args + arguments.kwonlyargs
             + [arguments.vararg, arguments.kwarg])
    return {argument.arg for argument in named if argument}


def test_only_commands_and_their_parsing_take_the_flags():
    found = []
    for path in project_files():
        if path in FLAG_MODULES or os.path.basename(path) == "command_line.py":
            continue
        found += ["%s line %d: %s" % (path, node.lineno, getattr(node, "name", "lambda"))
                  for node in ast.walk(tree(path))
                  if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                  and "flags" in parameters(node)]
    assert found == []


@pytest.mark.parametrize("command", ["create_pretraining_data.py", "create_vocab.py"])
def test_data_is_made_without_tensorflow(command):
    """test_tfrecords.py imports both in a process and looks; this names the file."""
    found = [path for path in sources.closure(
                 command, imports_of=lambda path: sources.imports(path, at_top=path in LAZY))
             if any(name.split(".")[0] == "tensorflow"
                    for name in sources.imported_names(path, at_top=True))]
    assert found == []


def test_an_export_is_answered_without_tensorflow():
    """What similarity.py and its modules load at their top; tagging's is loaded when needed."""
    found = [path for path in sources.closure(
                 "similarity.py", "tasks/tagging_windows.py",
                 imports_of=lambda path: sources.imports(path, at_top=True))
             if any(name.split(".")[0] == "tensorflow"
                    for name in sources.imported_names(path, at_top=True))]
    assert found == []


def test_every_module_is_imported_by_a_test():
    imported = {path for test in test_files() for path in sources.imports(test)}
    modules = {path for path in project_files() if not path.endswith("__init__.py")}
    assert modules - imported - {"test_changes.py"} == THROUGH_OTHERS


def test_tests_bear_the_name_of_a_module():
    modules = {os.path.basename(path)[:-len(".py")] for path in project_files()}
    names = {os.path.basename(path)[len("test_"):-len(".py")] for path in test_files()}
    assert names - modules - SUBJECTS == set()
