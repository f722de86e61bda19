"""Platform in, platform out; nothing else. What a command does lives in ``bot.commands``, who answers in ``bot.sessions``."""
