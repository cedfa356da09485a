"""Run by the Python of .venv-2.15: what transformers' TensorFlow classes compute with directories.

    python transformers_outputs.py FEATURES.npz DIRECTORY...     # writes DIRECTORY/outputs.npz

A process of its own, as the tests' TensorFlow has no transformers and runs graphs.
"""

import json
import os
import sys

import numpy as np


class Archive(dict):
    """What load_pytorch_state_dict_in_tf2_model takes; safe_open's own is no longer iterable."""

    get_tensor = dict.__getitem__


def load(model_class, directory):
    """`from_pretrained` of a directory; no array may be missing, or be there in vain."""
    from safetensors import numpy
    from transformers import modeling_tf_pytorch_utils
    model = model_class(model_class.config_class.from_pretrained(directory))
    arrays = numpy.load_file(os.path.join(directory, "model.safetensors"))
    model, told = modeling_tf_pytorch_utils.load_pytorch_state_dict_in_tf2_model(
        model, Archive(arrays), allow_missing_keys=True, output_loading_info=True)
    assert not told["missing_keys"], told
    assert all(key.endswith(("predictions.decoder.bias", "position_ids"))
               for key in told["unexpected_keys"]), told
    return model


def main(features_path, directories):
    import transformers
    transformers.logging.set_verbosity_error()
    features = np.load(features_path)
    for directory in directories:
        with open(os.path.join(directory, "config.json")) as stream:
            architecture = json.load(stream)["architectures"][0]
        model = load(getattr(transformers, "TF" + architecture), directory)
        call = dict(zip(("input_ids", "attention_mask", "token_type_ids"), (
            features[name] for name in ("input_ids", "input_mask", "segment_ids"))))
        if architecture.endswith("ForMultipleChoice"):
            call = {name: array[:, None] for name, array in call.items()}
        found = model(call, output_hidden_states=True, training=False)
        arrays = {name: value.numpy() for name, value in found.items()
                  if name != "hidden_states" and hasattr(value, "numpy")}
        np.savez(os.path.join(directory, "outputs.npz"),
                 hidden_states=[found["hidden_states"][-1].numpy()], **arrays)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
