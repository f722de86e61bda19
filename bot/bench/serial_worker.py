"""One ``Llama`` object in a process of its own: a JSON line with token ids in, a JSON line with the reply and its times out."""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import llama_cpp
from llama_cpp import llama_cpp as bindings

from bot.engine import native


def main() -> None:
    settings = json.loads(sys.argv[1])
    llama = _open(settings)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_reply(llama, **json.loads(line))) + "\n")
        sys.stdout.flush()


def _open(settings: dict[str, Any]) -> Any:
    if not native.may_rearrange_weights():  # the same precaution that our engine takes, or it ends the process
        defaults = bindings.llama_model_default_params

        def careful() -> Any:
            params = defaults()
            params.use_extra_bufts = False
            return params

        bindings.llama_model_default_params = careful
    threads, context = settings["threads"], settings["context_tokens"]
    return llama_cpp.Llama(settings["model"], n_ctx=context, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False)


def _reply(llama: Any, tokens: list[int], reply_tokens: int) -> dict[str, Any]:
    known = llama.input_ids[: llama.n_tokens].tolist()
    reused = next((place for place, (old, new) in enumerate(zip(known, tokens, strict=False)) if old != new), min(len(known), len(tokens)))
    times, said = [], []
    for token in llama.generate(tokens, top_k=40, top_p=0.95, min_p=0.05, temp=0.6, repeat_penalty=1.05):
        times.append(time.monotonic())
        said.append(token)
        if len(said) == reply_tokens:
            break
    return {
        "times": times,
        "text": llama.detokenize(said).decode("utf-8", "ignore"),
        "evaluated_tokens": len(tokens) - min(reused, len(tokens) - 1),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


if __name__ == "__main__":
    main()
