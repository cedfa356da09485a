"""The scripts: downloads against a local server, and what they ask of the commands."""

import glob
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile

import pytest

import run_classifier
import run_ner
import run_race
import run_squad
import tiny
from conftest import ROOT

pytestmark = pytest.mark.one_platform  # bash, and the names of flags

SCRIPTS = sorted(name for name in os.listdir(os.path.join(ROOT, "scripts"))
                 if name.endswith(".sh"))
COMMANDS = {"run_classifier.py": run_classifier, "run_ner.py": run_ner, "run_race.py": run_race,
            "run_squad.py": run_squad}
CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()

# Stands for the commands: notes how it was called and leaves results.
FAKE_COMMAND = """import os, sys
with open("calls.txt", "a") as stream:
    stream.write(repr(sys.argv) + "\\n")
flags = dict(argument[2:].split("=", 1) for argument in sys.argv[1:] if "=" in argument)
if flags["output_dir"].endswith("tnews"):
    sys.exit("error: made to fail")
os.makedirs(flags["output_dir"])
with open(os.path.join(flags["output_dir"], "eval_results.txt"), "w") as stream:
    stream.write("accuracy = 0.61234567\\nglobal_step = 7\\n")
"""


class Server(object):
    """Serves {path: bytes}; `cut` is how many bytes one answer may have before it breaks off."""

    def __init__(self):
        self.files, self.requests, self.cut = {}, [], None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = "http://127.0.0.1:%d" % self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, request):
        self.requests.append((request.path, request.headers.get("Range")))
        if request.path not in self.files:
            request.send_error(404)
            return
        content = self.files[request.path]
        begin = int((request.headers.get("Range") or "bytes=0-")[6:-1])
        if begin >= len(content):
            request.send_error(416)
            return
        request.send_response(206 if begin else 200)
        if begin:
            request.send_header("Content-Range", "bytes %d-%d/%d" % (
                begin, len(content) - 1, len(content)))
        request.send_header("Content-Length", str(len(content) - begin))
        request.end_headers()
        request.wfile.write(content[begin:self.cut])

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def house(tmp_path):
    """A directory with the scripts, and with commands that only note how they are called."""
    shutil.copytree(os.path.join(ROOT, "scripts"), str(tmp_path / "scripts"))
    for name in COMMANDS:
        (tmp_path / name).write_text(FAKE_COMMAND)
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python3"
    python.write_text("#!/bin/sh\nexec '%s' \"$@\"\n" % sys.executable)
    python.chmod(0o755)
    return tmp_path


def bash(house, *command, **variables):
    """(status, what was printed) of a bash command line in the house."""
    settings = ("TASKS", "TEXT_DIR", "VOCAB", "CONFIG", "INIT", "OUTPUT", "DATA", "DOWNLOAD_MIRROR")
    environment = {name: value for name, value in os.environ.items() if name not in settings}
    environment.update(variables, no_proxy="*", PATH=variables.get(
        "PATH", "%s:%s" % (house / "bin", os.environ["PATH"])))
    done = subprocess.run(["bash"] + list(command), cwd=str(house), env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return done.returncode, done.stdout.decode("utf-8")


def fetch(house, mirror, arguments, **variables):
    line = "set -euo pipefail; source scripts/fetch.sh; %s; echo done" % arguments
    return bash(house, "-c", line, DOWNLOAD_MIRROR=mirror, **variables)


def archive(names, kind="zip"):
    """The bytes of a zip or tar.gz file whose files say their own names."""
    stream = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(stream, "w") as writer:
            for name in names:
                writer.writestr(name, name)
    else:
        with tarfile.open(fileobj=stream, mode="w:gz") as writer:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = len(name)
                writer.addfile(info, io.BytesIO(name.encode()))
    return stream.getvalue()


@pytest.mark.parametrize("name", SCRIPTS)
def test_syntax_and_length(name):
    path = os.path.join(ROOT, "scripts", name)
    assert subprocess.call(["bash", "-n", path]) == 0
    with open(path, encoding="utf-8") as stream:
        lines = stream.readlines()
    assert not name.startswith("run_") or len(lines) < 40


def test_fetch_and_not_again(house, server):
    server.files["/host/a/file"] = CONTENT
    for _ in range(2):
        status, output = fetch(house, server.address, "fetch https://host/a/file d/file " + SHA256)
        assert status == 0 and output.endswith("done\n"), output
        assert (house / "d" / "file").read_bytes() == CONTENT
    assert server.requests == [("/host/a/file", None)]
    assert os.listdir(str(house / "d")) == ["file"]


def test_a_cut_download_goes_on(house, server):
    server.files["/host/file"], server.cut = CONTENT, 60000
    status, output = fetch(house, server.address, "fetch https://host/file file " + SHA256)
    assert status == 1 and "connection broke; start again to resume after 60000 bytes" in output
    assert not (house / "file").exists()
    server.cut = None
    status, output = fetch(house, server.address, "fetch https://host/file file " + SHA256)
    assert status == 0, output
    assert (house / "file").read_bytes() == CONTENT
    assert server.requests[-1] == ("/host/file", "bytes=60000-")


def test_a_part_that_is_whole_already(house, server):
    server.files["/host/file"] = CONTENT
    (house / "file.part").write_bytes(CONTENT)
    assert fetch(house, server.address, "fetch https://host/file file " + SHA256)[0] == 0
    assert (house / "file").read_bytes() == CONTENT


def test_another_checksum_leaves_nothing(house, server):
    server.files["/host/file"] = CONTENT[:-1]
    status, output = fetch(house, server.address, "fetch https://host/file d/file " + SHA256)
    assert status == 1 and "done" not in output
    assert "expected %s: damaged on the way or replaced there, removed" % SHA256 in output
    assert os.listdir(str(house / "d")) == []


def test_a_file_that_is_not_there(house, server):
    status, output = fetch(house, server.address, "fetch https://host/file d/file")
    assert status == 1 and "done" not in output
    assert ("%s/host/file: the server answers 404 (404: no such file, it may have moved); put the "
            "file by hand as d/file and start again" % server.address) in output
    assert os.listdir(str(house / "d")) == []


def test_offline(house):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        mirror = "http://127.0.0.1:%d" % unused.getsockname()[1]
    status, output = fetch(house, mirror, "fetch https://host/file d/file")
    assert status == 1
    assert "%s/host/file: cannot be reached" % mirror in output
    assert "offline? put the file by hand as d/file and start again" in output


def test_without_curl(house):
    for tool in ("dirname", "mkdir"):
        os.symlink(shutil.which(tool), str(house / "bin" / tool))
    shell = shutil.which("bash")
    os.symlink(shell, str(house / "bin" / "bash"))
    status, output = fetch(house, "", "fetch https://host/file file", PATH=str(house / "bin"))
    assert status == 1 and "needs curl, which is not installed" in output


@pytest.mark.parametrize("name, kind, names", [
    ("a.zip", "zip", ["train.json", "dev.json"]),
    ("a.zip", "zip", ["__MACOSX/train.json", "top/x/train.json", "top/x/dev.json"]),
    ("a.tar.gz", "tar", ["top/train.json", "top/dev.json"]),
])
def test_archives(house, server, name, kind, names):
    server.files["/host/" + name] = archive(names, kind)
    for _ in range(2):
        status, output = fetch(house, server.address,
                               "fetch_archive https://host/%s d train.json" % name)
        assert status == 0, output
        assert {"train.json", "dev.json"} <= set(os.listdir(str(house / "d"))) <= {
            "train.json", "dev.json", "__MACOSX"}
        assert (house / "d" / "train.json").read_text() == next(
            path for path in names if path.endswith("train.json") and "MACOSX" not in path)
    assert len(server.requests) == 1


def test_archives_beside_each_other_and_what_stands_in_the_way(house, server):
    server.files.update({"/host/a.zip": archive(["A/train.tsv", "A/dev.tsv"]),
                         "/host/b.zip": archive(["B/train.tsv"])})
    for name in "ab":
        assert fetch(house, server.address, "fetch_archive https://host/%s.zip d %s/train.tsv" % (
            name, name.upper()))[0] == 0
    assert sorted(os.listdir(str(house / "d"))) == ["A", "B"]
    (house / "d" / "A" / "train.tsv").unlink()
    status, output = fetch(house, server.address, "fetch_archive https://host/a.zip d A/train.tsv")
    assert status == 1 and "d/A: there, but incomplete; remove it and start again" in output


@pytest.mark.parametrize("content, message", [
    (b"no zip file", "d/a.zip: damaged, removed; start again"),
    (archive(["other.txt"]), "d/a.zip: holds no train.json; unpack it by hand so that d/train."),
], ids=["damaged", "other"])
def test_bad_archives(house, server, content, message):
    server.files["/host/a.zip"] = content
    status, output = fetch(house, server.address, "fetch_archive https://host/a.zip d train.json")
    assert status == 1 and message in output
    assert "train.json" not in os.listdir(str(house / "d"))


def place(house, *names):
    for name in names:
        path = house / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("data")


def calls(house):
    """[(command, {flag: value})] of the run."""
    found = []
    for line in (house / "calls.txt").read_text().splitlines():
        script, *arguments = json.loads(line.replace("'", '"'))
        found.append((script, dict((argument[2:] + "=True").split("=")[:2]
                                   for argument in arguments)))
    return found


CLUE = ("afqmc", "tnews", "iflytek", "ocnli", "cmnli", "cluewsc2020", "csl", "c3", "chid")
DATA = {
    "run_classifier_clue.sh": ["%s/train.json" % name for name in CLUE] + [
        "ocnli/train.50k.json", "c3/m-train.json", "chid/train_answer.json"],
    "run_glue.sh": ["AX/AX.tsv"] + ["%s/train.tsv" % name for name in (
        "SST-2", "MNLI", "CoLA", "QNLI", "QQP", "RTE", "STS-B", "MRPC")],
    "run_squad.sh": ["%s-%s.json" % (split, version) for split in ("train", "dev")
                     for version in ("v1.1", "v2.0")],
    "run_cmrc.sh": ["train.json", "dev.json"],
    "run_race.sh": ["train/high/1.txt"],
    "run_ner.sh": ["cluener/train.json", "weibo/train.conll", "weibo/dev.conll",
                   "weibo/test.conll"],
    "run_classifier_lcqmc.sh": ["train.tsv", "dev.tsv", "test.tsv"],
}


def known_flags(script, flags):
    """The flags as the real command reads them; it fails for one that the command does not have."""
    return tiny.parse(COMMANDS[script].define_flags, **flags)


@pytest.mark.parametrize("script", sorted(DATA))
def test_every_flag_is_one_of_the_commands(house, script):
    place(house, *["data/" + name for name in DATA[script]])
    status, output = bash(house, "scripts/" + script, "--seed=5", TEXT_DIR="data", VOCAB="v.txt",
                          CONFIG="c.json", INIT="ckpt", OUTPUT="out", DOWNLOAD_MIRROR="file:///none")
    assert status == int("clue" in script), output  # tnews is made to fail
    number = {"run_classifier_clue.sh": 9, "run_glue.sh": 8, "run_squad.sh": 2, "run_ner.sh": 2}
    found = calls(house)
    assert len(found) == number.get(script, 1)
    for command, flags in found:
        read = known_flags(command, flags)
        assert read.do_train and read.do_eval and read.seed == 5
        assert (read.vocab_file, read.bert_config_file, read.init_checkpoint) == (
            "v.txt", "c.json", "ckpt")


def test_table_goes_on_after_a_failed_task(house):
    place(house, *["data/" + name for name in DATA["run_classifier_clue.sh"]])
    status, output = bash(house, "scripts/run_classifier_clue.sh", TASKS="afqmc tnews c3",
                          TEXT_DIR="data", VOCAB="v.txt", OUTPUT="out")
    table = ("| task | accuracy | global_step |\n|---|---|---|\n"
             "| afqmc | 0.6123 | 7 |\n| tnews |  |  |\n| c3 | 0.6123 | 7 |\n")
    assert status == 1 and table in output and "error: failed: tnews" in output
    assert (house / "out" / "table.md").read_text() == table
    assert [command for command, _ in calls(house)] == [
        "run_classifier.py", "run_classifier.py", "run_race.py"]
    assert "init_checkpoint" not in calls(house)[0][1]
    status, output = bash(house, "scripts/run_ner.sh", TASKS="msra", TEXT_DIR="data", VOCAB="v.txt")
    assert status == 1 and "TASKS=msra: none of the tasks in run_ner.sh" in output


def test_model_is_downloaded_without_a_vocabulary(house, server):
    server.files["/storage.googleapis.com/albert_zh/albert_tiny_489k.zip"] = archive(
        ["albert_model.ckpt.index", "vocab.txt"])
    server.files["/storage.googleapis.com/albert_models/albert_base_v2.tar.gz"] = archive(
        ["albert_base/model.ckpt-best.index", "albert_base/30k-clean.model"], "tar")
    place(house, "data/train.json", "data/dev.json", "data/train/high/1.txt")
    for script in ("run_cmrc.sh", "run_race.sh"):
        status, output = bash(house, "scripts/" + script, TEXT_DIR="data",
                              DOWNLOAD_MIRROR=server.address)
        assert status == 0, output
    (_, chinese), (_, english) = calls(house)
    model = "output/data/albert_tiny_489k/"
    assert chinese["vocab_file"] == model + "vocab.txt"
    assert chinese["init_checkpoint"] == model + "albert_model.ckpt"
    assert chinese["bert_config_file"] == model + "albert_config_tiny.json"
    assert english["spm_model_file"] == "output/data/albert_base_v2/30k-clean.model"
    assert english["init_checkpoint"] == "output/data/albert_base_v2/model.ckpt-best"


def test_mrpc_is_split_by_its_ids(house):
    rows = ["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"] + [
        "1\t%d\t%d\ta\tb" % (number, number + 1) for number in range(4)]
    place(house, "data/MRPC/test.tsv")
    (house / "data/MRPC/all.tsv").write_text("\n".join(rows) + "\n")
    (house / "data/MRPC/dev_ids.tsv").write_text("1\t2\n3\t4\n")
    status, output = bash(house, "scripts/run_glue.sh", TASKS="MRPC", TEXT_DIR="data", VOCAB="v")
    assert status == 0, output
    lines = {split: (house / "data/MRPC" / (split + ".tsv")).read_text().splitlines()
             for split in ("train", "dev")}
    assert lines == {"train": [rows[0], rows[1], rows[3]], "dev": [rows[0], rows[2], rows[4]]}


# ---- released models ----

MODEL_FILES = ["albert_tiny/albert_model.ckpt.index", "albert_tiny/albert_model.ckpt.data",
               "albert_tiny/vocab.txt", "../outside.txt", "__MACOSX/albert_model.ckpt.index"]


def download(house, server, *name):
    (house / "convert_checkpoint.py").write_text("import sys; print(sys.argv)")
    return bash(house, "scripts/download_model.sh", *name, DOWNLOAD_MIRROR=server.address,
                DATA=str(house / "d"))


def test_models_are_listed_and_others_refused(house, server):
    status, output = download(house, server)
    assert status == 0 and output.count("\n") == 21
    assert "albert_tiny_489k" in output and "base_v2" in output and "https" not in output
    status, output = download(house, server, "albert_tiny")
    assert status == 1 and output == ("error: albert_tiny: no such model; bash "
                                      "scripts/download_model.sh lists them\n")


@pytest.mark.parametrize("name, path, kind", [
    ("albert_tiny_zh", "albert_zh/albert_tiny_zh.zip", "zip"),
    ("base_v2", "albert_models/albert_base_v2.tar.gz", "tar")])
def test_a_model_is_unpacked_once_and_inspected(house, server, name, path, kind):
    names = [inner for inner in MODEL_FILES if kind == "zip" or not inner.startswith("..")]
    server.files["/storage.googleapis.com/" + path] = archive(names, kind)
    for _ in range(2):
        status, output = download(house, server, name)
        assert status == 0, output
        assert "['convert_checkpoint.py', '--inspect=%s/d/%s']" % (house, name) in output
    assert len(server.requests) == 1
    assert sorted(os.listdir(str(house / "d" / name))) == [
        "albert_model.ckpt.data", "albert_model.ckpt.index", "vocab.txt"]
    assert not list(house.rglob("outside.txt"))


def test_an_archive_without_a_checkpoint(house, server):
    server.files["/storage.googleapis.com/albert_zh/albert_tiny_zh.zip"] = archive(["a/readme"])
    status, output = download(house, server, "albert_tiny_zh")
    assert status == 1 and "holds no *.ckpt*.index; unpack it by hand" in output


def test_nothing_is_cut_off_by_head():
    """With pipefail, what still writes when `head` has ended fails, and the script with it: now and
    then."""
    for path in glob.glob(os.path.join(ROOT, "scripts", "*.sh")):
        with open(path, encoding="utf-8") as stream:
            assert not re.search(r"\|\s*head\b", stream.read()), path


# ---- which Python ----

@pytest.fixture
def machine(house):
    """machine(*versions, uv=...) -> what find_or_fetch_python prints where these Pythons are."""
    def prints(*versions, uv=None, **variables):
        tools = house / ("tools%d" % len(os.listdir(str(house))))
        tools.mkdir()
        for name in ("bash", "cat", "dirname", "sed"):
            (tools / name).symlink_to(shutil.which(name))
        for version in versions:  # answers as a Python of its version with venv
            write_tool(tools / ("python" + version), "case $2 in *\"'%s'\"*) ;; *) exit 1 ;; esac"
                       % version)
        if uv:
            write_tool(tools / "uv", uv)
        return bash(house, "-c", "source scripts/environment.sh; find_or_fetch_python $SUPPORTED",
                    PATH=str(tools), PYENV_ROOT="/none", HOME="/none", **variables)
    return prints


def write_tool(path, line):
    path.write_text("#!%s\n%s\n" % (shutil.which("bash"), line))
    path.chmod(0o755)


def test_the_newest_python_is_taken_unless_one_is_named(machine):
    status, output = machine("3.9", "3.12", "3.7", "3.14")
    assert status == 0 and output.strip().endswith("/python3.12")
    status, output = machine("3.9", "3.12", PYTHON="python3.9")
    assert status == 0 and output.strip().endswith("/python3.9")
    status, output = machine("3.12", "3.8", PYTHON="python3.8")
    assert status == 1 and output == ("error: PYTHON=python3.8 is none of Python 3.13, 3.12, 3.11, "
                                      "3.10, 3.9, 3.7 that can make environments\n")


def test_uv_fetches_a_python_where_there_is_none(machine):
    status, output = machine("3.14", uv="[ \"$2\" = install ] && { : > fetched; exit 0; }\n"
                                        "[ -e fetched ] && echo /fetched/python$3")
    assert status == 0
    assert output == ("no Python 3.13, 3.12, 3.11, 3.10, 3.9, 3.7 found; uv fetches Python 3.13\n"
                      "/fetched/python3.13\n")


def test_an_environment_that_is_a_link_is_not_emptied(house):
    """As `venv --clear` would empty what it names."""
    shutil.copy(os.path.join(ROOT, "requirements.txt"), str(house))
    (house / "elsewhere").mkdir()
    (house / "elsewhere" / "kept").touch()
    (house / ".venv").symlink_to(house / "elsewhere")
    status, output = bash(house, "-c", "source scripts/environment.sh; make_environment .venv "
                          "%s requirements.txt" % sys.executable)
    assert status == 1 and output == ("error: .venv is a link to another environment, which would "
                                      "be emptied; remove it\n")
    assert (house / "elsewhere" / "kept").exists()


def test_the_environment_of_the_tests_is_not_made_anew_for_the_commands(house):
    """Nor that of the commands twice; but the tests need more than the commands."""
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-text.txt"):
        shutil.copy(os.path.join(ROOT, name), str(house))
    write_tool(house / "python", "[ \"$1 $2 $3\" != '-m venv --clear' ] || "
                                 "{ mkdir -p $4/bin && cp $0 $4/bin; }\n"
                                 "[ $1 != --version ] || echo 3")
    made = []
    for name in ("requirements.txt", "requirements.txt", "requirements-dev.txt",
                 "requirements.txt", "requirements-dev.txt"):
        status, output = bash(house, "-c", "source scripts/environment.sh; make_environment .venv "
                              "./python " + name)
        assert status == 0, output
        made.append(output)
    assert made == ["making .venv with 3 and requirements.txt\n", "",
                    "making .venv with 3 and requirements-dev.txt\n", "", ""]


def test_without_any_python_it_says_what_to_install(machine):
    status, output = machine("3.14")
    assert status == 1
    for word in ("error: no Python 3.13, 3.12", "apt-get install", "brew install", "conda create",
                 "uv"):
        assert word in output
