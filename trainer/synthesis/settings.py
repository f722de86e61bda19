"""What one synthesis is asked for."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from trainer.teacher import TeacherSettings


class SynthesizeSettings(TeacherSettings):
    """Who answers what, how much of it, and what is kept."""

    method: str = "general"
    instructions: Path | None = None  # JSONL {id, kind, language, instruction}; empty: our own list
    seed: int = 1
    only: tuple[str, ...] = ()  # slugs; empty: everybody
    answers: int = Field(3, ge=1)  # characters that answer each instruction
    takes: int = Field(1, ge=1)  # answers of each of them (rolegpt)
    limit: int = Field(0, ge=0)  # instructions of each language, or questions, windows, scenes of each character; 0: all
    questions: int = Field(10, ge=1)  # asked for at a time
    window_characters: int = Field(1000, ge=200)  # of a character's dialogue that one question shows
    scene_tokens: int = Field(1500, ge=100)  # of retrieved scenes; the first that would pass it ends them
    people: int = Field(200, ge=1)  # new people to make
    dialogues: int = Field(8, ge=1)  # of each character (four-sources)
    turns: int = Field(4, ge=1)  # of the character in one dialogue, at most
    human: Path | None = None  # JSONL of role-play by people; see four-sources
    prototype: Path | None = None  # JSONL of people's talks with an earlier model
    reply_tokens: int = Field(160, ge=16)
    form_tokens: int = Field(700, ge=64)  # of an answer in a form: several questions, a scene, a profile
    temperature: float = Field(0.8, ge=0, le=2)
    least_words: int = Field(3, ge=1)
    most_words: int = Field(120, ge=1)
    most_of_a_kind: int = Field(0, ge=0)  # rows of one kind that a character keeps; 0: all
