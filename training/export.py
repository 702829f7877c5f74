"""Writes a trained state as a checkpoint in the published layout: config.json, generation_config.json, bf16 model.safetensors.

usage: export.py STATE.pt OUTPUT_FOLDER   (the folder already holds the tokenizer)
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch

from model import InternVL, Shape
from tokenizer import Tokenizer


def bfloat16_bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().float().cpu().contiguous().to(torch.bfloat16).view(torch.int16).numpy().astype("<i2").tobytes()


def write_safetensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Header length (u64), header (JSON, padded to 8 bytes), data: all bf16, in order of name."""
    header: dict = {"__metadata__": {"format": "pt"}}
    parts, at = [], 0
    for name in sorted(tensors):
        data = bfloat16_bytes(tensors[name])
        header[name] = {"dtype": "BF16", "shape": list(tensors[name].shape), "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """bf16 tensors widened to f32."""
    raw = path.read_bytes()
    length = struct.unpack_from("<Q", raw)[0]
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        halves = np.frombuffer(raw, "<u2", (end - begin) // 2, 8 + length + begin).astype(np.uint32) << 16
        tensors[name] = torch.from_numpy(halves.view(np.float32).reshape(entry["shape"]).copy())
    return tensors


def config(shape: Shape) -> dict:
    return {
        "architectures": ["InternVLChatModel"], "downsample_ratio": 0.5, "dynamic_image_size": True, "force_image_size": 448,
        "llm_config": {
            "architectures": ["InternLM2ForCausalLM"], "model_type": "internlm2", "hidden_size": shape.width, "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.key_heads, "intermediate_size": shape.inner, "num_hidden_layers": shape.layers, "rope_theta": int(shape.rope_base),
            "rope_scaling": {"factor": 2.0, "type": "dynamic"}, "max_position_embeddings": 8192, "rms_norm_eps": 1e-05, "bias": False, "hidden_act": "silu",
            "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "tie_word_embeddings": False, "attn_implementation": "flash_attention_2",
            "vocab_size": shape.vocabulary, "torch_dtype": "bfloat16", "use_cache": True,
        },
        "max_dynamic_patch": 6, "min_dynamic_patch": 1, "model_type": "internvl_chat", "pad2square": False, "ps_version": "v2", "select_layer": -1,
        "template": "internlm2-chat", "torch_dtype": "bfloat16", "use_backbone_lora": 0, "use_llm_lora": 0, "use_thumbnail": True,
        "vision_config": {
            "architectures": ["InternVisionModel"], "attention_dropout": 0.0, "drop_path_rate": 0.0, "dropout": 0.0, "hidden_act": "gelu",
            "hidden_size": shape.vision_width, "image_size": 448, "initializer_factor": 1.0, "initializer_range": 0.02, "intermediate_size": shape.vision_inner,
            "layer_norm_eps": 1e-06, "model_type": "intern_vit_6b", "norm_type": "layer_norm", "num_attention_heads": shape.vision_heads, "num_channels": 3,
            "num_hidden_layers": shape.vision_layers, "patch_size": 14, "qk_normalization": False, "qkv_bias": True, "torch_dtype": "bfloat16",
            "use_bfloat16": True, "use_flash_attn": True,
        },
    }


def load(folder: Path, device: str = "cpu") -> tuple[InternVL, Tokenizer]:
    """The model from a checkpoint folder, bf16 weights in f32 arithmetic."""
    tokenizer = Tokenizer(folder)
    model = InternVL(Shape(vocabulary=tokenizer.size))
    model.load_state_dict(read_safetensors(folder / "model.safetensors"))
    return model.to(device).eval(), tokenizer


def main(state: Path, folder: Path) -> None:
    tokenizer = Tokenizer(folder)
    shape = Shape(vocabulary=tokenizer.size)
    tensors = torch.load(state, map_location="cpu")["model"]
    write_safetensors(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config(shape), indent=1) + "\n")
    (folder / "generation_config.json").write_text(json.dumps({"_from_model_config": True, "eos_token_id": [tokenizer.end], "transformers_version": "4.37.2"}) + "\n")
    model, _ = load(folder)
    worst = max(float((p.detach() - tensors[name].float().cpu()).abs().max()) for name, p in model.named_parameters())
    print("parameters", sum(p.numel() for p in model.parameters()), "file bytes", (folder / "model.safetensors").stat().st_size, "largest rounding", worst)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
