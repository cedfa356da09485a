"""Data sets of classification, a row each: LCQMC, XNLI, CLUE, GLUE, and your own files.

    dataset = DATASETS[find("lcqmc_pair")]

A row says where the files lie in --data_dir and what their columns are called, as published.
"""

import collections

from util.errors import UserError

from tasks import base, metrics, names, targets
from tasks.submissions import Clue, Glue
from tasks.tables import JsonLines, Source, Tsv

# sources: {split: the Sources it may lie in}; labels: in the order of their ids, None: those of the
# training file; metric: the score that picks the best checkpoint, None: that of the target;
# aliases: {other spelling: label}; target: a class of tasks/targets.py; extra_scores: functions of
# tasks/metrics.py; dropped_label: marks examples whose annotators did not agree; missing_texts:
# what stands, in training files, where a text is missing; more_splits: {"dev" or "test": further
# splits}; label_file: JSON lines that, where they exist, list the labels; submissions: {split: a
# form of tasks/submissions.py}; separator: between several labels.
Dataset = collections.namedtuple("Dataset", (
    "sources labels metric aliases target extra_scores dropped_label missing_texts more_splits "
    "label_file submissions separator"))
Dataset.__new__.__defaults__ = (
    None, {}, targets.OneLabel, (), None, (), {}, None, {}, ",")

_NLI = ("contradiction", "entailment", "neutral")
_YES_NO = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")

_PAIR = Tsv({"text_a": 0, "text_b": 1, "label": 2}, width=3)
_PAIR_LINES = JsonLines(
    {"id": "id", "text_a": "sentence1", "text_b": "sentence2", "label": "label"})
_SENTENCE_LINES = JsonLines({"id": "id", "text_a": "sentence", "label": "label"})


class CslLines(JsonLines):
    """Keywords are joined by spaces, as CLUE's baselines do."""

    def prepare(self, record):
        return [record.replaced(keyword=" ".join(record.get("keyword").texts()))]


class WscLines(JsonLines):
    """The noun is marked _so_ and the pronoun [so], as CLUE's baselines do."""

    def prepare(self, record):
        text, target = record.get("text").text(), record.get("target")
        spans = [_span(text, target, "span1", "_", "_"), _span(text, target, "span2", "[", "]")]
        for begin, end, left, right in sorted(spans, reverse=True):
            text = text[:begin] + left + text[begin:end] + right + text[end:]
        return [record.replaced(text=text)]


class CopaLines(JsonLines):
    """A question is two pairs, one a choice, cause before effect, as CLUE's baselines do.

        {"premise": "他累了", "choice0": "他睡了", "choice1": "他跑了", "question": "effect",
         "label": 0}

    gives ("他累了", "他睡了", "1") and ("他累了", "他跑了", "0").
    """

    def prepare(self, record):
        question = record.get("question")
        if question.value not in ("cause", "effect"):
            raise question.error("cause or effect")
        right = self._right_choice(record)
        pairs = []
        for index in range(2):
            pair = [record.get("premise").text(), record.get("choice%d" % index).text()]
            first, second = pair if question.value == "effect" else reversed(pair)
            pairs.append(record.replaced(
                text_a=first, text_b=second,
                label=None if right is None else str(int(index == right))))
        return pairs

    @staticmethod
    def _right_choice(record):
        """0, 1, or None where there is no label."""
        if record.peek("label") in (None, "", -1, "-1"):
            return None
        label = record.get("label")
        if label.cell() not in ("0", "1"):
            raise label.error("0 or 1")
        return int(label.cell())


def _span(text, target, name, left, right):
    """One span of WSC as (begin, end, left mark, right mark)."""
    words, index = target.get(name + "_text").text(), target.get(name + "_index")
    begin = index.value
    if type(begin) is not int or text[begin:begin + len(words)] != words:
        raise index.error("the number, from 0, of the character where %r begins" % words)
    return begin, begin + len(words), left, right


def _by_header(**columns):
    """A TSV of GLUE, whose published files have some broken lines."""
    return Tsv(dict({"id": "index"}, **columns), header=True, skip_bad_lines=True)


def _each(patterns, table):
    """{split: (Source,)}; in the file names "{}" stands for the split."""
    return {split: (Source(tuple(pattern.format(split) for pattern in patterns), table),)
            for split in base.SPLITS}


def _clue(table, labels, name, train=("train.json",), simple_tsv=False, **fields):
    """A row of CLUE: JSON lines, for pairs also in the form of LCQMC's files."""
    files = {"train": train, "dev": ("dev.json",),
             "test": ("test.json", "test1.1.json", "test1.0.json")}
    sources = {split: (Source(files[split], table),) for split in base.SPLITS}
    if simple_tsv:
        other = _each(("{}.tsv", "{}.txt"), _PAIR)
        sources = {split: sources[split] + other[split] for split in base.SPLITS}
    return Dataset(sources, labels, submissions={"test": Clue(name)}, **fields)


def _glue(name, table, labels=_YES_NO, **fields):
    """A row of GLUE: train.tsv, dev.tsv and test.tsv with headers, or NAME/train.tsv and so on."""
    sources = _or_below(name, fields.pop("sources", None) or _each(("{}.tsv",), table))
    fields.setdefault("submissions", {"test": Glue(name)})
    return Dataset(sources, labels, missing_texts=("",), **fields)


def _or_below(name, sources):
    """Sources whose files may lie in the directory NAME of --data_dir (as Google's GLUE) too."""
    return {split: tuple(
        source._replace(names=source.names + tuple("%s/%s" % (name, file) for file in source.names))
        for source in of_split) for split, of_split in sources.items()}


def _cola():
    """Training and dev files of CoLA have no header, its test file has one."""
    plain = Tsv({"label": 1, "text_a": 3}, header=False, width=4)
    return {"train": (Source(("train.tsv", "in_domain_train.tsv"), plain),),
            "dev": (Source(("dev.tsv", "in_domain_dev.tsv"), plain),),
            "test": (Source(("test.tsv",), _by_header(text_a="sentence")),)}


def _mrpc():
    """MRPC by GLUE's name, or Microsoft's own."""
    table = _by_header(text_a="#1 String", text_b="#2 String", label="Quality")
    return {"train": (Source(("train.tsv", "msr_paraphrase_train.txt"), table),),
            "dev": (Source(("dev.tsv",), table),),
            "test": (Source(("test.tsv", "msr_paraphrase_test.txt"), table),)}


def _mnli():
    """MNLI's two dev and test files, and GLUE's diagnostic data (AX), which MNLI models predict."""
    table = _by_header(text_a="sentence1", text_b="sentence2", label="gold_label")
    diagnostic = _by_header(text_a="sentence1", text_b="sentence2")
    files = {"train": "train", "dev": "dev_matched", "dev_mm": "dev_mismatched",
             "test": "test_matched", "test_mm": "test_mismatched"}
    sources = {split: (Source((name + ".tsv",), table),) for split, name in files.items()}
    sources["ax"] = (Source(tuple(directory + name for directory in (
        "", "AX/", "diagnostic/", "../AX/", "../diagnostic/") for name in (
            "diagnostic.tsv", "AX.tsv")), diagnostic),)
    return sources


def _mismnli():
    """MNLI with the mismatched dev and test files alone."""
    sources = _mnli()
    return {"train": sources["train"], "dev": sources["dev_mm"], "test": sources["test_mm"]}


def _xnli():
    """XNLI's Chinese part with the machine-translated MNLI, or both as CLUE's JSON lines."""
    train = Tsv({"text_a": "premise", "text_b": "hypo", "label": "label"}, header=True)
    held_out = Tsv({"text_a": "sentence1", "text_b": "sentence2", "label": "gold_label"},
                   header=True, where={"language": "zh"})
    lines = JsonLines({"id": "id", "text_a": "premise", "text_b": "hypo", "label": "label"})
    sources = {"train": (Source(("multinli/multinli.train.zh.tsv",
                                 "XNLI-MT-1.0/multinli/multinli.train.zh.tsv",
                                 "multinli.train.zh.tsv"), train),)}
    for split in ("dev", "test"):
        name = "xnli.%s.tsv" % split
        sources[split] = (Source((name, "XNLI-1.0/" + name), held_out),)
    return {split: sources[split] + (Source((split + ".json",), lines),) for split in base.SPLITS}


def _paws_x():
    """PAWS-X in Chinese; its training pairs are machine-translated, some to nothing."""
    table = Tsv({"id": "id", "text_a": "sentence1", "text_b": "sentence2", "label": "label"},
                header=True, skip_bad_lines=True)
    return {split: (Source((name, "zh/" + name, split + ".tsv"), table),) for split, name in (
        ("train", "translated_train.tsv"), ("dev", "dev_2k.tsv"), ("test", "test_2k.tsv"))}


_TWO_SENTENCES = _by_header(text_a="sentence1", text_b="sentence2", label="label")

DATASETS = {
    "lcqmc": Dataset(_each(("{}.txt", "{}.tsv"), _PAIR), _YES_NO),
    "bq": Dataset(_each(("{}.tsv", "{}.txt"), _PAIR), _YES_NO),
    "sentence_pair": Dataset(
        _each(("{}_0827.tsv",), Tsv({"label": 0, "text_a": 1, "text_b": 2}, width=3,
                                    skip_first_line=True)), _YES_NO),
    "nli": Dataset(_each(("{}.tsv", "{}.txt"), _PAIR), _NLI, dropped_label="-"),
    "xnli": Dataset(_xnli(), _NLI, aliases={"contradictory": "contradiction"},
                    missing_texts=("",)),
    "paws-x": Dataset(_paws_x(), _YES_NO, missing_texts=("", "NS")),
    "chnsenticorp": Dataset(
        _each(("{}.tsv",), Tsv({"id": "qid", "text_a": "text_a", "label": "label"}, header=True)),
        _YES_NO),
    # CLUE
    "afqmc": _clue(_PAIR_LINES, _YES_NO, "afqmc", simple_tsv=True),
    "tnews": _clue(_SENTENCE_LINES, tuple(
        str(label) for label in range(100, 117) if label not in (105, 111)), "tnews",
        label_file="labels.json"),
    "iflytek": _clue(_SENTENCE_LINES, tuple(map(str, range(119))), "iflytek",
                     label_file="labels.json"),
    "cmnli": _clue(_PAIR_LINES, _NLI, "cmnli", simple_tsv=True, dropped_label="-",
                   missing_texts=("",)),
    "ocnli": _clue(_PAIR_LINES, _NLI, "ocnli_50k", ("train.50k.json", "train.json"),
                   simple_tsv=True, dropped_label="-"),
    "csl": _clue(CslLines({"id": "id", "text_a": "keyword", "text_b": "abst", "label": "label"}),
                 _YES_NO, "csl"),
    "cluewsc2020": _clue(WscLines({"id": "id", "text_a": "text", "label": "label"}),
                         ("true", "false"), "cluewsc"),
    "copa": _clue(CopaLines({"text_a": "text_a", "text_b": "text_b", "label": "label"}), _YES_NO,
                  "copa"),
    # GLUE
    "cola": _glue("CoLA", None, sources=_cola(), metric="matthews",
                  extra_scores=(metrics.matthews,)),
    "sst-2": _glue("SST-2", _by_header(text_a="sentence", label="label")),
    "mrpc": _glue("MRPC", None, sources=_mrpc(), metric="accuracy_and_f1",
                  extra_scores=(metrics.positive_f1,)),
    "sts-b": _glue("STS-B", _by_header(text_a="sentence1", text_b="sentence2", label="score"),
                   labels=(), target=targets.Number),
    "qqp": _glue("QQP", _by_header(id="id", text_a="question1", text_b="question2",
                                   label="is_duplicate"), metric="accuracy_and_f1",
                 extra_scores=(metrics.positive_f1,)),
    "mnli": _glue("MNLI", None, _NLI, sources=_mnli(), dropped_label="-",
                  more_splits={"dev": ("dev_mm",), "test": ("test_mm", "ax")},
                  submissions={"test": Glue("MNLI-m"), "test_mm": Glue("MNLI-mm"),
                               "ax": Glue("AX")}),
    "mismnli": _glue("MNLI", None, _NLI, sources=_mismnli(), dropped_label="-",
                     submissions={"test": Glue("MNLI-mm")}),
    "qnli": _glue("QNLI", _by_header(text_a="question", text_b="sentence", label="label"),
                  _ENTAILMENT),
    "rte": _glue("RTE", _TWO_SENTENCES, _ENTAILMENT),
    "wnli": _glue("WNLI", _TWO_SENTENCES),
}
# Rows that `custom_dataset` makes of flags.
CUSTOM = ("tsv", "jsonl")
ALIASES = {"lcqmc_pair": "lcqmc", "cluewsc": "cluewsc2020", "wsc": "cluewsc2020", "sst": "sst-2",
           "sts": "sts-b", "mnli-m": "mnli", "mnli-mm": "mismnli",
           "bq_corpus": "bq", "ocnli_50k": "ocnli", "paws-x-zh": "paws-x", "nli_zh": "nli"}


def find(name):
    """A --task_name -> a key of DATASETS or one of CUSTOM; a UserError that lists them all."""
    return names.find(name, sorted(DATASETS) + list(CUSTOM), ALIASES)


def without_first_lines(dataset):
    """A data set whose TSV files begin with a line that is no example, even if it is no header.

    albert_zh's LCQMC and sentence-pair processors leave out the first line of every file.
    """
    return dataset._replace(sources={
        split: tuple(source._replace(table=source.table._replace(skip_first_line=True))
                     if isinstance(source.table, Tsv) else source for source in sources)
        for split, sources in dataset.sources.items()})


def custom_dataset(form, text_a, text_b, label, labels, header, multi_label=False,
                   regression=False, separator=","):
    """A data set of the user's own files, from flags.

    Args:
      form: "tsv" or "jsonl".
      text_a, text_b, label: columns, by name (with a header, or JSON keys) or by number from 0;
        text_b None for single sentences. A column or key "id" is read where there is one.
      labels: list of labels, or None to take those of the training file.
      header: whether a TSV begins with a header.
      multi_label: an example has any number of labels, in JSON a list, in TSV with `separator`
        between them.
      regression: the label is a number.
    """
    target = _custom_target(multi_label, regression, labels, separator)
    columns = collections.OrderedDict(
        (field, column) for field, column in (("text_a", text_a), ("text_b", text_b),
                                              ("label", label)) if column not in (None, ""))
    if form == "jsonl" or header:
        columns["id"] = "id"
    if form == "jsonl":
        table, endings = JsonLines(columns), (".jsonl", ".json")
    else:
        if not header:
            for field, column in columns.items():
                if not column.isdigit():
                    raise UserError("--%s_column=%s: not a number; without a header (--header) a "
                                    "column is its number from 0" % (field, column))
            columns = {field: int(column) for field, column in columns.items()}
        table, endings = Tsv(columns, header=header or None), (".tsv", ".txt", ".csv")
    sources = _each(tuple("{}" + ending for ending in endings), table)
    return Dataset(sources, labels=tuple(labels) if labels else None, target=target,
                   separator=separator)


def _custom_target(multi_label, regression, labels, separator):
    """The target that the flags ask for; a UserError where they contradict each other."""
    if multi_label and regression:
        raise UserError("--multi_label and --regression exclude each other; pass one of them")
    if regression and labels:
        raise UserError("--labels with --regression: numbers have no list of labels; pass one of "
                        "them")
    if multi_label and not separator:
        raise UserError("--label_separator is empty; give the text between two labels, as ,")
    if regression:
        return targets.Number
    return targets.SeveralLabels if multi_label else targets.OneLabel
