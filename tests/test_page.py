"""The page, in a real browser."""

import collections
import os

import pytest

pytest.importorskip("starlette", reason="the server's packages are of Python 3.9 and newer")
browsers = pytest.importorskip("playwright.sync_api", reason="the browser's driver is not here")

from served import TOLD, model, running, settings  # noqa: E402
from serving import page  # noqa: E402

pytestmark = pytest.mark.slow
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# What Chromium says of answers that are errors.
EXPECTED = ("status of 401", "ERR_CONNECTION_REFUSED")
HEADS = ["classification", "tagging", "reading", "choice", None]
if not os.path.exists(CHROMIUM):
    pytest.skip("no %s; apt-get install chromium, or name one by CHROMIUM" % CHROMIUM,
                allow_module_level=True)


@pytest.fixture(scope="module")
def browser():
    with browsers.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Of every head, and one of many labels."""
    here = tmp_path_factory.mktemp("models")
    models = collections.OrderedDict((str(head), model(here, head)) for head in HEADS)
    models["html"] = model(here, labels=["<b>no</b>", "<img src=x onerror=alert(1)>"])
    return models


@pytest.fixture(scope="module")
def port(models):
    with running(models, settings()) as port:
        yield port


@pytest.fixture
def open_page(browser, port):
    """open_page("tagging", locale="en") -> the page of a server; what goes wrong in it fails."""
    contexts, problems = [], []

    def open_page(name, port=port, wait="#fields textarea", locale="en-US", **options):
        context = browser.new_context(locale=locale, **options)
        contexts.append(context)
        opened = context.new_page()
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.on("console", lambda line: line.type == "error" and not any(
            expected in line.text for expected in EXPECTED) and problems.append(line.text))
        opened.on("dialog", lambda dialog: problems.append("a dialog"))
        opened.on("request", lambda request: request.url.startswith(
            ("http://127.0.0.1:%d/" % port, "data:")) or problems.append(request.url))
        opened.goto("http://127.0.0.1:%d/" % port)
        opened.wait_for_selector(wait)
        if name:
            opened.select_option("#model", name)
        return opened

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def ask(opened, **fields):
    for field, text in fields.items():
        opened.fill("#" + field, text)
    opened.evaluate("document.getElementById('shown').replaceChildren()")
    opened.click("#ask")
    opened.wait_for_selector("#answer:not([hidden]) #shown > *")
    return opened.inner_text("#shown")


def test_labels_with_bars(open_page):
    opened = open_page("classification")
    shown = ask(opened, text="丁" + TOLD, text_b="丁")
    assert shown.split("\n")[0] == "yes" and "88.1 %" in shown and "11.9 %" in shown
    wide, narrow = [bar.bounding_box()["width"] for bar in opened.query_selector_all(".fill")]
    assert wide / narrow == pytest.approx(0.881 / 0.119, rel=0.02)
    assert not opened.is_visible("#cut") and " ms" in opened.inner_text("#time")
    ask(opened, text="丁" * 40)
    assert opened.inner_text("#cut") == "Too long: 12 tokens were cut off."
    opened.click("summary")
    assert '"fingerprint": "ab12"' in opened.inner_text("#raw")


def test_entities_are_marked_where_they_stand(open_page):
    """Behind a character that is two of JavaScript's, and between what is not HTML."""
    opened = open_page("tagging")
    text = "\U0001f600<i>%s</i>丁%s" % (TOLD, TOLD)
    shown = ask(opened, text=text)
    marks = opened.query_selector_all("mark")
    assert [mark.inner_text() for mark in marks] == [TOLD + "PER"] * 2
    assert shown.replace("PER", "") == text
    assert "No entities found" in ask(opened, text="丁")


def test_answer_is_marked_in_its_context(open_page):
    opened = open_page("reading")
    shown = ask(opened, context="\U0001f600丁" + TOLD + "丁", question="丁")
    assert shown.startswith(TOLD) and opened.inner_text("mark") == TOLD
    assert opened.inner_text(".marked") == "\U0001f600丁" + TOLD + "丁"


def test_choices_and_words(open_page):
    opened = open_page("choice")
    shown = ask(opened, context="丁", question="丁", choices="丁七\n\n" + TOLD + "\n")
    assert shown.startswith("Chosen " + TOLD) and opened.inner_text(".bars .best") == TOLD
    opened = open_page("None")
    shown = ask(opened, text="[MASK]丁[MASK]")
    assert "[MASK] 2" in shown and shown.count(TOLD) == 2
    assert "no [MASK] among the tokens" in ask(opened, text="丁")


def test_texts_and_labels_are_no_html(open_page):
    opened = open_page("html")
    shown = ask(opened, text="<img src=x onerror=alert(1)>" + TOLD)
    assert "<img src=x onerror=alert(1)>" in shown and not opened.query_selector("img")


def test_keyboard_alone(open_page):
    opened = open_page(None)
    for _ in range(10):  # the language, the model, then the first text
        opened.keyboard.press("Tab")
        if opened.evaluate("document.activeElement.id") == "text":
            break
    opened.keyboard.insert_text("丁" + TOLD)
    opened.keyboard.press("Control+Enter")
    opened.wait_for_selector("#shown > *")
    assert opened.inner_text("#shown").startswith("yes")
    for _ in range(3):
        opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.id") == "example"
    opened.keyboard.press("Enter")
    assert opened.input_value("#text") == "我喜欢妈妈做的汤"


def test_languages_and_names_for_screen_readers(open_page):
    opened = open_page("reading", locale="zh-CN")
    assert opened.inner_text("#ask") == "提交"
    assert opened.evaluate("document.documentElement.lang") == "zh"
    opened.click("#language")
    assert opened.inner_text("#ask") == "Ask"
    unnamed = opened.evaluate("""[...document.querySelectorAll("textarea, input, select, button")]
        .filter(one => !(one.labels && one.labels.length) && !one.textContent.trim())
        .map(one => one.id)""")
    assert unnamed == [] and opened.get_by_label("Question").count() == 1


def test_token_is_asked_for(open_page, models):
    with running(models, settings(token="s3cret-token")) as port:
        opened = open_page(None, port, wait="#token", locale="en")
        assert opened.inner_text("#facts") == "This server asks for a token."
        opened.fill("#token", "s3cret-token")
        opened.keyboard.press("Enter")
        opened.wait_for_selector("#fields textarea")
        assert ask(opened, text=TOLD).startswith("yes")


def test_server_that_is_gone(open_page, models):
    with running(models, settings()) as port:
        opened = open_page(None, port)
    assert ask(opened, text=TOLD) == "The server cannot be reached."


def test_nothing_from_elsewhere():
    content, headers = page.load()
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; connect-src 'self'")
    assert "unsafe" not in headers["Content-Security-Policy"] and b"http" not in content
