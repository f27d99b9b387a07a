"""TorchEBM: its Langevin sampler."""

import sys
import warnings

import torch
import torchebm
from torchebm.core import BaseModel
from torchebm.samplers import LangevinDynamics

import harness
from peer_torch import Energy


class Wrapped(BaseModel):
    """A network as one of TorchEBM's energies."""

    def __init__(self, energy):
        super().__init__()
        self.energy = energy

    def forward(self, y):
        return self.energy(y)


class Peer:
    def __init__(self):
        self.cuda = torch.cuda.is_available()
        self.place = torch.device("cuda" if self.cuda else "cpu")
        self.version = f"{torchebm.__version__}, torch {torch.__version__}"
        self.device = torch.cuda.get_device_name() if self.cuda else f"CPU, {torch.get_num_threads()} threads"
        torch.set_float32_matmul_precision("highest")

    def wait(self):
        if self.cuda:
            torch.cuda.synchronize()

    def sampler(self, activation, layers, eta, noise):
        energy = Energy("plain", activation, layers).to(self.place).requires_grad_(False)
        return LangevinDynamics(Wrapped(energy).to(self.place), step_size=eta, noise_scale=noise, device=self.place)

    def chains(self, spec, chains, steps):
        layers = harness.parameters(harness.layer_widths(spec), 1)
        sampler = self.sampler(spec["activation"], layers, 0.01, 1.0)
        start = torch.rand(chains, spec["y"], device=self.place) * 2 - 1
        return lambda: sampler.sample(x=start, n_steps=steps)

    def langevin_step(self, activation, layers, y, eta):
        # Noise too small to be seen: none is not always allowed.
        sampler = self.sampler(activation, layers, eta, 1e-12)
        return sampler.sample(x=torch.from_numpy(y).to(self.place), n_steps=1).cpu().numpy()


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=FutureWarning)
    sys.exit(harness.main("torchebm", lambda arguments: Peer()))
