"""How much of what was learnt is in the file that would be served: rounded to the nearest, and by lot (``trainer/dither.py``).

    python benchmarks/rounding.py --run data/runs/small --base gguf/starter.gguf

Tells by type the share of the change from the base that is left in the layers' weights. ``--run`` is finished as far as its export.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from gguf.quants import dequantize

from bot.engine.threads import usable_cores
from gguf import GGUFReader
from trainer.dither import dithered
from trainer.export import MODEL_FILE
from trainer.quantize import ftype_of, write_type


def kept(base: Path, full: Path, served: Path) -> dict[str, float]:
    """By type: the share of the change from ``base`` to ``full`` that ``served`` holds, over all trained tensors of that type."""
    before, now = ({t.name: t for t in GGUFReader(path).tensors} for path in (base, full))
    sums: dict[str, list[float]] = {}
    for tensor in GGUFReader(served).tensors:
        if tensor.data.ndim < 2 or "blk." not in tensor.name:
            continue
        old, new, got = (dequantize(t.data, t.tensor_type).ravel() for t in (before[tensor.name], now[tensor.name], tensor))
        both = sums.setdefault(tensor.tensor_type.name, [0.0, 0.0])
        both[0] += float(np.dot(got - old, new - old))
        both[1] += float(np.dot(new - old, new - old))
    return {kind: part / whole for kind, (part, whole) in sums.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a finished retraining's folder")
    parser.add_argument("--base", type=Path, required=True, help="the GGUF that it began from")
    parser.add_argument("--type", default="Q6_K")
    args = parser.parse_args()
    full = args.run / "export" / MODEL_FILE
    with tempfile.TemporaryDirectory() as folder:
        nearest, noisy, by_lot = (Path(folder) / f"{name}.gguf" for name in ("nearest", "noisy", "by-lot"))
        write_type(full, nearest, ftype_of(args.type), usable_cores(), {})
        dithered(full, args.base, nearest, noisy, seed=0)
        write_type(noisy, by_lot, ftype_of(args.type), usable_cores(), {})
        files = {"nearest": nearest, "by lot": by_lot}
        for name, file in files.items():
            print(name, ", ".join(f"{kind} {share:.1%}" for kind, share in kept(args.base, full, file).items()), flush=True)


if __name__ == "__main__":
    main()
