"""Lines with their places, parts of files, long lines, compressed text."""

import bz2
import errno
import gzip
import io
import lzma
import os
import random
import sys

from util import text_lines
from util.errors import UserError

import pytest

pytestmark = pytest.mark.every_platform  # zstandard has another version on each


COMPRESSORS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
TEXT = "".join("%d 长江发源于青藏高原。\n" % (number * number) for number in range(3000))


@pytest.mark.parametrize("content, lines", [
    (b"", []),
    (b"\n", [(1, "")]),
    ("长江\n\n河".encode("utf-8"), [(1, "长江"), (2, ""), (3, "河")]),
    (b"a\r\nb\r\n", [(1, "a"), (2, "b")]),
    (b"\xef\xbb\xbfa\nb\n", [(1, "a"), (2, "b")]),  # a byte-order mark
    ("a\u2028b\x0bc\n".encode("utf-8"), [(1, "a\u2028b\x0bc")]),  # no line breaks, these
])
def test_lines(tmp_path, content, lines):
    (tmp_path / "a.txt").write_bytes(content)
    assert list(text_lines.read_lines(str(tmp_path / "a.txt"))) == lines


def test_line_that_is_not_utf8(tmp_path):
    path = compressed(tmp_path, "", "长江\n".encode("utf-8") + "abc河\n".encode("gbk") + b"end\n")
    with pytest.raises(UserError, match=r"a\.txt line 2: byte 4 is not UTF-8; it looks like GBK: "
                                        r"convert the file \(iconv -f gb18030 -t utf-8\)$"):
        list(text_lines.read_lines(path))
    with pytest.raises(UserError, match=r"utf-8\) or pass --skip_bad_lines$"):
        list(text_lines.read_lines(path, or_else=text_lines.OR_SKIP))
    bad = []
    assert list(text_lines.read_lines(path, bad.append)) == [(1, "长江"), (3, "end")]
    assert bad == [2]


@pytest.mark.parametrize("content, way", [
    ("今天天气不错".encode("gbk"), "GBK: convert the file (iconv -f gb18030 -t utf-8)"),
    ("今天天氣不錯，我們".encode("big5"), "Big5: convert the file (iconv -f big5 -t utf-8)"),
    ("今天\n".encode("utf-16"), "UTF-16: convert the file (iconv -f utf-16 -t utf-8)"),
    ("今天天".encode("utf-8")[:-1], "broken bytes (iconv -c -f utf-8 -t utf-8)"),
    ("今天".encode("utf-8") + b"\xff" + "气".encode("utf-8"), "(iconv -c -f utf-8 -t utf-8)"),
    ("caf\xe9s".encode("latin-1"), "convert the file (iconv -f ITS_ENCODING -t utf-8)")])
def test_the_likely_encoding_is_named(content, way):
    assert text_lines.way_to_utf8(content).endswith(way)


def test_part_of_a_file(tmp_path):
    path = str(tmp_path / "a.txt")
    with open(path, "wb") as stream:
        stream.write("\ufeffab\n长江\n\ufeffb\n".encode("utf-8") + b"\xff\nlast")
    read = [list(text_lines.read_lines(text_lines.Part(path, *edges), lambda _: None,
                                       max_bytes=limit))
            for edges in ((0, 6), (6, 13), (13, 18), (6, 6), (20,)) for limit in (None, 64)]
    assert read[::2] == read[1::2] == [
        [(1, "ab")], [(1, "长江")], [(1, "\ufeffb")], [], [(1, "last")]]
    told = []
    for _ in text_lines.read_lines(text_lines.Part(path, 6, 18), on_bytes=told.append):
        pass
    assert sum(told) == 12
    with pytest.raises(UserError, match="a.txt line 4: byte 1 is not UTF-8; "):
        list(text_lines.read_lines(text_lines.Part(path, 13)))


def pieces(tmp_path, content, max_bytes, **options):
    (tmp_path / "long.txt").write_bytes(
        content if isinstance(content, bytes) else content.encode("utf-8"))
    return list(text_lines.read_lines(str(tmp_path / "long.txt"), max_bytes=max_bytes, **options))


@pytest.mark.parametrize("text, expected", [
    ("short\n", [(1, "short")]),
    ("123456789\nb\n", [(1, "123456789"), (2, "b")]),  # ten bytes with the line break
    ("1234567890123\nb\n", [(1, "1234567890"), (1, "123"), (2, "b")]),
    ("1234567890\nb\n", [(1, "1234567890"), (1, ""), (2, "b")]),  # no blank line: the number says
    ("12345678901234567890", [(1, "1234567890"), (1, "1234567890")]),
    ("1234 6789012\n", [(1, "1234 67890"), (1, "12")]),  # too early a break
    ("123456 89012\n\n", [(1, "123456 "), (1, "89012"), (2, "")]),
    ("one,two;three\n", [(1, "one,two;"), (1, "three")]),
    ("长江，大河，海\n", [(1, "长江，"), (1, "大河，"), (1, "海")]),
    ("长江长江\n", [(1, "长江长"), (1, "江")]),  # three bytes a character
    ("x长江长江\n", [(1, "x长江长"), (1, "江")]),
    ("xx长江长江\n", [(1, "xx长江"), (1, "长江")]),
    ("𠀀𠀀𠀀𠀀\n", [(1, "𠀀𠀀"), (1, "𠀀𠀀")]),  # four
])
def test_long_line_comes_in_pieces(tmp_path, text, expected):
    assert pieces(tmp_path, text, 10) == expected


@pytest.mark.parametrize("max_bytes", [7, 64, 1000])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_pieces_are_the_line(tmp_path, max_bytes, suffix):
    rng = random.Random(max_bytes)
    lines = ["".join(rng.choice("ab1é长江，。 𠀀") for _ in range(rng.choice([0, 1, 5, 50, 500])))
             for _ in range(200)]
    path = str(tmp_path / ("a.txt" + suffix))
    content = "\n".join(lines).encode("utf-8")
    with open(path, "wb") as stream:
        stream.write(COMPRESSORS[suffix](content) if suffix else content)
    joined = [""] * len(lines)
    for number, piece in text_lines.read_lines(path, max_bytes=max_bytes):
        assert len(piece.encode("utf-8")) <= max_bytes
        joined[number - 1] += piece
    assert joined == lines


def test_long_line_that_is_not_utf8(tmp_path):
    content = "长江".encode("utf-8") * 30 + b"\xff" + "大河\n好\n".encode("utf-8")
    with pytest.raises(UserError, match=r"long\.txt line 1: byte \d+ is not UTF-8"):
        pieces(tmp_path, content, 32)
    bad = []
    made = pieces(tmp_path, content, 32, on_bad_line=bad.append)
    assert set(bad) == {1}
    assert made[-1] == (2, "好")
    assert {number for number, _ in made[:-1]} == {1}
    assert "".join(text for _, text in made[:-1]) in "长江" * 30 + "大河"


def test_memory_does_not_depend_on_the_line(tmp_path):
    """readline() of what is open, not of the whole line."""
    class Recorder(io.BytesIO):
        def readline(self, limit=-1):
            asked.append(limit)
            return super().readline(limit)

    asked = []
    assert len(list(text_lines._raw_lines(Recorder(b"x" * 10000), 64))) == 157
    assert 0 < min(asked) <= max(asked) <= 64


def test_carriage_returns_alone(tmp_path):
    for text in ("a\rb", "a\rb\r", "\ufeff长\r江\r\r河\r"):
        for max_bytes in (None, 1000):
            with pytest.raises(UserError, match=r"long.txt line 1: its lines end with CR alone, "
                                                r"expected LF or CRLF; convert the file"):
                pieces(tmp_path, text, max_bytes)
    assert pieces(tmp_path, "a\r", None) == [(1, "a")]
    assert pieces(tmp_path, "a\r\nb\rc\r\nd\re", None) == [(1, "a"), (2, "b\rc"), (3, "d\re")]


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\n", ""), ""])
def test_bytes_read_add_up_to_the_file(tmp_path, suffix, text):
    path = str(tmp_path / ("a.txt" + suffix))
    with open(path, "wb") as stream:
        stream.write(COMPRESSORS.get(suffix, bytes)(text.encode("utf-8")))
    told = []
    for _ in text_lines.read_lines(path, max_bytes=1 << 16, on_bytes=told.append):
        pass
    assert sum(told) == os.path.getsize(path)
    assert min(told) >= 0
    if "\n" in text:
        assert len(told) > 40


def zstandard_compress(content):
    return pytest.importorskip("zstandard").ZstdCompressor(
        write_checksum=True).compress(content)


COMPRESSORS[".zst"] = zstandard_compress
SUFFIXES = [".gz", ".bz2", ".xz", ".zst", ".GZ"]


def compressed(tmp_path, suffix, content):
    """The path of a file and what it holds."""
    path = tmp_path / ("a.txt" + suffix)
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_compressed_text(tmp_path, suffix):
    compress = COMPRESSORS[suffix.lower()]
    path = compressed(tmp_path, suffix, compress(TEXT.encode("utf-8")))
    assert os.path.getsize(path) < len(TEXT)
    lines = list(text_lines.read_lines(path))
    assert lines == list(enumerate(TEXT.split("\n")[:-1], 1))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_members_one_after_another(tmp_path, suffix):
    """As `cat a.gz b.gz` and parallel compressors write them; a line goes on over the border."""
    compress = COMPRESSORS[suffix.lower()]
    parts = [TEXT[begin:begin + 7001].encode("utf-8") for begin in range(0, len(TEXT), 7001)]
    path = compressed(tmp_path, suffix, b"".join(map(compress, parts)))
    assert len(parts) > 5
    assert [line for _, line in text_lines.read_lines(path)] == TEXT.split("\n")[:-1]


def test_zstandard_frame_to_skip(tmp_path):
    """Such as pzstd writes between the frames."""
    skip = b"\x50\x2a\x4d\x18\x04\0\0\0size"
    frame = zstandard_compress(b"a\nb\n")
    path = compressed(tmp_path, ".zst", skip + frame + skip + frame + skip)
    assert [line for _, line in text_lines.read_lines(path)] == ["a", "b", "a", "b"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("damage", [
    lambda content: content[:-1],
    lambda content: content[:-8],
    lambda content: content[:len(content) // 2],
    lambda content: content[:5],
    lambda content: content + content[:len(content) // 2],  # in its second member
    lambda content: content[:200] + b"\xff" * 40 + content[240:],
    lambda content: b"plain text" * 9,
])
def test_damaged_file_is_one_sentence(tmp_path, suffix, damage):
    content = COMPRESSORS[suffix.lower()](TEXT.encode("utf-8"))
    path = compressed(tmp_path, suffix, damage(content))
    with pytest.raises(UserError) as raised:
        for _ in text_lines.read_lines(path, on_bad_line=lambda number: None, max_bytes=1 << 16):
            pass
    message = str(raised.value)
    assert message.startswith(path + ": damaged or truncated (")
    assert message.endswith("); expected a complete %s file, copy it again" % suffix)
    assert "\n" not in message


def test_missing_zstandard_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = compressed(tmp_path, ".zst", b"")
    with pytest.raises(UserError, match=r"a\.txt\.zst: reading \.zst needs the package zstandard "
                                        r"\(pip install zstandard\), or decompress the file"):
        list(text_lines.read_lines(path))


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs Linux")
def test_disk_error_names_the_file():
    """Its first byte cannot be read; the error itself says no path."""
    with pytest.raises(OSError) as raised:
        list(text_lines.read_lines("/proc/self/mem"))
    assert raised.value.filename == "/proc/self/mem"
    assert raised.value.errno == errno.EIO


@pytest.mark.parametrize("ending", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_parts_that_are_compressed_make_a_file(tmp_path, ending):
    if ending == ".zst":
        pytest.importorskip("zstandard")
    path = str(tmp_path / ("a.txt" + ending))
    parts = [text_lines.compressed(content, path) for content in (b"one\n", b"", b"two\n")]
    assert parts == [text_lines.compressed(content, path) for content in (b"one\n", b"", b"two\n")]
    with open(path, "wb") as stream:
        stream.writelines(parts)
    assert list(text_lines.read_lines(path)) == [(1, "one"), (2, "two")]


def test_zst_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(UserError, match="a.zst: writing .zst needs the package zstandard"):
        text_lines.compressed(b"", "a.zst")
