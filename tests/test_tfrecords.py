"""Records written without TensorFlow: its own bytes, read by it, complete or absent."""

import io
import os
import random

from util import tfrecords

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

pytestmark = pytest.mark.every_platform  # the bytes are those of either TensorFlow

EDGES = [0, 1, 2, 127, 128, 129, 255, 16383, 16384, 2 ** 20 - 1, 2 ** 20, 2 ** 31 - 1, 2 ** 31,
         2 ** 32, 2 ** 56, 2 ** 63 - 1]


def by_tensorflow(arrays):
    """The bytes of TensorFlow's own Example of these arrays."""
    example = tf.train.Example()
    example.features.SetInParent()
    for name, values in arrays.items():
        values = np.asarray(values)
        feature = example.features.feature[name]
        if values.dtype.kind == "f":
            feature.float_list.value.extend(values.tolist())
            feature.float_list.SetInParent()  # of no values: still a list of floats
        else:
            feature.int64_list.value.extend(values.astype(np.int64).tolist())
            feature.int64_list.SetInParent()
    return example.SerializeToString(deterministic=True)


def read(serialized):
    """Bytes of an Example -> {name: (field of the Feature, list of values)}."""
    features = tf.train.Example.FromString(serialized).features.feature
    return {name: (feature.WhichOneof("kind"),
                   list(getattr(feature, feature.WhichOneof("kind")).value))
            for name, feature in features.items()}


def random_arrays(rng):
    """A few features of all kinds and lengths."""
    numpy_rng = np.random.RandomState(rng.randrange(2 ** 32))
    arrays = {}
    for _ in range(rng.randrange(6)):
        name = "".join(rng.choice("abzABZ_019é字𠀀") for _ in range(rng.choice([0, 1, 2, 20, 200])))
        name += "!"  # so that none begins with another; protobuf 4 has "ab" before "a"
        size = rng.choice([0, 1, 5, 127, 128, 512, 20000 if rng.random() < 0.1 else 3])
        arrays[name] = rng.choice([
            lambda size: numpy_rng.randint(0, 30000, size).astype(np.int32),
            lambda size: numpy_rng.randint(-2 ** 63, 2 ** 63 - 1, size, np.int64),
            lambda size: numpy_rng.randint(0, 2, size).astype(bool),
            lambda size: numpy_rng.randn(size).astype(np.float32),
            lambda size: numpy_rng.randn(size),
            lambda size: np.array([rng.choice(EDGES) for _ in range(size)], np.int64),
            lambda size: [-rng.choice(EDGES) for _ in range(max(size, 1))],
        ])(size)
    return arrays


def test_bytes_are_those_of_tensorflow():
    rng = random.Random(0)
    for _ in range(400):
        arrays = random_arrays(rng)
        assert tfrecords.serialize(arrays) == by_tensorflow(arrays)


@pytest.mark.parametrize("values", [
    np.array([], np.int32), np.array([], np.float32), np.array([], bool),
    [-1], [-2 ** 63], [2 ** 63 - 1], EDGES, [-value for value in EDGES],
    np.array([True, False, True]), np.array([0.1, -0.0, np.inf, 1e-45, 3.4e38], np.float32),
    np.array([255], np.uint8), np.array([-128], np.int8), np.array([2 ** 32 - 1], np.uint32),
    np.array([1, 2, 3, 4])[::-2], np.array([[1.0, 2.0]]).T[:, 0],
])
def test_values(values):
    arrays = {"name": values}
    serialized = tfrecords.serialize(arrays)
    assert serialized == by_tensorflow(arrays)
    kind = "float_list" if np.asarray(values).dtype.kind == "f" else "int64_list"
    assert read(serialized) == {"name": (kind, np.asarray(values).tolist())}


def test_rows_are_those_of_single_examples():
    rng = np.random.RandomState(2)
    for count, most in [(1, 1), (2, 128), (7, 1 << 14), (5, 1 << 21), (3, 1 << 30), (0, 2)]:
        arrays = {"ids": rng.randint(0, most, [count, 9]).astype(np.int32),
                  "long": rng.randint(0, most, [count, 2]) << 30,
                  "zeros": np.zeros([count, 3], int),
                  "bits": rng.rand(count, 4) < 0.5, "none": np.zeros([count, 0], np.int32),
                  "weights": rng.rand(count, 5).astype(np.float32)}
        assert tfrecords.serialize_rows(arrays) == [
            by_tensorflow({name: rows[row] for name, rows in arrays.items()})
            for row in range(count)]


def test_serialize_keeps_numbers_and_kinds():
    features = tf.train.Example.FromString(tfrecords.serialize(
        {"ints": [1, -2, 2 ** 40], "floats": np.array([0.5, 1.0], np.float32),
         "bools": np.array([True, False])})).features.feature
    assert list(features["ints"].int64_list.value) == [1, -2, 2 ** 40]
    assert list(features["floats"].float_list.value) == [0.5, 1.0]
    assert list(features["bools"].int64_list.value) == [1, 0]


def test_no_features():
    assert tfrecords.serialize({}) == b"\n\0"
    assert read(tfrecords.serialize({})) == {}


def test_features_come_by_name_whatever_their_order():
    names = ["b!", "a!", "aa!", "!", "字!", "Z!", "é!", "𠀀!"]
    arrays = [(name, [index]) for index, name in enumerate(names)]
    assert tfrecords.serialize(dict(arrays)) == tfrecords.serialize(dict(reversed(arrays)))
    assert tfrecords.serialize(dict(arrays)) == by_tensorflow(dict(arrays))


def test_varints_kept_are_few():
    """Those of token ids are remembered; any others would fill the memory."""
    before = len(tfrecords._VARINTS)
    tfrecords.serialize({"a": np.arange(2 ** 40, 2 ** 40 + 1000), "b": -np.arange(1, 1000)})
    assert len(tfrecords._VARINTS) <= before + 10  # of lengths


def test_files_are_those_of_tensorflow(tmp_path):
    rng = random.Random(1)
    records = [b"", b"\0", b"a" * 100000] + [
        bytes(bytearray(rng.getrandbits(8) for _ in range(rng.randrange(300)))) for _ in range(500)]
    with tf.python_io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in records:
            writer.write(record)
    assert tfrecords.write(str(tmp_path / "ours"), iter(records)) == len(records)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert list(tf.python_io.tf_record_iterator(str(tmp_path / "ours"))) == records


def test_frames_are_copied(tmp_path):
    path, records = str(tmp_path / "a"), [b"a", b"", b"ccc", b"d"]
    tfrecords.write(path, records)
    for skip, number in ((0, 4), (1, 2), (3, 1), (4, 0)):
        target = io.BytesIO()
        with open(path, "rb") as source:
            tfrecords.copy(source, target, skip, number)
        assert target.getvalue() == b"".join(map(tfrecords.frame, records[skip:skip + number]))


def test_file_without_records(tmp_path):
    assert tfrecords.write(str(tmp_path / "a"), []) == 0
    assert (tmp_path / "a").read_bytes() == b""


def test_file_is_complete_or_absent(tmp_path):
    def broken():
        yield b"one" * 100000
        assert len(os.listdir(str(tmp_path))) == 1  # it is being written
        raise KeyError

    with pytest.raises(KeyError):
        tfrecords.write(str(tmp_path / "a"), broken())
    assert os.listdir(str(tmp_path)) == []
    tfrecords.write(str(tmp_path / "a"), [b"old"])
    old = (tmp_path / "a").read_bytes()
    with pytest.raises(AssertionError):  # of `broken`: there are two files now
        tfrecords.write(str(tmp_path / "a"), broken())
    assert (tmp_path / "a").read_bytes() == old
    assert os.listdir(str(tmp_path)) == ["a"]


def test_write_records_is_complete_or_absent(tmp_path):
    def broken():
        yield b"one"
        raise KeyError

    with pytest.raises(KeyError):
        tfrecords.write(str(tmp_path / "a"), broken())
    assert os.listdir(str(tmp_path)) == []


def test_a_file_of_records_is_known_by_its_first_bytes(tmp_path):
    """The length of the first record and its CRC; a compressed text has zeros there too."""
    contents = {"records": tfrecords.frame(b"a") * 2, "empty": b"", "text": b'{"article": "a"}\n',
                "gzip": b"\x1f\x8b\x08\x00" + b"\0" * 20}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert [name for name in sorted(contents)
            if tfrecords.is_tfrecord(str(tmp_path / name))] == ["records"]


def test_whole_file_of_so_many_records(tmp_path):
    path = tmp_path / "a"
    assert not tfrecords.is_whole(str(path), 0)
    tfrecords.write(str(path), [b"", b"abc", b"x" * 999])
    content = path.read_bytes()
    assert [tfrecords.is_whole(str(path), count) for count in (2, 3, 4)] == [False, True, False]
    for damaged in (content[:-1], content[:20], content + b"\0", b"\0" * len(content),
                    content[:30] + b"d" + content[31:]):
        path.write_bytes(damaged)
        assert not tfrecords.is_whole(str(path), 3)
