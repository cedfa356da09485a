"""--strip and --average."""

import os

from util.errors import UserError

import numpy as np
import pytest

import convert_checkpoint
import tiny
from interchange import averaging, tensorflow_files

ARRAYS = {"bert/a": np.array([1.0, 2.0], np.float32), "bert/a/adam_m": np.zeros(2, np.float32),
          "bert/a/lamb_v": np.zeros(2, np.float32), "global_step": np.array(5)}


def run(**values):
    convert_checkpoint.main(tiny.parse(convert_checkpoint.define_flags, **values))


def save(directory, step, **changes):
    arrays = dict(ARRAYS, **changes)
    prefix = str(directory / ("model.ckpt-%d" % step))
    tensorflow_files.write_tensorflow(arrays, prefix)
    return prefix


def test_strip(tmp_path):
    directory = tmp_path / "a [1] *"  # names that a glob would read
    directory.mkdir()
    run(input=save(directory, 5), strip=True, output=tmp_path / "out")
    found = tiny.weights(tmp_path / "out" / "model.ckpt")
    assert list(found) == ["bert/a"] and (found["bert/a"] == ARRAYS["bert/a"]).all()


def test_average_of_a_list_and_of_the_last(tmp_path):
    prefixes = [save(tmp_path, step, **{"bert/a": np.array([step, 0.1 * step], np.float32)})
                for step in (1, 2, 6)]
    (tmp_path / "checkpoint").write_text(
        'model_checkpoint_path: "model.ckpt-6"\n' + "".join(
            'all_model_checkpoint_paths: "model.ckpt-%d"\n' % step for step in (1, 2, 6)))
    run(input=",".join(prefixes), average=3, output=tmp_path / "three")
    run(input=tmp_path, average=2, output=tmp_path / "two")
    np.testing.assert_allclose(tiny.weights(tmp_path / "three" / "model.ckpt")["bert/a"],
                               [3.0, 0.3], rtol=1e-7)
    np.testing.assert_allclose(tiny.weights(tmp_path / "two" / "model.ckpt")["bert/a"],
                               [4.0, 0.4], rtol=1e-7)
    with pytest.raises(UserError, match="--average=4: .* has 3 checkpoints; lower it or list them"):
        run(input=tmp_path, average=4, output=tmp_path / "o")


def test_checkpoints_of_different_models(tmp_path):
    first = save(tmp_path, 1)
    wider = save(tmp_path, 2, **{"bert/a": np.zeros(3, np.float32)})
    more = save(tmp_path, 3, **{"bert/b": np.zeros(3, np.float32)})
    with pytest.raises(UserError, match="bert/a is 2 in .* and 3 in .* of one run"):
        averaging.average([first, wider])
    with pytest.raises(UserError, match="bert/b is in one of"):
        averaging.average([first, more])
    assert not os.path.exists(str(tmp_path / "out"))
