"""Augment all images that the discriminator sees, real and generated: it helps with few training images.

Differentiable, so that the generator learns through it. Without flips, which would change digits. Zhao et al. 2020
(DiffAugment), Karras et al. 2020 (ADA). Pixels from outside the image have the value of its nearest border.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(images: Tensor, kind: str, pixels: int, random: torch.Generator) -> Tensor:
    """Augment each image (N, C, S, S) at random; kind "none" changes nothing.

    kind: "shift" by up to `pixels` each way, "affine" (rotation, scale and shear that move a corner by about `pixels`), or
    "cutout" (a grey square of 2 * pixels a side).
    """
    return images if kind == "none" else {"shift": shift, "affine": affine, "cutout": cut_out}[kind](images, pixels, random)


def shift(images: Tensor, pixels: int, random: torch.Generator) -> Tensor:
    """Move each image by a whole number of pixels, at most `pixels` up or down and left or right."""
    count, channels, side, _ = images.shape
    moves = torch.randint(-pixels, pixels + 1, (2, count, 1), generator=random, device=images.device)
    rows, columns = (torch.arange(side, device=images.device) + moves).clamp_(0, side - 1)  # (N, S) each
    last = images.permute(0, 2, 3, 1)  # (N, S, S, C): the channels stay last in memory
    if images.is_cuda:  # where the gradient of gather adds in any order
        one = torch.arange(count, device=images.device)[:, None, None]
        return last[one, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    places = (rows[:, :, None] * side + columns[:, None, :]).view(count, -1, 1).expand(-1, -1, channels)  # (N, S*S, C)
    return last.reshape(count, -1, channels).gather(1, places).view(last.shape).permute(0, 3, 1, 2)


def affine(images: Tensor, pixels: int, random: torch.Generator) -> Tensor:
    """Rotate, scale, shear and move each image a little, with bilinear interpolation."""
    count, _, side, _ = images.shape
    draws = torch.rand(count, 6, generator=random, device=images.device).mul_(2).sub_(1)  # (N, 6) in [-1, 1]
    maps = torch.eye(2, 3, device=images.device) + draws.view(count, 2, 3) * (pixels / side)
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    moved = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return moved.to(images.dtype)


def cut_out(images: Tensor, pixels: int, random: torch.Generator) -> Tensor:
    """Set a square of each image to 0, the middle grey; it may reach over the border."""
    count, side = len(images), images.shape[-1]
    centres = torch.rand(2, count, 1, generator=random, device=images.device) * side
    rows, columns = (torch.arange(side, device=images.device) - centres).abs() < pixels  # (N, S) each
    return images.masked_fill((rows[:, :, None] & columns[:, None, :]).unsqueeze(1), 0.0)
