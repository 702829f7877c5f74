"""The InternVL2 network: InternViT (LayerNorm), pixel shuffle, mlp1, InternLM2. Module names are the checkpoint's tensor names."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

import layout


@dataclass
class Shape:
    vision_width: int = 256
    vision_layers: int = 6
    vision_heads: int = 4
    vision_inner: int = 1024
    width: int = 320
    layers: int = 6
    heads: int = 5
    key_heads: int = 1
    inner: int = 672
    vocabulary: int = 2216
    rope_base: float = 10000.0


class VisionEmbeddings(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        width = shape.vision_width
        self.class_embedding = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.patch_embedding = nn.Conv2d(3, width, 14, 14)
        self.position_embedding = nn.Parameter(torch.randn(1, 1025, width) * 0.02)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """[n, 3, 448, 448] normalised to [n, 1025, width]. The convolution is a product: each patch is one row, channels first."""
        n = tiles.shape[0]
        patches = tiles.reshape(n, 3, 32, 14, 32, 14).permute(0, 2, 4, 1, 3, 5).reshape(n, 1024, 588)
        x = F.linear(patches, self.patch_embedding.weight.reshape(-1, 588), self.patch_embedding.bias)
        return torch.cat([self.class_embedding.expand(n, -1, -1).to(x.dtype), x], 1) + self.position_embedding.to(x.dtype)


class VisionAttention(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.heads = shape.vision_heads
        self.qkv = nn.Linear(shape.vision_width, 3 * shape.vision_width)
        self.proj = nn.Linear(shape.vision_width, shape.vision_width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, length, width = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return self.proj(attention(q, k, v).transpose(1, 2).reshape(n, length, width))


class VisionFeedForward(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.fc1 = nn.Linear(shape.vision_width, shape.vision_inner)
        self.fc2 = nn.Linear(shape.vision_inner, shape.vision_width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class VisionLayer(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.attn, self.mlp = VisionAttention(shape), VisionFeedForward(shape)
        self.norm1, self.norm2 = nn.LayerNorm(shape.vision_width, 1e-6), nn.LayerNorm(shape.vision_width, 1e-6)
        self.ls1, self.ls2 = nn.Parameter(torch.ones(shape.vision_width)), nn.Parameter(torch.ones(shape.vision_width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.ls1.to(x.dtype) * self.attn(self.norm1(x)).to(x.dtype)
        return x + self.ls2.to(x.dtype) * self.mlp(self.norm2(x)).to(x.dtype)


class RMSNorm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.float()
        return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-5)).to(x.dtype) * self.weight.to(x.dtype)


def attention(q, k, v, causal: bool = False) -> torch.Tensor:
    """[n, heads, length, head width]; the fused kernel where torch has it."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
    if causal:
        scores = scores + torch.full(scores.shape[-2:], -math.inf, device=q.device).triu(1)
    return scores.softmax(-1).to(v.dtype) @ v


def rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Half-split rotary embedding; x [n, heads, length, head width], tables [length, head width / 2]."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, b * cosine + a * sine], -1).to(x.dtype)


class LanguageAttention(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.groups, self.queries = shape.key_heads, shape.heads // shape.key_heads
        self.head = shape.width // shape.heads
        self.wqkv = nn.Linear(shape.width, (shape.heads + 2 * shape.key_heads) * self.head, bias=False)
        self.wo = nn.Linear(shape.heads * self.head, shape.width, bias=False)

    def split(self, x, cosine, sine):
        """Rotated queries and keys, and values: [n, heads or key heads, length, head width]."""
        n, length, _ = x.shape
        # rows of wqkv: for each key head its query heads, then the key, then the value
        y = self.wqkv(x).reshape(n, length, self.groups, self.queries + 2, self.head)
        q = y[..., : self.queries, :].reshape(n, length, -1, self.head).transpose(1, 2)
        k = y[..., self.queries, :].transpose(1, 2)
        v = y[..., self.queries + 1, :].transpose(1, 2)
        return rotate(q, cosine, sine), rotate(k, cosine, sine), v

    def join(self, q, k, v, causal: bool) -> torch.Tensor:
        k, v = k.repeat_interleave(self.queries, 1), v.repeat_interleave(self.queries, 1)
        return self.wo(attention(q, k, v, causal).transpose(1, 2).flatten(2))

    def forward(self, x, cosine, sine) -> torch.Tensor:
        return self.join(*self.split(x, cosine, sine), causal=True)


class LanguageFeedForward(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.w1 = nn.Linear(shape.width, shape.inner, bias=False)
        self.w3 = nn.Linear(shape.width, shape.inner, bias=False)
        self.w2 = nn.Linear(shape.inner, shape.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class LanguageLayer(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.attention, self.feed_forward = LanguageAttention(shape), LanguageFeedForward(shape)
        self.attention_norm, self.ffn_norm = RMSNorm(shape.width), RMSNorm(shape.width)

    def forward(self, x, cosine, sine) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), cosine, sine).to(x.dtype)
        return x + self.feed_forward(self.ffn_norm(x)).to(x.dtype)

    def cached(self, x, cosine, sine, cache):
        """The same for new tokens after those whose keys and values are in `cache`; returns the grown cache too."""
        q, k, v = self.attention.split(self.attention_norm(x), cosine, sine)
        if cache is not None:
            k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
        x = x + self.attention.join(q, k, v, causal=cache is None)
        return x + self.feed_forward(self.ffn_norm(x)), (k, v)


class VisionModel(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.embeddings = VisionEmbeddings(shape)
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(VisionLayer(shape) for _ in range(shape.vision_layers))})

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        x = self.embeddings(tiles)
        for layer in self.encoder["layers"]:
            x = layer(x)
        return x[:, 1:]


class LanguageModel(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.model = nn.ModuleDict({
            "tok_embeddings": nn.Embedding(shape.vocabulary, shape.width),
            "layers": nn.ModuleList(LanguageLayer(shape) for _ in range(shape.layers)),
            "norm": RMSNorm(shape.width),
        })
        self.output = nn.Linear(shape.width, shape.vocabulary, bias=False)
        self.head, self.base = shape.width // shape.heads, shape.rope_base

    def tables(self, length: int, device):
        angle = torch.arange(length, device=device).float()[:, None] * self.base ** (-torch.arange(0, self.head, 2, device=device).float() / self.head)
        return angle.cos(), angle.sin()

    def forward(self, x: torch.Tensor, between: list | None = None) -> torch.Tensor:
        """Embeddings [n, length, width] to normalised states; `between` takes those after two thirds of the layers."""
        cosine, sine = self.tables(x.shape[1], x.device)
        for index, layer in enumerate(self.model["layers"]):
            if between is not None and index == 2 * len(self.model["layers"]) // 3:
                between.append(x)
            x = layer(x, cosine, sine)
        return self.model["norm"](x)


class InternVL(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        for name, values in (("mean", layout.MEAN), ("deviation", layout.DEVIATION)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        self.vision_model = VisionModel(shape)
        self.mlp1 = nn.Sequential(nn.LayerNorm(4 * shape.vision_width), nn.Linear(4 * shape.vision_width, shape.width), nn.GELU(), nn.Linear(shape.width, shape.width))
        self.language_model = LanguageModel(shape)
        self.apply(initialise)
        for layer in self.vision_model.encoder["layers"]:
            nn.init.zeros_(layer.attn.proj.weight)
            nn.init.zeros_(layer.mlp.fc2.weight)
        for layer in self.language_model.model["layers"]:
            nn.init.zeros_(layer.attention.wo.weight)
            nn.init.zeros_(layer.feed_forward.w2.weight)

    def patches(self, tiles: torch.Tensor) -> torch.Tensor:
        """RGB values [n, 3, 448, 448] in 0..255 to patch states [n, 1024, vision width]."""
        mean, deviation = self.mean, self.deviation
        return self.vision_model((tiles.float() / 255 - mean) / deviation)

    def features(self, patches: torch.Tensor) -> torch.Tensor:
        """[n, 1024, vision width] to [n, 256, width]: each 2 x 2 block of patches becomes one token, rows first (v2)."""
        n, _, width = patches.shape
        blocks = patches.reshape(n, 16, 2, 16, 2, width).permute(0, 1, 3, 2, 4, 5).reshape(n, 256, 4 * width)
        return self.mlp1(blocks)

    def states(self, ids: torch.Tensor, features: torch.Tensor | None = None, places: torch.Tensor | None = None, between: list | None = None) -> torch.Tensor:
        """Tokens [n, length], with picture features [tiles, 256, width] at their flat `places`, to states [n, length, width]."""
        x = self.language_model.model["tok_embeddings"](ids)
        if torch.is_autocast_enabled():
            x = x.to(torch.bfloat16)
        if features is not None:
            flat = x.reshape(-1, x.shape[-1]).index_copy(0, places, features.reshape(-1, x.shape[-1]).to(x.dtype))
            x = flat.reshape(x.shape)
        return self.language_model(x, between)


def initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.weight.shape[1] ** -0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.5)
