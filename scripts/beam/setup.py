"""Gives the workers of a Beam cluster this project's modules and what they need (docs/scale.md).

    python3 create_pretraining_data.py ... --runner=FlinkRunner \
      --beam_options="--flink_master=host:8081 --setup_file=scripts/beam/setup.py"

Beam builds a source distribution with it and installs that on every worker. setuptools wants the
modules beside this file, so all of them, from the repository's root and its packages, are copied
to a temporary directory together with it.
"""

import glob
import os
import shutil
import tempfile

import setuptools

HERE = os.path.dirname(os.path.abspath(__file__))

if not os.path.exists(os.path.join(HERE, "tokenization.py")):  # here is the repository
    root = os.path.dirname(os.path.dirname(HERE))
    directory = tempfile.TemporaryDirectory()
    for path in glob.glob(os.path.join(root, "*.py")) + [os.path.join(root, "requirements.txt"),
                                                         os.path.join(HERE, "setup.py")]:
        shutil.copy(path, directory.name)
    for path in glob.glob(os.path.join(root, "*", "__init__.py")):
        package = os.path.dirname(path)
        shutil.copytree(package, os.path.join(directory.name, os.path.basename(package)),
                        ignore=shutil.ignore_patterns("__pycache__"))
    with open(os.path.join(directory.name, "MANIFEST.in"), "w") as stream:
        stream.write("include requirements.txt\n")
    os.chdir(directory.name)

with open("requirements.txt") as stream:
    requirements = [line.strip() for line in stream if line.strip() and line[0] != "#"]

setuptools.setup(name="albert-pretraining-data", version="1", install_requires=requirements,
                 packages=setuptools.find_packages(),
                 py_modules=[name[:-3] for name in glob.glob("*.py") if name != "setup.py"])
