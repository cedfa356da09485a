"""The one fine-tuning harness: shared flags, featurizing with a cache, train, evaluate, predict.

A command gives it a function that makes its task (tasks/base.py) and nothing else:

    finetuning.run(create_task, flags)
"""

import hashlib
import os

import commands

import numpy as np
import tensorflow.compat.v1 as tf

import checkpoints
import estimators
import files
import modeling
import optimization
import records
import tfrecords
import tokenization
import training_hooks
from errors import UserError


def define_flags():
    """Flags of every fine-tuning command, with the names of both original codes."""
    flags = tf.flags
    estimators.define_flags(batch_size=32, save_checkpoints_steps=1000)
    flags.DEFINE_string("data_dir", None, "Directory of the task's files.")
    flags.DEFINE_string("vocab_file", None, "WordPiece vocabulary of --init_checkpoint.")
    flags.DEFINE_string("spm_model_file", None, "SentencePiece model, instead of --vocab_file.")
    flags.DEFINE_bool("do_lower_case", True, "Lower-case the text; the Chinese models want True.")
    flags.DEFINE_integer("max_seq_length", 128, "Tokens an example, [CLS] and [SEP] included; "
                         "longer texts are cut.", lower_bound=8)
    flags.DEFINE_bool("do_train", False, "Train; with --do_eval the best checkpoint is kept.")
    flags.DEFINE_bool("do_eval", False, "Score the best checkpoint on the dev file.")
    flags.DEFINE_bool("do_predict", False, "Predict the test file with the best checkpoint.")
    flags.DEFINE_float("learning_rate", 5e-5, "Peak rate.", lower_bound=0.0)
    flags.DEFINE_float("num_train_epochs", 3.0, "Passes over the training file.", lower_bound=0.0)
    flags.DEFINE_float("warmup_proportion", 0.1, "Share of the steps with linear warmup.",
                       lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_integer("train_step", None, "Steps in all, instead of --num_train_epochs.",
                         lower_bound=1)
    flags.DEFINE_integer("warmup_step", None, "Warmup steps, instead of --warmup_proportion.",
                         lower_bound=0)
    flags.DEFINE_integer("eval_every_steps", 0, "Steps between evaluations; 0: every epoch.",
                         lower_bound=0)
    flags.DEFINE_string("cache_dir", None, "Where featurized data is kept; OUTPUT_DIR/cache if not "
                        "given.")


def code_version():
    """A hash of the source files that decide how an example becomes features."""
    return files.code_version(
        "tasks/*.py", "tokenization.py", "finetuning.py", "records.py", "tfrecords.py")


def cache_path(directory, task, split, tokenizer, max_seq_length):
    """The cache file of a split: its name is a fingerprint of all that decides the features.

    That is the data file's bytes, its columns and labels, the vocabulary, the length and the code;
    when one of them changes, so does the name, and the old file is not read.
    """
    digest = hashlib.sha256()
    with tf.gfile.GFile(task.path(split), "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    for part in (tokenizer.fingerprint, str(max_seq_length), code_version(),
                 task.fingerprint(split)):
        digest.update(part.encode("utf-8") + b"\0")
    return os.path.join(directory, "%s-%s.tfrecord" % (split, digest.hexdigest()[:16]))


def featurize(task, split, examples, tokenizer, flags):
    """Writes the features of a split to its cache file unless they are there; returns the path."""
    directory = flags.cache_dir or os.path.join(flags.output_dir, "cache")
    path = cache_path(directory, task, split, tokenizer, flags.max_seq_length)
    if files.is_file(path):
        commands.say("%s: %d examples, features from %s", split, len(examples), path)
        return path

    def serialized():
        for example in commands.progress(examples, unit="examples", desc=split):
            features = task.featurize(example, tokenizer, flags.max_seq_length)
            features["length"] = np.array([len(features["input_ids"])])
            yield tfrecords.serialize(features)

    tfrecords.write(path, serialized())
    return path


def input_fn_builder(path, num_examples, max_seq_length, batch_size, is_training, pad_to_max,
                     seed=0, first_step=0):
    """An input_fn over a cache file; batches are padded to their longest example.

    Args:
      batch_size: examples a step takes, on all devices together.
      first_step: steps a resumed run has already made.

    Returns:
      input_fn(params, input_context) -> dataset of {"input_ids", "segment_ids", "input_mask":
      [b, L], "label_ids": [b, 1]}, int32, with b one device's part of `batch_size` and L the
      batch's longest, or `max_seq_length` where `pad_to_max` (TPU).
    """
    def ragged():
        return tf.FixedLenSequenceFeature([], tf.int64, allow_missing=True, default_value=0)

    spec = {"input_ids": ragged(), "segment_ids": ragged(),
            "label_ids": tf.FixedLenFeature([1], tf.int64),
            "length": tf.FixedLenFeature([1], tf.int64)}

    def parse(serialized):
        features = {name: tf.cast(value, tf.int32)
                    for name, value in tf.parse_example(serialized, spec).items()}
        lengths = tf.squeeze(features.pop("length"), -1)
        if pad_to_max:
            for name in ("input_ids", "segment_ids"):
                missing = max_seq_length - tf.shape(features[name])[1]
                features[name] = tf.pad(features[name], [[0, 0], [0, missing]])
                features[name].set_shape([None, max_seq_length])
        features["input_mask"] = tf.sequence_mask(
            lengths, tf.shape(features["input_ids"])[1], dtype=tf.int32)
        features["input_mask"].set_shape(features["input_ids"].shape)
        return features

    def one_epoch(epoch):
        return tf.data.TFRecordDataset(path).shuffle(num_examples, seed=seed + epoch)

    def input_fn(params, input_context=None):
        dataset = (records.endless(one_epoch, num_examples, first_step * batch_size)
                   if is_training else tf.data.TFRecordDataset(path))
        dataset = dataset.batch(batch_size, drop_remainder=is_training)
        share = records.share_of(params, input_context)
        return records.deal(dataset.map(parse, num_parallel_calls=2), share).prefetch(4)

    return input_fn


def model_fn_builder(task, config, flags, num_train_steps, num_warmup_steps):
    """Returns the model_fn: the encoder, the task's head, the train op."""

    def model_fn(features, labels, mode, params):
        del labels, params
        is_training = mode == tf.estimator.ModeKeys.TRAIN
        trained = estimators.begin_part(flags)

        def build(features):
            model = modeling.AlbertModel(
                config, is_training, features["input_ids"], features["input_mask"],
                features["segment_ids"], scope="bert", **estimators.model_options(flags))
            return task.build(config, model, features, is_training)

        if not is_training:
            return tf.estimator.tpu.TPUEstimatorSpec(mode, predictions=build(features)[1])
        num_parts = flags.gradient_accumulation_steps
        scale = estimators.loss_scale(flags)
        loss, _, gradients = optimization.accumulate_gradients(
            lambda part: (tf.reduce_mean(build(part)[0]) / num_parts, {}), features, num_parts,
            scale=scale and scale.value)
        scaffold_fn = estimators.restore_scaffold(
            config, flags.init_checkpoint, flags.allow_partial_init, flags.use_tpu,
            trained)
        train = optimization.create_train_op(
            gradients, flags.optimizer, flags.learning_rate,
            num_train_steps, num_warmup_steps,
            use_tpu=flags.use_tpu, lamb_exclude=flags.lamb_exclude, loss_scale=scale)
        loss, = optimization.mean_over_replicas([loss], flags.use_tpu)
        hooks = []
        if not flags.use_tpu:
            tf.summary.scalar("learning_rate", train.learning_rate)
            tf.summary.scalar("gradient_norm", train.gradient_norm)
            work = training_hooks.Work(estimators.step_examples(flags), None, None, None)
            hooks.append(training_hooks.ProgressHook(
                {"loss": loss, "learning_rate": train.learning_rate}, num_train_steps, work,
                flags.output_dir))
        return tf.estimator.tpu.TPUEstimatorSpec(
            mode, loss=loss, train_op=tf.group(train.train_op, loss), training_hooks=hooks,
            scaffold_fn=scaffold_fn)

    return model_fn


class Split(object):
    """One split of a task's data, featurized: its examples and the file of their features."""

    def __init__(self, task, split, tokenizer, flags):
        self.examples = task.examples(split)
        self.path = featurize(task, split, self.examples, tokenizer, flags)

    def input_fn(self, flags, is_training=False, first_step=0):
        """The input_fn of this split, from `first_step` on in training."""
        return input_fn_builder(
            self.path, len(self.examples), flags.max_seq_length,
            estimators.step_examples(flags) if is_training else flags.eval_batch_size, is_training,
            pad_to_max=flags.use_tpu, seed=flags.seed, first_step=first_step)


def predict(estimator, split, flags, checkpoint):
    """{prediction name: array over all examples of a split}, from one checkpoint."""
    batches = list(estimator.predict(
        split.input_fn(flags), checkpoint_path=checkpoint, yield_single_examples=False))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def train_and_evaluate(task, estimator, splits, flags, num_train_steps):
    """Trains, scores the dev split every epoch or N steps, and keeps the best checkpoint."""
    train, dev = splits["train"], splits.get("dev")
    every = flags.eval_every_steps or max(1, len(train.examples) // estimators.step_examples(flags))
    stops = list(range(every, num_train_steps, every)) if dev else []
    for stop in stops + [num_train_steps]:
        step = checkpoints.checkpoint_step(estimator.latest_checkpoint())
        if step > stop:
            continue
        estimators.train(
            estimator, train.input_fn(flags, is_training=True, first_step=step), stop, [train.path],
            flags)
        if dev:
            evaluate(task, estimator, dev, flags, estimator.latest_checkpoint(), keep=True)


def evaluate(task, estimator, split, flags, checkpoint, keep=False):
    """Scores one checkpoint, says so on the console and in TensorBoard; may keep it as the best."""
    scores = task.score(split.examples, predict(estimator, split, flags, checkpoint))
    step = checkpoints.checkpoint_step(checkpoint)
    is_best = keep and checkpoints.keep_best(flags.output_dir, checkpoint, step, scores,
                                             task.metric, task.larger_is_better)
    commands.say("step %d  %s%s", step, "  ".join(
        "%s %.4f" % item for item in sorted(scores.items())), "  (best so far)" if is_best else "")
    # Event files are named by the second, and one that exists is overwritten: hence the suffix.
    writer = tf.summary.FileWriter(
        os.path.join(flags.output_dir, "eval"), filename_suffix=".%d" % step)
    writer.add_summary(tf.Summary(value=[
        tf.Summary.Value(tag=name, simple_value=value) for name, value in scores.items()]), step)
    writer.close()
    return dict(scores, global_step=step)


def check_flags(flags):
    """Refuses flags that cannot work before any data is read."""
    if not (flags.do_train or flags.do_eval or flags.do_predict):
        raise UserError("nothing to do; pass --do_train, --do_eval or --do_predict")
    estimators.check_flags(flags, [flags.data_dir] if flags.data_dir else [])


def load(flags):
    """(config, tokenizer), which must agree with each other and with --max_seq_length."""
    config = modeling.AlbertConfig.from_json_file(flags.bert_config_file)
    tokenizer = tokenization.load_tokenizer(
        flags.vocab_file, flags.spm_model_file, flags.do_lower_case)
    if tokenizer.vocab_size != config.vocab_size:
        raise UserError("%s has %d tokens, %s says vocab_size %d; use the vocabulary the model "
                        "was trained with" % (
                            flags.spm_model_file or flags.vocab_file, tokenizer.vocab_size,
                            flags.bert_config_file, config.vocab_size))
    if flags.max_seq_length > config.max_position_embeddings:
        raise UserError("--max_seq_length=%d is larger than the config's max_position_embeddings "
                        "%d" % (flags.max_seq_length, config.max_position_embeddings))
    return config, tokenizer


def schedule(flags, num_examples):
    """(num_train_steps, num_warmup_steps) of the flags."""
    batch_size = estimators.step_examples(flags)
    if num_examples < batch_size:
        raise UserError("%d training examples are less than one step takes (%d); lower "
                        "--train_batch_size=%d" % (num_examples, batch_size,
                                                   flags.train_batch_size))
    steps = flags.train_step or max(
        1, int(num_examples / batch_size * flags.num_train_epochs))
    warmup = flags.warmup_step
    return steps, int(steps * flags.warmup_proportion) if warmup is None else warmup


def run(create_task, flags):
    """Trains, evaluates and predicts as the flags ask; everything is checked first.

    `create_task` is a function of the flags, called when they are known to make sense.
    """
    check_flags(flags)
    task = create_task(flags)
    config, tokenizer = load(flags)
    asked = (("train", flags.do_train), ("dev", flags.do_eval), ("test", flags.do_predict))
    if not flags.do_train:
        best_or_latest(flags.output_dir)
    checkpoints.claim_directory(flags.output_dir, dict(config.to_dict(), **task.identity()))
    splits = {name: Split(task, name, tokenizer, flags) for name, wanted in asked if wanted}
    steps, warmup = 1, 0
    if flags.do_train:
        steps, warmup = schedule(flags, len(splits["train"].examples))
        commands.say("%d examples, %d steps of %d, %d of warmup", len(splits["train"].examples),
                     steps, estimators.step_examples(flags), warmup)
    estimator = estimators.create(model_fn_builder(task, config, flags, steps, warmup), flags)
    if flags.do_train:
        train_and_evaluate(task, estimator, splits, flags, steps)
    checkpoint = best_or_latest(flags.output_dir)
    if flags.do_eval:
        estimators.write_results(
            os.path.join(flags.output_dir, "eval_results.txt"),
            evaluate(task, estimator, splits["dev"], flags, checkpoint))
    if flags.do_predict:
        path = os.path.join(flags.output_dir, "test_results.tsv")
        examples = splits["test"].examples
        predictions = predict(estimator, splits["test"], flags, checkpoint)
        task.write_predictions(path, examples, predictions)
        commands.say("%d predictions in %s", len(examples), path)
        if all(example.label is not None for example in examples):
            scores = task.score(examples, predictions)
            estimators.write_results(
                os.path.join(flags.output_dir, "test_metrics.txt"), scores)


def best_or_latest(output_dir):
    """The best checkpoint of a run, else its last one.

    Raises:
      UserError: there is none.
    """
    record = checkpoints.best(output_dir)
    if record:
        return record["checkpoint"]
    latest = tf.train.latest_checkpoint(output_dir)
    if latest is None:
        raise UserError("--output_dir=%s holds no checkpoint; train first (--do_train)"
                        % output_dir)
    return latest
