"""What the server says to a page, in the language of whoever reads it."""

import ast
import re

from tests.connectors.test_web_page import chromium, served, visit  # noqa: F401
from tests.house import HERE

ROOMS = [
    *(f for f in sorted((HERE / "bot" / "commands").glob("*.py")) if f.name != "admin.py"),  # which no page has
    *(HERE / "bot" / "connectors" / f"web_{name}.py" for name in ("security", "rating", "rating_studies", "workshop", "requests")),
    *(HERE / "bot" / "sessions" / f"{name}.py" for name in ("gate", "router")),
    HERE / "bot" / "characters" / "cast.py",
]
REFUSALS = {"CommandRefused", "CharacterNotFound", "Refused"}
# What a program is told that sends the wrong thing; no page does.
TO_PROGRAMS = re.compile(
    r"'\w+'|[Rr]equest's body|a key that is not known|\{\} must |Say who asks|channel's name has|^Scores are of|exported as|other sites"
)


def shape(sentence):
    """A sentence without what changes in it, as the page gets it."""
    hollow = re.sub(r"\{\w*\}", "{}", sentence)
    return f"{hollow[:1].upper()}{hollow[1:]}".rstrip(".")


def sentences(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in REFUSALS:
            for given in call.args:
                if isinstance(given, ast.Constant) and isinstance(given.value, str):
                    yield given.value
                elif isinstance(given, ast.JoinedStr):
                    yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in given.values)


def test_every_refusal_that_a_visitor_can_meet_has_its_chinese():
    words = (HERE / "bot" / "connectors" / "web_page" / "words-zh.js").read_text(encoding="utf-8")
    known = {shape(key.replace('\\"', '"')) for key in re.findall(r'^  "((?:[^"\\]|\\.)*)":', words, re.MULTILINE)}
    said = {sentence for room in ROOMS for sentence in sentences(room)}

    missing = sorted(s for s in said if shape(s) not in known and not TO_PROGRAMS.search(s))

    assert len(said) > 80
    assert missing == []


SAID = [
    ("Mara Quill is here already.", "Mara Quill已经在这里了。"),
    ("There is no character called 'Bob' here; did you mean Bo Reed or Bobbin?", "这里没有叫'Bob'的角色；你是说Bo Reed or Bobbin吗？"),
    ("The scene has 4,012 characters; the limit is 400.", "场景有 4,012 个字符，上限是 400。"),
    ("That is the first take.", "这是第一种说法。"),
    ("Something nobody has ever said.", "Something nobody has ever said."),
]


async def test_a_sentence_with_values_is_known_by_its_words(chromium, served):  # noqa: F811
    english = [said for said, _ in SAID]
    for locale, expected in (("zh-CN", [chinese for _, chinese in SAID]), ("en-GB", english)):
        async with visit(chromium, served.url, locale=locale) as page:
            told = await page.evaluate("(said) => import('/page/words.js').then(({ heard }) => said.map(heard))", english)
            assert told == expected


async def test_a_refusal_reaches_a_chinese_visitor_in_chinese(chromium, served):  # noqa: F811
    async with visit(chromium, served.url, locale="zh-CN") as page:
        told = await page.evaluate(
            "import('/page/api.js').then((api) => api.setScene('x'.repeat(9000))).catch((refusal) => refusal.message)"
        )

        assert re.fullmatch(r"场景有 9,?000 个字符，上限是 [\d,]+。", told)
        await page.fill("#text", "Ada?")
        await page.keyboard.press("Enter")
        await page.wait_for_selector(".turn.character:not(.speaking)")
