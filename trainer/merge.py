"""Stage ``merge``: base + adapter -> a whole model in Hugging Face's form, in f32 or bf16 and never in fewer bits.

Merged into 4-bit weights, most of a small adapter is rounded away: what is quantised is the merged model, afterwards.
"""

from __future__ import annotations

import json
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from bot.config import Section
from bot.engine.models import STARTER
from trainer.base import Base, find_base, load_model, load_tokenizer
from trainer.errors import BaseRefused
from trainer.manifest import begin
from trainer.options import add_run, add_settings, settings_from
from trainer.runs import learnt_last, run_folder, working_in
from trainer.tune import ADAPTER


class MergeSettings(Section):
    base: str = STARTER
    dtype: Literal["float32", "bfloat16"] = "float32"


def merge(tuned: Path, into: Path, settings: MergeSettings) -> Path:
    """Write the merged model. Returns ``into``, a folder that transformers loads.

    Raises:
        BaseRefused: the adapter cannot be merged or does not belong to the base.
    """
    base = find_base(settings.base)
    adapter = tuned / ADAPTER
    stage = begin(
        into,
        "merge",
        inputs={"adapter": adapter, "base": base.local or base.name},
        settings=settings.model_dump(mode="json"),
        seed=0,
    )
    if stage.finished:
        return into
    tokenizer = load_tokenizer(base)
    model = load_model(base)  # float32: deltas are added before anything is rounded
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.ndim == 2}
    with _belonging(adapter, base):
        merged: Any = adapted(model, adapter, base).merge_and_unload(safe_merge=True)
    changes = {name: float((p - before[name]).norm() / before[name].norm()) for name, p in merged.named_parameters() if name in before}
    changed = sorted(value for value in changes.values() if value > 0)
    merged.to(getattr(torch, settings.dtype)).save_pretrained(into, safe_serialization=True)
    tokenizer.inner.save_pretrained(into)
    return stage.finish(
        {
            "tensors_changed": len(changed),
            "relative_change_median": round(changed[len(changed) // 2], 5) if changed else 0.0,
            "relative_change_most": round(changed[-1], 5) if changed else 0.0,
        }
    )


def adapted(model: PreTrainedModel, adapter: Path, base: Base, *, trainable: bool = False) -> PeftModel:
    """The model, which is ``base``'s, with an adapter beside its weights.

    Raises:
        BaseRefused: the adapter cannot be served, or does not belong to the base.
    """
    check_adapter(adapter)
    with _belonging(adapter, base):
        return PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable)


@contextmanager
def _belonging(adapter: Path, base: Base) -> Iterator[None]:
    try:
        # peft uses names that transformers has renamed, and is told so.
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            yield
    except (RuntimeError, ValueError, KeyError) as error:
        raise BaseRefused(f"{adapter} does not belong to {base.name}: {str(error).splitlines()[0][:300]}") from error


def check_adapter(adapter: Path) -> dict[str, Any]:
    """The adapter's configuration.

    Raises:
        BaseRefused: it holds what cannot be served: pickled weights, whole modules, embeddings, DoRA.
    """
    try:
        config: dict[str, Any] = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise BaseRefused(f"{adapter}: is no adapter ({error}); run the tune stage first") from error
    if not (adapter / "adapter_model.safetensors").is_file():
        raise BaseRefused(f"{adapter}: has no adapter_model.safetensors; pickled weights can run code and are not read")
    for forbidden in ("modules_to_save", "use_dora", "alpha_pattern", "lora_bias"):
        if config.get(forbidden):
            raise BaseRefused(f"{adapter}: uses {forbidden}, which llama.cpp does not serve; tune again without it")
    targets = config.get("target_modules") or []
    if any(name in targets for name in ("embed_tokens", "lm_head")):
        raise BaseRefused(f"{adapter}: changes the embeddings or the head, which llama.cpp does not serve; tune 'all-linear' layers only")
    return config


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    add_settings(parser, MergeSettings)


def command(args: Namespace) -> None:
    with working_in(run_folder(args.runs, args.run)) as run:
        print(f"{merge(learnt_last(run), run / 'merge', settings_from(args, MergeSettings))}: the merged model")
