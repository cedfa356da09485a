"""Documents of raw text, the limits on lines and documents, and the chunks that workers take."""

import collections
import gzip
import os
import random

from util.errors import UserError

import pytest

from text import corpus


def documents(tmp_path, text, **options):
    """The documents of a text (str or bytes) in one file, and what was counted but the bytes."""
    path = tmp_path / "in.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    counts = collections.Counter()
    documents = list(corpus.read_documents([str(path)], counts, **options))
    assert counts.pop("input bytes") == os.path.getsize(str(path))
    return documents, dict(+counts)


# ---- documents ----

@pytest.mark.parametrize("text, expected, lines", [
    ("", [], 0),
    ("\n \n\n", [], 3),
    ("a\nb", [["a", "b"]], 2),
    ("\n\na\r\n b \n\n \u3000\nc\n\n\n", [["a", "b"], ["c"]], 9),
    ("\ufeffa\n\nb", [["a"], ["b"]], 3),
    ("a\n\u200b\nb\n \ufeff\u200d \nc\n\ufe0f\u3164\nd\n\x00\ne", [[char] for char in "abcde"], 9),
    ("a\n\u200bb\n\u200bc\u200b\n", [["a", "\u200bb", "\u200bc\u200b"]], 3),
])
def test_documents_end_at_blank_lines(tmp_path, text, expected, lines):
    assert documents(tmp_path, text) == (expected, {"lines": lines} if lines else {})


def test_tags_of_wikiextractor_are_no_sentences(tmp_path):
    text = ('<doc id="1" url="a?b=1" title="A > B">\nA\nb\n</doc>\n<doc id="2">\nc\nd <doc>\n'
            "</doc>x\n<docs>\n</doc>\n<doc>\ne\n")
    assert documents(tmp_path, text) == (
        [["A", "b"], ["c", "d <doc>", "</doc>x", "<docs>"], ["e"]],
        {"lines": 12, "<doc> tags left out": 5})


@pytest.mark.parametrize("text", [
    "a\rb\r\rc", "a\rb\r", "长江\r" * 5, "x\n" + "a sentence\r" * 9])
def test_carriage_returns_alone_are_said(tmp_path, monkeypatch, text):
    """Such a file would be one line; one that is appended to others, a line cut in pieces."""
    monkeypatch.setattr(corpus, "MAX_LINE_BYTES", 40)
    with pytest.raises(UserError, match="in.txt line [12]: its lines end with CR alone, expected "
                                        r"LF or CRLF; convert the file \(tr "):
        documents(tmp_path, text)


@pytest.mark.parametrize("text", ["a\r\nb\r\n", "a\r\r\nb\rc\n", "a\nb\rc", "abc\r", "\r\r"])
def test_other_carriage_returns_are_white_space(tmp_path, text):
    assert "".join(sum(documents(tmp_path, text)[0], [])).replace("\r", "") in "abc"


def test_progress_on_one_long_line(tmp_path, monkeypatch):
    """The bytes are counted while the line is read, not at its end alone."""
    monkeypatch.setattr(corpus, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(corpus, "MAX_DOCUMENT_CHARACTERS", 100000)
    (tmp_path / "in.txt").write_text("a" * 999999)
    counts = collections.Counter()
    made = list(corpus.chunks(corpus.read_documents([str(tmp_path / "in.txt")], counts), 1, counts))
    assert len(made) == 10
    assert all(0 < chunk.input_bytes < 200000 for chunk in made)


def test_file_ends_a_document(tmp_path):
    for name, text in [("1", "a\nb"), ("2", "\nc\n"), ("3", ""), ("4", "d")]:
        (tmp_path / name).write_text(text)
    with gzip.open(str(tmp_path / "5.gz"), "wb") as stream:
        stream.write(b"e\n\nf\n")
    counts = collections.Counter()
    paths = [str(tmp_path / name) for name in ("1", "2", "3", "4", "5.gz")]
    assert list(corpus.read_documents(paths, counts)) == [["a", "b"], ["c"], ["d"], ["e"], ["f"]]
    assert counts["input bytes"] == sum(map(os.path.getsize, paths))


def test_split_lines_into_sentences(tmp_path):
    text = "a b c\nd\n\ne f\n"
    assert documents(tmp_path, text, split=str.split)[0] == [["a", "b", "c", "d"], ["e", "f"]]
    # A line of which nothing is left does not end the document; only a blank one does.
    assert documents(tmp_path, "a\nx\nb\n", split=lambda line: [] if line == "x" else [line]) == (
        [["a", "b"]], {"lines": 3})


BAD = "a\nb\n".encode() + "中文\n".encode("gbk") + "c\n\nd\n".encode()


def test_line_that_is_not_utf8(tmp_path):
    with pytest.raises(UserError, match="in.txt line 3: byte 1 is not UTF-8; it looks like GBK: "
                                        r".* -t utf-8\) or pass --skip_bad_lines"):
        documents(tmp_path, BAD)
    assert documents(tmp_path, BAD, skip_bad_lines=True) == (
        [["a", "b", "c"], ["d"]], {"lines": 5, "bad lines": 1})


def test_long_line_that_is_not_utf8_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "MAX_LINE_BYTES", 16)
    text = b"a\n" + b"\xff" * 100 + b"\nb\n" + b"\xff" * 40 + b"\n"
    assert documents(tmp_path, text, skip_bad_lines=True) == (
        [["a", "b"]], {"lines": 2, "bad lines": 2})
    for name in "12":
        (tmp_path / name).write_bytes(b"\xff" * 20)
    counts = collections.Counter()
    paths = [str(tmp_path / name) for name in "12"]
    assert list(corpus.read_documents(paths, counts, skip_bad_lines=True)) == []
    assert counts["bad lines"] == 2  # line 1 of one file and line 1 of the other


# ---- limits ----

def test_long_document_is_cut_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "MAX_DOCUMENT_SENTENCES", 3)
    pieces, counts = documents(tmp_path, "a\nb\nc\nd\ne\nf\ng\n\nh\ni\nj\n\nk\n")
    assert pieces == [["a", "b", "c"], ["d", "e", "f"], ["g"], ["h", "i", "j"], ["k"]]
    assert counts == {"lines": 13, "documents cut in pieces": 2}


def test_document_of_many_characters_is_cut_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "MAX_DOCUMENT_CHARACTERS", 10)
    pieces, counts = documents(tmp_path, "12345\n长江长江长\n1\n\n" + "x" * 25 + "\ny\n\nz\n")
    assert pieces == [["12345", "长江长江长"], ["1"], ["x" * 25], ["y"], ["z"]]
    assert counts == {"lines": 8, "documents cut in pieces": 2}


def test_long_lines_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "MAX_LINE_BYTES", 10)
    text = "长江，大河，海\n12345678901234567890123456789\n\nshort\n"
    pieces, counts = documents(tmp_path, text)
    assert pieces == [["长江，", "大河，", "海", "1234567890", "1234567890", "123456789"],
                      ["short"]]
    assert counts == {"lines": 4, "long lines cut": 2}


def test_long_white_space_inside_a_line_ends_no_document(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "MAX_LINE_BYTES", 10)
    assert documents(tmp_path, "a" + " " * 50 + "b\n1234567890\nc\n" + " " * 50 + "\nd\n") == (
        [["a", "b", "1234567890", "c"], ["d"]], {"lines": 5, "long lines cut": 3})


def test_limits_as_they_are(tmp_path):
    """A line of 300,000 characters and a document of 2,001 sentences, by the real limits."""
    text = "汉字，" * 100000 + "\n\n" + "a\n" * 2001
    pieces, counts = documents(tmp_path, text)
    assert [len(piece) for piece in pieces] == [14, 2000, 1]
    assert "".join(pieces[0]) == "汉字，" * 100000
    assert max(len(sentence.encode("utf-8")) for sentence in pieces[0]) <= 1 << 16
    assert counts == {"lines": 2003, "long lines cut": 1, "documents cut in pieces": 1}
    pieces, counts = documents(tmp_path, ("汉" * 20000 + "\n") * 30)
    assert [len(piece) for piece in pieces] == [26, 4]


# ---- chunks ----

def random_documents(rng, count):
    return [["x" * rng.randrange(1, 30) for _ in range(rng.randrange(1, 5))] for _ in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 50])
@pytest.mark.parametrize("characters", [1, 40, 10000])
def test_chunks_are_the_documents(count, characters):
    expected = random_documents(random.Random(count), count)
    counts = collections.Counter()

    def reading():
        for document in expected:
            counts["input bytes"] += 7
            yield document

    made = list(corpus.chunks(reading(), characters, counts))
    assert sum((chunk.documents for chunk in made), []) == expected
    assert sum(chunk.input_bytes for chunk in made) == 7 * count
    begin = 0
    for chunk in made:
        assert chunk.first == begin
        begin += len(chunk.documents)
        sizes = [sum(map(len, document)) + len(document) for document in chunk.documents]
        assert sum(sizes[:-1]) < characters
        assert sum(sizes) >= characters or chunk is made[-1]
    assert len(made) == {1: count, 40: len(made), 10000: min(count, 1)}[characters]


def test_chunks_are_read_one_at_a_time():
    counts, begun = collections.Counter(), []

    def reading():
        for number in range(100):
            begun.append(number)
            yield ["xxxx"]

    made = corpus.chunks(reading(), 10, counts)
    assert next(made).documents == [["xxxx"]] * 2
    assert begun == [0, 1]


def test_change_at_the_end_keeps_the_chunks_before():
    """So that what was made of them before is used again."""
    texts = random_documents(random.Random(3), 60)
    before = list(corpus.chunks(iter(texts), 100, collections.Counter()))
    after = list(corpus.chunks(iter(texts[:-1] + [["mended"]]), 100, collections.Counter()))
    assert len(before) > 5
    assert before[:-1] == after[:len(before) - 1]
