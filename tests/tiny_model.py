"""Write a language model that knows nothing: random weights, and a token for each byte. It needs `gguf` and numpy.

    python tests/tiny_model.py tiny.gguf

A server can load it and answer; what it says is gibberish of printable characters.
"""

from __future__ import annotations

import sys

import gguf
import numpy as np

WIDTH, INNER, HEADS, LAYERS, CONTEXT = 64, 128, 4, 2, 2048
_UNKNOWN, _CONTROL, _BYTE = 2, 3, 6  # kinds of tokens in a GGUF file
_SPECIAL = ("<unk>", "<s>", "</s>")


def write(path: str) -> None:
    """Write the model in the layout of Llama, the same bytes every time."""
    dice = np.random.default_rng(1)
    words = [*_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * len(words))
    writer.add_token_types([_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(name, dice.normal(0, shape[-1] ** -0.5, shape).astype(np.float32))

    add("token_embd.weight", len(words), WIDTH)
    for layer in range(LAYERS):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{part}.weight", WIDTH, WIDTH)
        add(f"blk.{layer}.ffn_gate.weight", INNER, WIDTH)
        add(f"blk.{layer}.ffn_up.weight", INNER, WIDTH)
        add(f"blk.{layer}.ffn_down.weight", WIDTH, INNER)
        for part in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{part}.weight", np.ones(WIDTH, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    said = dice.normal(0, 1, (len(words), WIDTH)).astype(np.float32)
    # The most likely token is one of many with a weight: what cannot be printed has none.
    printable = [word in ("</s>", "<0x0A>") or "<0x20>" <= word <= "<0x7E>" for word in words]
    writer.add_tensor("output.weight", said * np.array(printable, np.float32)[:, None])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1])
