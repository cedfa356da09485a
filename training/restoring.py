"""What to load from a checkpoint: layout detection, a plan of the restore, its report.

    report = restoring.plan_restore(checkpoint, tf.trainable_variables(), config)
    print(report.table())
    restoring.apply(report)                      # the variables' initializers now read the file
"""

import collections

from util import console
from util.errors import UserError

import tensorflow.compat.v1 as tf

from training import checkpoints
from training.checkpoints import SLOT_SUFFIXES

# Variable scopes that tell which architecture wrote a checkpoint.
LAYOUT_MARKS = (("bert/encoder/layer_shared/", "brightmart"),
                ("bert/encoder/transformer/group_", "google"),
                ("bert/encoder/layer_0/", "bert"))

# Variables that an original code calls otherwise: {our name: its name}. Google's run_squad_v1.py.
ALIASES = {"squad/output_weights": "cls/squad/output_weights",
           "squad/output_bias": "cls/squad/output_bias"}

# One variable of a restore; status is "loaded", "random" (left at its initial value) or "unused".
Row = collections.namedtuple("Row", "status name shape reason")


class RestoreReport(collections.namedtuple("RestoreReport", "checkpoint rows")):
    """The outcome of a restore: the checkpoint's prefix and a Row a variable."""

    def names(self, status):
        """The variables of one status, in order."""
        return [row.name for row in self.rows if row.status == status]

    def table(self):
        """The report as the text a person reads."""
        slots = [row for row in self.rows if row.name.endswith(SLOT_SUFFIXES)]
        lines = ["restored from %s: %d loaded, %d left random, %d unused" % (
            (self.checkpoint,) + tuple(
                len(self.names(status)) for status in ("loaded", "random", "unused")))]
        for row in self.rows:
            if row not in slots:
                lines.append("  %-7s %-80s %-14s %s" % (
                    row.status, row.name, "x".join(map(str, row.shape)), row.reason))
        for status in ("loaded", "unused"):
            number = sum(row.status == status for row in slots)
            if number:
                lines.append("  %-7s %d optimizer slots (adam_m, adam_v)" % (status, number))
        return "\n".join(line.rstrip() for line in lines)


def resolve(path):
    """A checkpoint prefix, one of its files, or a directory -> the prefix.

    Raises:
      UserError: there is no checkpoint at `path`.
    """
    if tf.gfile.IsDirectory(path):
        latest = (checkpoints.listed_prefixes(path) or [None])[-1]
        if latest is None or not tf.gfile.Exists(latest + ".index"):
            raise UserError("%s: no checkpoint in this directory; give the path of model.ckpt-STEP"
                            % path)
        return latest
    for ending in (".index", ".meta", ".data-00000-of-00001"):
        if path.endswith(ending):
            path = path[:-len(ending)]
    if not tf.gfile.Exists(path + ".index"):
        raise UserError("%s: no such checkpoint (%s.index is missing); give the path without its "
                        "ending, e.g. albert_model.ckpt" % (path, path))
    return path


def detect_layout(names):
    """"google", "brightmart", "bert" (not an ALBERT), or None, from variable names."""
    for name in names:
        for mark, layout in LAYOUT_MARKS:
            if name.startswith(mark):
                return layout
    return None


def check_layout(prefix, names, config):
    """Refuses a checkpoint that a config cannot load, in one sentence."""
    layout = detect_layout(names)
    if layout == "bert":
        raise UserError("%s is a BERT checkpoint (bert/encoder/layer_0/...), not an ALBERT: its "
                        "layers are not shared; take an ALBERT checkpoint" % prefix)
    if layout is None:
        raise UserError("%s holds no ALBERT encoder; expected variables below bert/encoder/, found "
                        "%s" % (prefix, ", ".join(sorted(names)[:3]) or "nothing"))
    if layout != config.layout:
        raise UserError("%s has the %s layout, the config says %s; use the config that came with "
                        "the checkpoint, or convert it" % (prefix, layout, config.layout))


def plan_restore(checkpoint, variables, config, allow_partial=False):
    """Decides what to load: what does not fit is refused, and nothing is missing silently.

    Args:
      checkpoint: prefix, file or directory of a TensorFlow checkpoint.
      variables: the model's trainable variables. Those below bert/ and cls/ must come from the
        checkpoint; the others are the task's own head and may stay random. Optimizer slots among
        them must come from it too.
      config: the AlbertConfig of the model.
      allow_partial: variables below bert/ and cls/ may stay random too (--allow_partial_init).

    Returns:
      RestoreReport.

    Raises:
      UserError: no checkpoint, another layout, a shape that differs, a variable that is missing, or
        a truncated file.
    """
    prefix = resolve(checkpoint)
    reader = checkpoints.open_reader(prefix)
    shapes = reader.get_variable_to_shape_map()
    check_layout(prefix, shapes, config)
    rows = []
    for variable in variables:
        name = variable.name.split(":")[0]
        rows.append(_variable_row(prefix, name, variable.shape.as_list(), shapes, allow_partial))
        if rows[-1].status == "loaded":
            checkpoints.read_tensor(reader, prefix, source(name, shapes))
    known = {source(row.name, shapes) for row in rows}
    for name in sorted(set(shapes) - known):
        reason = "optimizer slot" if name.endswith(SLOT_SUFFIXES) else "not in this model"
        rows.append(Row("unused", name, shapes[name], reason))
    return RestoreReport(prefix, sorted(rows, key=lambda row: (row.status, row.name)))


def _variable_row(prefix, name, shape, shapes, allow_partial):
    """The Row of one model variable, or the reason why the restore is refused."""
    is_head = not name.startswith(("bert/", "cls/"))
    found = shapes.get(source(name, shapes))
    if found == shape:
        read_as = source(name, shapes)
        return Row("loaded", name, shape, "" if read_as == name else "from %s" % read_as)
    if found is None and name.endswith(SLOT_SUFFIXES):
        raise UserError("%s holds no %s, as brightmart's checkpoints and those without optimizer "
                        "slots; leave --restore_slots out to begin with moments of 0"
                        % (prefix, name))
    if found is None:
        if is_head or allow_partial:
            return Row("random", name, shape,
                       "the task's own head" if is_head else "not in the checkpoint")
        raise UserError("%s has no variable %s; expected every variable below bert/ and cls/ (pass "
                        "--allow_partial_init to leave it random)" % (prefix, name))
    if is_head:
        return Row("random", name, shape, "the checkpoint's is %s" % "x".join(map(str, found)))
    if name.endswith("word_embeddings"):
        raise UserError("%s was trained with a vocabulary of %d tokens and embeddings of %d, the "
                        "config says vocab_size %d and embedding_size %d; use the config and the "
                        "vocabulary that came with it" % ((prefix,) + tuple(found) + tuple(shape)))
    raise UserError("%s: %s is %s, the config makes it %s; use the config that came with the "
                    "checkpoint" % (prefix, name, "x".join(map(str, found)),
                                    "x".join(map(str, shape))))


def source(name, names):
    """What a variable is called in a checkpoint with these names: as here, or by its alias."""
    suffix = next(filter(name.endswith, SLOT_SUFFIXES), "")
    alias = ALIASES.get(name[:len(name) - len(suffix)])
    if alias is None or name in names or alias + suffix not in names:
        return name
    return alias + suffix


def apply(report):
    """Makes the initializers of the planned variables read the checkpoint."""
    # Not op.name, which differs between the replicas of a tf.distribute strategy.
    variables = {variable.name.split(":")[0]: variable for variable in tf.global_variables()}
    names = checkpoints.open_reader(report.checkpoint).get_variable_to_shape_map()
    tf.train.init_from_checkpoint(report.checkpoint, {
        source(name, names): variables[name] for name in report.names("loaded")})


def restore_scaffold(config, initial, already_trained, use_tpu=False):
    """Loads the initial checkpoint into the graph under construction and prints the report.

    A run that resumes from its own output directory takes nothing from it: the Estimator restores
    everything.

    Args:
      config: the AlbertConfig of the model.
      initial: settings.Initial; with its `restore_slots` the graph must have the slots by now.
      already_trained: the checkpoint that training resumes from, or None.
      use_tpu: load it in a scaffold_fn, as a TPUEstimator requires on a TPU.

    Returns:
      A scaffold_fn, or None.
    """
    if not initial.init_checkpoint or already_trained:
        return None
    variables = tf.trainable_variables()
    if initial.restore_slots:
        variables += [variable for variable in tf.global_variables()
                      if variable.op.name.endswith(SLOT_SUFFIXES)]
    report = plan_restore(initial.init_checkpoint, variables, config, initial.allow_partial_init)
    console.say("%s", report.table())
    if not use_tpu:
        apply(report)
        return None

    def scaffold_fn():
        apply(report)
        return tf.train.Scaffold()

    return scaffold_fn
