"""What Troupe itself says on Telegram, in the language that a person has set there; what is not listed stays English.

Characters speak as their cards say. Looked up by the English words, so that a changed sentence shows as English, not as wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from telegram import Message

from bot.commands.desk import MADE_UP

CHINESE: Mapping[str, str] = MappingProxyType(
    {
        MADE_UP: "角色说的一切都是虚构的。",
        "/characters shows who else there is, /help what can be done.": "/characters 看还有谁，/help 看能做什么。",
        "Who would you like to talk to? You can change that at any time.": "你想和谁说话？随时可以换人。",
        "Just talk. A name in your message, or a reply to a message, calls that character; "
        "((double parentheses)) keep you out of the play.": (
            "直接说话就行。写出名字或回复某条消息，就是在叫那位角色；((双括号里的话))不算在戏里。"
        ),
        "There is nobody yet.": "还没有人。",
        "Who is to come?": "请谁进来？",
        "Who is to leave?": "请谁离开？",
        "Nobody is here.": "这里没有人。",
        "Nobody of the company is here yet. /characters shows who there is, /wake NAME brings somebody in.": (
            "这里还没有角色。/characters 看都有谁，/wake 名字 请一位进来。"
        ),
        "I can read text only. What would you like to say?": "我只能读文字。你想说什么？",
        "That is no command of mine; /help shows them.": "没有这个命令；/help 列出全部命令。",
        "No other take came of it.": "没能说出另一种回答。",
        "There was nothing more to say.": "没有更多要说的了。",
        "Stopped.": "已停下。",
        "Nobody is speaking here.": "这里没有人在说话。",
        "Taken back: the characters know nothing of it any more.": "已撤回：角色不再知道这段话。",
        "Everybody here starts afresh from now on.": "从现在起，这里的角色都重新开始。",
        "The scene is nowhere in particular again.": "场景已清空。",
        "Left: nothing was registered.": "已放弃，没有登记任何角色。",
        "There is nothing to leave.": "没有正在进行的事。",
        "This removes everything that is stored about you, here and everywhere. There is no way back.": (
            "这会删除此处和别处存下的关于你的一切，无法恢复。"
        ),
        "Nobody here remembers anything particular about you.": "这里没有角色特别记得你的事。",
        "Thank you.": "谢谢。",
        "Thank you. The moderators can see it, and no model learns from it.": "谢谢。管理员能看到它，任何模型都不会从中学习。",
        "You have reported that already.": "你已经举报过了。",
        "Nothing was reported that nobody has looked at.": "没有待处理的举报。",
        "Nobody has asked to make a character from your messages.": "没有人请求用你的话来做角色。",
        "Nothing is made from your messages.": "不会用你的话来做任何角色。",
        "Another take …": "换一种说法……",
        "Recording …": "正在录音……",
        "There is no such reply of a character here.": "这里没有这样一条角色的回复。",
        "Too many are speaking at once just now. Please try again in a moment.": "现在同时说话的人太多，请稍后再试。",
        "Something went wrong with that; it is in the log of whoever runs this Troupe.": "出了点问题；管理者的日志里有记录。",
        "That is between you and me: press the button, and I answer where nobody else reads it.": (
            "这只关你我：按下按钮，我在别人看不到的地方回答。"
        ),
        "That button is from another time; please ask anew.": "这个按钮已经过期，请重新发命令。",
        "Send the card as a file (PNG, JSON or CHARX) with /import as its caption, or answer such a file with /import.": (
            "请把角色卡作为文件（PNG、JSON 或 CHARX）发来，附言写 /import，或用 /import 回复该文件。"
        ),
        "That came as a photo, and Telegram paints photos anew: a character card inside is lost on the way. "
        "Please send the picture as a file (paperclip, File), and I can read it.": (
            "这是以照片发来的，Telegram 会重新压缩照片，里面的角色卡就丢了。请用「文件」方式发送，我就能读。"
        ),
    }
)


def language_of(message: Message) -> str:
    """Of whoever wrote it, as Telegram tells: "en", "zh", "zh-hans"; "" where it does not."""
    return (message.from_user.language_code or "") if message.from_user is not None else ""


def is_chinese(language: str) -> bool:
    return language.casefold().startswith("zh")


def in_language(text: str, language: str) -> str:
    """Line by line, where a text is not known as a whole."""
    if not is_chinese(language):
        return text
    if text in CHINESE:
        return CHINESE[text]
    return "\n".join(CHINESE.get(line, line) for line in text.split("\n"))
