"""Muon for the matrices inside layers (Jordan et al. 2024: momentum, made orthogonal by a Newton-Schulz iteration), AdamW for the rest."""

from collections import defaultdict

import torch


def orthogonal(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """[k, rows, columns] to nearly orthogonal matrices with the same row and column spaces."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.to(torch.bfloat16)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.transpose(-1, -2)
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True).to(x.dtype) + 1e-7)
    for _ in range(steps):
        gram = x @ x.transpose(-1, -2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(-1, -2) if tall else x


class Muon:
    """`matrices`: parameters of two axes. All of one shape are updated in one batch."""

    def __init__(self, matrices: list[torch.nn.Parameter], rate: float, momentum: float = 0.95, decay: float = 0.02):
        self.rate, self.momentum, self.decay = rate, momentum, decay
        groups = defaultdict(list)
        for parameter in matrices:
            groups[tuple(parameter.shape)].append(parameter)
        self.groups = [(parameters, torch.zeros(len(parameters), *shape, device=parameters[0].device)) for shape, parameters in groups.items()]
        self.orthogonal = orthogonal

    @torch.no_grad()
    def step(self, scale: float) -> None:
        for parameters, moving in self.groups:
            gradient = torch.stack([parameter.grad for parameter in parameters])
            moving.lerp_(gradient, 1 - self.momentum)
            update = self.orthogonal(gradient.lerp(moving, self.momentum))
            rows, columns = parameters[0].shape
            rate = self.rate * scale
            length = max(1.0, rows / columns) ** 0.5
            torch._foreach_mul_(parameters, 1 - rate * self.decay)
            torch._foreach_add_(parameters, [part.to(parameters[0].dtype) for part in update.unbind()], alpha=-rate * length)

    def state(self) -> list[torch.Tensor]:
        return [moving for _, moving in self.groups]
