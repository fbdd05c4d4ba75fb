"""Augmentation of all images that the discriminator sees, real and generated alike: it helps where images are few.

Differentiable, so that the generator learns through it, and never a flip: a mirrored digit is none. Zhao et al. 2020
(DiffAugment), Karras et al. 2020 (ADA). What is moved in from outside has the value of the image's nearest border.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(images: Tensor, kind: str, pixels: int, random: torch.Generator) -> Tensor:
    """Images (N, C, S, S), each changed by a draw of its own; unchanged for kind "none".

    kind: "shift" by up to `pixels` each way, "affine" (turns, stretches and shears that move a corner by about `pixels`), or
    "cutout" (a grey square of 2 * pixels a side).
    """
    if kind == "none":
        return images
    return {"shift": shift, "affine": affine, "cutout": cut_out}[kind](images, pixels, random)


def shift(images: Tensor, pixels: int, random: torch.Generator) -> Tensor:
    """Move each image by a whole number of pixels, at most `pixels` up or down and left or right."""
    count, _, height, width = images.shape
    moves = torch.randint(-pixels, pixels + 1, (2, count, 1), generator=random, device=images.device)
    rows = (torch.arange(height, device=images.device) + moves[0]).clamp_(0, height - 1)  # (N, S)
    columns = (torch.arange(width, device=images.device) + moves[1]).clamp_(0, width - 1)
    one = torch.arange(count, device=images.device)[:, None, None]
    # (N, S, S, C) by indexing, and back to (N, C, S, S): the channels stay last in memory
    return images.permute(0, 2, 3, 1)[one, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def affine(images: Tensor, pixels: int, random: torch.Generator) -> Tensor:
    """Turn, stretch, shear and move each image a little; bilinear in between."""
    count, _, height, _ = images.shape
    draws = torch.rand(count, 6, generator=random, device=images.device).mul_(2).sub_(1)  # (N, 6) in [-1, 1]
    identity = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], device=images.device)
    grids = identity + draws.view(count, 2, 3) * (pixels / height)
    where = F.affine_grid(grids, list(images.shape), align_corners=False)
    moved = F.grid_sample(images.float(), where, mode="bilinear", padding_mode="border", align_corners=False)
    return moved.to(images.dtype)


def cut_out(images: Tensor, pixels: int, random: torch.Generator) -> Tensor:
    """Set a square of each image to 0, the middle grey; it may reach over the border."""
    count, _, height, width = images.shape
    centres = torch.rand(2, count, 1, generator=random, device=images.device)
    rows = (torch.arange(height, device=images.device) - centres[0] * height).abs() < pixels  # (N, S)
    columns = (torch.arange(width, device=images.device) - centres[1] * width).abs() < pixels
    return images.masked_fill((rows[:, :, None] & columns[:, None, :]).unsqueeze(1), 0.0)
