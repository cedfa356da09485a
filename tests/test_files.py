"""Globs, lines with their places, compressed text, and files that are complete or absent."""

import bz2
import errno
import gzip
import io
import json
import lzma
import os
import random
import sys

from util import files
from util.errors import UserError

import pytest

pytestmark = pytest.mark.every_platform  # zstandard has another version on each

COMPRESSORS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
TEXT = "".join("%d 长江发源于青藏高原。\n" % (number * number) for number in range(3000))


def write(directory, **contents):
    for name, content in contents.items():
        path = directory / (name + ".txt")
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return str(directory) + os.sep


def test_globs_and_comma_lists(tmp_path):
    root = write(tmp_path, b="", news_2="", news_1="", other="")
    (tmp_path / "news_directory.txt").mkdir()
    expected = [root + name for name in ("b.txt", "news_1.txt", "news_2.txt")]
    assert files.expand("%sb.txt, %snews_*.txt,%snews_1.txt," % (root, root, root)) == expected


def test_sorted_as_people_count(tmp_path):
    names = ["part_%d" % number for number in (1, 2, 3, 9, 10, 11, 12, 100)]
    root = write(tmp_path, **{name: "" for name in names})
    (tmp_path / "part_12b.txt").write_bytes(b"")
    expected = [root + name + ".txt" for name in names]
    expected.insert(7, root + "part_12b.txt")
    assert files.expand(root + "part_*.txt") == expected
    assert files.expand(",".join(reversed(expected))) == expected
    names = ["b01", "b1", "b1²0", "b1²3", "b1²20"]  # to Python ² is a digit, but no number
    write(tmp_path, **{name: "" for name in names})
    assert files.expand(root + "b*.txt") == [root + name + ".txt" for name in names]


def test_glob_below_a_directory_with_the_letters_of_one(tmp_path):
    folder = tmp_path / "lr[1e-4] *"
    folder.mkdir()
    (folder / "a1.txt").write_text("")
    (folder / "a2.txt").write_text("")
    assert files.expand("%s/a*.txt" % folder) == [str(folder / "a1.txt"), str(folder / "a2.txt")]
    with pytest.raises(UserError, match="no such file"):
        files.expand("%s/b*" % folder)


def test_stamps_of_files_that_change(tmp_path):
    kept, grown, gone = (tmp_path / name for name in ("a", "b", "c"))
    for path in (kept, grown, gone):
        path.write_text("x")
    stamps = files.stamps([str(kept), str(grown), str(gone)])
    assert files.changed(stamps) == [] and files.stamps(str(kept)) == {str(kept): stamps[str(kept)]}
    grown.write_text("xy")
    gone.unlink()
    assert files.changed(stamps) == [str(grown), str(gone)]
    os.utime(str(kept), (1, 1))
    assert str(kept) in files.changed(stamps)


def test_path_with_the_letters_of_a_glob(tmp_path):
    root = write(tmp_path, **{"a[1]": "", "a1": ""})
    assert files.expand(root + "a[1].txt") == [root + "a[1].txt"]


@pytest.mark.parametrize("pattern", ["none.txt", "none_*.txt", "none/*.txt", "directory"])
def test_pattern_without_a_file(tmp_path, pattern):
    root = write(tmp_path, a="")
    (tmp_path / "directory").mkdir()
    with pytest.raises(UserError, match=pattern.replace("*", r"\*") + ": no such file"):
        files.expand("%sa.txt,%s%s" % (root, root, pattern))


def test_comma_inside_a_name(tmp_path):
    root = write(tmp_path, **{"a,b": "", "a": "", "b": ""})
    assert files.expand(root + r"a\,b.txt") == [root + "a,b.txt"]
    assert files.expand(root + r"a\,*.txt," + root + "b.txt") == [root + "a,b.txt", root + "b.txt"]
    with pytest.raises(UserError, match=r"no such file; .* \(a comma inside a name is written \\,"):
        files.expand(root + "a,b.txt")
    assert files.split_list(r" a\,b , c,,") == ["a,b", "c"]
    assert files.split_list(None) == []


def test_name_that_is_not_utf8(tmp_path):
    """It can be opened, and neither printed nor written into a description."""
    with open(os.path.join(os.fsencode(str(tmp_path)), b"a\xff.txt"), "w"):
        pass
    with pytest.raises(UserError, match="a\ufffd.txt: this is not UTF-8; rename the file"):
        files.expand(str(tmp_path / "*.txt"))
    with pytest.raises(UserError, match="a\ufffd.txt: this is not UTF-8; rename the file"):
        files.require_file(str(tmp_path / "a\udcff.txt"), "vocab_file")


def test_pipe_cannot_be_read_again(tmp_path):
    root = write(tmp_path, a="")
    os.mkfifo(root + "pipe")
    files.check_rereadable([root + "a.txt"])
    with pytest.raises(UserError, match="pipe is a pipe, and this command reads its input several"):
        files.check_rereadable([root + "a.txt", root + "pipe"])
    assert files.is_empty(root + "a.txt") and not files.is_empty(root + "pipe")


@pytest.mark.parametrize("nothing", [None, "", " , "])
def test_no_pattern(nothing):
    with pytest.raises(UserError, match="no input files given"):
        files.expand(nothing)


def test_require_file(tmp_path):
    root = write(tmp_path, a="")
    assert files.require_file(root + "a.txt", "vocab_file") == root + "a.txt"
    with pytest.raises(UserError, match="--vocab_file is missing"):
        files.require_file(None, "vocab_file")
    for path in (root + "none.txt", root):
        with pytest.raises(UserError, match="--vocab_file=.*: no such file"):
            files.require_file(path, "vocab_file")


@pytest.mark.parametrize("content, lines", [
    (b"", []),
    (b"\n", [(1, "")]),
    ("长江\n\n河".encode("utf-8"), [(1, "长江"), (2, ""), (3, "河")]),
    (b"a\r\nb\r\n", [(1, "a"), (2, "b")]),
    (b"\xef\xbb\xbfa\nb\n", [(1, "a"), (2, "b")]),  # a byte-order mark
    ("a\u2028b\x0bc\n".encode("utf-8"), [(1, "a\u2028b\x0bc")]),  # no line breaks, these
])
def test_lines(tmp_path, content, lines):
    root = write(tmp_path, a=content)
    assert list(files.read_lines(root + "a.txt")) == lines


def test_line_that_is_not_utf8(tmp_path):
    root = write(tmp_path, a="长江\n".encode("utf-8") + "abc河\n".encode("gbk") + b"end\n")
    with pytest.raises(UserError, match=r"a\.txt line 2: byte 4 is not UTF-8; it looks like GBK: "
                                        r"convert the file \(iconv -f gb18030 -t utf-8\)$"):
        list(files.read_lines(root + "a.txt"))
    with pytest.raises(UserError, match=r"utf-8\) or pass --skip_bad_lines$"):
        list(files.read_lines(root + "a.txt", or_else=files.OR_SKIP))
    bad = []
    assert list(files.read_lines(root + "a.txt", bad.append)) == [(1, "长江"), (3, "end")]
    assert bad == [2]


@pytest.mark.parametrize("content, way", [
    ("今天天气不错".encode("gbk"), "GBK: convert the file (iconv -f gb18030 -t utf-8)"),
    ("今天天氣不錯，我們".encode("big5"), "Big5: convert the file (iconv -f big5 -t utf-8)"),
    ("今天\n".encode("utf-16"), "UTF-16: convert the file (iconv -f utf-16 -t utf-8)"),
    ("今天天".encode("utf-8")[:-1], "broken bytes (iconv -c -f utf-8 -t utf-8)"),
    ("今天".encode("utf-8") + b"\xff" + "气".encode("utf-8"), "(iconv -c -f utf-8 -t utf-8)"),
    ("caf\xe9s".encode("latin-1"), "convert the file (iconv -f ITS_ENCODING -t utf-8)")])
def test_the_likely_encoding_is_named(content, way):
    assert files.way_to_utf8(content).endswith(way)


def test_part_of_a_file(tmp_path):
    path = str(tmp_path / "a.txt")
    with open(path, "wb") as stream:
        stream.write("\ufeffab\n长江\n\ufeffb\n".encode("utf-8") + b"\xff\nlast")
    read = [list(files.read_lines(files.Part(path, *edges), lambda _: None, max_bytes=limit))
            for edges in ((0, 6), (6, 13), (13, 18), (6, 6), (20,)) for limit in (None, 64)]
    assert read[::2] == read[1::2] == [
        [(1, "ab")], [(1, "长江")], [(1, "\ufeffb")], [], [(1, "last")]]
    told = []
    for _ in files.read_lines(files.Part(path, 6, 18), on_bytes=told.append):
        pass
    assert sum(told) == 12
    with pytest.raises(UserError, match="a.txt line 4: byte 1 is not UTF-8; "):
        list(files.read_lines(files.Part(path, 13)))


# ---- long lines ----

def pieces(tmp_path, content, max_bytes, **options):
    (tmp_path / "long.txt").write_bytes(
        content if isinstance(content, bytes) else content.encode("utf-8"))
    return list(files.read_lines(str(tmp_path / "long.txt"), max_bytes=max_bytes, **options))


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
    for number, piece in files.read_lines(path, max_bytes=max_bytes):
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
    assert len(list(files._raw_lines(Recorder(b"x" * 10000), 64))) == 157
    assert 0 < min(asked) <= max(asked) <= 64


def test_carriage_returns_alone(tmp_path):
    for text in ("a\rb", "a\rb\r", "\ufeff长\r江\r\r河\r"):
        for max_bytes in (None, 1000):
            with pytest.raises(UserError, match=r"long.txt line 1: its lines end with CR alone, "
                                                r"expected LF or CRLF; convert the file"):
                pieces(tmp_path, text, max_bytes)
    assert pieces(tmp_path, "a\r", None) == [(1, "a")]
    assert pieces(tmp_path, "a\r\nb\rc\r\nd\re", None) == [(1, "a"), (2, "b\rc"), (3, "d\re")]


# ---- how much was read ----

@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\n", ""), ""])
def test_bytes_read_add_up_to_the_file(tmp_path, suffix, text):
    path = str(tmp_path / ("a.txt" + suffix))
    with open(path, "wb") as stream:
        stream.write(COMPRESSORS.get(suffix, bytes)(text.encode("utf-8")))
    told = []
    for _ in files.read_lines(path, max_bytes=1 << 16, on_bytes=told.append):
        pass
    assert sum(told) == os.path.getsize(path)
    assert min(told) >= 0
    if "\n" in text:
        assert len(told) > 40


# ---- compressed text ----

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
    lines = list(files.read_lines(path))
    assert lines == list(enumerate(TEXT.split("\n")[:-1], 1))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_members_one_after_another(tmp_path, suffix):
    """As `cat a.gz b.gz` and parallel compressors write them; a line goes on over the border."""
    compress = COMPRESSORS[suffix.lower()]
    parts = [TEXT[begin:begin + 7001].encode("utf-8") for begin in range(0, len(TEXT), 7001)]
    path = compressed(tmp_path, suffix, b"".join(map(compress, parts)))
    assert len(parts) > 5
    assert [line for _, line in files.read_lines(path)] == TEXT.split("\n")[:-1]


def test_zstandard_frame_to_skip(tmp_path):
    """Such as pzstd writes between the frames."""
    skip = b"\x50\x2a\x4d\x18\x04\0\0\0size"
    frame = zstandard_compress(b"a\nb\n")
    path = compressed(tmp_path, ".zst", skip + frame + skip + frame + skip)
    assert [line for _, line in files.read_lines(path)] == ["a", "b", "a", "b"]


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
        for _ in files.read_lines(path, on_bad_line=lambda number: None, max_bytes=1 << 16):
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
        list(files.read_lines(path))


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs Linux")
def test_disk_error_names_the_file():
    """Its first byte cannot be read; the error itself says no path."""
    with pytest.raises(OSError) as raised:
        list(files.read_lines("/proc/self/mem"))
    assert raised.value.filename == "/proc/self/mem"
    assert raised.value.errno == errno.EIO


# ---- complete or absent ----

def test_replacing_makes_directories_and_overwrites(tmp_path):
    path = str(tmp_path / "deep" / "er" / "a.txt")
    for text in ("first", "second"):
        with files.replacing(path) as temporary:
            assert os.path.dirname(temporary) == os.path.dirname(path)
            with open(temporary, "w") as stream:
                stream.write(text)
        with open(path) as stream:
            assert stream.read() == text
    assert os.listdir(os.path.dirname(path)) == ["a.txt"]


def test_replacing_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with files.replacing("a.txt") as temporary, open(temporary, "w"):
        pass
    assert os.listdir(str(tmp_path)) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_replacing_leaves_the_old_file_on_an_error(tmp_path, error):
    root = write(tmp_path, a="old")
    with pytest.raises(error), files.replacing(root + "a.txt") as temporary:
        with open(temporary, "w") as stream:
            stream.write("half")
        raise error
    assert os.listdir(root) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_replacing_a_directory_is_refused_at_once(tmp_path):
    for path in (str(tmp_path), str(tmp_path) + "/", str(tmp_path / "none") + "/"):
        with pytest.raises(UserError, match="a directory, expected"), files.replacing(path):
            raise AssertionError("the work began")


@pytest.mark.parametrize("name", ["a.txt", "./a.txt", "link", "hard"])
def test_input_is_not_overwritten_by_any_name(tmp_path, name):
    root = write(tmp_path, a="text", b="")
    os.symlink("a.txt", root + "link")
    os.link(root + "a.txt", root + "hard")
    for other in ("a.txt", "link", "hard"):
        with pytest.raises(UserError, match="%s is one of the input files; name another" % name):
            files.check_outputs([root + "new", root + name], [root + other])
        with files.protecting([root + other]):
            with pytest.raises(UserError, match=name), files.replacing(root + name):
                raise AssertionError("the work began")
            with files.replacing(root + "b.txt") as temporary, open(temporary, "w"):
                pass
    assert sorted(os.listdir(root)) == ["a.txt", "b.txt", "hard", "link"]
    with files.replacing(root + "a.txt") as temporary, open(temporary, "w"):
        pass  # the inputs of another command


def test_outputs_are_files_of_their_own(tmp_path):
    root = write(tmp_path, a="")
    os.mkfifo(root + "pipe")
    os.symlink("/dev/null", root + "null")
    files.check_outputs([root + "a.txt", root + "deep/b", root + "c"])
    assert sorted(os.listdir(root)) == ["a.txt", "null", "pipe"]
    for path in ("pipe", "null", "/dev/null"):
        for write_it in (lambda path: files.check_outputs([path]),
                         lambda path: files.write_lines(path, [])):
            with pytest.raises(UserError, match=path + ": a device or a pipe, expected the name"):
                write_it(os.path.join(root, path))
    with pytest.raises(UserError, match="deep/b and .*deep/./b are one file to write"):
        files.check_outputs([root + "deep/b", root + "deep/./b"])


def test_name_that_cannot_be_written_is_said_before_the_work(tmp_path):
    root = write(tmp_path, a="")
    with pytest.raises(UserError, match=r"a.txt/b cannot be written \(Not a directory\); give"):
        files.check_outputs([root + "a.txt/b"])
    with pytest.raises(UserError, match=r"c/x+ cannot be written \(File name too long\); give"):
        files.check_outputs([root + "b/c/" + "x" * 250])
    with pytest.raises(UserError, match=r"x cannot be written \(File name too long\); give"):
        files.check_outputs([root + "b", root + "x" * 250])
    assert os.listdir(root) == ["a.txt"]


def test_error_of_a_write_names_the_file(tmp_path):
    with pytest.raises(OSError) as raised, files.replacing(str(tmp_path / "a")) as temporary:
        os.symlink("/dev/full", temporary)
        with open(temporary, "wb") as stream:
            stream.write(b"a")
    assert raised.value.filename == str(tmp_path / "a")
    assert os.listdir(str(tmp_path)) == []


def test_json_is_sorted_and_readable(tmp_path):
    values = {"b": [1, 2.5], "a": {"汉字": None}}
    files.write_json(str(tmp_path / "a"), values)
    text = (tmp_path / "a").read_text(encoding="utf-8")
    assert json.loads(text) == values
    assert text.index("汉字") < text.index('"b"')
    assert text.endswith("}\n")


# ---- moving ----

@pytest.fixture(params=["same", "other"])
def other_place(request, tmp_path):
    """A directory of the same and of another file system."""
    if request.param == "same":
        yield tmp_path / "new"
        return
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == os.stat(str(tmp_path)).st_dev:
        pytest.skip("/dev/shm is not another file system here")
    path = tmp_path.__class__("/dev/shm/test_files_%d" % os.getpid())
    yield path
    for name in os.listdir(str(path)):
        (path / name).unlink()
    path.rmdir()


def test_move(tmp_path, other_place):
    content = os.urandom(3 << 20)
    for old in (None, b"old"):
        (tmp_path / "a").write_bytes(content)
        other_place.mkdir(exist_ok=True)
        if old:
            (other_place / "b").write_bytes(old)
        files.move(str(tmp_path / "a"), str(other_place / "b"))
        assert (other_place / "b").read_bytes() == content
        assert os.listdir(str(other_place)) == ["b"]
        assert not (tmp_path / "a").exists()


def test_move_that_fails_leaves_the_file(tmp_path, other_place):
    (tmp_path / "a").write_bytes(b"content")
    (other_place / "b").mkdir(parents=True)
    with pytest.raises(UserError, match="b: a directory, expected"):
        files.move(str(tmp_path / "a"), str(other_place / "b"))
    assert (tmp_path / "a").read_bytes() == b"content"
    (other_place / "b").rmdir()
    assert os.listdir(str(other_place)) == []


@pytest.mark.parametrize("ending", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_parts_that_are_compressed_make_a_file(tmp_path, ending):
    if ending == ".zst":
        pytest.importorskip("zstandard")
    path = str(tmp_path / ("a.txt" + ending))
    parts = [files.compressed(content, path) for content in (b"one\n", b"", b"two\n")]
    assert parts == [files.compressed(content, path) for content in (b"one\n", b"", b"two\n")]
    with open(path, "wb") as stream:
        stream.writelines(parts)
    assert list(files.read_lines(path)) == [(1, "one"), (2, "two")]


def test_zst_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(UserError, match="a.zst: writing .zst needs the package zstandard"):
        files.compressed(b"", "a.zst")
