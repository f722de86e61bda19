"""Stage ``export``: a merged model -> one GGUF, or an adapter -> an adapter GGUF, by llama.cpp's own converters, then the gate."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import gguf
from bot.characters.prompt import PROMPT_VERSION
from bot.config import Section
from bot.engine.adapter_fold import fold
from bot.engine.models import STARTER
from trainer.base import Base, find_base, load_model, load_tokenizer
from trainer.converter import convert, converter, default_cache
from trainer.dataset import TEST
from trainer.errors import BaseRefused, GateFailed
from trainer.gate import pass_gate, same_tensors
from trainer.manifest import begin
from trainer.merge import check_adapter
from trainer.options import add_run, add_settings, settings_from
from trainer.runs import learnt_last, run_folder, working_in
from trainer.samples import read_samples
from trainer.tune import ADAPTER

MODEL_FILE, ADAPTER_FILE = "model.gguf", "adapter.gguf"
PROMPT_VERSION_KEY = "troupe.prompt_version"  # read by bot.engine.adapter_fold


class ExportSettings(Section):
    outtype: Literal["f16", "bf16", "f32"] = "f16"
    gate_samples: int = 24  # held-out samples that the gate compares
    gate_prompts: int = 4  # of them continued greedily
    cache: Path | None = None  # where the converter is kept; None: the user's cache
    sdist: Path | None = None  # the converter's source package, for a machine without a network


def export(merged: Path, data: Path, into: Path, settings: ExportSettings) -> Path:
    """Convert and pass the gate. Returns ``into``, which holds ``model.gguf``.

    Raises:
        ToolMissing: there is no converter, or it refused.
        GateFailed: the file is not the model.
    """
    asked = settings.model_dump(mode="json", exclude={"cache", "sdist"})
    stage = begin(into, "export", inputs={"merged": merged, "dataset": data}, settings=asked, seed=0)
    if stage.finished:
        return into
    tools = converter(settings.cache or default_cache(), settings.sdist)
    partial = into / f"{MODEL_FILE}.partial"
    convert(tools, "convert_hf_to_gguf.py", str(merged), "--outfile", str(partial), "--outtype", settings.outtype, "--model-name", "troupe")
    base = find_base(str(merged))
    samples = list(read_samples(data / TEST))[:: max(_count(data / TEST) // settings.gate_samples, 1)][: settings.gate_samples]
    parity = pass_gate(load_model(base), load_tokenizer(base), partial, samples, prompts=settings.gate_prompts)
    partial.replace(into / MODEL_FILE)
    return stage.finish({"bytes": (into / MODEL_FILE).stat().st_size, "parity": asdict(parity)})


class AdapterSettings(Section):
    base: str = STARTER
    cache: Path | None = None
    sdist: Path | None = None


def export_adapter(tuned: Path, merged: Path, into: Path, settings: AdapterSettings) -> Path:
    """Convert the adapter alone, as F16. Returns ``into``, which holds ``adapter.gguf``.

    The bot folds it into the base without torch (``bot.engine.adapter_fold``); where the base is a GGUF, that very folding is
    done here and compared with the merged model, tensor by tensor.
    """
    base = find_base(settings.base)
    adapter = tuned / ADAPTER
    stage = begin(
        into,
        "export-adapter",
        inputs={"adapter": adapter, "merged": merged, "base": base.local or base.name},
        settings={"base": settings.base, "prompt_version": PROMPT_VERSION},
        seed=0,
    )
    if stage.finished:
        return into
    check_adapter(adapter)
    tools = converter(settings.cache or default_cache(), settings.sdist)
    partial = into / f"{ADAPTER_FILE}.partial"
    convert(tools, "convert_lora_to_gguf.py", "--base", str(merged), "--outtype", "f16", "--outfile", str(partial), str(adapter))
    whole = into / f"{ADAPTER_FILE}.stamped.partial"
    stamp(partial, whole)
    partial.unlink()
    figures: dict[str, object] = {"bytes": whole.stat().st_size, "tensors": len(gguf.GGUFReader(whole).tensors)}
    if base.file is not None:
        figures |= _check_folding(base, whole, merged)
    whole.replace(into / ADAPTER_FILE)
    return stage.finish(figures)


def _check_folding(base: Base, adapter: Path, merged: Path) -> dict[str, object]:
    assert base.file is not None
    with TemporaryDirectory(dir=adapter.parent, prefix="folding-") as beside:
        folded = Path(beside) / "folded.gguf"
        fold(base.file, adapter, folded)
        tensors, worst = same_tensors(load_model(find_base(str(merged))), folded)
    return {"folded_tensors_compared": tensors, "folded_worst_tensor": round(worst, 6)}


def stamp(source: Path, target: Path) -> None:
    """Copy an adapter with the prompt layout that it was tuned on, and without the names of this machine's folders."""
    reader = gguf.GGUFReader(source)
    architecture = reader.get_field(gguf.Keys.General.ARCHITECTURE)
    if architecture is None:
        raise GateFailed(f"{source.name}: names no architecture; export it again")
    writer = gguf.GGUFWriter(target, architecture.contents())
    kept: set[str] = set()
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == gguf.Keys.General.ARCHITECTURE:
            continue
        if field.name.startswith("general.") and field.name not in (
            gguf.Keys.General.TYPE,
            gguf.Keys.General.FILE_TYPE,
            "general.quantization_version",
        ):
            continue  # names and authors that the converter guessed from folder names
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
        kept.add(field.name)
    if gguf.Keys.Adapter.LORA_ALPHA not in kept:
        raise BaseRefused(f"{source.name}: is no LoRA adapter; run the tune stage again")
    writer.add_uint32(PROMPT_VERSION_KEY, PROMPT_VERSION)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _count(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--adapter", action="store_true", help="the adapter alone, for a base that is served already")
    parser.add_argument("--base", default=STARTER, help=f"with --adapter: the base that it was tuned on (default {STARTER})")
    add_settings(parser, ExportSettings)


def command(args: Namespace) -> None:
    settings = settings_from(args, ExportSettings)
    with working_in(run_folder(args.runs, args.run)) as run:
        if args.adapter:
            alone = AdapterSettings(base=args.base, cache=settings.cache, sdist=settings.sdist)
            print(f"{export_adapter(learnt_last(run), run / 'merge', run / 'export-adapter', alone) / ADAPTER_FILE}: the adapter")
        else:
            print(f"{export(run / 'merge', run / 'dataset', run / 'export', settings) / MODEL_FILE}: the model; it passed the gate")
