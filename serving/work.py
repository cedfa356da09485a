"""The items of a request on their way through the server: rows of tokens, outputs, answers.

    work = Work("lcqmc", predictor, ["a text", 3], max_characters=20000)
    work.rows()             # of the first; the second is no item
    work.answers(outputs)   # [{"label": …}, {"error": "expected a text …"}]
"""

import collections
import contextlib
import logging

from util.errors import UserError

from serving import answers, json_log, request_body

FAILED = "the model failed on this item; the server's log says more"


class Work(object):
    """The items of a request, their rows, and in the end their answers.

    Attributes:
      errors: {index of an item: the sentence that is its answer}.
    """

    def __init__(self, name, predictor, given, max_characters):
        self.name, self.predictor, self.items = name, predictor, given
        self.errors, self._rows = {}, collections.OrderedDict()
        for index, item in enumerate(given):
            with self._error_of(index):
                length = request_body.characters(item)
                if length > max_characters:
                    raise UserError("%d characters, at most %d may be" % (length, max_characters))
                self._rows[index] = predictor.rows(item)

    def rows(self):
        """Those of every item that has some, in order."""
        return list(self._rows.values())

    def answers(self, outputs):
        """A dict for every item; `outputs`: of `rows`, or the exceptions that came instead."""
        made = {}
        for (index, rows), output in zip(self._rows.items(), outputs):
            with self._error_of(index):
                if isinstance(output, BaseException):
                    raise output
                made[index] = self.predictor.answer(self.items[index], rows, output)
        return [made[index] if index in made else {"error": self.errors[index]}
                for index in range(len(self.items))]

    @contextlib.contextmanager
    def _error_of(self, index):
        """What is raised for an item becomes its answer."""
        try:
            yield
        except UserError as error:
            self.errors[index] = str(error)
        except RecursionError:
            self.errors[index] = "it is nested too deeply; expected texts"
        except Exception:  # of one item alone, and logged whole
            json_log.write("error", logging.ERROR, exc_info=True, model=self.name)
            self.errors[index] = FAILED


def sample(head, words):
    """An item that a model of this head takes, of about so many words."""
    text = " ".join(["a"] * words)
    if head is None:
        return answers.MASK + " " + text
    if head in ("reading", "choice"):
        return {"context": text, "question": "a", "choices": ["a", "a"]}
    return text
