"""Sentences of raw paragraphs: where they end, and that no text is lost."""

import random
import time

import pytest

from text.sentences import split_sentences

# A paragraph a line; "|" stands where it is cut.
CHINESE = """
今天下雨。|我没去！|你去了吗？|没有
第一，读书；|第二，写字；|第三，下棋。
他走了……|我也走了…|天黑了
什么？！|真的！！！|好。。。|走吧！？
长江——亚洲最长的河——在上海入海。|——地理课本
没有标点的一句话
你好｡|再见﹗|谁﹖|我
好!|真的吗?|是的?!|OK的
你好.|再见.|明天见
房间很好. |就是贵.
太贵了！！！~~~|下次不来了！～～|再说
不错......|就是远...|没有了
甲;乙;丙
好！ ！ ！ |走
价格3.14元，比2.5%高。|版本v1.2.3。
一. 概述
一.概述。|二.结论
2.1. 方法。|3. 结果。
主要有两点：1. 快。|2. 省。
\u3000全角空格\u3000。\u3000|第二句\u3000
"""
QUOTES = """
他说：“好。”|然后走了。
他说：“好。”，然后走了。|她笑了。
“你好！”|他说，“再见……”|她走了。
“真的？”、“真的！”|两个人同时说。
「你好。」|他說。|『「好。」』|然後
“他说：‘好。’”|我听见了。
“他说：‘好！’，是吗？”|我问。
“他说：‘好！’。”|我问。
他说"好!"|然后走了。
你好!|"再见"他说。|"走吧!|去哪?"|她问"好?"|我答。
他说'好!'|然后走了。
（他来了。）|我们走吧。|（完）
他（真的！）走了。|（真的！）| 走了。
我看了《加油！》这部电影。|《加油！》。|好
【通知。】|请看：“一；|二。”
好。 ”|然后 ） 再说。
“好！” ，他说。
“好。”：这是回答。
“……”他沉默了。
“好。”|——他说。
「好。」』」】|走
"""
ENGLISH = """
It rains. |We stay! |Do you? |yes. it is.
Mr. Smith and Mrs. J. K. Rowling met Dr. Li vs. Prof. Wang in St. Louis. |They left.
We sell pens, ink, etc. They cost $3.50. |Cheap!
E.g. this one, i.e. That one. |The U.S. Army. |A Ph.D. Student.
See Fig. 3 and No. 5 on Jan. 5. |No. |I won't. |Not in Jan. |They do.
Version v1.2.3 of example.com costs 3.14. |Then 2.5 more.
Wait... what? |Wait... |What? |Wait...what
Wait… what? |Wait… |What? |1…9
"Stop!" he said. |"Where?" she asked. |"No." |Then 'Yes.' |They left.
“Stop!” he said. |“Yes.” |She left. |(He did.) |And (so?) did I.
He came (really!) and left. |[Yes.] |"So it is."
1. Introduction. |It was 1999. |2.1. Results are good.
See http://a.cn/?q=1&b=2! |x != y, a.b!c, Yahoo!Mail? |Yes!
I don't. |Isn't it. |It is 10:30. |We go.
...and so it goes. |"...", she said.
It is 5 p.m. in D.C. now; he said so: yes.
#1! |<!-- a comment --> ok. |École. ça va
"""
MIXED = """
我用Python 3.11。|It works. |很好
他说OK. |然后走了。
由 J. Smith 和 Dr. Li 发明；|由Mr. Wang写，见 Fig. 2。
用example.com查。|See v2.0！|好
维生素C. |然后是D.
这是etc. 的意思。|Use .NET! |好用?|.NET的
我爱你.|“我也是.”|他说
Hello世界!|世界Hello!Hello?|世界
"""
ODD = """
。
……
“！”
?!
，，
。，好。，
——
"""
TABLES = {"chinese": CHINESE, "quotes": QUOTES, "english": ENGLISH, "mixed": MIXED, "odd": ODD}
CASES = [pytest.param(line, id="%s %d" % (name, number)) for name, table in TABLES.items()
         for number, line in enumerate(table.strip("\n").split("\n"), 1)]
# What begins no sentence. ASCII quotes and "(" may.
NEVER_FIRST = "。｡！？；，、：,;:”’」』）】》)]}"
# Every mark the rules name, and a few words around them.
ALPHABET = list("。。！？；…，、：“”‘’「」（）《》!?.,;:\"'()—~ \t\u3000aBcD12你好一/=&-[]") + [
    "Mr", "No", "etc", "U.S", "...", "3.14", ' "', '!"']


@pytest.mark.parametrize("case", CASES)
def test_cases(case):
    assert split_sentences(case.replace("|", "")) == [
        sentence.strip() for sentence in case.split("|")]


@pytest.mark.parametrize("blank", ["", " ", "\n", "\t\u3000\xa0 "])
def test_blank(blank):
    assert split_sentences(blank) == []


def test_line_breaks_are_white_space():
    assert split_sentences("\n好。\r\n“走\n吧！\n”\n") == ["好。", "“走\n吧！\n”"]


def assert_sound(paragraph):
    """No text is lost, doubled or moved; a sentence is one sentence, and begins like one."""
    sentences = split_sentences(paragraph)
    assert "".join("".join(sentences).split()) == "".join(paragraph.split())
    for index, sentence in enumerate(sentences):
        assert sentence
        assert sentence == sentence.strip()
        assert index == 0 or sentence[0] not in NEVER_FIRST, paragraph
        assert split_sentences(sentence) == [sentence], paragraph
    return sentences


def test_sample_of_the_news():
    """Its lines are sentences; three like “还跑吗？”医疗点的护士…问。 are cut again."""
    with open("data/news_zh_1.txt", encoding="utf-8") as stream:
        documents = [document.split("\n") for document in stream.read().strip().split("\n\n")]
    made = [assert_sound("".join(document)) for document in documents]
    assert len(documents) == 180
    assert sum(map(len, documents)) == 1577
    assert sum(map(len, made)) == 1580
    assert sum(one == other for one, other in zip(documents, made)) == 177


def test_random_paragraphs():
    rng = random.Random(1)
    cut = 0
    for _ in range(30000):
        length = rng.randint(1, 20)
        cut += len(assert_sound("".join(rng.choice(ALPHABET) for _ in range(length)))) > 1
    assert cut > 10000


@pytest.mark.parametrize("unit", [
    ".", "!", "。 ", "！—", '"!', 'a!"', "（！）a", "1. ", "Mr. A ", "。" + " " * 100 + "，", "…!"])
def test_time_is_linear(unit):
    """A book on one line, or a line of ornaments: 300,000 characters take no time."""
    begin = time.time()
    split_sentences("a" + unit * (300000 // len(unit)) + "a")
    assert time.time() - begin < 10
