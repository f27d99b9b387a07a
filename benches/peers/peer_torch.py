"""PyTorch: eager, or (`--form compiled`) compiled and replayed as one CUDA graph per step."""

import sys

import torch
from torch.nn import functional as F

import harness


class Energy(torch.nn.Module):
    def __init__(self, shape, activation, layers):
        super().__init__()
        self.shape = shape
        self.act = {"silu": F.silu, "relu": F.relu}[activation]
        self.layers = torch.nn.ModuleList()
        for weight, bias in layers:
            layer = torch.nn.Linear(*weight.shape)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(weight.T.copy()))
                layer.bias.copy_(torch.from_numpy(bias))
            self.layers.append(layer)

    def forward(self, h):
        if self.shape == "plain":
            for layer in self.layers[:-1]:
                h = self.act(layer(h))
        else:
            h = self.layers[0](h)
            for at in range(1, len(self.layers) - 1, 2):
                h = h + self.layers[at + 1](self.act(self.layers[at](self.act(h))))
        return self.layers[-1](h).squeeze(-1)


def rnce(energy, x, y, log_density):
    repeated = x[:, None, :].expand(-1, y.shape[1], -1)
    logits = -energy(torch.cat([repeated, y], -1)) - log_density
    return (torch.logsumexp(logits, 1) - logits[:, 0]).mean()


class Gaussian(torch.nn.Module):
    """A conditional diagonal Gaussian from one hidden layer of 128; it is not trained."""

    def __init__(self, x, y):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(x, 128), torch.nn.SiLU(), torch.nn.Linear(128, 2 * y))

    def forward(self, x, data, count):
        mean, log_deviation = self.net(x)[:, None, :].chunk(2, -1)
        noise = torch.randn(x.shape[0], count, data.shape[-1], device=x.device)
        y = torch.cat([data[:, None, :], mean + log_deviation.exp() * noise], 1)
        z = (y - mean) * (-log_deviation).exp()
        return y, (-0.5 * z.square() - log_deviation - 0.5 * 1.8378770664093453).sum(-1)


class Uniform(torch.nn.Module):
    """The box from -1.25 to 1.25."""

    def forward(self, x, data, count):
        draws = torch.rand(x.shape[0], count, data.shape[-1], device=x.device) * 2.5 - 1.25
        y = torch.cat([data[:, None, :], draws], 1)
        return y, torch.full(y.shape[:2], -data.shape[-1] * 0.9162907318741551, device=x.device)


class Peer:
    def __init__(self, form):
        self.cuda = torch.cuda.is_available()
        self.compiled = form == "compiled"
        if self.compiled and not self.cuda:
            raise RuntimeError("the compiled form replays CUDA graphs, and there is no CUDA device")
        self.place = torch.device("cuda" if self.cuda else "cpu")
        self.version = torch.__version__
        self.device = torch.cuda.get_device_name() if self.cuda else f"CPU, {torch.get_num_threads()} threads"
        # 32-bit floats throughout, as the others.
        torch.set_float32_matmul_precision("highest")

    def wait(self):
        if self.cuda:
            torch.cuda.synchronize()

    def replayed(self, step):
        """The step as one CUDA graph, after the warm-up that capturing asks for."""
        if not self.compiled:
            return step
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        return graph.replay

    def fast(self, function):
        return torch.compile(function) if self.compiled else function

    def training(self, spec, contexts, draws):
        xs, ys = (torch.from_numpy(values).to(self.place) for values in harness.data(spec))
        energy = Energy(spec["shape"], spec["activation"], harness.parameters(harness.layer_widths(spec), 1))
        energy = energy.to(self.place)
        proposal = Gaussian(spec["x"], spec["y"]) if spec["proposal"] == "gaussian" else Uniform()
        proposal = proposal.to(self.place).requires_grad_(False)
        optimiser = torch.optim.Adam(energy.parameters(), lr=1e-3, fused=True, capturable=self.compiled)

        def draw():
            chosen = torch.randint(xs.shape[0], (contexts,), device=self.place)
            x = xs[chosen]
            return x, *proposal(x, ys[chosen], spec["negatives"])

        fixed = None if draws else draw()
        loss = self.fast(lambda: rnce(energy, *(fixed or draw())))

        def step():
            optimiser.zero_grad(set_to_none=True)
            loss().backward()
            optimiser.step()

        return self.replayed(step)

    def chains(self, spec, chains, steps):
        energy = Energy("plain", spec["activation"], harness.parameters(harness.layer_widths(spec), 1))
        energy = energy.to(self.place).requires_grad_(False)
        start = torch.rand(chains, spec["y"], device=self.place) * 2 - 1
        move = self.fast(lambda y: self.step(energy, y, 0.01, 1.0))
        if self.compiled:
            # One step per graph: a hundred unrolled ones would take minutes to capture.
            y = start.clone()
            once = self.replayed(lambda: y.copy_(move(y)))
            return lambda: [once() for _ in range(steps)]

        def walk():
            y = start
            for _ in range(steps):
                y = move(y)
            return y

        return walk

    @staticmethod
    def step(energy, y, eta, temperature):
        y = y.detach().requires_grad_()
        gradient, = torch.autograd.grad(energy(y).sum(), y)
        with torch.no_grad():
            return y - eta * gradient + (2 * eta * temperature) ** 0.5 * torch.randn_like(y)

    def gemm(self, spec, rows):
        rand = lambda *shape: torch.rand(*shape, device=self.place) - 0.4
        h, dz = rand(rows, spec["inputs"]), rand(rows, spec["outputs"])
        weight, bias = rand(spec["inputs"], spec["outputs"]), rand(spec["outputs"])
        work = {"forward": lambda: torch.addmm(bias, h, weight), "inputs": lambda: dz @ weight.T,
                "weights": lambda: (h.T @ dz, dz.sum(0))}[spec["product"]]
        return self.replayed(torch.no_grad()(self.fast(work)))

    def gradient(self, shape, activation, layers, x, y, log_density):
        energy = Energy(shape, activation, layers).to(self.place)
        values = [torch.from_numpy(v).to(self.place) for v in (x, y, log_density)]
        loss = rnce(energy, *values)
        loss.backward()
        gradients = [(layer.weight.grad.T.cpu().numpy(), layer.bias.grad.cpu().numpy()) for layer in energy.layers]
        return loss.item(), gradients

    def langevin_step(self, activation, layers, y, eta):
        energy = Energy("plain", activation, layers).to(self.place).requires_grad_(False)
        return self.step(energy, torch.from_numpy(y).to(self.place), eta, 0.0).cpu().numpy()


if __name__ == "__main__":
    sys.exit(harness.main("torch", lambda arguments: Peer(arguments.form)))
