"""The safetensors files of transformers' directories as {name: array}.

    arrays = safetensors_files.read_safetensors("bert-base-chinese")
"""

import os

from util import files
from util.errors import UserError

import numpy as np

SAFETENSORS, SAFETENSORS_INDEX = "model.safetensors", "model.safetensors.index.json"
PYTORCH_BIN = "pytorch_model.bin"
HF_CONFIG = "config.json"


def is_hugging_face(path):
    """Whether a path is a directory of Hugging Face's, with weights in either form."""
    return any(os.path.isfile(os.path.join(path, name))
               for name in (SAFETENSORS, SAFETENSORS_INDEX, PYTORCH_BIN))


def read_safetensors(directory):
    """{name: float32 array} of a directory of Hugging Face's, one file or several.

    Raises:
      UserError: only pytorch_model.bin is there, the package safetensors is missing, a file is
        damaged, or numbers are of a kind that NumPy does not have.
    """
    arrays = {}
    for path in _safetensors_paths(directory):
        package, damage = _safetensors(directory)
        try:
            arrays.update(package.load_file(path))
        except (OSError, KeyError, TypeError, ValueError, damage) as error:
            raise UserError("%s: cannot be read (%s); copy or download it again, or save it from "
                            "transformers in float32" % (path, str(error).split("\n")[0])) from None
    return {name: array.astype(np.float32) if array.dtype == np.float16 else array
            for name, array in arrays.items()}


def _safetensors_paths(directory):
    index = os.path.join(directory, SAFETENSORS_INDEX)
    if os.path.isfile(os.path.join(directory, SAFETENSORS)):
        return [os.path.join(directory, SAFETENSORS)]
    if os.path.isfile(index):
        names = files.read_json_object(index, "an index of transformers'").get("weight_map")
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise UserError("%s: no names of files in 'weight_map'; copy or download it again"
                            % index)
        return [os.path.join(directory, name) for name in sorted(set(names.values()))]
    if os.path.isfile(os.path.join(directory, PYTORCH_BIN)):
        raise UserError(
            "%s: only PyTorch reads it; convert it where PyTorch is installed: python3 -c "
            "\"from transformers import AutoModel; AutoModel.from_pretrained('%s')"
            ".save_pretrained('%s')\"" % (os.path.join(directory, PYTORCH_BIN), directory,
                                          directory.rstrip("/") + "_safetensors"))
    raise UserError("%s: no %s; expected a directory that transformers saved"
                    % (directory, SAFETENSORS))


def _safetensors(location):
    """The package's functions on NumPy arrays, and its error."""
    try:
        from safetensors import SafetensorError, numpy
    except ImportError:
        raise UserError("%s: the package safetensors is missing; pip install -r requirements.txt"
                        % location) from None
    return numpy, SafetensorError


def write_safetensors(arrays, path, dtype=None):
    """Writes {name: array}, in another dtype if one is given; two arrays that are one in PyTorch
    are two here.
    """
    # Loaders before transformers 4.41 crash where the metadata has no format.
    _safetensors(path)[0].save_file(
        {name: np.ascontiguousarray(array, dtype) for name, array in arrays.items()}, path,
        metadata={"format": "pt"})
