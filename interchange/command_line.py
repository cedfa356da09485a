"""The flags that stand for what is not beside a model."""

from absl import flags as absl_flags


def define_company_flags(model_flag):
    """Vocabulary and config, by default those beside the model.

    Args:
      model_flag: the flag that names the model, for the help.
    """
    flags = absl_flags
    flags.DEFINE_string("vocab_file", None, "Vocabulary; default: the one beside %s." % model_flag)
    flags.DEFINE_string("spm_model_file", None, "SentencePiece model; default: the one beside %s."
                        % model_flag)
    flags.DEFINE_bool("do_lower_case", True, "Whether the model's text is lower-cased.")
    flags.DEFINE_string("bert_config_file", None, "Config of a TensorFlow checkpoint; default: the "
                        "one beside %s." % model_flag)
    flags.DEFINE_alias("albert_config_file", "bert_config_file")
