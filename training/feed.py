"""Workers draw chunks into shared memory; a thread copies them to the device ahead of the training step."""

import mmap
import multiprocessing
import queue
import threading
import traceback
from pathlib import Path

import numpy as np
import torch

from generator.canvas import World
from generator.samples import Encoder, chunk
from tokenizer import Tokenizer

SLOT = 192 << 20


def draw(number: int, seed: int, folder: str, slots, free, full, progress) -> None:
    encoder = Encoder(Tokenizer(Path(folder)))
    torch.set_num_threads(1)
    count = 0
    while True:
        slot = free.get()
        world = World(seed * 1_000_003 + number * 10_000_019 + count)
        world.counts = 2
        count += 1
        try:
            drawn = chunk(world, encoder, progress.value)
        except Exception:  # one odd scene must not stop the training; the log shows it
            traceback.print_exc()
            free.put(slot)
            continue
        arrays = (drawn.pictures, drawn.marks, drawn.ids, drawn.weights)
        at, places = 0, []
        for array in arrays:
            end = at + array.nbytes
            if end > SLOT:
                break
            np.frombuffer(slots[slot], np.uint8, array.nbytes, at)[:] = array.reshape(-1).view(np.uint8) if array.size else 0
            places.append((at, array.shape, str(array.dtype)))
            at = -(-end // 64) * 64
        if len(places) < len(arrays):
            free.put(slot)
            continue
        full.put((slot, places, drawn.grid, drawn.tiles))


class Feed:
    """Yields chunks as device tensors. Make it before the device is touched: the workers are forked."""

    def __init__(self, seed: int, folder: str, workers: int, depth: int = 26):
        context = multiprocessing.get_context("fork")
        self.picture = Tokenizer(Path(folder)).picture
        self.slots = [mmap.mmap(-1, SLOT) for _ in range(depth)]
        self.free, self.full = context.Queue(), context.Queue()
        self.progress = context.Value("d", 0.0)
        for slot in range(depth):
            self.free.put(slot)
        self.workers = [context.Process(target=draw, args=(number, seed, folder, self.slots, self.free, self.full, self.progress), daemon=True) for number in range(workers)]
        for worker in self.workers:
            worker.start()
        self.ready: queue.Queue = queue.Queue(maxsize=8)

    def start(self, device: torch.device) -> None:
        if device.type == "cuda":
            for slot in self.slots:  # page-locked, so that copies run beside the computation
                address = np.frombuffer(slot, np.uint8).ctypes.data
                torch.cuda.cudart().cudaHostRegister(address, SLOT, 0)
        threading.Thread(target=self.copy, args=(device,), daemon=True).start()

    def copy(self, device: torch.device) -> None:
        stream = torch.cuda.Stream() if device.type == "cuda" else None
        while True:
            slot, places, grid, tiles = self.full.get()
            arrays = [np.frombuffer(self.slots[slot], kind, int(np.prod(shape)), at).reshape(shape) for at, shape, kind in places]
            targets = np.nonzero(arrays[3][:, 1:])
            targets = torch.from_numpy(targets[0] * arrays[3].shape[1] + targets[1])  # positions whose next token is trained
            places_of_features = torch.from_numpy(np.flatnonzero(arrays[2] == self.picture))
            tensors = [torch.from_numpy(array) for array in arrays] + [targets, places_of_features]
            if stream is None:
                tensors = [tensor.clone() for tensor in tensors]
            else:
                with torch.cuda.stream(stream):
                    tensors = [tensor.to(device, non_blocking=True) for tensor in tensors]
                stream.synchronize()
            self.free.put(slot)
            self.ready.put((tensors, grid, tiles))

    def stop(self) -> None:
        for worker in self.workers:
            worker.terminate()
