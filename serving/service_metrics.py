"""What the server counts, for Prometheus; every label has few values, known at the start.

    metrics = Metrics(["lcqmc"], waiting=lambda: batcher.waiting, connections=lambda: 3)
    metrics.request("/v1/predict", 200, 0.004)
    metrics.text()   # the page that Prometheus reads
"""

import prometheus_client as prometheus

from serving import batching

prometheus.disable_created_metrics()  # a series more for each, which nobody reads
OTHER = "other"  # label of paths that are none
SECONDS = (.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TOKENS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
TOKENIZING, WAITING, COMPUTING = "tokenizing", "waiting", "computing"


class Metrics(batching.Observer):
    """The metrics of one server, in a registry of its own.

    Args:
      names: {Predictor: name}.
      paths: the server's.
      waiting, connections: functions that return the tokens that wait, and the open connections.
    """

    content_type = prometheus.CONTENT_TYPE_LATEST

    def __init__(self, names, paths, waiting, connections):
        self._names, self._paths = names, set(paths)
        self._registry = prometheus.CollectorRegistry()
        for collector in (prometheus.ProcessCollector, prometheus.PlatformCollector,
                          prometheus.GCCollector):
            collector(registry=self._registry)
        self._requests = self._make(
            prometheus.Counter, "requests", "Requests that were answered.", ["path", "status"])
        self._seconds = self._make(
            prometheus.Histogram, "request_seconds", "From a request's head to its answer.",
            ["path"], buckets=SECONDS)
        self._items = self._make(
            prometheus.Counter, "items", "Items by what became of them: answered or refused.",
            ["model", "result"])
        self._cut = self._make(
            prometheus.Counter, "tokens_cut", "Tokens that did not fit.", ["model"])
        self._stages = self._make(
            prometheus.Histogram, "stage_seconds", "Tokenizing of a request, waiting of an item, "
            "computing of a batch.", ["model", "stage"], buckets=SECONDS)
        self._rows = self._make(
            prometheus.Histogram, "batch_rows", "Sequences of a batch.", ["model"], buckets=ROWS)
        self._tokens = self._make(
            prometheus.Histogram, "batch_padded_tokens", "Tokens of a batch, padding included.",
            ["model"], buckets=TOKENS)
        self._make(prometheus.Gauge, "queue_tokens", "Tokens that wait.").set_function(waiting)
        self._make(prometheus.Gauge, "connections", "Open connections.").set_function(connections)
        self._ready = self._make(prometheus.Gauge, "ready", "1 after the warm-up.")
        for name in names.values():
            for stage in (TOKENIZING, WAITING, COMPUTING):
                self._stages.labels(name, stage)

    def _make(self, kind, name, text, labels=(), **options):
        return kind("albert_" + name, text, labels, registry=self._registry, **options)

    def request(self, path, status, seconds):
        path = path if path in self._paths else OTHER
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def ready(self):
        self._ready.set(1)

    def tokenized(self, predictor, seconds):
        self._stages.labels(self._names[predictor], TOKENIZING).observe(seconds)

    def waited(self, predictor, seconds):
        self._stages.labels(self._names[predictor], WAITING).observe(seconds)

    def computed(self, predictor, rows, padded, seconds):
        name = self._names[predictor]
        self._stages.labels(name, COMPUTING).observe(seconds)
        self._rows.labels(name).observe(rows)
        self._tokens.labels(name).observe(padded)

    def answered(self, predictor, answers):
        """Counts the answers of a request: dicts with "tokens_cut", or with "error"."""
        name = self._names[predictor]
        refused = sum("error" in answer for answer in answers)
        self._items.labels(name, "refused").inc(refused)
        self._items.labels(name, "answered").inc(len(answers) - refused)
        self._cut.labels(name).inc(sum(answer.get("tokens_cut", 0) for answer in answers))

    def text(self):
        """bytes."""
        return prometheus.generate_latest(self._registry)
