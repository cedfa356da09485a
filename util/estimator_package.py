"""tf.estimator for a TensorFlow that has none, from the package tensorflow-estimator.

TensorFlow 2.16 removed tf.estimator. The package, whose last version is 2.15.0, still works on the
parts of TensorFlow that it is written over, all but a few. `install` puts stand-ins for those
beside them, imports what this project uses and makes `tf.estimator` of it; nothing of TensorFlow is
replaced. What lives on a TPU is not there: `TPUEstimator(use_tpu=False)` works, `use_tpu=True` does
not.
"""

import copy
import importlib
import importlib.util
import sys
import types

import tensorflow.compat.v1 as tf

# The TensorFlow that INSIDE and _stand_ins were checked against.
CHECKED_VERSION = "2.21.0"

PACKAGE = "tensorflow_estimator"

# tf.estimator's names: where in the package each one is defined.
PUBLIC = {
    "": {"estimator": ["Estimator"], "model_fn": ["EstimatorSpec"], "run_config": ["RunConfig"],
         "mode_keys": ["ModeKeys"], "training": ["TrainSpec", "EvalSpec", "train_and_evaluate"]},
    "export": {"export.export": ["ServingInputReceiver"]},
    "tpu": {"tpu.tpu_config": ["RunConfig", "TPUConfig", "InputPipelineConfig"],
            "tpu.tpu_estimator": ["TPUEstimator", "TPUEstimatorSpec"]},
}

# The names that are nobody's public interface: modules of TensorFlow's, and what an Estimator and a
# RunConfig of the package keep.
INSIDE = {
    "tensorflow.python.distribute.distribute_coordinator": [
        "CoordinatorMode", "run_distribute_coordinator", "_thread_local"],
    "tensorflow.python.distribute.distribute_coordinator_context": ["get_current_worker_context"],
    "Estimator": ["_config", "_train_distribution"],
    "RunConfig": [
        "_cluster_spec", "_distribute_coordinator_mode", "_evaluation_master",
        "_global_id_in_cluster", "_init_distributed_setting_from_environment_var", "_is_chief",
        "_master", "_num_worker_replicas", "_task_id", "_task_type", "_train_distribute"],
}


def install():
    """Gives `tensorflow.compat.v1` its `estimator`; only where TensorFlow has none.

    Raises:
      ImportError: the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None:
        raise ImportError("No module named %r" % PACKAGE)
    # Its own __init__ would import canned estimators, feature columns and Keras too.
    bare = types.ModuleType(PACKAGE)
    bare.__path__ = list(spec.submodule_search_locations)
    sys.modules[PACKAGE] = bare
    stand_ins = _stand_ins()
    sys.modules.update(stand_ins)
    tf.estimator = _namespace(PUBLIC[""])
    tf.estimator.export = _namespace(PUBLIC["export"])
    tf.estimator.tpu = _namespace(PUBLIC["tpu"])
    for name in stand_ins:  # the package's modules have them now; others should not find them
        del sys.modules[name]


def _namespace(names):
    """The objects of one part of PUBLIC."""
    taken = types.SimpleNamespace()
    for module_name, wanted in names.items():
        module = importlib.import_module("%s.python.estimator.%s" % (PACKAGE, module_name))
        for name in wanted:
            setattr(taken, name, getattr(module, name))
    return taken


def _stand_ins():
    """{name of a module that is gone or does not import: what the package needs of it}."""
    contents = {
        # Registers public names with a function of TensorFlow's that is gone.
        PACKAGE + ".python.estimator.estimator_export": {
            "estimator_export": lambda *names, **options: lambda exported: exported},
        # Embeddings that live on a TPU, and restarts of its hosts.
        PACKAGE + ".python.estimator.tpu._tpu_estimator_embedding": dict.fromkeys([
            "AdagradParameters", "AdamParameters", "EmbeddingConfigSpec",
            "StochasticGradientDescentParameters"]),
        "tensorflow.python.tpu.session_support": {},
        "tensorflow.python.tpu.tpu_embedding_gradient": {},
        # How an Estimator becomes one of several workers.
        "tensorflow.python.distribute.estimator_training": {
            "init_run_config": _init_run_config,
            "should_run_distribute_coordinator": _is_one_of_several,
            "train_and_evaluate": _train_as_worker},
    }
    modules = {}
    for name, content in contents.items():
        modules[name] = types.ModuleType(name)
        vars(modules[name]).update(content)
    return modules


def _coordinator():
    return importlib.import_module("tensorflow.python.distribute.distribute_coordinator")


def _init_run_config(config, tf_config):
    """Completes a RunConfig with a strategy: one of several workers where TF_CONFIG names them."""
    config._init_distributed_setting_from_environment_var({})
    cluster = tf.train.ClusterSpec(tf_config.get("cluster", {}))
    config._distribute_coordinator_mode = None
    if cluster and config._train_distribute:
        config._cluster_spec = cluster
        config._distribute_coordinator_mode = _coordinator().CoordinatorMode.INDEPENDENT_WORKER


def _is_one_of_several(config):
    return bool(getattr(config, "_distribute_coordinator_mode", None))


def _train_as_worker(estimator, train_spec, eval_spec, executor_class):
    """Trains as the worker that TF_CONFIG says; every worker trains, none only evaluates.

    Args:
      estimator: with a strategy of several workers.
      train_spec: what to train.
      eval_spec, executor_class: for an evaluator, which TF_CONFIG cannot name here.
    """
    def train(strategy):
        """One worker's training, inside the server that the coordinator started."""
        local = copy.deepcopy(estimator)
        local._train_distribution = local._config._train_distribute = strategy
        local._config._distribute_coordinator_mode = None  # train() is not to come back here
        _place(local._config)
        local.train(train_spec.input_fn, max_steps=train_spec.max_steps,
                    hooks=list(train_spec.hooks))

    _coordinator().run_distribute_coordinator(
        train, estimator.config.train_distribute,
        mode=estimator.config._distribute_coordinator_mode,
        session_config=estimator.config.session_config)


def _place(config):
    """Writes this worker's place in the cluster into its RunConfig."""
    context = importlib.import_module(
        "tensorflow.python.distribute.distribute_coordinator_context").get_current_worker_context()
    jobs = context.cluster_spec.as_dict()
    before = len(jobs.get("chief", ())) if context.task_type == "worker" else 0
    config._cluster_spec = context.cluster_spec
    config._task_type, config._task_id = context.task_type, context.task_id
    config._master = config._evaluation_master = context.master_target
    config._is_chief = context.is_chief
    config._num_worker_replicas = sum(len(addresses) for addresses in jobs.values())
    config._global_id_in_cluster = before + context.task_id
