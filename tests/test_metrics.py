"""metrics.py: the judge's power to tell real from generated, on cases that can be counted by hand."""

import pytest
import torch

from gan_lib.metrics import roc_auc


@pytest.mark.parametrize(
    ("real", "generated", "area"),
    [
        ([0.9, 0.8], [0.1, 0.2, 0.3], 1.0),
        ([0.1, 0.2], [0.8, 0.9], 0.0),
        ([0.5, 0.5], [0.5, 0.5, 0.5], 0.5),  # nothing but ties
        ([0.2, 0.8], [0.4, 0.6], 0.5),  # 2 of 4 pairs in order
        ([0.3, 0.8], [0.2, 0.5], 0.75),  # 3 of 4
        ([0.4, 0.8], [0.4, 0.1], 0.875),  # 3 of 4, and a tie counts half
        ([0.6], [0.1, 0.2, 0.3, 0.7], 0.75),  # groups of different size
    ],
)
def test_the_area_is_the_share_of_pairs_in_order(real: list[float], generated: list[float], area: float) -> None:
    found = roc_auc(torch.tensor(real), torch.tensor(generated))
    assert isinstance(found, float)
    assert found == pytest.approx(area, abs=1e-6)


def test_the_area_does_not_depend_on_the_threshold_or_on_the_order_of_the_images() -> None:
    draw = torch.Generator().manual_seed(1)
    real, generated = torch.rand(50, generator=draw), torch.rand(70, generator=draw)
    pairs = (real.view(-1, 1) > generated.view(1, -1)).float().mean().item()
    assert roc_auc(real, generated) == pytest.approx(pairs, abs=1e-6)
    assert roc_auc(real.flip(0) ** 3, generated.flip(0) ** 3) == pytest.approx(pairs, abs=1e-6)
