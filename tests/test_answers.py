"""What a model's outputs say, by the family of the task."""

import numpy as np

from serving import answers, package


class Tokenizer(object):
    """A token a character."""

    cls_id, sep_id, mask_id = 2, 3, 4

    def encode(self, text):
        return [ord(char) for char in text]


def package_of(head, kind=None, labels=()):
    return package.Package(head, kind, list(labels), 16, Tokenizer(), None, None, "", "x")


def test_several_labels_and_a_number():
    family = answers.create(package_of("classification", "multi_label", ["a", "b"]), 5)
    fields = {"text": "xy", "text_b": None}
    rows = family.rows(fields)
    assert rows[0]["input_ids"].tolist() == [2, 120, 121, 3] and rows[0]["cut"] == 0
    answer = family.answer(fields, rows, [np.array([0.0, 3.0], np.float32)])
    assert answer["labels"] == ["b"] and answer["probabilities"]["a"] == 0.5
    number = answers.create(package_of("classification", "regression"), 5)
    assert number.answer(fields, rows, [np.array([1.5])]) == {"value": 1.5}
