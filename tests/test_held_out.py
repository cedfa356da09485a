"""The numbers of an evaluation."""

import numpy as np
import pytest

from pretraining import held_out


def test_loss_is_that_of_all_predictions_and_perplexity_its_exponential():
    results = held_out.completed({
        "loss": 9.0, "masked_lm_loss": np.float32(2.0), "sentence_order_loss": np.float32(0.5),
        "eval_records": np.float64(20000001.0), "eval_predictions": 40.0, "global_step": 7})
    assert results["loss"] == 2.5
    assert results["masked_lm_perplexity"] == pytest.approx(7.389056)
    assert (results["eval_records"], results["eval_predictions"]) == (20000001, 40)
    assert results["global_step"] == 7
