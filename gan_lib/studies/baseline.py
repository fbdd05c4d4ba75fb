"""The baseline of bench: the training loop and the networks that a PyTorch user writes after the common tutorials."""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from gan_lib.config import RunConfig
from gan_lib.errors import ConfigurationError
from gan_lib.registry import MODELS, resolve


class Baseline:
    """The step that a PyTorch user writes after the common tutorials: eager, float32, a DataLoader, two passes through D,
    plain Adam, gradients for both networks in the generator's step, a number fetched from the device after each.

    Same networks, same batch, same fresh noise for the generator's step as ours. Kept here to be compared with, not to be used.
    """

    def __init__(self, config: RunConfig, images: Tensor, compiled: bool = False) -> None:
        """compiled: both networks by torch.compile, which needs a C++ compiler and about a minute."""
        self.config, self.device = config, images.device
        self.generator, self.discriminator = (network.to(self.device) for network in plain_networks(config))
        if compiled:
            self.generator.compile()
            self.discriminator.compile()
        self.loader = DataLoader(TensorDataset(images.cpu()), batch_size=config.batch_size, shuffle=True)
        betas = (config.adam_beta1, config.adam_beta2)
        self.generator_adam = torch.optim.Adam(self.generator.parameters(), lr=config.learning_rate, betas=betas)
        self.discriminator_adam = torch.optim.Adam(self.discriminator.parameters(), lr=config.learning_rate, betas=betas)
        self.criterion = nn.BCEWithLogitsLoss()

    def train_epoch(self) -> tuple[float, float]:
        """One pass over the images; returns the sums of D's and G's losses over the batches."""
        d_total = g_total = 0.0
        for (batch,) in self.loader:
            real = batch.to(self.device)
            ones, zeros = (torch.full((len(real), 1), value, device=self.device) for value in (1.0, 0.0))
            self.discriminator_adam.zero_grad()
            generated = self.generator(self._latents(len(real)))
            d_real = self.criterion(self.discriminator(real), ones)
            d_generated = self.criterion(self.discriminator(generated.detach()), zeros)
            d_loss = (d_real + d_generated) / 2
            d_loss.backward()
            self.discriminator_adam.step()
            self.generator_adam.zero_grad()
            g_loss = self.criterion(self.discriminator(self.generator(self._latents(len(real)))), ones)
            g_loss.backward()
            self.generator_adam.step()
            d_total += d_loss.item()
            g_total += g_loss.item()
        return d_total, g_total

    def _latents(self, count: int) -> Tensor:
        return torch.rand(count, self.config.latent_size, device=self.device) * 2 - 1


def plain_networks(config: RunConfig) -> tuple[nn.Module, nn.Module]:
    """A model's layers from PyTorch's own shelf: generator and discriminator. Raises ConfigurationError where it has none."""
    plain = MODELS[config.model].plain
    if plain is None:
        raise ConfigurationError(f"model {config.model} has no plain networks to compare with (plain, in its registry entry)")
    networks: tuple[nn.Module, nn.Module] = resolve(plain)(config)
    return networks


def plain_gan(config: RunConfig) -> tuple[nn.Module, nn.Module]:
    """GAN's layers from PyTorch's own shelf, in float32."""
    slope, values = config.leaky_slope, config.channels * config.image_size**2
    generator: list[nn.Module] = []
    for inputs, outputs in ((config.latent_size, 256), (256, 512), (512, 1024)):
        generator += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.LeakyReLU(slope)]
    discriminator: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in ((values, 1024), (1024, 512), (512, 256)):
        discriminator += [nn.Linear(inputs, outputs), nn.LeakyReLU(slope), nn.Dropout(config.dropout)]
    generator += [nn.Linear(1024, values), nn.Tanh(), nn.Unflatten(1, config.image_shape)]
    return nn.Sequential(*generator), nn.Sequential(*discriminator, nn.Linear(256, 1))


def plain_cgan(config: RunConfig) -> tuple[nn.Module, nn.Module]:
    """CGAN's layers from PyTorch's own shelf, in float32 and with channels first."""
    slope, dropout, channels, quarter = config.leaky_slope, config.dropout, config.channels, config.image_size // 4
    return nn.Sequential(
        nn.Linear(config.latent_size, 256 * quarter**2), nn.ReLU(), nn.BatchNorm1d(256 * quarter**2), nn.ReLU(),
        nn.Unflatten(1, (256, quarter, quarter)),
        nn.ConvTranspose2d(256, 128, 5, 1, 2), nn.BatchNorm2d(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, channels, 4, 2, 1), nn.Tanh(),
    ), nn.Sequential(
        nn.Conv2d(channels, 64, 4, 2, 1), nn.LeakyReLU(slope), nn.Dropout(dropout),
        nn.Conv2d(64, 128, 4, 2, 1), nn.LeakyReLU(slope), nn.Dropout(dropout),
        nn.Flatten(), nn.Linear(128 * quarter**2, 1),
    )  # fmt: skip
