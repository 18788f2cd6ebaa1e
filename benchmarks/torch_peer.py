"""The same GANs in plain PyTorch, as a PyTorch engineer would write them for speed.

What they do is what a `Config` says, so they serve every recipe whose parts they know: losses and
parameters after a step are those of gan_jax from the same weights, rows and latents, to float32
rounding (`tests/test_torch_parity.py`). Rows lie in memory as float32, ready scaled; one pass
through the generator serves both players; the discriminator is frozen while the generator moves.

Precisions are PyTorch's own: `float32` and `tf32` say how it multiplies matrices, for the whole
process; `bfloat16` is autocast around the networks' passes, with losses, penalties and parameters
in float32.
"""

import contextlib
import functools
import math
from collections.abc import Mapping

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn.functional import one_hot, silu, softplus  # pyright: ignore[reportMissingImports]

from gan_jax.config import Config, DiscriminatorConfig, GeneratorConfig, OptimizerConfig


class LeakySiLU(nn.Module):
    """gan_jax's `leaky_silu`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As smooth as SiLU, with a slope of 0.1 on the left."""
        return 0.1 * x + 0.9 * silu(x)


ACTIVATIONS = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "leaky_silu": LeakySiLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.1),
    "tanh": nn.Tanh,
    "identity": nn.Identity,
}
MATMUL_PRECISION = {"float32": "highest", "tf32": "high", "bfloat16": "highest"}


def mlp(inputs: int, outputs: int, c: GeneratorConfig | DiscriminatorConfig) -> list[nn.Module]:
    assert c.normalization in ("none", "layer")
    layers: list[nn.Module] = []
    for width in c.widths:
        layers.append(nn.Linear(inputs, width))
        if c.normalization == "layer":
            layers.append(nn.LayerNorm(width, eps=1e-6))
        layers.append(ACTIVATIONS[c.activation]())
        inputs = width
    return [*layers, nn.Linear(inputs, outputs)]


class Peer:
    """One GAN, its optimisers and its data.

    Args:
        config: what GAN.
        rows: its data, scaled, ``[rows, ...]`` float32.
        fused: Adam as one kernel.
        compiled: both losses through `torch.compile`, which bears no penalty's second derivative.
        graph: the moves of both players replayed as one CUDA graph. Decaying rates are written into
            its tensors before each replay, and the average follows after it, so every config works.
        device: ``cpu`` or ``cuda``, where networks, rows, their order and latents live.
        precision: ``float32``, ``tf32`` or ``bfloat16``.
    """

    def __init__(
        self,
        config: Config,
        rows: np.ndarray,
        *,
        fused: bool = False,
        compiled: bool = False,
        graph: bool = False,
        device: str = "cpu",
        precision: str = "float32",
    ):
        assert config.loss == "non_saturating" and set(config.penalties) <= {"r1", "r2"}
        assert config.discriminator_steps == 1 and config.decay.shape in ("constant", "linear")
        assert not graph or device == "cuda"
        torch.set_float32_matmul_precision(MATMUL_PRECISION[precision])
        self.cast = contextlib.nullcontext
        if precision == "bfloat16":
            self.cast = functools.partial(torch.autocast, device, torch.bfloat16)
        self.config, self.device = config, device
        pixels = math.prod(config.sample_shape)
        g, d = config.generator, config.discriminator
        self.generator = nn.Sequential(
            *mlp(g.latent_size + g.categories, pixels, g),
            ACTIVATIONS[g.last_activation](),
        ).to(device)
        self.discriminator = nn.Sequential(*mlp(pixels, 1, d)).to(device)
        self.average = [p.detach().clone() for p in self.generator.parameters()]

        def adam(player: nn.Module, c: OptimizerConfig) -> torch.optim.Optimizer:
            # A graph can only read a rate that lies on the device.
            rate = torch.tensor(c.learning_rate, device=device) if graph else c.learning_rate
            return torch.optim.Adam(
                player.parameters(),
                rate,
                (c.b1, c.b2),
                c.epsilon,
                fused=fused or None,  # False would also rule out its default on a GPU, foreach
                capturable=graph,
            )

        self.generator_adam = adam(self.generator, config.generator_optimizer)
        self.discriminator_adam = adam(self.discriminator, config.discriminator_optimizer)
        self.steps = 0
        self.data = torch.from_numpy(rows.reshape(len(rows), pixels)).to(device)
        self.order, self.position = torch.randperm(len(rows), device=device), 0
        self.judge_both = self._discriminator_loss
        self.judge_fake = self._generator_loss
        if compiled:
            self.judge_both = torch.compile(self._discriminator_loss)
            self.judge_fake = torch.compile(self._generator_loss)
        self.moves = self._replayed_moves if graph else self._moves
        # Recorded at the first step of each kind: one that takes penalties, one that does not.
        self.graphs: dict[bool, tuple[torch.cuda.CUDAGraph, tuple[torch.Tensor, torch.Tensor]]] = {}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Weights by the names of `parameters`."""
        with torch.no_grad():
            for name, tensor in self._named():
                tensor.copy_(torch.from_numpy(arrays[name]))
        self.average = [p.detach().clone() for p in self.generator.parameters()]

    def parameters(self) -> dict[str, np.ndarray]:
        """``generator.Dense_0.kernel`` [inputs, outputs], ``generator.Dense_0.bias`` and so on."""
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self._named()}

    def averages(self) -> dict[str, np.ndarray]:
        """The generator that samples, by the same names: averaged, where the config says so."""
        if not self.config.average_decay:
            self.average = [p.detach().clone() for p in self.generator.parameters()]
        names = [name for name, _ in self._named() if name.startswith("generator")]
        return {
            name: (tensor.t() if "kernel" in name else tensor).cpu().numpy().copy()
            for name, tensor in zip(names, self.average, strict=True)
        }

    def _named(self):
        for player in ("generator", "discriminator"):
            dense = norms = 0
            for module in getattr(self, player):
                if isinstance(module, nn.Linear):
                    yield f"{player}.Dense_{dense}.kernel", module.weight.t()
                    yield f"{player}.Dense_{dense}.bias", module.bias
                    dense += 1
                elif isinstance(module, nn.LayerNorm):
                    yield f"{player}.LayerNorm_{norms}.scale", module.weight
                    yield f"{player}.LayerNorm_{norms}.bias", module.bias
                    norms += 1

    def draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The next rows, each once an epoch, and fresh latents."""
        batch, g = self.config.batch_size, self.config.generator
        if self.position + batch > len(self.data):
            self.order, self.position = torch.randperm(len(self.data), device=self.device), 0
        rows = self.data[self.order[self.position : self.position + batch]]
        self.position += batch
        latents = torch.randn(batch, g.latent_size, device=self.device)
        if g.categories:
            chosen = torch.randint(g.categories, (batch,), device=self.device)
            chosen = one_hot(chosen, g.categories)
            latents = torch.cat([latents, 4.0 * chosen], dim=1)
        return rows, latents

    def _generate(self, latents: torch.Tensor) -> torch.Tensor:
        with self.cast():
            return self.generator(latents).float()

    def _judge(self, samples: torch.Tensor) -> torch.Tensor:
        with self.cast():
            return self.discriminator(samples - self.config.discriminator.center)[:, 0].float()

    def _penalized(self) -> bool:
        return (self.steps + 1) % self.config.penalty_interval == 0

    def _discriminator_loss(
        self, real: torch.Tensor, fake: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss without and with its penalties, where this step takes them."""
        loss = torch.zeros((), device=self.device)
        penalty = torch.zeros((), device=self.device)
        for name, samples, sign in (("r1", real, -1.0), ("r2", fake, 1.0)):
            gamma = self.config.penalties.get(name) if self._penalized() else None
            if gamma:
                samples = samples.detach().requires_grad_(True)
            logits = self._judge(samples)
            loss = loss + softplus(sign * logits).mean()
            if gamma:
                (slope,) = torch.autograd.grad(logits.sum(), samples, create_graph=True)
                penalty = penalty + 0.5 * gamma * slope.square().sum(1).mean()
        return loss, penalty

    def _generator_loss(self, fake: torch.Tensor) -> torch.Tensor:
        return softplus(-self._judge(fake)).mean()

    def step(self, real: torch.Tensor, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One move each; both losses, which a graph overwrites in the next step."""
        c = self.config
        if c.decay.shape == "linear":
            share = max(0.0, 1.0 - self.steps / c.decay.horizon)
            for adam, settings in (
                (self.generator_adam, c.generator_optimizer),
                (self.discriminator_adam, c.discriminator_optimizer),
            ):
                for group in adam.param_groups:
                    rate = settings.learning_rate * share
                    if isinstance(group["lr"], torch.Tensor):
                        group["lr"].fill_(rate)
                    else:
                        group["lr"] = rate
        losses = self.moves(real, latents)
        if c.average_decay:
            keep = min(c.average_decay, (1 + self.steps) / (10 + self.steps))
            with torch.no_grad():
                torch._foreach_lerp_(  # pyright: ignore
                    self.average, list(self.generator.parameters()), 1.0 - keep
                )
        self.steps += 1
        return losses

    def _moves(
        self, real: torch.Tensor, latents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        fake = self._generate(latents)
        loss, penalty = self.judge_both(real, fake.detach())
        self.discriminator_adam.zero_grad(set_to_none=True)
        (loss + self.config.penalty_interval * penalty).backward()
        self.discriminator_adam.step()
        self.discriminator.requires_grad_(False)
        generator_loss = self.judge_fake(fake)
        self.generator_adam.zero_grad(set_to_none=True)
        generator_loss.backward()
        self.generator_adam.step()
        self.discriminator.requires_grad_(True)
        return (loss + penalty).detach(), generator_loss.detach()

    def _replayed_moves(
        self, real: torch.Tensor, latents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same from a graph that reads its inputs, and leaves the losses, in one place."""
        if not self.graphs:
            self.inputs = real.clone(), latents.clone()
        for place, value in zip(self.inputs, (real, latents), strict=True):
            place.copy_(value)
        if known := self.graphs.get(self._penalized()):
            graph, losses = known
            graph.replay()
            return losses
        # The first step is an ordinary one, away from the default stream as recording wants it: it
        # creates Adam's state and cuBLAS's workspaces. Recording then executes nothing.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            losses = self._moves(*self.inputs)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # JAX's threads may use the device meanwhile; by default that would spoil the recording.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            recorded = self._moves(*self.inputs)
        self.graphs[self._penalized()] = graph, recorded
        return losses
