"""Greedy answers, many questions at a time: bf16 weights, f32 arithmetic."""

import numpy as np
import torch
from PIL import Image

import layout
from model import InternVL
from tokenizer import Tokenizer


def tiles_of_image(image: Image.Image, most: int) -> np.ndarray:
    """Dynamic tiling with Pillow itself: [tiles, 3, 448, 448]."""
    image = image.convert("RGB")
    columns, rows = layout.choose_grid(*image.size, most)
    size = layout.TILE
    whole = np.asarray(image.resize((size * columns, size * rows), Image.BICUBIC))
    tiles = [whole[r * size : (r + 1) * size, c * size : (c + 1) * size] for r in range(rows) for c in range(columns)]
    if len(tiles) > 1:
        tiles.append(np.asarray(image.resize((size, size), Image.BICUBIC)))
    return np.stack(tiles).transpose(0, 3, 1, 2).copy()


@torch.no_grad()
def features_of(model: InternVL, tiles: np.ndarray, batch: int = 64) -> torch.Tensor:
    device = next(model.parameters()).device
    return torch.cat([model.features(model.patches(torch.from_numpy(tiles[at : at + batch]).to(device))) for at in range(0, len(tiles), batch)])


@torch.no_grad()
def greedy(model: InternVL, tokenizer: Tokenizer, prompts: list[list[int]], features: list[torch.Tensor | None], most: int = 120) -> list[list[int]]:
    """Prompts of one batch, padded at the right; no cache, since the states are cheap beside the pictures."""
    device = next(model.parameters()).device
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    ids = torch.zeros(len(prompts), max(map(len, prompts)) + most, dtype=torch.long, device=device)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt, device=device)
    given = [part for part in features if part is not None]
    joined = torch.cat(given) if given else None
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    rows = torch.arange(len(prompts), device=device)
    ends = lengths.clone()
    for _ in range(most):
        known = ids[:, : int(ends.max())]
        places = (known == tokenizer.picture).reshape(-1).nonzero()[:, 0]
        states = model.states(known, joined, places) if joined is not None else model.states(known)
        chosen = model.language_model.output(states[rows, ends - 1]).argmax(-1)
        done |= chosen == tokenizer.end
        ids[rows[~done], ends[~done]] = chosen[~done]
        ends[~done] += 1
        if bool(done.all()):
            break
    return [ids[row, lengths[row] : ends[row]].tolist() for row in range(len(prompts))]


@torch.no_grad()
def read(model: InternVL, cache: list, ids: list[int], features: torch.Tensor | None = None, picture: int = -1) -> tuple[list, int]:
    """Tokens after those whose keys and values are in `cache`: the grown cache, and the likeliest next token."""
    language = model.language_model
    begun = cache[0] is not None
    for part in [[token] for token in ids] if begun else [ids]:  # the causal mask is of whole prompts alone
        at = cache[0][0].shape[2] if cache[0] is not None else 0
        tokens = torch.tensor([part])
        x = language.model["tok_embeddings"](tokens)
        if features is not None:
            x[tokens == picture] = features.reshape(-1, x.shape[-1])
        cosine, sine = language.tables(at + len(part), x.device)
        grown = []
        for layer, kept in zip(language.model["layers"], cache):
            x, kept = layer.cached(x, cosine[at:], sine[at:], kept)
            grown.append(kept)
        cache = grown
    return cache, int(language.output(language.model["norm"](x[:, -1])).argmax())


def greedy_with_cache(model: InternVL, tokenizer: Tokenizer, prompts: list[list[int]], features: torch.Tensor | None, most: int = 120) -> list[list[int]]:
    """Prompts about the same pictures, what they begin with in common read once: for a machine without a GPU."""
    same = min(map(len, prompts)) - 1
    for prompt in prompts[1:]:
        same = next((i for i in range(same) if prompt[i] != prompts[0][i]), same)
    begun, _ = read(model, [None] * model.shape.layers, prompts[0][:same], features, tokenizer.picture)
    answers = []
    for prompt in prompts:
        cache, chosen = read(model, begun, prompt[same:])
        answer: list[int] = []
        while chosen != tokenizer.end and len(answer) < most:
            answer.append(chosen)
            cache, chosen = read(model, cache, [chosen])
        answers.append(answer)
    return answers
