"""A question with choices about a passage as sequences of tokens, without TensorFlow."""

import collections
import re

import tokenization

# A blank of a passage, as ChID writes it.
BLANK = re.compile(r"#idiom\d+#")
# The [MASK]s of the blanks that are not in question (as CLUE's baseline: four characters).
MASKS_OF_OTHER_BLANKS = 4

# What `sequences` reads of a choice_data.Question.
Question = collections.namedtuple("Question", "passage blank question choices")


def question_of(context, question, choices):
    """The Question of plain texts; one that is a blank of the context asks for that blank."""
    blanks = BLANK.findall(context)
    if question not in blanks:
        return Question((context,), None, question, choices)
    return Question(tuple(BLANK.split(context)), blanks.index(question), "", choices)


def sequences(example, tokenizer, max_seq_length, max_qa_length, fills_blanks):
    """[CLS] passage [SEP] question and choice [SEP], for every choice (as Google's RACE).

    Question and choice keep their last `max_qa_length` tokens, half of the sequence at most. The
    passage gets the rest: its beginning, or what lies around its blank.

    Args:
      fills_blanks: as of `join`.

    Returns:
      A list of the features of `tokenization.pack`.
    """
    passage, middle = passage_ids(example, tokenizer)
    limit = answer_limit(max_seq_length, max_qa_length)
    packed = []
    for choice in example.choices:
        answer = tokenizer.encode(join(example.question, choice, fills_blanks))[-limit:]
        packed.append(tokenization.pack(
            window(passage, middle, max_seq_length - 3 - len(answer)), answer, tokenizer,
            max_seq_length))
    return packed


def answer_limit(max_seq_length, max_qa_length):
    """How many tokens question and choice keep."""
    return min(max_qa_length, (max_seq_length - 3) // 2)


def join(question, choice, fills_blanks):
    """The choice behind the question, or in place of its blank (as Google's RACE).

    join("Tom is _ .", "a boy", True) -> "Tom is a boy ."; join("Who?", "Tom", True) -> "Who? Tom"
    A blank of several underscores is one; Google's code puts the choice there for each.
    """
    if fills_blanks and "_" in question:
        return re.sub("_+", lambda match: choice, question)
    return ("%s %s" % (question, choice)).strip()


def passage_ids(example, tokenizer):
    """(token ids of a question's passage, the position of the blank in question or None).

    That blank is [unused1], as CLUE's baseline has it, or one [MASK] where the vocabulary has
    no such token; the others are four [MASK].
    """
    ids, middle = [], None
    for index, text in enumerate(example.passage):
        ids += tokenizer.encode(text)
        if index == example.blank:
            middle = len(ids)
            ids.append(tokenizer.vocab.get("[unused1]", tokenizer.mask_id))
        elif index < len(example.passage) - 1:
            ids += [tokenizer.mask_id] * MASKS_OF_OTHER_BLANKS
    return ids, middle


def window(ids, middle, room):
    """The first `room` ids, or with a `middle` those around it, as many before it as after it.

    Near an end of the passage the window moves inwards, so that it is always full:
    window([0, 1, 2, 3, 4], 3, 3) -> [2, 3, 4]; window([0, 1, 2, 3, 4], 4, 3) -> [2, 3, 4]
    """
    begin = 0 if middle is None else max(0, min(middle - room // 2, len(ids) - room))
    return ids[begin:begin + room]
