"""The other processes of `benchmark.py pretrain`, which starts them:

    python3 benchmark_peers.py prepare config.json train.tfrecord batches.npz 32 128 20
    python3 benchmark_peers.py peak
    python3 benchmark_peers.py pytorch batches.npz 80
    python3 benchmark_peers.py tensorflow batches.npz 80

The last two train Hugging Face's ALBERT in whatever Python has it: every function imports what its
own process needs, and nothing else.

Dimensions: n batches, B batch, S sequence, P predictions a sequence.
"""

import json
import os
import sys
import time

LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 1e-4, 0.01, 1.0  # as run_pretraining.py's
NUM_BATCHES = 16


def prepare(config_file, record_file, target, batch_size, max_seq_length, max_predictions_per_seq):
    """Writes batches and the model's sizes as Hugging Face names them; prints the flops of a step.

    The .npz holds "config", JSON, and int64 [n, B, S] (the sentence order [n, B]).
    """
    import platforms  # noqa: F401 - checks TensorFlow

    import numpy as np
    import tensorflow.compat.v1 as tf

    import modeling
    import records
    import speed

    config = modeling.AlbertConfig.from_json_file(config_file)
    sizes = int(batch_size), int(max_seq_length), int(max_predictions_per_seq)
    with tf.Graph().as_default(), tf.Session() as session:
        input_fn = records.pretraining_input_fn(
            [record_file], sizes[1], sizes[2], sizes[0], is_training=True)
        following = tf.data.make_one_shot_iterator(input_fn({})).get_next()
        batches = [peer_batch(session.run(following)) for _ in range(NUM_BATCHES)]
    arrays = {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
    np.savez(target, config=json.dumps(peer_config(config.to_dict())), **arrays)
    print(json.dumps({"flops": speed.training_flops(config, *sizes)}))


def peer_config(values):
    """The values of an AlbertConfig -> the arguments of transformers' AlbertConfig."""
    values = {key: value for key, value in values.items() if key not in ("layout", "ln_type")}
    if values["hidden_act"] == "gelu":
        values["hidden_act"] = "gelu_new"  # the tanh form
    return dict(values, classifier_dropout_prob=values["hidden_dropout_prob"])


def peer_batch(features):
    """A batch of our records -> the arguments of AlbertForPreTraining, int64 [B, S] and [B].

    It takes labels for every place, -100 where there is no prediction.
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


def peak():
    """Prints the flops a second of this machine's float32 products."""
    import platforms  # noqa: F401 - sets what makes them fast

    import speed

    print(speed.measure_matmul_peak())


def pytorch(path, steps):
    """Trains AlbertForPreTraining with AdamW, on a GPU where PyTorch sees one."""
    import torch
    from transformers import AlbertConfig, AlbertForPreTraining

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = True  # as TensorFlow's products on a GPU
    config, batches = read(path)
    model = AlbertForPreTraining(AlbertConfig(**config)).train().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def step(batch):
        optimizer.zero_grad()
        loss = model(**{name: torch.from_numpy(value).to(device)
                        for name, value in batch.items()}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        return loss.item()

    train(step, batches, int(steps))


def tensorflow(path, steps):
    """Trains TFAlbertForPreTraining with Keras' AdamW, its step a tf.function."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as platforms.py
    import tensorflow as tf
    from transformers import AlbertConfig, TFAlbertForPreTraining

    try:
        import tf_keras as keras  # what transformers looks for: Keras 2 beside a later one
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


def read(path):
    """What `prepare` wrote -> (dict of the config, list of {name: int64 [B, S] or [B]})."""
    import numpy as np

    with np.load(path) as arrays:
        config = json.loads(str(arrays["config"]))
        arrays = {name: arrays[name] for name in arrays.files if name != "config"}
    return config, [dict(zip(arrays, batch)) for batch in zip(*arrays.values())]


def train(step, batches, steps):
    """Calls step(batch) -> loss, over the batches again and again, and prints every step's rate."""
    for number in range(steps):
        batch = batches[number % len(batches)]
        begin = time.perf_counter()
        loss = step(batch)
        seconds = time.perf_counter() - begin
        print("step %d/%d  loss %.4f  %.2f examples/s" % (
            number + 1, steps, loss, len(batch["input_ids"]) / seconds), flush=True)


if __name__ == "__main__":
    {"prepare": prepare, "peak": peak, "pytorch": pytorch, "tensorflow": tensorflow}[
        sys.argv[1]](*sys.argv[2:])
