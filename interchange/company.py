"""What stands beside a checkpoint: its config, its vocabulary, what run.json says of it.

    config = company.config("albert_tiny_zh", path=None)
"""

import contextlib
import glob
import json
import os

from util import files
from util.errors import UserError

import modeling
from interchange import safetensors_files

IDENTITY_FILE = "run.json"  # of a directory that this code trained in


def directory_of(checkpoint):
    """Where what belongs to a checkpoint stands: beside its prefix; transformers' directory; the
    assets of a TF-Hub module."""
    if safetensors_files.is_hugging_face(checkpoint):
        return checkpoint
    directory = os.path.dirname(checkpoint)
    module, name = os.path.split(directory)
    assets = os.path.join(module, "assets")
    return assets if name == "variables" and os.path.isdir(assets) else directory


def config_paths(directory):
    """The paths of the configs of models in a directory: JSON objects with a hidden_size."""
    paths = []
    for path in sorted(glob.glob(os.path.join(glob.escape(directory), "*config*.json"))):
        with contextlib.suppress(UserError):
            if "hidden_size" in files.read_json_object(path, "a config"):
                paths.append(path)
    return paths


def config(directory, path=None, is_bert=False):
    """The AlbertConfig of a TensorFlow checkpoint: of a path, else of run.json, else beside it.

    Args:
      directory: the checkpoint's.
      path: of a config, or None.
      is_bert: whether it is that of Google's BERT code; it becomes one of Google's layout.

    Raises:
      UserError: there is none, or several and none is named.
    """
    values = {} if path else identity(directory)
    if "hidden_size" in values:
        return modeling.AlbertConfig.from_dict(
            {key: value for key, value in values.items() if key in modeling.CONFIG_KEYS},
            os.path.join(directory, IDENTITY_FILE))
    if not path:
        paths = config_paths(directory)
        if len(paths) != 1:
            raise UserError("%s holds %s; name the model's by --bert_config_file "
                            "(convert_checkpoint.py --inspect says which of albert_config/ fits)"
                            % (directory or ".", "several configs (%s)" % ", ".join(
                                map(os.path.basename, paths)) if paths else "no config"))
        path = paths[0]
    if not is_bert:
        return modeling.AlbertConfig.from_json_file(path)
    values = files.read_json_object(
        files.require_file(path, "bert_config_file"), "the config of Google's BERT")
    return modeling.AlbertConfig.from_dict(dict({"model_type": "bert"}, **values), path)


def identity(directory):
    """What run.json says, a dict of the config, the task, its labels and training/run_directory.py;
    {} where it is missing or was lost in a power failure.
    """
    path = os.path.join(directory, IDENTITY_FILE)
    if not files.is_file(path):
        return {}
    with contextlib.suppress(UserError):
        return files.read_json_object(path, "what this code wrote")
    return {}


def features_of(fingerprint, do_lower_case):
    """What decides the meaning of token ids, as run.json has it.

    Args:
      fingerprint: of the tokenizer.
      do_lower_case: of the tokenizer.
    """
    return {"vocabulary": fingerprint and fingerprint[:16], "do_lower_case": do_lower_case}


def home_of(checkpoint):
    """`directory_of` a checkpoint; that of OUTPUT_DIR/best is OUTPUT_DIR."""
    directory = directory_of(checkpoint)
    parent, name = os.path.split(directory)
    return parent if name == "best" and not identity(directory) else directory


def identity_of(checkpoint):
    """`identity` of the directory of a checkpoint."""
    return identity(home_of(checkpoint))


def other_vocabulary(checkpoint, features):
    """A clause that says how `features_of` differ from those of a checkpoint's run; None if not."""
    recorded = identity_of(checkpoint)
    for key in sorted(set(recorded) & set(features)):
        if recorded[key] != features[key]:
            return ("%s was trained with another vocabulary: %s is %s there and %s here"
                    % (checkpoint, key, recorded[key], features[key]))
    return None


def check_vocabulary(tokenizer, checkpoint):
    """Raises a UserError if a checkpoint's run knows another vocabulary than the tokenizer's."""
    difference = other_vocabulary(
        checkpoint, features_of(tokenizer.fingerprint, tokenizer.do_lower_case))
    if difference:
        raise UserError("%s (%s); give the one of its training" % (difference, tokenizer.path))


def labels(directory):
    """(labels as run.json says, or [], the scheme of tags or None)."""
    values = identity(directory)
    return split_labels(values.get("labels", "")), values.get("scheme")


def join_labels(labels):
    """A list of labels as run.json has it: "no,yes"; JSON where a comma stands in one of them."""
    joined = ",".join(labels)
    return joined if split_labels(joined) == list(labels) else json.dumps(
        list(labels), ensure_ascii=False)


def split_labels(text):
    """The list of `join_labels`."""
    if text.startswith('["'):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return [label for label in text.split(",") if label]
