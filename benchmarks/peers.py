"""Processes that `benchmark.py pretrain` and `benchmark.py finetune` start:

    python3 -m benchmarks.peers prepare config.json train.tfrecord batches.npz 32 128 20
    python3 -m benchmarks.peers peaks
    python3 -m benchmarks.peers pytorch batches.npz 80
    python3 -m benchmarks.peers pytorch_masked batches.npz 80 bfloat16
    python3 -m benchmarks.peers tensorflow batches.npz 80
    python3 -m benchmarks.peers prepare_pairs config.json vocab.txt pairs.tsv pairs.npz 128
    python3 -m benchmarks.peers pytorch_pairs pairs.npz 64 200

and, to be run by hand, what is saved by computing the last block only where it is read:

    python3 -m benchmarks.peers last_block config.json train.tfrecord 32 128 20 20

and what transformers reaches from the same weights on the same data (docs/results.md):

    python3 -m benchmarks.peers pytorch_accuracy all-MiniLM-L6-v2 reviews 64 32 5e-5 2 1

Those named after a framework train Hugging Face's ALBERT in a Python that has it, so every function
imports only what its own process needs.

Dimensions: n batches, B batch, S sequence, P predictions a sequence.
"""

import json
import os
import sys
import time

LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 1e-4, 0.01, 1.0  # as in run_pretraining.py
NUM_BATCHES = 16


def prepare(config_file, record_file, target, batch_size, max_seq_length, max_predictions_per_seq):
    """Writes batches and the model's sizes as Hugging Face names them; prints an example's work.

    The .npz holds "config", JSON, and int64 [n, B, S] (the sentence order [n, B]).
    """
    from util import platforms  # noqa: F401 - checks TensorFlow

    import numpy as np
    import tensorflow.compat.v1 as tf

    import modeling
    from pretraining import inputs
    from training import flops

    config = modeling.AlbertConfig.from_json_file(config_file)
    sizes = int(batch_size), int(max_seq_length), int(max_predictions_per_seq)
    with tf.Graph().as_default(), tf.Session() as session:
        input_fn = inputs.pretraining_input_fn(
            [record_file], sizes[1], sizes[2], sizes[0], is_training=True)
        next_batch = tf.data.make_one_shot_iterator(input_fn({})).get_next()
        read_batches = [session.run(next_batch) for _ in range(NUM_BATCHES)]
    batches = [peer_batch(features) for features in read_batches]
    lengths = np.concatenate([features["input_mask"].sum(1) for features in read_batches])
    predictions = np.mean([features["masked_lm_weights"].sum(1) for features in read_batches])
    arrays = {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
    np.savez(target, config=json.dumps(peer_config(config.to_dict())), **arrays)
    print(json.dumps({
        "tokens": lengths.mean(), "predictions": float(predictions), "flops": flops.training_flops(
            config, 1, lengths.mean(), predictions, np.square(lengths).mean())}))


def last_block(config_file, record_file, batch_size, max_seq_length, max_predictions_per_seq,
               rounds):
    """Prints how much faster a step is with the last block at some positions than at all.

    Both are trained in turn in one session, so that changes in the machine's speed affect both; the
    ratio is the median over the rounds, of two steps each.
    """
    from util import platforms  # noqa: F401 - enables oneDNN

    import numpy as np
    import tensorflow.compat.v1 as tf

    from pretraining import inputs

    sizes = int(batch_size), int(max_seq_length), int(max_predictions_per_seq)
    input_fn = inputs.pretraining_input_fn(
        [record_file], sizes[1], sizes[2], sizes[0], is_training=True)
    features = tf.data.make_one_shot_iterator(input_fn({})).get_next()
    steps = [last_block_step(config_file, features, everywhere) for everywhere in (True, False)]
    seconds = np.zeros([1 + int(rounds), 2])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for row in seconds:
            for index, step in enumerate(steps):
                begin = time.perf_counter()
                session.run(step)
                session.run(step)
                row[index] = (time.perf_counter() - begin) / 2
    everywhere, some = seconds[1:].T  # the first round is warm-up
    ratios = everywhere / some
    print("%.1f examples/s for all positions, %.1f for those that are read: %.2f times (quartiles "
          "%.2f and %.2f)" % (sizes[0] / np.median(everywhere), sizes[0] / np.median(some),
                              np.median(ratios), *np.percentile(ratios, [25, 75])))


def last_block_step(config_file, features, everywhere):
    """The train op of a new model whose last block is computed at all positions or at some."""
    import tensorflow.compat.v1 as tf

    import modeling
    import optimization
    from pretraining import objectives

    config = modeling.AlbertConfig.from_json_file(config_file)
    scope = "everywhere" if everywhere else "some"

    def build(features, output_positions):
        return modeling.AlbertModel(
            config, True, features["input_ids"], features["input_mask"], features["segment_ids"],
            output_positions=None if everywhere else output_positions)

    with tf.variable_scope(scope):
        masked_lm, order = objectives.pretraining_outputs(config, build, features)
        gradients = optimization.compute_gradients(
            masked_lm[0] + order[0], tf.trainable_variables(scope + "/"))
        return optimization.create_train_op(gradients, "adamw", LEARNING_RATE, 1000, 10).train_op


def peer_config(values):
    """The values of an AlbertConfig -> the arguments of transformers' AlbertConfig."""
    values = {key: value for key, value in values.items() if key not in ("layout", "ln_type")}
    if values["hidden_act"] == "gelu":
        values["hidden_act"] = "gelu_new"  # the tanh form
    return dict(values, classifier_dropout_prob=values["hidden_dropout_prob"])


def peer_batch(features):
    """A batch of our records -> the arguments of AlbertForPreTraining, int64 [B, S] and [B].

    That takes labels at every position, -100 where nothing is predicted.
    """
    import numpy as np

    labels = np.full(features["input_ids"].shape, -100)
    rows, columns = np.nonzero(features["masked_lm_weights"])
    labels[rows, features["masked_lm_positions"][rows, columns]] = (
        features["masked_lm_ids"][rows, columns])
    batch = {"input_ids": features["input_ids"], "attention_mask": features["input_mask"],
             "token_type_ids": features["segment_ids"], "labels": labels,
             "sentence_order_label": features["next_sentence_labels"][:, 0]}
    return {name: value.astype(np.int64) for name, value in batch.items()}


def peaks():
    """Prints this machine's peaks of matrix products in float32 and bfloat16, JSON, in FLOP/s."""
    from util import platforms  # noqa: F401 - enables oneDNN

    import tensorflow.compat.v1 as tf

    from training import flops, precision

    types = [tf.float32] + ([tf.bfloat16] if precision.has_onednn() else [])
    print(json.dumps({dtype.name: flops.measure_matmul_peak(dtype=dtype) for dtype in types}))


def pytorch_model(path):
    """(device, batches, AlbertForPreTraining on it, AdamW): a GPU where PyTorch sees one."""
    import torch
    from transformers import AlbertConfig, AlbertForPreTraining

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = True  # as TensorFlow's products on a GPU
    config, batches = read(path)
    model = AlbertForPreTraining(AlbertConfig(**config)).train().to(device)
    return device, batches, model, torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)


def pytorch(path, steps):
    """Trains AlbertForPreTraining as transformers has it."""
    import torch

    device, batches, model, optimizer = pytorch_model(path)

    def step(batch):
        optimizer.zero_grad()
        loss = model(**{name: torch.from_numpy(value).to(device)
                        for name, value in batch.items()}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        return loss.item()

    train(step, batches, int(steps))


def pytorch_masked(path, steps, dtype):
    """As `pytorch`, with logits at the masked positions alone, compiled, under autocast to `dtype`.

    transformers computes all logits; those who train with it for speed write this themselves.
    """
    import torch
    from torch.nn.functional import cross_entropy

    device, batches, model, optimizer = pytorch_model(path)
    encode, predict = torch.compile(model.albert), torch.compile(model.predictions, dynamic=True)
    amp = dtype != "float32"

    def step(batch):
        given = {name: torch.from_numpy(value).to(device) for name, value in batch.items()}
        labels = given.pop("labels").flatten()
        masked = torch.nonzero(labels != -100).squeeze(1)
        orders = given.pop("sentence_order_label")
        optimizer.zero_grad()
        with torch.autocast(device, getattr(torch, dtype), enabled=amp):
            encoded = encode(**given)
            rows = encoded.last_hidden_state.flatten(0, 1)[masked]
            words = predict(rows)
            order = model.sop_classifier(encoded.pooler_output)
        loss = cross_entropy(words.float(), labels[masked]) + cross_entropy(order.float(), orders)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        return loss.item()

    train(step, batches, int(steps))


def tensorflow(path, steps):
    """Trains TFAlbertForPreTraining with Keras' AdamW, its step a tf.function."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as util/platforms.py
    import tensorflow as tf
    from transformers import AlbertConfig, TFAlbertForPreTraining

    try:
        import tf_keras as keras  # Keras 2, which transformers needs where Keras 3 is installed
    except ImportError:
        import keras

    config, batches = read(path)
    model = TFAlbertForPreTraining(AlbertConfig(**config))
    optimizer = keras.optimizers.AdamW(
        LEARNING_RATE, weight_decay=WEIGHT_DECAY, global_clipnorm=CLIP_NORM)

    @tf.function
    def update(batch):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(batch, training=True).loss)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    train(lambda batch: float(update({name: tf.constant(value) for name, value in batch.items()})),
          batches, int(steps))


def prepare_pairs(config_file, vocab_file, pairs_file, target, max_seq_length):
    """Writes the tokens of pairs in LCQMC's format; prints their number and mean length.

    The .npz holds "config", JSON; "lengths" and "label_ids", [N] of N pairs; "input_ids" and
    "segment_ids", those of all pairs concatenated.
    """
    from util import platforms  # noqa: F401 - checks TensorFlow

    import numpy as np

    import modeling
    import tokenization
    from tasks import classification, classification_data

    config = modeling.AlbertConfig.from_json_file(config_file)
    tokenizer = tokenization.load_tokenizer(vocab_file)
    task = classification.Classification(
        "lcqmc", classification_data.DATASETS["lcqmc"], None, {"train": pairs_file})
    task.setup()
    features = [one for example in task.examples("train")
                for one in task.featurize(example, tokenizer, int(max_seq_length))]
    arrays = {name: np.concatenate([np.ravel(one[name]) for one in features])
              for name in ("input_ids", "segment_ids", "lengths", "label_ids")}
    np.savez(target, config=json.dumps(peer_config(config.to_dict())), **arrays)
    print("%d pairs of %.0f tokens" % (len(features), arrays["lengths"].mean()))


def pytorch_pairs(path, batch_size, steps, dtype="float32"):
    """Trains AlbertForSequenceClassification as transformers' Trainer with group_by_length does.

    AdamW, clipping and the linear schedule are the Trainer's; batches are padded to their longest,
    and products are in `dtype` as with its bf16=True. The rate is printed every five seconds.
    """
    import numpy as np
    import torch
    from transformers import (
        AlbertConfig,
        AlbertForSequenceClassification,
        get_linear_schedule_with_warmup,
    )
    from transformers.trainer_pt_utils import LengthGroupedSampler

    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch_size, steps = int(batch_size), int(steps)
    with np.load(path) as arrays:
        config = json.loads(str(arrays["config"]))
        lengths, labels = arrays["lengths"], arrays["label_ids"]
        ends = np.cumsum(lengths)[:-1]
        ids, segments = (np.split(arrays[name], ends) for name in ("input_ids", "segment_ids"))
    model = AlbertForSequenceClassification(AlbertConfig(num_labels=2, **config)).train().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)

    def padded(rows):
        return torch.nn.utils.rnn.pad_sequence(
            [torch.from_numpy(row.astype(np.int64)) for row in rows], batch_first=True).to(device)

    def batches():
        while True:
            order = list(LengthGroupedSampler(batch_size, lengths=lengths.tolist()))
            for begin in range(0, len(order) - batch_size + 1, batch_size):
                yield order[begin:begin + batch_size]

    begin, since = None, 0
    for step, chosen in zip(range(1, steps + 1), batches()):
        with torch.autocast(device, getattr(torch, dtype), enabled=dtype != "float32"):
            loss = model(
                input_ids=padded([ids[index] for index in chosen]),
                token_type_ids=padded([segments[index] for index in chosen]),
                attention_mask=padded([np.ones(lengths[index]) for index in chosen]),
                labels=torch.from_numpy(labels[chosen].astype(np.int64)).to(device)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        value, now = loss.item(), time.perf_counter()
        if begin is None:
            begin, since = now, step
        elif now - begin > 5:
            print("step %d/%d  loss %.4f  %.2f examples/s" % (
                step, steps, value, (step - since) * batch_size / (now - begin)), flush=True)
            begin, since = now, step


def pytorch_accuracy(model_dir, data_dir, max_seq_length, batch_size, learning_rate, epochs, seed):
    """Fine-tunes transformers' classifier as run_classifier.py does, and prints its accuracies.

    data_dir holds train.tsv, dev.tsv and test.tsv: text and label, with a header. The accuracy on
    the last two is printed after every epoch; the rest of one that fills no batch is left out. The
    schedule, the weight decay, clipping and epsilon are ours, Adam's bias correction is PyTorch's.
    """
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        get_linear_schedule_with_warmup,
        set_seed,
    )
    from transformers.trainer_pt_utils import LengthGroupedSampler

    set_seed(int(seed))
    texts, labels = read_labelled(os.path.join(data_dir, "train.tsv"))
    batch_size, epochs = int(batch_size), int(epochs)
    steps = len(labels) * epochs // batch_size
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForSequenceClassification.from_pretrained(model_dir, num_labels=2)
    decaying, others = [], []  # as transformers' Trainer: neither biases nor LayerNorm's weights
    for parameter in model.parameters():
        (decaying if parameter.dim() > 1 else others).append(parameter)
    optimizer = torch.optim.AdamW([{"params": decaying, "weight_decay": WEIGHT_DECAY},
                                   {"params": others, "weight_decay": 0.0}],
                                  lr=float(learning_rate), eps=1e-6)
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)

    def run(texts, labels=None):
        return model(**tokenizer(texts, truncation=True, max_length=int(max_seq_length),
                                 padding=True, return_tensors="pt"),
                     labels=labels and torch.tensor(labels))

    def accuracy(split):
        texts, labels = read_labelled(os.path.join(data_dir, split + ".tsv"))
        with torch.no_grad():
            guesses = torch.cat([run(texts[begin:begin + batch_size]).logits.argmax(-1)
                                 for begin in range(0, len(texts), batch_size)])
        return (guesses == torch.tensor(labels)).float().mean().item()

    for epoch in range(epochs):
        model.train()
        order = list(LengthGroupedSampler(batch_size, lengths=list(map(len, texts))))
        for begin in range(0, len(order) - batch_size + 1, batch_size):
            rows = order[begin:begin + batch_size]
            loss = run([texts[row] for row in rows], [labels[row] for row in rows]).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        model.eval()
        print("epoch %d  loss of the last batch %.4f  accuracy: dev %.4f, test %.4f" % (
            epoch + 1, loss.item(), accuracy("dev"), accuracy("test")), flush=True)


def read_labelled(path):
    """A TSV with a header -> (list of texts, list of 0 and 1, the labels in their sorted order)."""
    with open(path, encoding="utf-8") as stream:
        texts, labels = zip(*(line.rstrip("\n").split("\t") for line in stream.readlines()[1:]))
    names = sorted(set(labels))
    return list(texts), [names.index(label) for label in labels]


def read(path):
    """What `prepare` wrote -> (dict of the config, list of {name: int64 [B, S] or [B]})."""
    import numpy as np

    with np.load(path) as arrays:
        config = json.loads(str(arrays["config"]))
        arrays = {name: arrays[name] for name in arrays.files if name != "config"}
    return config, [dict(zip(arrays, batch)) for batch in zip(*arrays.values())]


def train(step, batches, steps):
    """Calls step(batch) -> loss, cycling through the batches, and prints every step's rate."""
    for number in range(steps):
        batch = batches[number % len(batches)]
        begin = time.perf_counter()
        loss = step(batch)
        seconds = time.perf_counter() - begin
        print("step %d/%d  loss %.4f  %.2f examples/s" % (
            number + 1, steps, loss, len(batch["input_ids"]) / seconds), flush=True)


if __name__ == "__main__":
    {"prepare": prepare, "peaks": peaks, "pytorch": pytorch, "pytorch_masked": pytorch_masked,
     "tensorflow": tensorflow,
     "last_block": last_block, "prepare_pairs": prepare_pairs,
     "pytorch_pairs": pytorch_pairs,
     "pytorch_accuracy": pytorch_accuracy}[sys.argv[1]](*sys.argv[2:])
