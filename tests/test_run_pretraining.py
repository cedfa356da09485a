"""run_pretraining.py on tiny models: it learns, goes on, exports, and says what is wrong."""

import glob
import json
import logging
import os
import re
import shutil

from util import tfrecords
from util.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import processes
import run_pretraining
import tiny
from interchange import variable_names
from pretraining import command_line as pretraining_flags
from pretraining import inputs
from processes import needs_proc, wait_until
from training import checkpoints, clusters, command_line, estimators

METRICS = ["masked_lm_accuracy", "masked_lm_loss", "sentence_order_accuracy", "sentence_order_loss"]
RESULTS = set(METRICS) | {
    "loss", "global_step", "masked_lm_perplexity", "eval_records", "eval_predictions"}


def prepare(directory):
    """Writes train.tfrecord, dev.tfrecord and config.json; returns the directory."""
    tiny.write_records(directory / "train.tfrecord", 256, seed=0)
    tiny.write_records(directory / "dev.tfrecord", 64, seed=1)
    tiny.write_config(directory / "config.json", num_hidden_layers=1)
    return directory


@pytest.fixture
def here(tmp_path):
    return prepare(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The output directory of two steps, for tests that leave its checkpoints alone."""
    return run(prepare(tmp_path_factory.mktemp("trained")), num_train_steps=2)


def flag_values(here, output="out", **changes):
    """{flag: value}, by default of a training of 4 steps of 8."""
    return dict(tiny.PRETRAINING, **dict({
        "input_file": here / "train.tfrecord", "eval_input_file": here / "dev.tfrecord",
        "bert_config_file": here / "config.json", "output_dir": here / output,
        "train_batch_size": 8, "num_train_steps": 4}, **changes))


def run(here, output="out", **changes):
    """Runs the command in this process; returns its output directory."""
    run_pretraining.main(tiny.parse(
        run_pretraining.define_flags, **flag_values(here, output, **changes)))
    return here / output


def summaries(output):
    """{tag: [values]} of the event files in a directory."""
    values = {}
    for path in glob.glob(str(output / "events.*")):
        for event in tf.train.summary_iterator(path):
            for value in event.summary.value:
                values.setdefault(value.tag, []).append(value.simple_value)
    return values


@pytest.mark.slow
@pytest.mark.parametrize("layout, optimizer, rate, xla", [
    pytest.param("brightmart", "adamw", 0.003, True, marks=pytest.mark.one_platform),
    pytest.param("google", "muon", 0.01, False, marks=pytest.mark.one_platform),
    pytest.param("google", "lamb", 0.01, False, marks=pytest.mark.every_platform)])
def test_learns(here, layout, optimizer, rate, xla):
    tiny.write_config(here / "config.json", **tiny.LAYOUTS[layout])
    output = run(here, do_eval=True, xla=xla, optimizer=optimizer, learning_rate=rate,
                 train_batch_size=32, num_train_steps=160, num_warmup_steps=20)
    found = tiny.results(output)
    assert set(found) == RESULTS
    assert found["global_step"] == 160
    assert found["masked_lm_accuracy"] > 0.95  # 0.25 by chance
    assert found["sentence_order_accuracy"] > 0.95  # 0.5 by chance
    assert found["loss"] == pytest.approx(
        found["masked_lm_loss"] + found["sentence_order_loss"], rel=1e-3)
    written = summaries(output)
    for name in METRICS + ["loss", "learning_rate", "gradient_norm", "examples/sec"]:
        assert np.all(np.isfinite(written[name])), name
    assert written["loss"][0] > 3 and written["loss"][-1] < 1
    assert written["learning_rate"][0] == 0.0
    assert written["examples/sec"][0] > 1


def batches(paths, first_step, count, size=8):
    """The content of `count` training batches from a step on."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(12345)
        dataset = inputs.pretraining_input_fn(
            paths, tiny.LENGTH, tiny.PREDICTIONS, size, is_training=True, seed=12345,
            first_step=first_step)({})
        following = tf.data.make_one_shot_iterator(dataset).get_next()
        return [session.run(following) for _ in range(count)]


def test_going_on_repeats_no_example(tmp_path):
    # 24 records of 8 a batch: 3 batches an epoch; each record is known by its first id.
    paths = []
    for part in range(2):
        examples = []
        for number in range(12):
            ids = np.full(tiny.LENGTH, 10 + 12 * part + number)
            examples.append(dict(tiny.pretraining_example(np.random), input_ids=ids))
        paths.append(str(tmp_path / ("%d.tfrecord" % part)))
        tfrecords.write(paths[-1], map(tfrecords.serialize, examples))
    straight = [batch["input_ids"][:, 0].tolist() for batch in batches(paths, 0, 9)]
    for start in (1, 2, 3, 4, 7):
        later = batches(paths, start, 9 - start)
        assert [batch["input_ids"][:, 0].tolist() for batch in later] == straight[start:]
    epochs = [sum(straight[first:first + 3], []) for first in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10, 34)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_nan_is_named_with_its_step_and_the_last_good_checkpoint(here):
    with pytest.raises(UserError, match=r"NaN at step 2; last good checkpoint: \S*/model.ckpt-0; "):
        run(here, learning_rate=1e30)


def truncate(path, share):
    os.truncate(str(path), int(os.path.getsize(str(path)) * share))


@pytest.mark.slow
@pytest.mark.one_platform
def test_truncated_records_are_named(here, trained):
    truncate(here / "train.tfrecord", 0.51)
    with pytest.raises(UserError, match=r"train.tfrecord: truncated or corrupt after 130 complete"):
        run(here, num_train_steps=40)
    tiny.write_records(here / "train.tfrecord")
    truncate(here / "dev.tfrecord", 0.51)
    with pytest.raises(UserError, match=r"dev.tfrecord: truncated or corrupt after 32 complete"):
        run(here, trained, do_train=False, do_eval=True)


# ---- records whose masks are drawn while training ----

def unmasked_example(rng):
    """As tiny.pretraining_example before it was masked: all tokens of a segment are alike."""
    token, swapped = rng.randint(10, 14), rng.randint(2)
    ids = np.array([2] + [token] * 6 + [3] + [30 + swapped] * 6 + [3, 0])
    return {"input_ids": ids, "input_mask": ids > 0, "word_starts": ids > 0,
            "segment_ids": np.array([0] * 8 + [1] * 7 + [0]),
            "next_sentence_labels": np.array([swapped])}


def write_unmasked(path, count, seed):
    rng = np.random.RandomState(seed)
    tfrecords.write(str(path), (tfrecords.serialize(unmasked_example(rng)) for _ in range(count)))
    (path.parent / (path.name + ".json")).write_text(json.dumps({
        "flags": {"store_word_starts": True, "masked_lm_prob": 0.15, "ngram": 3,
                  "brightmart_labels": False, "max_seq_length": tiny.LENGTH,
                  "max_predictions_per_seq": 5},
        "vocab": {"file": "vocab.txt", "size": 100, "special_ids": {
            "[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}},
        "files": {path.name: count}}))


@pytest.fixture
def unmasked(here):
    write_unmasked(here / "train.tfrecord", 256, 0)
    write_unmasked(here / "dev.tfrecord", 64, 1)
    return here


@pytest.mark.slow
@pytest.mark.one_platform
def test_learns_with_dynamic_masking(unmasked):
    """test_resume.py: every part of such a run draws what the whole one drew there."""
    tiny.write_config(unmasked / "config.json")
    output = run(unmasked, dynamic_masking=True, do_eval=True, learning_rate=0.003,
                 train_batch_size=32, num_train_steps=160, num_warmup_steps=20)
    found = tiny.results(output)
    assert found["masked_lm_accuracy"] > 0.95
    assert found["sentence_order_accuracy"] > 0.95
    run(unmasked, do_train=False, do_eval=True)  # the description says what to do
    assert tiny.results(output) == found


@pytest.mark.parametrize("changes, message", [
    ({}, r"train.tfrecord holds no masks \(it was made with --store_word_starts\); pass "
         "--dynamic_masking or make the data again without --store_word_starts"),
    ({"dynamic_masking": True, "input_file": "{here}/static.tfrecord"},
     "static.tfrecord holds masks and --dynamic_masking draws its own; make the data again with "
     "--store_word_starts or leave --dynamic_masking out"),
    ({"dynamic_masking": True, "input_file": "{here}/static.tfrecord,{here}/train.tfrecord"},
     r"static.tfrecord holds masks and \S*train.tfrecord does not \(it was made with"),
    ({"masked_lm_prob": 0.3}, "--masked_lm_prob=0.3 needs --dynamic_masking; the masks of other "
                              "records are drawn by create_pretraining_data.py --masked_lm_prob"),
    ({"ngram": 2}, "--ngram=2 needs --dynamic_masking; "),
    ({"dynamic_masking": True, "max_predictions_per_seq": 16},
     "--max_predictions_per_seq=16 is not below --max_seq_length=16"),
])
def test_refused_masking(unmasked, changes, message):
    tiny.write_records(unmasked / "static.tfrecord", 8)
    changes = {name: str(value).format(here=unmasked) for name, value in changes.items()}
    with pytest.raises(UserError, match=message):
        run(unmasked, **changes)
    assert not (unmasked / "out").exists()


def test_masking_flags_reach_the_masks(unmasked, monkeypatch):
    """In training; held-out records are masked as their description says, whatever the flags."""
    seen = []

    def input_fn(paths, *lengths, is_training, **options):
        seen.append((is_training, options.pop("masking"), options))
        assert options.pop("vocab_size") == 100

    monkeypatch.setattr(inputs, "pretraining_input_fn", input_fn)
    flags = tiny.parse(run_pretraining.define_flags, dynamic_masking=True, masked_lm_prob=0.5,
                       ngram=1, max_predictions_per_seq=7)
    paths = [str(unmasked / "train.tfrecord")]
    asked = command_line.run_settings(flags)
    pretraining_flags.training_data(flags, paths, asked, 100).input_fn(first_step=8)
    pretraining_flags.evaluation_data(flags, paths, asked, 100)
    assert [one[::2] for one in seen] == [(True, {"first_step": 8, "seed": 12345}), (False, {})]
    training, evaluation = seen[0][1], seen[1][1]
    assert (training.masked_lm_prob, training.ngram, training.max_predictions_per_seq) == (
        0.5, 1, 7)
    assert evaluation == training._replace(masked_lm_prob=0.15, ngram=3)


@pytest.mark.every_platform
def test_evaluation_is_of_all_predictions_whatever_the_batches(here, trained, said):
    """The files hold 64 records of two predictions and 6 of one: not a mean of batches' means."""
    tiny.write_records(here / "few.tfrecord", 6, seed=2,
                       masked_lm_weights=np.array([1, 0], np.float32))
    tiny.write_vocab(here / "vocab.txt")
    found, lines = {}, {}
    for size, most in [(70, None), (48, None), (16, 1)]:
        asked = {"eval_batch_size": size}
        if most:
            asked.update(max_eval_steps=most, show_predictions=0)
        _, lines[size] = said(lambda: run(
            here, trained, do_train=False, do_eval=True, vocab_file=here / "vocab.txt",  # noqa: B023
            eval_input_file="%s,%s" % (here / "dev.tfrecord", here / "few.tfrecord"),
            **asked))  # noqa: B023
        found[size] = tiny.results(trained)
    assert found[48] == pytest.approx(found[70], rel=1e-5)
    assert set(found[70]) == RESULTS
    assert (found[70]["eval_records"], found[70]["eval_predictions"]) == (70, 134)
    assert found[70]["masked_lm_perplexity"] == pytest.approx(
        np.exp(found[70]["masked_lm_loss"]), rel=1e-5)
    assert found[70]["loss"] == pytest.approx(
        found[70]["masked_lm_loss"] + found[70]["sentence_order_loss"], rel=1e-6)
    assert "evaluated on 70 of 70 held-out records, 134 predictions" in lines[70]
    assert ("evaluated on 16 of 70 held-out records, 32 predictions (--max_eval_steps=1)"
            in lines[16])
    shown = [[line for line in lines[size] if " -> " in line] for size in (70, 48, 16)]
    assert [len(one) for one in shown] == [3, 3, 0]
    assert shown[0] == shown[1] and shown[0][0].startswith("1. ")


@pytest.mark.one_platform
def test_predictions_that_cannot_be_shown(here, trained, said):
    """Asked for it is an error, else a line."""
    with pytest.raises(UserError, match="no description beside the records names their vocab"):
        run(here, trained, do_train=False, do_eval=True, show_predictions=1)
    _, lines = said(lambda: run(here, trained, do_train=False, do_eval=True))
    assert [line for line in lines if line.startswith("no predictions will be shown: no descr")]


@pytest.mark.parametrize("changes, message", [
    ({"do_train": False}, "nothing to do; pass --do_train, --do_eval or --export_dir"),
    ({"input_file": "/none/*"}, "/none/.*: no such file"),
    ({"do_train": False, "do_eval": True, "eval_input_file": ""},
     r"needs --eval_input_file, records made of text that is not trained on \(or --eval_on_train"),
    ({"do_eval": True, "eval_input_file": "{here}/t*"},
     "train.tfrecord is both in --input_file and in --eval_input_file; hold it out"),
    ({"do_eval": True, "eval_input_file": "{here}/./train.tfrecord"},
     "/./train.tfrecord is both in --input_file and in --eval_input_file; hold it out"),
    ({"do_train": False, "do_eval": True}, "no checkpoint to evaluate or export; train first"),
    ({"max_seq_length": 64}, "--max_seq_length=64 is larger than the config's "
                             "max_position_embeddings 32"),
    ({"max_seq_length": 32}, "16 .*values in 'input_ids', the flags say 32; pass the lengths"),
    ({"max_predictions_per_seq": 3}, "2 .*values in 'masked_lm_positions', the flags say 3"),
    ({"init_checkpoint": "/none/model.ckpt"}, "/none/model.ckpt: no such checkpoint"),
    ({"num_warmup_steps": 5}, "warmup ends at step 5 .* expected at most num_train_steps=4"),
])
def test_refused(here, changes, message):
    changes = {name: str(value).format(here=here) for name, value in changes.items()}
    with pytest.raises(UserError, match=message):
        run(here, **changes)


def test_results_do_not_overwrite_the_input(here):
    (here / "out").mkdir()
    (here / "out" / "eval_results.txt").write_bytes((here / "train.tfrecord").read_bytes())
    with pytest.raises(UserError, match="out/eval_results.txt is one of the input files"):
        run(here, do_eval=True, eval_input_file=here / "out" / "eval_results.txt")
    os.mkfifo(str(here / "pipe"))
    with pytest.raises(UserError, match="pipe is a pipe, and this command reads its input several"):
        run(here, input_file=here / "pipe")


def test_seeds_command_without_held_out_records_trains_and_says_so(here, caplog):
    train = str(here / "train.tfrecord")
    flags = tiny.parse(run_pretraining.define_flags, do_train=True, do_eval=True, input_file=train)
    with caplog.at_level(logging.INFO, "albert"):
        assert pretraining_flags.input_files(flags) == ([train], [])
    assert caplog.messages[0].startswith("no evaluation: --do_eval needs --eval_input_file")


def test_records_with_larger_ids_than_the_config(here):
    tiny.write_config(here / "config.json", vocab_size=20)
    with pytest.raises(UserError, match="holds token id 3[01], the config's vocab_size is 20"):
        run(here)


def append(path, record):
    """Adds a serialized record behind the first 40 of a file."""
    tfrecords.write(str(path), list(tf.python_io.tf_record_iterator(str(path)))[:40] + [record])


@pytest.mark.slow
@pytest.mark.parametrize("changes, message", [
    ({"masked_lm_ids": np.zeros(7, int)}, "record 40 has 7 int64 values in 'masked_lm_ids'"),
    ({"masked_lm_positions": np.array([2, tiny.LENGTH])},
     "record 40 holds 16 in 'masked_lm_positions', expected 0 to 15; make the data again"),
    ({"input_ids": np.full(tiny.LENGTH, 2 ** 32 + 7)},
     "record 40 holds token id 4294967303, the config's"),
])
def test_record_unlike_the_first_is_named(here, changes, message):
    append(here / "train.tfrecord", tfrecords.serialize(
        dict(tiny.pretraining_example(np.random), **changes)))
    with pytest.raises(UserError, match="train.tfrecord: " + message):
        run(here, num_train_steps=20)


def test_evaluation_judges_what_it_reads(here, trained):
    append(here / "dev.tfrecord", tfrecords.serialize(dict(
        tiny.pretraining_example(np.random), masked_lm_weights=np.array([1, np.nan], np.float32))))
    with pytest.raises(UserError, match=r"dev.tfrecord: record 40 holds the weights 1.0 nan in "):
        run(here, trained, do_train=False, do_eval=True)


def test_garbage_behind_the_first_record(here):
    append(here / "train.tfrecord", b"\xff garbage")
    with pytest.raises(UserError, match="train.tfrecord: record 40 is not a tf.train.Example"):
        run(here)
    assert not (here / "out").exists()


@pytest.mark.parametrize("name", ["train", "dev"])
def test_nothing_to_predict(here, name):
    tiny.write_records(here / (name + ".tfrecord"), 8, masked_lm_weights=np.zeros(2, np.float32))
    with pytest.raises(UserError, match=name + ".tfrecord: no token to predict in the first rec"):
        run(here, do_eval=True)


def describe(path, count, fingerprint, **flags):
    (path.parent / (path.name + ".json")).write_text(json.dumps({
        "flags": dict(flags, max_seq_length=tiny.LENGTH, max_predictions_per_seq=tiny.PREDICTIONS),
        "vocab": {"file": fingerprint + ".txt", "size": 100, "fingerprint": fingerprint},
        "files": {path.name: count}}))


@pytest.mark.one_platform
def test_vocabularies_of_one_size(here):
    """Between two sets, between training and evaluation, and between a run and its resumption."""
    describe(here / "train.tfrecord", 256, "b" * 64, do_lower_case=True)
    describe(here / "dev.tfrecord", 64, "c" * 64, do_lower_case=True)
    with pytest.raises(UserError, match=r"dev.tfrecord and \S*train.tfrecord were made with "
                       r"different vocabularies \(c+.txt and b+.txt\)"):
        run(here, do_eval=True)
    output = run(here, num_train_steps=1)
    known = json.loads((output / "run.json").read_text())
    assert (known["vocabulary"], known["do_lower_case"]) == ("b" * 16, True)
    with pytest.raises(UserError, match="vocabulary is b{16} there and c{16} here"):
        run(here, do_train=False, do_eval=True)
    os.remove(str(here / "dev.tfrecord.json"))  # nothing is known of it
    run(here, do_train=False, do_eval=True)
    assert json.loads((output / "run.json").read_text()) == known


@pytest.mark.one_platform
def test_another_training_in_the_same_directory_is_said(here, caplog):
    run(here, num_train_steps=1)
    with caplog.at_level(logging.INFO, "albert"):
        run(here, num_train_steps=2, seed=7, train_batch_size=4)
    assert ("warning: the training in %s goes on from step 1 with other settings: num_train_steps "
            "was 1 and is 2; seed was 12345 and is 7; step_examples was 8 and is 4; use an empty "
            "--output_dir for another training" % (here / "out")) in caplog.messages
    caplog.clear()
    tiny.write_records(here / "train.tfrecord", 128, seed=5)
    with caplog.at_level(logging.INFO, "albert"):
        run(here, num_train_steps=2, seed=7, train_batch_size=4, init_checkpoint="/none")
    said, = (message for message in caplog.messages if "is reached" in message)
    assert said == ("step 2 is reached in %s: nothing is trained; --init_checkpoint=/none is "
                    "ignored, it began with random weights; the training data is another; use an "
                    "empty --output_dir for another training" % (here / "out"))


def test_description_beside_the_records_counts(here):
    (here / "train.tfrecord.json").write_text(json.dumps(
        {"flags": {"max_seq_length": 128, "max_predictions_per_seq": tiny.PREDICTIONS},
         "vocab": {"file": "vocab.txt", "size": 100}, "files": {"train.tfrecord": 256}}))
    with pytest.raises(UserError, match="train.tfrecord was made with --max_seq_length=128, this "
                       "run has 16"):
        run(here)


def test_output_directory_of_another_config(here, trained):
    tiny.write_config(here / "config.json", num_hidden_layers=3)
    with pytest.raises(UserError, match="holds checkpoints of another run: num_hidden_layers is 1 "
                       "there and 3 here"):
        run(here, trained)


@pytest.mark.one_platform
def test_init_checkpoint_of_the_other_layout(here, trained):
    tiny.write_config(here / "config.json", num_hidden_groups=1)
    with pytest.raises(UserError, match="has the brightmart layout, the config says google"):
        run(here, init_checkpoint=trained)


@pytest.mark.slow
def test_init_checkpoint_loads_weights_only(here, trained, caplog):
    with caplog.at_level(logging.INFO, "albert"):
        output = run(here, init_checkpoint=trained, do_eval=True, eval_every_steps=1,
                     num_train_steps=2, learning_rate=1e-9)
    first, second = tiny.weights(trained / "model.ckpt-2"), tiny.weights(output / "model.ckpt-2")
    assert tiny.results(output)["global_step"] == second["global_step"] == 2
    slots = [name for name in first if name.endswith(variable_names.SLOT_SUFFIXES)]
    for name in set(first) - set(slots):
        np.testing.assert_allclose(second[name], first[name], atol=1e-7, err_msg=name)
    fresh = tiny.weights(output / "model.ckpt-0")
    assert fresh["global_step"] == 0 and not any(fresh[name].any() for name in slots)
    # Two parts, one restore: the second part goes on from the first.
    tables = [message for message in caplog.messages if message.startswith("restored from")]
    assert len(tables) == 1
    assert "%d loaded, 0 left random, %d unused" % (
        len(first) - len(slots) - 1, len(slots) + 1) in tables[0]


@pytest.mark.slow
def test_restore_slots_takes_the_moments_too(here, trained, caplog):
    with caplog.at_level(logging.INFO, "albert"):
        output = run(here, init_checkpoint=trained, restore_slots=True, num_train_steps=1)
    before, after = tiny.weights(trained / "model.ckpt-2"), tiny.weights(output / "model.ckpt-0")
    assert set(before) == set(after)
    for name in set(before) - {"global_step"}:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert any(before[name].any() for name in before if name.endswith("/adam_v"))
    slots = sum(name.endswith(variable_names.SLOT_SUFFIXES) for name in before)
    assert "loaded  %d optimizer slots (adam_m, adam_v)" % slots in caplog.text


@pytest.mark.one_platform
def test_restore_slots_of_a_checkpoint_without_them(here, trained):
    with tf.Graph().as_default(), tf.Session() as session:
        for name, value in tiny.weights(trained / "model.ckpt-2").items():
            if not name.endswith(variable_names.SLOT_SUFFIXES):
                tf.get_variable(name, initializer=value)
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(here / "bare.ckpt"))
    with pytest.raises(UserError, match="bare.ckpt holds no .*/adam_m, as released .*; leave "
                       "--restore_slots out to begin with moments of 0"):
        run(here, init_checkpoint=here / "bare.ckpt", restore_slots=True)


def test_order_rate(here):
    """At a rate of 0 what tells the order stays as it began; the rest learns."""
    output = run(here, order_rate=0, save_checkpoints_steps=1)
    first, last = (tiny.weights(output / name) for name in ("model.ckpt-0", "model.ckpt-4"))
    stays = [name for name in first if not re.search("/adam_|global_step", name)
             and (first[name] == last[name]).all()]
    assert sorted(stays) == ["bert/pooler/dense/bias", "bert/pooler/dense/kernel",
                             "cls/seq_relationship/output_bias",
                             "cls/seq_relationship/output_weights"]


def test_one_layer_first(here):
    """The first steps are a one-layer model's, the others go on from them, also when started anew.
    """
    options = {"num_train_steps": 4, "save_checkpoints_steps": 2}
    alone = run(here, "alone", **options)
    tiny.write_config(here / "config.json", num_hidden_layers=2)
    whole = run(here, "whole", shallow_share=0.5, **options)
    first = tiny.weights(whole / "model.ckpt-2")
    for name, value in tiny.weights(alone / "model.ckpt-2").items():
        np.testing.assert_array_equal(first[name], value, name)
    (here / "again").mkdir()
    for path in alone.glob("model.ckpt-2.*"):
        shutil.copy(str(path), str(here / "again"))
    tf.train.update_checkpoint_state(str(here / "again"), str(here / "again" / "model.ckpt-2"))
    again = tiny.weights(run(here, "again", shallow_share=0.5, **options) / "model.ckpt-4")
    deep, shallow = (tiny.weights(output / "model.ckpt-4") for output in (whole, alone))
    for name, value in deep.items():
        np.testing.assert_array_equal(again[name], value, name)
    assert any((deep[name] != shallow[name]).any() for name in deep)


@pytest.mark.parametrize("changes, message", [
    ({"num_hidden_layers": 1}, "config.json has one layer, so that no further layer could begin"),
    ({"num_hidden_layers": 4, "num_hidden_groups": 2}, "config.json has 2 groups of layers, so")])
def test_no_layer_that_could_come_first(here, changes, message):
    tiny.write_config(here / "config.json", **changes)
    with pytest.raises(UserError, match="--shallow_share=0.5: .*" + message):
        run(here, shallow_share=0.5)


def test_one_layer_first_is_for_one_machine(here, monkeypatch):
    monkeypatch.setattr(estimators, "this_cluster", lambda: clusters.Cluster(["a:1", "b:2"], 0))
    with pytest.raises(UserError, match="--shallow_share=0.5 with TF_CONFIG: it is for"):
        run(here, shallow_share=0.5)


@pytest.mark.slow
@pytest.mark.one_platform
def test_accumulation_equals_the_larger_batch(here, trained, optimized_graphs):
    """Also where the parts of a batch hold different numbers of predictions.

    With LAMB as well: test_training_graph.py, and test_optimization.py for the gradients alone.
    """
    fewer = tiny.write_records(here / "fewer.tfrecord", 256, seed=2,
                               masked_lm_weights=np.array([1, 0], np.float32))
    found = {}
    for name, sizes in {"whole": (24, 1), "parts": (8, 3)}.items():
        output = run(here, name, input_file="%s,%s" % (here / "train.tfrecord", fewer),
                     init_checkpoint=trained, num_train_steps=3,
                     train_batch_size=sizes[0], gradient_accumulation_steps=sizes[1])
        found[name] = tiny.weights(output / "model.ckpt-3"), summaries(output)
    start = tiny.weights(trained / "model.ckpt-2")
    for name, value in found["whole"][0].items():
        np.testing.assert_allclose(found["parts"][0][name], value, rtol=1e-5, atol=1e-5,
                                   err_msg=name)
    for name in ("bert/embeddings/word_embeddings", "bert/pooler/dense/kernel"):
        assert np.abs(found["whole"][0][name] - start[name]).max() > 1e-3
    for name in METRICS + ["loss", "gradient_norm"]:
        np.testing.assert_allclose(
            found["parts"][1][name], found["whole"][1][name], rtol=1e-4, err_msg=name)


@needs_proc
@pytest.mark.slow
@pytest.mark.every_platform
def test_sigterm_saves_and_ends(here):
    log = here / "log"
    process = processes.start("run_pretraining.py", flag_values(
        here, num_train_steps=1000000, save_checkpoints_steps=3), log)
    wait_until((here / "out" / "model.ckpt-3.index").exists, 600)
    process.terminate()
    process.join(600)
    assert process.exitcode == 1
    last = log.read_text().strip().split("\n")[-1]
    step = checkpoints.checkpoint_step(tf.train.latest_checkpoint(str(here / "out")))
    assert step >= 3
    assert last == (
        "stopped by SIGTERM: step %d is saved; the same command goes on from there" % step)
    assert not checkpoints.verify(str(here / "out" / ("model.ckpt-%d" % step)))
    run(here, num_train_steps=step + 1)
    assert (here / "out" / ("model.ckpt-%d.index" % (step + 1))).exists()


def test_evaluates_on_training_data_and_exports_later(here, trained):
    run(here, trained, do_train=False, do_eval=True, eval_on_train_data=True, eval_input_file="",
        export_dir=here / "export")
    assert tiny.results(trained)["global_step"] == 2
    exported, = glob.glob(str(here / "export" / "*"))
    ids = np.random.RandomState(0).randint(5, 100, [3, tiny.LENGTH])
    mask = np.array([[1] * length + [0] * (tiny.LENGTH - length) for length in (16, 9, 2)])
    segments = np.array([[0] * 8 + [1] * 8] * 3)
    feed = {"input_ids": ids, "input_mask": mask, "segment_ids": segments}
    with tf.Graph().as_default(), tf.Session() as session:
        meta = tf.saved_model.load(session, ["serve"], exported)
        signature = meta.signature_def["serving_default"]
        served = session.run(
            {name: signature.outputs[name].name for name in ("pooled_output", "sequence_output")},
            {signature.inputs[name].name: value for name, value in feed.items()})
    with tf.Graph().as_default(), tf.Session() as session:
        model = modeling.AlbertModel(tiny.config(num_hidden_layers=1), False, *(
            tf.constant(feed[name]) for name in ("input_ids", "input_mask", "segment_ids")))
        tf.train.Saver(tf.trainable_variables()).restore(session, str(trained / "model.ckpt-2"))
        pooled, sequence = session.run((model.get_pooled_output(), model.get_sequence_output()))
    np.testing.assert_allclose(served["pooled_output"], pooled, atol=1e-6)
    np.testing.assert_allclose(served["sequence_output"], sequence, atol=1e-6)
