"""Every test runs as the commands do: TensorFlow 1.x behaviour with resource variables."""

import functools
import logging
import os
import re
import subprocess
import sys

# TensorFlow 1.15's XLA trades 1e-4 of accuracy for speed on CPUs unless told not to. Code that is
# optimized less takes a third less time to compile.
os.environ["XLA_FLAGS"] = ("--xla_cpu_enable_fast_math=false --xla_backend_optimization_level=1"
                           " --xla_llvm_disable_expensive_passes=true")

from util import platforms, sources  # noqa: E402, F401 - reads the environment above

LOADED_WITH_TENSORFLOW = frozenset(sys.modules)

import pytest  # noqa: E402
import tensorflow.compat.v1 as tf  # noqa: E402
from tensorflow.python.training import training_util  # noqa: E402

import token_rows  # noqa: E402
from training import (  # noqa: E402
    estimators,
    flops,
)

tf.disable_v2_behavior()
tf.enable_resource_variables()

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


SESSION_CONFIG, SESSION = estimators.session_config, tf.Session


def pytest_addoption(parser):
    parser.addoption("--only-tensorflow", choices=["core", "all"], help="for an older platform: "
                     "leave out the tests for which TensorFlow's version makes no difference, or "
                     "all but those of the core")
    parser.addoption("--part", default="1/1", metavar="K/N", help="of the tests that take turns "
                     "every N-th, from the K-th on: the slow ones but for those of every platform; "
                     "with --only-tensorflow=all the files outside of the core, with =core all the "
                     "slow ones")
    parser.addoption("--invented", type=int, default=0,
                     help="examples for each test of invented inputs")


# What takes half a minute and more comes first: at the end one process would wait for the other.
LONGEST = ("spark", "clusters", "resume", "platforms", "shards", "run_pretraining", "coming_over",
           "benchmark", "harness", "saved_model", "cluster", "conversion", "load")


# The model, the optimizers, the Estimators and what they write.
CORE = {"checkpoints", "clusters", "estimators", "export", "modeling", "optimization", "resume",
        "run_pretraining", "step", "training_graph"}


def name_of(item):
    """"clusters" for what is in tests/test_clusters.py."""
    return os.path.basename(str(item.fspath))[len("test_"):-len(".py")]


def rank(item):
    return LONGEST.index(name_of(item)) if name_of(item) in LONGEST else len(LONGEST)


def pytest_collection_modifyitems(config, items):
    items.sort(key=rank)
    only = config.getoption("--only-tensorflow")
    if only:
        leave_out(config, items, [item for item in items if not depends_on_tensorflow(item)
                                  or only == "core" and name_of(item) not in CORE])
    turns = [turn_of(item, only) for item in items]
    part, parts = map(int, config.getoption("--part").split("/"))
    order = {turn: number for number, turn in enumerate(
        turn for turn in dict.fromkeys(turns) if turn)}
    leave_out(config, items, [item for item, turn in zip(items, turns)
                              if turn and order[turn] % parts != part - 1])


def turn_of(item, only_tensorflow):
    """What takes turns, an item or a file; None for what runs every time."""
    is_slow = item.get_closest_marker("slow")
    if only_tensorflow == "core":
        return item if is_slow else None
    if item.get_closest_marker("every_platform"):
        return None
    if only_tensorflow:
        return None if name_of(item) in CORE else name_of(item)
    return item if is_slow else None


def leave_out(config, items, left_out):
    unwanted = set(left_out)
    items[:] = [item for item in items if item not in unwanted]
    config.hook.pytest_deselected(items=left_out)


def depends_on_tensorflow(item):
    """Whether a test's module imports project code that imports TensorFlow; or as a mark says.

    What tests read results with (TensorFlow itself, tiny.py, factories.py) does not count.
    """
    for mark in item.iter_markers():  # a function's own come first
        if mark.name in ("every_platform", "one_platform"):
            return mark.name == "every_platform"
    return module_loads_tensorflow(os.path.relpath(str(item.fspath), ROOT))


@functools.lru_cache(None)
def module_loads_tensorflow(path):
    return any(sources.loads(imported, "tensorflow") for imported in sources.imports(path))


def unoptimized(config):
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return config


class QuickSession(SESSION):
    """A session that runs graphs as they are built."""

    def __init__(self, target="", graph=None, config=None):
        super().__init__(target, graph, unoptimized(config or tf.ConfigProto()))


@pytest.fixture(scope="session", autouse=True)
def quick_trainings():
    """Graphs in this process do without what takes two thirds of the time of four steps.

    They run as they are built: TensorFlow's optimizers would work a second on each set of fetches
    that hooks ask for. A small product tells the machine's peak, and there is no graph.pbtxt. What
    tests start as commands has all of it, and some are compared with trainings in this process.
    Attention has one group of sequences in place of four, whose index arithmetic is a quarter of
    the operations of a graph; `groups_of_lengths` brings them back.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf, "Session", QuickSession)
        patch.setattr(estimators, "session_config",
                      lambda devices: unoptimized(SESSION_CONFIG(devices)))
        patch.setattr(flops, "measure_matmul_peak", functools.partial(
            flops.measure_matmul_peak, size=256, seconds=0.01))
        patch.setattr(training_util, "write_graph", lambda *arguments, **options: None)
        patch.setattr(token_rows.Packed.__init__, "__defaults__", (1,))
        yield


@pytest.fixture
def groups_of_lengths(monkeypatch):
    monkeypatch.setattr(token_rows.Packed.__init__, "__defaults__", (token_rows.NUM_GROUPS,))


@pytest.fixture
def optimized_graphs(monkeypatch):
    """The graphs of a test run as those of commands do after all."""
    monkeypatch.setattr(tf, "Session", SESSION)
    monkeypatch.setattr(estimators, "session_config", SESSION_CONFIG)


@pytest.fixture
def said(caplog):
    """said(function, *arguments) -> (its result, the lines that it printed, from the file name on)
    """
    def call(function, *arguments):
        caplog.clear()
        with caplog.at_level("INFO", "albert"):
            result = function(*arguments)
        return result, [message.rsplit("/", 1)[-1] for message in caplog.messages]
    return call


def sample_tokens(text):
    """A small WordPiece vocabulary: specials, digits, latin pieces, every character of `text`."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += list("0123456789,.!?-") + ["##%d" % digit for digit in range(10)]
    tokens += list("abcdefghijklmnopqrstuvwxyz") + ["the", "low", "un", "##er", "##est", "##able"]
    characters = sorted({char for char in re.sub(r"\s", "", text) if char > "\x7f"})
    ideographs = [char for char in characters if "\u4e00" <= char <= "\u9fff"]
    # Every second ideograph has its ##-token, so that tests see both cases.
    return tokens + characters + ["##" + char for char in ideographs[::2]]


@pytest.fixture(scope="session")
def sample_vocab(tmp_path_factory):
    """The path of a vocabulary that covers data/news_zh_1.txt."""
    with open(os.path.join(ROOT, "data", "news_zh_1.txt"), encoding="utf-8") as stream:
        tokens = sample_tokens(stream.read())
    path = tmp_path_factory.mktemp("sample") / "vocab.txt"
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def fine_tuned(tmp_path_factory, quick_trainings):
    """A directory as tuning.prepare makes it, with a run in out/ that has learnt its task.

    It has trained, evaluated and predicted; tests add files beside it, and leave it as it is.
    """
    import tuning
    here = tuning.prepare(tmp_path_factory.mktemp("fine_tuned"))
    tuning.run(here, do_train=True, do_eval=True, do_predict=True)
    return here


@pytest.fixture(scope="session")
def run_command():
    """run_command("create_vocab.py", input_file="a.txt") -> (status, what it printed).

    The script runs as a user's command does: from the repository's root, in its own process.
    `arguments` are passed as they are; `popen` goes to subprocess.run (env, preexec_fn, timeout).
    """
    def run(script, *arguments, popen=None, **flags):
        command = [sys.executable, script] + list(arguments)
        command += ["--%s=%s" % item for item in flags.items()]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              **(popen or {}))
        return done.returncode, done.stdout.decode("utf-8", "replace")
    return run


@pytest.fixture(scope="session")
def object_store():
    """The environment's S3 is a server of this process with s3a://bucket; yields its settings."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    settings = {"AWS_ENDPOINT_URL": "http://%s:%d" % server.get_host_and_port(),
                "AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        import s3fs
        s3fs.S3FileSystem().mkdir("bucket")
        yield settings
    server.stop()
