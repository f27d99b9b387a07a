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


class Timed(torch.nn.Module):
    """A network over noised samples: layers of the action, of the time's features, and behind both and the context."""

    def __init__(self, layers):
        super().__init__()
        self.action, self.time, self.rest = (torch.nn.Sequential(*self.chain(layers)) for layers in layers)
        self.register_buffer("turns", 2 * torch.pi * torch.from_numpy(harness.frequencies()))

    @staticmethod
    def chain(layers):
        for at, (weight, bias) in enumerate(layers):
            if at:
                yield torch.nn.SiLU()
            layer = torch.nn.Linear(*weight.shape)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(weight.T.copy()))
                layer.bias.copy_(torch.from_numpy(bias))
            yield layer

    def forward(self, action, time, context=None):
        """`time`: `[rows, 1]`; it passes through its layers row by row, as in the published code."""
        angles = time * self.turns
        parts = [self.action(action), self.time(torch.cat([angles.sin(), angles.cos()], -1))]
        return self.rest(torch.cat(parts if context is None else [*parts, context], -1))


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

    def contrast(self, spec, rows):
        xs, ys = (torch.from_numpy(values).to(self.place) for values in harness.data(spec))
        energy = Timed(harness.timed_parameters(spec["network"], 1)).to(self.place)
        optimiser = torch.optim.Adam(energy.parameters(), lr=2e-3, fused=True, capturable=self.compiled)
        support, first_time = spec["support"], spec["first_time"]
        group = support if support > 1 else rows
        groups = rows * support // group

        def contrasted():
            chosen = torch.randint(xs.shape[0], (rows,), device=self.place)
            samples = ys[chosen].reshape(groups, group, -1)
            time = first_time + (1 - first_time) * torch.rand(groups, 1, 1, device=self.place)
            log_alpha = harness.log_alpha(time)
            sigma = (-torch.expm1(2 * log_alpha)).sqrt()
            noised = log_alpha.exp() * samples[..., :-1] + sigma * torch.randn_like(samples[..., :-1])
            context = xs[chosen][:, None, :].expand(-1, support, -1) if spec["x"] else None
            logits = -energy(noised, time.expand(-1, group, -1), context).squeeze(-1)
            labels = torch.softmax(-spec["beta"] * samples[..., -1], 1)
            return -(labels * torch.log_softmax(logits, 1)).sum(1).mean()

        loss = self.fast(contrasted)

        def step():
            optimiser.zero_grad(set_to_none=True)
            value = loss()
            value.backward()
            optimiser.step()
            self.kept = value.detach()

        return self.replayed(step)

    def guided(self, spec, samples, steps):
        score, energy = (Timed(harness.timed_parameters(spec[name], 1)).to(self.place).requires_grad_(False)
                         for name in ("score", "energy"))
        steps = harness.solver(steps)
        levels = torch.from_numpy(steps[:, :3].astype("float32")).to(self.place)

        def model(x, level):
            time, alpha, sigma = level
            time = time.expand(x.shape[0], 1)
            x = x.detach().requires_grad_()
            gradient, = torch.autograd.grad(energy(x, time).sum(), x)
            with torch.no_grad():
                return (x - sigma * (score(x, time) + sigma * gradient)) / alpha

        model = self.fast(model)

        def solve():
            x = torch.randn(samples, 2, device=self.place)
            before = 0.0
            for level, (_, _, _, start, own, last) in zip(levels, steps.tolist()):
                value = model(x, level)
                x, before = start * x + own * value + last * before, value
            self.kept = x

        return self.replayed(solve)

    def left(self):
        return self.kept.cpu().numpy()

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
