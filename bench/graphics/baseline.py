"""InternVL2-8B's dimensions in lean PyTorch, bf16, random weights: what `run.mjs` holds the device webgpu against.

Prints one JSON line: milliseconds of the vision tower for 7 tiles, of a prompt of 1,856 tokens, and of one decode step
behind it, without and with a CUDA graph. `--compile` adds torch.compile before the graph, which takes a minute more.
"""

import argparse
import json
import statistics

import torch
import torch.nn.functional as F

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD, INNER, VOCABULARY = 4096, 32, 32, 8, 128, 14336, 92553
TOWER_HIDDEN, TOWER_LAYERS, TOWER_HEADS, TOWER_HEAD, TILE_ROWS = 1024, 24, 16, 64, 1025
PROMPT, LONGEST, TILES = 1856, 2304, 7

torch.manual_seed(0)
torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = True


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16) / 64


def ones() -> torch.Tensor:
    return torch.ones(HIDDEN, device="cuda", dtype=torch.bfloat16)


def median_milliseconds(run, times: int) -> float:
    run()
    run()
    found = []
    for _ in range(times):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        found.append(begin.elapsed_time(end))
    return statistics.median(found)


class Language:
    """The language model with keys and values in one tensor a layer."""

    def __init__(self) -> None:
        self.layers = [
            {
                "norm1": ones(),
                "wqkv": random((HEADS + 2 * KV_HEADS) * HEAD, HIDDEN),
                "wo": random(HIDDEN, HIDDEN),
                "norm2": ones(),
                "w13": random(2 * INNER, HIDDEN),
                "w2": random(HIDDEN, INNER),
                "keys": torch.zeros(1, KV_HEADS, LONGEST, HEAD, device="cuda", dtype=torch.bfloat16),
                "values": torch.zeros(1, KV_HEADS, LONGEST, HEAD, device="cuda", dtype=torch.bfloat16),
            }
            for _ in range(LAYERS)
        ]
        self.embeddings, self.output, self.norm = random(VOCABULARY, HIDDEN), random(VOCABULARY, HIDDEN), ones()
        frequencies = 1e6 ** -(torch.arange(0, HEAD, 2, device="cuda").float() / HEAD)
        angles = torch.outer(torch.arange(LONGEST, device="cuda").float(), frequencies)
        angles = torch.cat([angles, angles], -1)
        self.cos, self.sin = angles.cos().bfloat16(), angles.sin().bfloat16()

    def turn(self, x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        half = HEAD // 2
        return x * self.cos[places] + torch.cat([-x[..., half:], x[..., :half]], -1) * self.sin[places]

    def logits(self, x: torch.Tensor, places: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        rows = x.shape[1]  # x [1, rows, HIDDEN]
        for layer in self.layers:
            normed = F.rms_norm(x, (HIDDEN,), layer["norm1"], 1e-5)
            qkv = F.linear(normed, layer["wqkv"]).view(1, rows, HEADS + 2 * KV_HEADS, HEAD).transpose(1, 2)
            q, k, v = qkv.split([HEADS, KV_HEADS, KV_HEADS], 1)
            q, k = self.turn(q, places), self.turn(k, places)
            layer["keys"].index_copy_(2, places, k)
            layer["values"].index_copy_(2, places, v)
            if mask is None:
                mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            else:
                mixed = F.scaled_dot_product_attention(
                    q, layer["keys"], layer["values"], attn_mask=mask, enable_gqa=True
                )
            x = x + F.linear(mixed.transpose(1, 2).reshape(1, rows, HIDDEN), layer["wo"])
            gate, up = F.linear(F.rms_norm(x, (HIDDEN,), layer["norm2"], 1e-5), layer["w13"]).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, layer["w2"])
        return F.linear(F.rms_norm(x[:, -1:], (HIDDEN,), self.norm, 1e-5), self.output)


def measure_language(compiled: bool) -> dict[str, float]:
    model = Language()
    prompt, places = random(1, PROMPT, HIDDEN), torch.arange(PROMPT, device="cuda")
    found = {"prefillMilliseconds": median_milliseconds(lambda: model.logits(prompt, places, None), 5)}
    token = torch.zeros(1, 1, dtype=torch.long, device="cuda")
    place, all_places = torch.tensor([PROMPT], device="cuda"), torch.arange(LONGEST, device="cuda")

    def step() -> None:
        mask = (all_places <= place).view(1, 1, 1, LONGEST)
        token.copy_(model.logits(model.embeddings[token], place, mask).argmax(-1))
        place.add_(1)

    def graph_of(one) -> torch.cuda.CUDAGraph:
        place.fill_(PROMPT)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                one()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            one()
        place.fill_(PROMPT)
        return graph

    place.fill_(PROMPT)
    found["stepMilliseconds"] = median_milliseconds(step, 10)
    graph = graph_of(step)
    found["graphStepMilliseconds"] = median_milliseconds(graph.replay, 20)
    if compiled:
        graph = graph_of(torch.compile(step, mode="max-autotune-no-cudagraphs", dynamic=False))
        found["compiledStepMilliseconds"] = median_milliseconds(graph.replay, 20)
    return found


def measure_tower() -> float:
    width = TOWER_HIDDEN
    layers = [
        {"qkv": random(3 * width, width), "proj": random(width, width), "fc1": random(4 * width, width), "fc2": random(width, 4 * width)}
        for _ in range(TOWER_LAYERS)
    ]
    tiles = random(TILES, TILE_ROWS, width)

    def run() -> torch.Tensor:
        x = tiles
        for layer in layers:
            qkv = F.linear(F.layer_norm(x, (width,)), layer["qkv"])
            q, k, v = qkv.view(TILES, TILE_ROWS, 3, TOWER_HEADS, TOWER_HEAD).permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(TILES, TILE_ROWS, width)
            x = x + F.linear(mixed, layer["proj"])
            x = x + F.linear(F.gelu(F.linear(F.layer_norm(x, (width,)), layer["fc1"])), layer["fc2"])
        return x

    return median_milliseconds(run, 5)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    with torch.no_grad():
        answer = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
        answer |= {"visionMilliseconds": measure_tower()} | measure_language(options.compile)
    print(json.dumps(answer))
