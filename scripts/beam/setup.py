"""Gives the workers of a Beam cluster this project's modules and what they need (docs/scale.md).

    python3 create_pretraining_data.py ... --runner=FlinkRunner \
      --beam_options="--flink_master=host:8081 --setup_file=scripts/beam/setup.py"

Beam makes a source distribution with it and installs that on every worker. The modules lie in the
root of the repository, so they are packed in a directory of their own, together with this file.
"""

import os
import shutil
import tempfile

import setuptools

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = ["commands", "corpus", "errors", "external_sort", "files", "platforms",
           "pretraining_beam", "pretraining_instances", "pretraining_report", "pretraining_shards",
           "segmentation", "sentences", "tfrecords", "tokenization", "workers"]

if not os.path.exists(os.path.join(HERE, "pretraining_beam.py")):  # here is the repository
    root = os.path.dirname(os.path.dirname(HERE))
    directory = tempfile.TemporaryDirectory()
    for name in ["%s.py" % module for module in MODULES] + ["requirements.txt"]:
        shutil.copy(os.path.join(root, name), directory.name)
    shutil.copy(os.path.join(HERE, "setup.py"), directory.name)
    with open(os.path.join(directory.name, "MANIFEST.in"), "w") as stream:
        stream.write("include requirements.txt\n")
    os.chdir(directory.name)

with open("requirements.txt") as stream:
    requirements = [line.strip() for line in stream if line.strip() and line[0] != "#"]

setuptools.setup(name="albert-pretraining-data", version="1", py_modules=MODULES,
                 install_requires=requirements)
