"""Trains the built-in model on what the generator draws, for a given time, from a start to an end of the schedule.

usage: train.py --seconds 540 --begin 0 --end 0.5 --out FOLDER [--resume FOLDER] [--compile]
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import layout
from export import read_safetensors
from feed import Feed
from generator.canvas import MARKS
from generator.samples import IGNORED
from model import InternVL, Shape
from muon import Muon
from tokenizer import Tokenizer

FOLDER = Path(__file__).resolve().parents[1] / "models" / "demo"


def augmented(tiles: torch.Tensor) -> torch.Tensor:
    """Mild noise and changes of light, each picture its own. [n, tiles, 3, 448, 448] in 0..255."""
    n = tiles.shape[0]
    def some(share, low, high):
        values = torch.rand(n, 1, 1, 1, 1, device=tiles.device) * (high - low) + low
        return values * (torch.rand_like(values) < share), values
    noise, _ = some(0.35, 1.0, 12.0)
    shift, _ = some(0.4, -12.0, 12.0)
    stretch, _ = some(0.4, -0.12, 0.08)
    tiles = tiles.float()
    tiles = (tiles - 128) * (1 + stretch) + 128 + shift
    return (tiles + noise * torch.randn_like(tiles)).round().clamp(0, 255)


def changes(tiles: torch.Tensor) -> torch.Tensor:
    """Pairs of pictures [2 n, tiles, 3, 448, 448] in 0..255 to [n, tiles * 256]: 1 where what one token shows differs between the two,
    0 where it is the same, -1 where an edge leaves it open."""
    first, second = tiles.unflatten(0, (-1, 2)).unbind(1)
    apart = (first.float() - second.float()).abs().amax(2).flatten(0, 1)
    mean = F.avg_pool2d(apart[:, None], 28).reshape(first.shape[0], -1)
    return torch.where(mean > 4, 1.0, torch.where(mean < 0.5, 0.0, -1.0))


def schedule(step: int, progress: float) -> float:
    """Warm-up (again after the optimiser's state was lost), a plateau for a quarter of the time, then straight down to zero."""
    return min(1.0, (step + 1) / 200) * min(1.0, max(0.0, (1 - progress) / 0.75))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--begin", type=float, default=0.0)
    parser.add_argument("--end", type=float, default=1.0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=13)
    parser.add_argument("--chunks", type=int, default=3, help="chunks of about 128 tiles in a step")
    parser.add_argument("--matrix-rate", type=float, default=0.012)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--profile", action="store_true", help="print where the time of steps 60 to 70 goes")
    parser.add_argument("--steps", type=int, default=10**9)
    options = parser.parse_args()
    began = time.time()
    feed = Feed(options.seed, str(FOLDER), options.workers)
    feed.progress.value = options.begin
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(options.seed)
    torch.backends.cuda.matmul.allow_tf32 = True
    tokenizer = Tokenizer(FOLDER)
    model = InternVL(Shape(vocabulary=tokenizer.size)).to(device)
    head = torch.nn.Linear(model.shape.vision_width, MARKS).to(device)  # names what each patch shows; not part of the model
    inside = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name or name in ("mlp1.1.weight", "mlp1.3.weight")]
    change_head = torch.nn.Linear(model.shape.width, 1).to(device)  # tells where the second of two pictures differs; not part of the model
    aids = [*head.parameters(), *change_head.parameters()]
    chosen = set(map(id, inside))
    others = [p for p in [*model.parameters(), *aids] if id(p) not in chosen]
    muon = Muon(inside, options.matrix_rate)
    adam = torch.optim.AdamW(others, lr=options.rate, betas=(0.9, 0.95), weight_decay=0.0, **({"fused": True} if device.type == "cuda" else {}))
    step = 0
    if options.resume and options.resume.suffix == ".safetensors":  # weights alone, when the optimiser's state is lost
        model.load_state_dict({name: tensor.to(device) for name, tensor in read_safetensors(options.resume).items()})
    elif options.resume:
        saved = torch.load(options.resume / "state.pt", map_location=device)
        model.load_state_dict(saved["model"])
        head.load_state_dict(saved["head"])
        change_head.load_state_dict(saved["change_head"])
        for kept, moving in zip(saved["muon"], muon.state()):
            moving.copy_(kept)
        adam.load_state_dict(saved["adam"])
        step = saved["step"]
    first_step = step
    feed.start(device)
    if options.compile:
        torch._dynamo.config.recompile_limit = 64
        for layer in model.vision_model.encoder["layers"]:
            layer.compile(dynamic=False)
        for layer in model.language_model.model["layers"]:
            layer.compile(dynamic=True)
        muon.orthogonal = torch.compile(muon.orthogonal, dynamic=False)
    room = 128 * options.chunks
    options.out.mkdir(parents=True, exist_ok=True)
    log = open(options.out / "log.jsonl", "a")
    mark_weights = torch.ones(MARKS, device=device)
    mark_weights[0] = 0.1
    def save() -> None:
        torch.save({"model": model.state_dict(), "head": head.state_dict(), "change_head": change_head.state_dict(), "muon": muon.state(), "adam": adam.state_dict(), "step": step}, options.out / "state.new")
        (options.out / "state.new").replace(options.out / "state.pt")  # another process may read the last whole one

    total_waited = 0.0
    since, tiles_since, losses, pair_losses = time.time(), 0, [], []
    while step - first_step < options.steps:
        if options.profile and step - first_step == 60:
            profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA])
            profiler.__enter__()
        if options.profile and step - first_step == 70:
            torch.cuda.synchronize()
            profiler.__exit__(None, None, None)
            print(profiler.key_averages().table(sort_by="self_cuda_time_total", row_limit=24, max_name_column_width=60))
            print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=60))
        spent = time.time() - began
        share = min(1.0, spent / options.seconds)
        if share >= 1:
            break
        progress = options.begin + (options.end - options.begin) * share
        feed.progress.value = progress
        waiting = time.time()
        chunks = []
        while sum(tiles > 0 for _, _, tiles in chunks) < options.chunks:
            chunks.append(feed.ready.get())
            if device.type == "cuda":
                for tensor in chunks[-1][0]:
                    tensor.record_stream(torch.cuda.current_stream())  # copied on another stream: its memory must outlive this step
        total_waited += time.time() - waiting
        with torch.no_grad():
            drawn, changed = [], []
            for tensors, grid, tiles in chunks:
                changed.append(None)
                if tiles:
                    blur = float(torch.rand(())) * 1.1 if float(torch.rand(())) < 0.25 else 0.0
                    pixels = tensors[0].permute(0, 3, 1, 2).to(torch.float16 if device.type == "cuda" else torch.float32)
                    clean = layout.tiles_of(pixels, grid, blur)
                    if clean.shape[0] == 2 * tensors[2].shape[0]:
                        changed[-1] = changes(clean)
                    drawn.append(augmented(clean).to(torch.uint8).reshape(-1, 3, layout.TILE, layout.TILE))
            pixels = torch.cat(drawn)
            marks = torch.cat([tensors[1] for tensors, _, tiles in chunks if tiles]).long()
            count = pixels.shape[0]
            if count < room:
                pixels = torch.cat([pixels, pixels.new_zeros(room - count, 3, layout.TILE, layout.TILE)])
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            patches = model.patches(pixels)[:count]
            features = model.features(patches)
            mark_loss = F.cross_entropy(head(patches).float().reshape(-1, MARKS), marks.reshape(-1), mark_weights, ignore_index=IGNORED)
            total = weight = 0.0
            at, parts, change_losses = 0, {}, []
            for (tensors, _, tiles), apart in zip(chunks, changed):
                _, _, ids, weights, targets, places = tensors
                ids = ids.long()
                taken = tiles * ids.shape[0]
                between: list = []
                states = model.states(ids, *((features[at : at + taken], places) if taken else (None, None)), between)
                at += taken
                if apart is not None:
                    second = between[0].flatten(0, 1)[places.unflatten(0, (ids.shape[0], 2, -1))[:, 1]]
                    told = change_head(F.layer_norm(second, second.shape[-1:])).float()[..., 0]
                    change_losses.append(F.binary_cross_entropy_with_logits(told, apart.clamp(0), (apart >= 0) * (1 + 3 * apart.clamp(0))))
                logits = model.language_model.output(states.reshape(-1, states.shape[-1]).index_select(0, targets)).float()
                wanted = ids.reshape(-1)[targets + 1]
                heavy = weights.reshape(-1)[targets + 1]
                loss = F.cross_entropy(logits, wanted, reduction="none")
                total = total + (loss * heavy).sum()
                weight = weight + heavy.sum()
                parts.setdefault(tiles, []).append((loss.detach().mean(), (logits.detach().argmax(-1) == wanted).float().mean()))
            text_loss = total / weight
            change_loss = torch.stack(change_losses).mean() if change_losses else 0.0 * text_loss
            loss = text_loss + (0.4 * (1 - progress) ** 2 + 0.02) * mark_loss + (0.4 * (1 - progress) + 0.05) * change_loss
        loss.backward()
        scale = schedule(step, progress)
        muon.step(scale)
        for group in adam.param_groups:
            group["lr"] = options.rate * scale
        adam.step()
        for parameter in (*model.parameters(), *aids):
            parameter.grad = None
        step += 1
        if step % 1000 == 0:
            save()
        tiles_since += count
        losses.append((text_loss.detach(), mark_loss.detach()))
        pair_losses.extend(part.detach() for part in change_losses)
        if step % 50 == 0 or step - first_step in (1, 5, 20):
            text, mark = (float(torch.stack([pair[i] for pair in losses]).mean()) for i in (0, 1))
            now = time.time()
            entry = {"step": step, "progress": round(progress, 4), "seconds": round(spent, 1), "loss": round(text, 4), "marks": round(mark, 4), "changes": round(float(torch.stack(pair_losses).mean()), 4) if pair_losses else None, "rate": round(scale, 4),
                     "tiles_per_second": round(tiles_since / (now - since)), "waited": round(total_waited, 1), "ready": feed.ready.qsize(),
                     "accuracy": {str(k): round(float(torch.stack([a for _, a in v]).mean()), 4) for k, v in sorted(parts.items())}}
            if not text < 20:
                raise SystemExit(f"the loss is {text} at step {step}")
            log.write(json.dumps(entry) + "\n")
            log.flush()
            print(json.dumps(entry), flush=True)
            since, tiles_since, losses, pair_losses = now, 0, [], []
    feed.stop()
    save()
    print("trained", step, "steps;", round(time.time() - began), "s", flush=True)


if __name__ == "__main__":
    main()
