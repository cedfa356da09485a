"""Processes that `benchmark.py inference` starts: the same random weights in every runtime.

    python3 -m benchmarks.inference prepare config.json vocab.txt pairs.tsv DIRECTORY
    python3 -m benchmarks.inference ours DIRECTORY
    python3 -m benchmarks.inference theirs DIRECTORY

`prepare` writes a classification as a checkpoint, as exports and as a directory of transformers,
and what is to be computed. The other two, in a Python with TensorFlow and in one with PyTorch, load
it in all their ways, stay, and read requests from standard input, a JSON a line:

    {"row": "ONNX Runtime", "cell": "1 x 32", "seconds": 0.5}    ->  {"seconds": 0.0019}, a median
    {"row": "ONNX Runtime", "cell": "1 x 32", "seconds": 0}      ->  {"probabilities": [[…, …]]}

So one after the other of many ways can be measured within a minute on a machine of varying speed.
Every function imports only what its own process needs.

Dimensions: B batch, S sequence.
"""

import json
import os
import statistics
import sys
import time

CELLS = {"1 x 32": (1, 32), "32 x 128": (32, 128)}  # B x S, no padding
PAIRS = "pairs"
NUM_PAIRS = 512
WARM_UP = 3
# {directory: what onnx_file.write is asked for}.
EXPORTS = {"plain": {}, "optimize": {"fused": True}, "int8": {"int8": True}}
BFLOAT16 = "PyTorch, bfloat16 autocast"
EXPORTED = "PyTorch -> ONNX, optimized by ONNX Runtime"
PIPELINE = "transformers' pipeline"
PIPELINE_32 = PIPELINE + ", batch_size=32"
# What the ways are compared with.
ROLES = {BFLOAT16: "bfloat16", EXPORTED: "export", PIPELINE: "pipeline", PIPELINE_32: "pipeline"}


def prepare(config_file, vocab_file, pairs_file, directory):
    """Writes model/, an export for each of EXPORTS, hf/, and inputs.npz; prints the mean length.

    The .npz holds "pairs", JSON, and for each of CELLS int64 [B, S] ids.
    """
    from util import platforms, whole_files
    platforms.start()

    import numpy as np

    import tokenization
    from interchange import conversion, tensorflow_files, tokenizer_files
    from serving import checkpoint_package, onnx_file, package

    tokenizer = tokenization.load_tokenizer(vocab_file)
    pairs, random = read_pairs(pairs_file), np.random.RandomState(0)
    ids = {cell: random.randint(5, tokenizer.vocab_size, shape) for cell, shape in CELLS.items()}
    np.savez(os.path.join(directory, "inputs.npz"), pairs=json.dumps(pairs), **ids)
    config, arrays = random_classification(config_file, tokenizer, read_inputs(directory)[0])
    source = os.path.join(directory, "model")
    os.makedirs(source)
    tensorflow_files.write_tensorflow(arrays, os.path.join(source, "model.ckpt"))
    whole_files.write_json(os.path.join(source, "config.json"), config.to_dict())
    tokenizer_files.copy(tokenizer, source)
    model = checkpoint_package.load(source)
    for name, options in EXPORTS.items():
        path = os.path.join(directory, name)
        os.makedirs(path)
        package.save(model, path)
        tokenizer_files.copy(tokenizer, path)
        onnx_file.write(model, path, **options)
    path = os.path.join(directory, "hf")
    os.makedirs(path)
    conversion.write(conversion.read(config.layout, os.path.join(source, "model.ckpt"), config),
                     path, "hf_albert", tokenizer)
    lengths = [len(tokenizer.encode(a)) + len(tokenizer.encode(b)) + 3 for a, b in pairs]
    print("%d pairs of %.0f tokens" % (len(pairs), statistics.mean(lengths)))


def random_classification(config_file, tokenizer, features):
    """(AlbertConfig, {variable: array}) of two labels, each the likelier one of half of the inputs.
    """
    import numpy as np
    import tensorflow.compat.v1 as tf

    import modeling
    from interchange import layouts, tokenizer_files
    from serving import engines
    from tasks import base

    config = modeling.AlbertConfig.from_json_file(config_file)
    tokenizer_files.check_size(tokenizer, config)
    with tf.Graph().as_default():
        model = modeling.AlbertModel(config, False, tf.zeros([1, 8], tf.int32))
        base.output_layer(model.get_pooled_output(), 2, config, 0.0)
        shapes = {variable.name.split(":")[0]: variable.shape.as_list()
                  for variable in tf.global_variables()}
    random = np.random.RandomState(0)
    deviation = 0.35 / np.sqrt(config.hidden_size)  # for tiny 0.02, as training begins with
    arrays = {name: (deviation * random.randn(*shape) + name.endswith("gamma")).astype(np.float32)
              for name, shape in sorted(shapes.items())}
    logits = engines.create("onnxruntime", layouts.Weights(config, arrays), "classification").run(
        features["32 x 128"])["logits"]
    logits -= arrays["output_bias"]
    scale = 1.0 / (logits[:, 0] - logits[:, 1]).std()
    arrays["output_weights"] *= scale
    arrays["output_bias"] = -scale * np.median(logits, 0)
    return config, arrays


def read_pairs(path):
    """The first NUM_PAIRS pairs of a file in LCQMC's format, as often as need be."""
    from util import text_lines
    from util.errors import UserError

    pairs = []
    for number, line in text_lines.read_lines(path):
        cells = line.split("\t")
        if len(cells) < 2 or not all(cell.strip() for cell in cells[:2]):
            raise UserError("%s line %d: expected two texts with a tab between, as LCQMC's"
                            % (path, number))
        pairs.append(cells[:2])
        if len(pairs) == NUM_PAIRS:
            break
    if not pairs:
        raise UserError("%s has no lines; expected two texts a line with a tab between" % path)
    return (pairs * -(-NUM_PAIRS // len(pairs)))[:NUM_PAIRS]


def read_inputs(directory):
    """What `prepare` wrote -> {cell: {feature: int64 [B, S]}}, pairs."""
    import numpy as np

    with np.load(os.path.join(directory, "inputs.npz")) as arrays:
        features = {}
        for cell in CELLS:
            ids = arrays[cell]
            half = np.arange(ids.shape[1]) >= ids.shape[1] // 2
            features[cell] = {"input_ids": ids, "input_mask": np.ones_like(ids),
                              "segment_ids": np.zeros_like(ids) + half}
        return features, json.loads(str(arrays["pairs"]))


# ---- ours ----

def ours(directory):
    """Serves the ways of this code: engines over exports and over the checkpoint."""
    from util import platforms, workers
    platforms.start()

    from serving import answers, engines, predictor

    threads = workers.processors()
    features, pairs = read_inputs(directory)
    all_rows = {cell: rows_of(batch) for cell, batch in features.items()}

    def loaded(folder, engine, bfloat16=False):
        path = os.path.join(directory, folder)
        model = predictor.load_package(path)
        made = engines.create(engine, model.weights, model.head, threads, model.onnx,
                              bfloat16=bfloat16)
        whole = predictor.Predictor(model, made)
        functions = {cell: lambda rows=rows: list(map(answers.softmax, whole.compute(rows)))
                     for cell, rows in all_rows.items()}
        functions[PAIRS] = lambda: [list(answer["probabilities"].values())
                                    for answer in whole.predict(pairs)]
        return functions, os.path.getsize(model.onnx) / 1e6 if model.onnx else None

    serve({
        "ONNX Runtime": lambda: loaded("plain", "onnxruntime"),
        "ONNX Runtime, --optimize": lambda: loaded("optimize", "onnxruntime"),
        "ONNX Runtime, --int8": lambda: loaded("int8", "onnxruntime"),
        "OpenVINO": lambda: loaded("plain", "openvino"),
        "OpenVINO, --bfloat16": lambda: loaded("plain", "openvino", True),
        "TensorFlow": lambda: loaded("model", "tensorflow")})


def rows_of(batch):
    """{feature: [B, S]} without padding -> the rows of serving.predictor, {feature: [S]} each."""
    return [{"input_ids": ids, "segment_ids": segments}
            for ids, segments in zip(batch["input_ids"], batch["segment_ids"])]


# ---- theirs ----

def theirs(directory):
    """Serves the ways of transformers: PyTorch, its export to ONNX Runtime, and the pipeline."""
    from util import workers

    import torch
    from transformers import AlbertForSequenceClassification, AutoTokenizer, pipeline

    threads = workers.processors()
    torch.set_num_threads(threads)
    path = os.path.join(directory, "hf")
    features, pairs = read_inputs(directory)
    tensors = {cell: {theirs: torch.from_numpy(batch[ours]) for ours, theirs in (
        ("input_ids", "input_ids"), ("input_mask", "attention_mask"),
        ("segment_ids", "token_type_ids"))} for cell, batch in features.items()}
    model = AlbertForSequenceClassification.from_pretrained(path).eval()

    def eager(bfloat16):
        def compute(batch):
            with torch.inference_mode(), torch.autocast(
                    "cpu", dtype=torch.bfloat16, enabled=bfloat16):
                return torch.softmax(model(**batch).logits.float(), -1).numpy()
        return {cell: lambda batch=batch: compute(batch) for cell, batch in tensors.items()}, None

    def piped(batch_size):
        made = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(
            path), top_k=None, batch_size=batch_size, device="cpu")
        items = [{"text": a, "text_pair": b} for a, b in pairs]
        labels = [model.config.id2label[index] for index in range(2)]

        def compute():
            return [[{one["label"]: one["score"] for one in scores}[label] for label in labels]
                    for scores in made(items)]
        return {PAIRS: compute}, None

    serve({
        "PyTorch": lambda: eager(False),
        BFLOAT16: lambda: eager(True),
        EXPORTED: lambda: exported(model, tensors, directory, threads, False),
        EXPORTED + ", int8": lambda: exported(model, tensors, directory, threads, True),
        PIPELINE: lambda: piped(1),
        PIPELINE_32: lambda: piped(32)})


def exported(model, tensors, directory, threads, int8):
    """A model of PyTorch as ONNX, by ONNX Runtime's optimizer for transformers, maybe quantized.
    """
    import onnxruntime
    import torch
    from onnxruntime import quantization
    from onnxruntime.transformers import optimizer

    plain, path = (os.path.join(directory, name) for name in ("torch.onnx", "optimized.onnx"))
    if not os.path.exists(path):
        names = list(tensors["1 x 32"])
        axes = {name: {0: "batch", 1: "length"} for name in names}
        torch.onnx.export(
            model, (), plain, kwargs=tensors["1 x 32"], input_names=names, output_names=["logits"],
            dynamic_axes=dict(axes, logits={0: "batch"}), opset_version=17, dynamo=False)
        optimizer.optimize_model(
            plain, "bert", num_heads=model.config.num_attention_heads,
            hidden_size=model.config.hidden_size).save_model_to_file(path)
    if int8:
        path, source = os.path.join(directory, "quantized.onnx"), path
        quantization.quantize_dynamic(  # 1: float, of what the optimizer's operators give
            source, path, weight_type=quantization.QuantType.QInt8,
            extra_options={"DefaultTensorType": 1})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def compute(batch):
        logits = torch.from_numpy(session.run(None, batch)[0])
        return torch.softmax(logits, -1).numpy()

    return {cell: lambda batch=batch: compute(batch) for cell, batch in (
        (cell, {name: tensor.numpy() for name, tensor in batch.items()})
        for cell, batch in tensors.items())}, os.path.getsize(path) / 1e6


# ---- both ----

def serve(ways):
    """Loads every way, says what there is, and answers requests until they end.

    Args:
      ways: {name: function that returns ({cell: function that gives probabilities}, MB or None)}.
    """
    answers = os.fdopen(os.dup(1), "w")  # nothing else that prints gets between
    os.dup2(2, 1)
    made, rows = {}, []
    for name, load in ways.items():
        row = {"row": name, "role": ROLES.get(name), "MB": None, "problem": None}
        try:
            made[name], row["MB"] = load()
            row["cells"] = sorted(made[name])
        except Exception as error:  # noqa: B902 - of any library; it is said
            row["problem"] = (str(error).strip() or type(error).__name__).split("\n")[0]
        rows.append(row)
    say(answers, rows)
    for line in sys.stdin:
        request = json.loads(line)
        compute = made[request["row"]][request["cell"]]
        if request["seconds"]:
            say(answers, {"seconds": median_seconds(compute, request["seconds"])})
        else:
            say(answers, {"probabilities": [list(map(float, row)) for row in compute()]})


def say(stream, values):
    stream.write(json.dumps(values) + "\n")
    stream.flush()


def median_seconds(compute, seconds):
    """The median time of a call, of those within so many seconds, after some to warm up."""
    begin = time.perf_counter()
    compute()
    if time.perf_counter() - begin < seconds / 4:
        for _ in range(WARM_UP - 1):
            compute()
    durations, end = [], time.perf_counter() + seconds
    while not durations or time.perf_counter() < end:
        begin = time.perf_counter()
        compute()
        durations.append(time.perf_counter() - begin)
    return statistics.median(durations)


if __name__ == "__main__":
    {"prepare": prepare, "ours": ours, "theirs": theirs}[sys.argv[1]](*sys.argv[2:])
