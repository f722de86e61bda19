"""Conversations: who answers, in what order, with which prompt, and how a reply reaches the channel.

Owns one task and one inbox per channel, and one session per character and channel. Knows no platform: replies go up
through the ``Channel`` that a message carries.
"""
