"""A llama model of a few hundred kilobytes with random weights: valid for llama.cpp, but its answers
are nonsense.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy

CONTEXT = 512
_HEADS = 2
_CHAT = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def write(path: Path, *, context: int = CONTEXT, embed: int = 32, feed: int = 64, layers: int = 2) -> None:
    """Writes the model, seeded, so that the file is always the same."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(context)
    writer.add_embedding_length(embed)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(feed)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(embed // _HEADS)
    vocabulary = _add_tokenizer(writer)
    random = numpy.random.default_rng(7)

    def tensor(name: str, *shape: int) -> None:
        writer.add_tensor(name, random.normal(0, 0.1, shape).astype(numpy.float32))

    tensor("token_embd.weight", vocabulary, embed)
    writer.add_tensor("output_norm.weight", numpy.ones(embed, dtype=numpy.float32))
    tensor("output.weight", vocabulary, embed)
    for layer in range(layers):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", numpy.ones(embed, dtype=numpy.float32))
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensor(f"blk.{layer}.{part}.weight", embed, embed)
        tensor(f"blk.{layer}.ffn_gate.weight", feed, embed)
        tensor(f"blk.{layer}.ffn_up.weight", feed, embed)
        tensor(f"blk.{layer}.ffn_down.weight", embed, feed)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter) -> int:
    """Adds a SentencePiece tokenizer with a token for each byte, which can encode every text. Returns the
    vocabulary's size.
    """
    special = [
        ("<unk>", gguf.TokenType.UNKNOWN),
        ("<s>", gguf.TokenType.CONTROL),
        ("</s>", gguf.TokenType.CONTROL),
    ]
    byte = [(f"<0x{value:02X}>", gguf.TokenType.BYTE) for value in range(256)]
    letters = [(letter, gguf.TokenType.NORMAL) for letter in ("\u2581", *"abcdefghijklmnopqrstuvwxyz")]
    tokens = [*special, *byte, *letters]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_scores([0.0 if kind is not gguf.TokenType.NORMAL else -1.0 for _, kind in tokens])
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(_CHAT)
    return len(tokens)
