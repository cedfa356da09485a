"""TensorFlow checkpoints by themselves: without optimizer slots, or the mean of several."""

from util.errors import UserError

import numpy as np

from interchange import tensorflow_files, variable_names


def stripped(prefix):
    """{name: array} of a checkpoint without the optimizer's moments and the step."""
    names = tensorflow_files.open_reader(prefix).get_variable_to_shape_map()
    return tensorflow_files.read_tensorflow(prefix, {
        name for name in names
        if not variable_names.is_slot(name) and not variable_names.is_bookkeeping(name)})


def average(prefixes):
    """{name: float array} of the mean of checkpoints, without slots and step, summed in float64.

    Raises:
      UserError: they are not of one model; the first array that differs is named.
    """
    total = None
    for prefix in prefixes:
        arrays = stripped(prefix)
        if total is None:
            first, total = arrays, {name: array.astype(np.float64)
                                    for name, array in arrays.items()}
            continue
        for name in sorted(set(first) ^ set(arrays)):
            raise UserError("%s is in one of %s and %s alone; average checkpoints of one run"
                            % (name, prefixes[0], prefix))
        for name, array in arrays.items():
            if array.shape != total[name].shape:
                raise UserError("%s is %s in %s and %s in %s; average checkpoints of one run" % (
                    name, "x".join(map(str, total[name].shape)), prefixes[0],
                    "x".join(map(str, array.shape)), prefix))
            total[name] += array
    return {name: (array / len(prefixes)).astype(first[name].dtype)
            for name, array in total.items()}
