"""The commands that Telegram offers while somebody types: for private chats, groups and their administrators, in two languages."""

from __future__ import annotations

from dataclasses import dataclass

from telegram import BotCommand, BotCommandScope
from telegram.ext import ExtBot


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    words: str
    chinese: str
    where: str = "pga"  # private chats, groups, administrators of groups
    voiced: bool = False  # only where somebody speaks aloud


MENU = (
    Entry("start", "Begin, or meet a character", "开始，或认识一位角色", "p"),
    Entry("help", "What can be said and done here", "这里能说什么、做什么"),
    Entry("character", "Choose a character, or look at one", "选择或查看角色"),
    Entry("characters", "Who there is, and who is here", "都有谁，谁在这里"),
    Entry("wake", "Bring a character into this chat", "请一位角色进来"),
    Entry("sleep", "Send a character out of this chat", "请一位角色离开"),
    Entry("regenerate", "Another take of a reply", "重说一遍"),
    Entry("continue", "Let whoever spoke last go on", "让刚才的角色接着说"),
    Entry("hear", "Hear a reply as a voice message", "用语音听一条回复", voiced=True),
    Entry("stop", "Stop the reply that is being made", "停下正在说的话"),
    Entry("undo", "Take back the last exchange", "撤回上一轮对话"),
    Entry("scene", "Say where the conversation plays", "设定对话的场景"),
    Entry("reset", "Let the characters here begin afresh", "让这里的角色重新开始"),
    Entry("memory", "What characters remember about you", "角色记得你的哪些事"),
    Entry("privacy", "What is stored about you; your consent", "存了你的什么；你的同意"),
    Entry("forgetme", "Remove everything stored about you", "删除关于你的一切"),
    Entry("why", "What made a reply", "这句话是怎么来的"),
    Entry("report", "Tell the moderators of a reply (as a reply to it)", "向管理员举报一条回复（回复它）"),
    Entry("settings", "How characters behave here", "角色在这里的行为"),
    Entry("newcharacter", "Make a character, step by step", "一步步创建角色", "pa"),
    Entry("import", "Register a character from a card file", "从角色卡文件导入", "pa"),
    Entry("export", "A character's card as a file", "导出角色卡文件", "pa"),
    Entry("delete", "Take a registered character away", "删除已登记的角色", "pa"),
    Entry("hide", "Let nobody know of a message any more (as a reply to it)", "让大家忘掉一条消息（回复它）", "pa"),
    Entry("reports", "What members have reported; with a number, settle it", "大家举报了什么；加编号则了结", "a"),
    Entry("portray", "Make a character from somebody's messages, if they agree", "用某人的话做角色（须本人同意）", "a"),
    Entry("block", "Hear somebody no more (as a reply to them)", "不再听某人（回复其消息）", "a"),
    Entry("unblock", "Hear somebody again (as a reply to them)", "重新听某人（回复其消息）", "a"),
    Entry("cancel", "Leave what was begun", "放弃正在做的事", "pa"),
)
# A character's own bot is that character: there is nobody to choose, wake or make.
OWN_BOT = frozenset("start help regenerate continue hear stop undo scene reset memory privacy forgetme why report".split())

_SCOPES = {
    "p": (BotCommandScope.ALL_PRIVATE_CHATS,),
    "g": (BotCommandScope.ALL_GROUP_CHATS, BotCommandScope.DEFAULT),
    "a": (BotCommandScope.ALL_CHAT_ADMINISTRATORS,),
}


def offered(*, own: bool, voiced: bool) -> list[Entry]:
    """``own``: of a character's own bot. ``voiced``: where somebody speaks aloud."""
    return [e for e in MENU if (not own or e.name in OWN_BOT) and (voiced or not e.voiced)]


async def register(bot: ExtBot[int], *, own: bool, voiced: bool) -> None:
    """Tell Telegram the commands of a bot. Raises what the library raises."""
    for where, scopes in _SCOPES.items():
        entries = [e for e in offered(own=own, voiced=voiced) if where in e.where]
        for scope in scopes:
            for language in ("", "zh"):
                commands = [BotCommand(e.name, e.chinese if language else e.words) for e in entries]
                await bot.set_my_commands(commands, BotCommandScope(scope), language_code=language or None)
