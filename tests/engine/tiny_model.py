"""A GGUF of two layers with random weights: llama.cpp's real thing in 300 KB, for tests where speed matters.

Its vocabulary is the 256 bytes and four control tokens, so it can read any text. Its greedy replies are printable ASCII, and
depend on every token before them. With ``chant`` it says that text over and over instead, one byte after the other.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import gguf

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<pad>"]
TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WIDTH, HEADS, HEAD, LAYERS, INNER = 64, 2, 32, 2, 128


def write_tiny_model(path: Path, *, chant: str = "", seed: int = 7) -> Path:
    """Write the model; the same arguments give the same file."""
    rng = np.random.default_rng(seed)
    merged = _spelling(0) + _spelling(1)  # llama.cpp wants at least one merge
    tokens = [*CONTROL, *(_spelling(byte) for byte in range(256)), merged]

    def random(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (rng.standard_normal(shape) * scale / np.sqrt(shape[-1])).astype(np.float32)

    embeddings = random(len(tokens), WIDTH, scale=8.0)
    output = random(len(tokens), WIDTH, scale=2.0)
    output[: len(CONTROL) + 32] = output[len(CONTROL) + 127 :] = 0.0  # never the best: a text then tells its tokens
    if chant:
        order = [byte + len(CONTROL) for byte in chant.encode()]
        assert len(set(order)) == len(order), "a byte that occurs twice would have two successors"
        output[:] = 0.0
        for token, following in zip(order, order[1:] + order[:1], strict=True):
            output[following] = embeddings[token]

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(4096)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    kinds = [gguf.TokenType.CONTROL] * len(CONTROL) + [gguf.TokenType.NORMAL] * 257
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{_spelling(0)} {_spelling(1)}"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(3)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)

    writer.add_tensor("token_embd.weight", embeddings)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    silent = 0.0 if chant else 1.0  # a chanting model listens to nothing but the last byte
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        writer.add_tensor(f"{block}.attn_norm.weight", np.ones(WIDTH, np.float32))
        writer.add_tensor(f"{block}.ffn_norm.weight", np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v"):
            writer.add_tensor(f"{block}.{name}.weight", random(WIDTH, WIDTH, scale=1.5))
        writer.add_tensor(f"{block}.attn_output.weight", random(WIDTH, WIDTH, scale=6.0 * silent))
        writer.add_tensor(f"{block}.ffn_gate.weight", random(INNER, WIDTH))
        writer.add_tensor(f"{block}.ffn_up.weight", random(INNER, WIDTH))
        writer.add_tensor(f"{block}.ffn_down.weight", random(WIDTH, INNER, scale=2.0 * silent))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _spelling(byte: int) -> str:
    """How byte-level BPE vocabularies write a byte (GPT-2's table): printable ones as themselves, the rest from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    if byte in printable:
        return chr(byte)
    return chr(0x100 + [other for other in range(256) if other not in printable].index(byte))
