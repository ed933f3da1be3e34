"""Text from right to left, in what people and models write."""

from __future__ import annotations

from tests.console.conftest import Window

HEBREW = "מה זה קו trunk?\nline two"
#: The sides to which the lines of a text are aligned.
_SIDES = """(element) => {
    const range = document.createRange(), outer = element.getBoundingClientRect(), text = element.firstChild;
    let at = 0;
    return text.data.split("\\n").map((line) => {
        range.setStart(text, at);
        range.setEnd(text, at + line.length);
        at += line.length + 1;
        const inner = range.getBoundingClientRect();
        return inner.left - outer.left < outer.right - inner.right ? "left" : "right";
    });
}"""


def test_each_line_of_a_question_begins_at_the_side_of_its_script(admin: Window) -> None:
    page = admin.open("playground")
    page.get_by_role("button", name="Make a key for a day").click()
    page.get_by_label("Model").first.select_option("gpt-4.1")
    page.get_by_label("Question").fill(HEBREW)
    page.get_by_role("button", name="Send").click()
    question = page.locator(".turn.user .said")
    question.wait_for()
    assert question.evaluate(_SIDES) == ["right", "left"]
    assert page.get_by_label("Question").evaluate("each => getComputedStyle(each).unicodeBidi") == "plaintext"
    page.get_by_text("Explain this request").wait_for()
