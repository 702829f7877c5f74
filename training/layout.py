"""Where pixels and tokens go: dynamic tiling, Pillow's bicubic resize as two matrices, prompts of the internlm2-chat template."""

import math

import torch

TILE = 448
TOKENS_PER_TILE = 256
SYSTEM = "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


def choose_grid(width: int, height: int, most: int) -> tuple[int, int]:
    """Columns and rows of the grid whose aspect ratio is nearest; a tie goes to the larger area if the picture fills half of it."""
    grids = sorted(((i, j) for i in range(1, most + 1) for j in range(1, most + 1) if i * j <= most), key=lambda grid: grid[0] * grid[1])
    best, nearest = (1, 1), math.inf
    for columns, rows in grids:
        distance = abs(width / height - columns / rows)
        if distance < nearest:
            best, nearest = (columns, rows), distance
        elif distance == nearest and width * height > 0.5 * TILE * TILE * columns * rows:
            best = (columns, rows)
    return best


def tile_count(grid: tuple[int, int]) -> int:
    """Tiles of a picture, the thumbnail included."""
    count = grid[0] * grid[1]
    return count + 1 if count > 1 else 1


def resize_weights(size: int, wanted: int, device: torch.device) -> torch.Tensor:
    """Pillow's bicubic weights for one axis as a matrix [wanted, size]: kernel a = -0.5, widened when shrinking."""
    scale = size / wanted
    widening = max(scale, 1.0)
    centre = (torch.arange(wanted, device=device, dtype=torch.float64) + 0.5)[:, None] * scale
    at = torch.arange(size, device=device, dtype=torch.float64)[None]
    x = ((at - centre + 0.5) / widening).abs()
    weight = torch.where(x < 1, (1.5 * x - 2.5) * x * x + 1, torch.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, torch.zeros_like(x)))
    inside = (at >= (centre - 2 * widening + 0.5).floor()) & (at < (centre + 2 * widening + 0.5).floor())
    weight = weight * inside
    return weight / weight.sum(1, keepdim=True)


def resize(pictures: torch.Tensor, width: int, height: int, blur: float = 0.0) -> torch.Tensor:
    """[n, 3, h, w] in 0..255 to [n, 3, height, width], rounded after each pass as Pillow does."""
    def weights(size, wanted):
        matrix = resize_weights(size, wanted, pictures.device)
        if blur > 0:
            at = torch.arange(wanted, device=pictures.device, dtype=torch.float64)
            kernel = torch.exp(-0.5 * ((at[:, None] - at[None]) / blur) ** 2)
            matrix = ((kernel / kernel.sum(1, keepdim=True)).float() @ matrix.float())
        return matrix.to(pictures.dtype)
    n, _, h, w = pictures.shape
    across = (pictures.reshape(n * 3 * h, w) @ weights(w, width).t()).round_().clamp_(0, 255)
    down = torch.matmul(weights(h, height), across.reshape(n * 3, h, width)).round_().clamp_(0, 255)
    return down.reshape(n, 3, height, width)


def tiles_of(pictures: torch.Tensor, grid: tuple[int, int], blur: float = 0.0) -> torch.Tensor:
    """[n, 3, h, w] to [n, tiles, 3, 448, 448]: the grid row by row, then the thumbnail."""
    columns, rows = grid
    n = pictures.shape[0]
    whole = resize(pictures, TILE * columns, TILE * rows, blur)
    tiles = whole.reshape(n, 3, rows, TILE, columns, TILE).permute(0, 2, 4, 1, 3, 5).reshape(n, rows * columns, 3, TILE, TILE)
    if columns * rows == 1:
        return tiles
    return torch.cat([tiles, resize(pictures, TILE, TILE, blur)[:, None]], 1)


def picture_tokens(tiles: int) -> str:
    return "<img>" + "<IMG_CONTEXT>" * (TOKENS_PER_TILE * tiles) + "</img>"


def with_pictures(question: str, tiles: list[int], form: str) -> str:
    """Puts pictures before the first question: "one", "numbered", "bare", "combined" or "frames"."""
    if not tiles:
        return question
    if form == "combined" or form == "one":
        return picture_tokens(sum(tiles)) + "\n" + question
    if form == "bare":
        return "".join(picture_tokens(count) + "\n" for count in tiles) + question
    name = {"numbered": "Image-{}: ", "frames": "Frame{}: "}[form]
    return "".join(name.format(index + 1) + picture_tokens(count) + "\n" for index, count in enumerate(tiles)) + question


def opening() -> str:
    return f"<|im_start|>system\n{SYSTEM}<|im_end|>"


def asked(question: str) -> str:
    return f"<|im_start|>user\n{question}<|im_end|><|im_start|>assistant\n"
