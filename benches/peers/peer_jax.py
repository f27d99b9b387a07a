"""JAX: every step under `jit`, a whole chain as one `fori_loop`."""

import sys

import jax
import jax.numpy as jnp
import numpy as np

import harness

jax.config.update("jax_default_matmul_precision", "highest")


def energy(shape, activation, layers, h):
    act = {"silu": jax.nn.silu, "relu": jax.nn.relu}[activation]
    affine = lambda h, layer: h @ layer[0] + layer[1]
    if shape == "plain":
        for layer in layers[:-1]:
            h = act(affine(h, layer))
    else:
        h = affine(h, layers[0])
        for first, second in zip(layers[1:-1:2], layers[2:-1:2]):
            h = h + affine(act(affine(act(h), first)), second)
    return affine(h, layers[-1])[..., 0]


def timed(chains, action, time, context=None):
    """A network over noised samples: layers of the action, of the time's features, and behind both and the context. `time`:
    `[rows, 1]`; it passes through its layers row by row, as in the published code."""
    def chain(layers, h):
        for at, (weight, bias) in enumerate(layers):
            h = (jax.nn.silu(h) if at else h) @ weight + bias
        return h

    angles = time * (2 * np.pi * harness.frequencies())
    features = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)
    parts = [chain(chains[0], action), chain(chains[1], features)]
    return chain(chains[2], jnp.concatenate(parts if context is None else [*parts, context], -1))


def rnce(layers, shape, activation, x, y, log_density):
    repeated = jnp.broadcast_to(x[:, None, :], (*y.shape[:2], x.shape[1]))
    logits = -energy(shape, activation, layers, jnp.concatenate([repeated, y], -1)) - log_density
    return jnp.mean(jax.nn.logsumexp(logits, 1) - logits[:, 0])


def gaussian(layers, key, x, data, count):
    """A conditional diagonal Gaussian from one hidden layer of 128; it is not trained."""
    hidden = jax.nn.silu(x @ layers[0][0] + layers[0][1])
    mean, log_deviation = jnp.split((hidden @ layers[1][0] + layers[1][1])[:, None, :], 2, -1)
    noise = jax.random.normal(key, (x.shape[0], count, data.shape[-1]))
    y = jnp.concatenate([data[:, None, :], mean + jnp.exp(log_deviation) * noise], 1)
    z = (y - mean) * jnp.exp(-log_deviation)
    return y, jnp.sum(-0.5 * z**2 - log_deviation - 0.5 * np.log(2 * np.pi), -1)


def uniform(layers, key, x, data, count):
    """The box from -1.25 to 1.25."""
    draws = jax.random.uniform(key, (x.shape[0], count, data.shape[-1]), minval=-1.25, maxval=1.25)
    y = jnp.concatenate([data[:, None, :], draws], 1)
    return y, jnp.full(y.shape[:2], -data.shape[-1] * np.log(2.5))


def adam(layers, gradients, first, second, count, rate=1e-3):
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
    a, b = 1 - 0.9**count, 1 - 0.999**count
    layers = jax.tree.map(lambda p, m, v: p - rate * (m / a) / (jnp.sqrt(v / b) + 1e-8), layers, first, second)
    return layers, first, second


class Peer:
    def __init__(self):
        self.version = jax.__version__
        self.device = str(jax.devices()[0])
        self.last = None

    def wait(self):
        jax.block_until_ready(self.last)

    def training(self, spec, contexts, draws):
        xs, ys = (jnp.asarray(values) for values in harness.data(spec))
        layers = jax.tree.map(jnp.asarray, harness.parameters(harness.layer_widths(spec), 1))
        proposal = jax.tree.map(jnp.asarray, harness.parameters([spec["x"], 128, 2 * spec["y"]], 2))
        sample = gaussian if spec["proposal"] == "gaussian" else uniform
        shape, activation, negatives = spec["shape"], spec["activation"], spec["negatives"]

        def draw(key):
            one, two = jax.random.split(key)
            chosen = jax.random.randint(one, (contexts,), 0, xs.shape[0])
            x = xs[chosen]
            return x, *sample(proposal, two, x, ys[chosen], negatives)

        fixed = None if draws else draw(jax.random.key(0))

        @jax.jit
        def step(state, fixed):
            layers, first, second, count, key = state
            key, own = jax.random.split(key)
            batch = draw(own) if fixed is None else fixed
            gradients = jax.grad(rnce)(layers, shape, activation, *batch)
            return (*adam(layers, gradients, first, second, count + 1), count + 1, key)

        zeros = jax.tree.map(jnp.zeros_like, layers)
        self.last = (layers, zeros, zeros, jnp.float32(0), jax.random.key(1))

        def work():
            self.last = step(self.last, fixed)

        return work

    def chains(self, spec, chains, steps):
        layers = jax.tree.map(jnp.asarray, harness.parameters(harness.layer_widths(spec), 1))
        activation = spec["activation"]
        start = jax.random.uniform(jax.random.key(2), (chains, spec["y"]), minval=-1.0, maxval=1.0)

        @jax.jit
        def walk(key, y):
            def move(at, y):
                noise = jax.random.normal(jax.random.fold_in(key, at), y.shape)
                return self.moved(layers, activation, y, 0.01) + (2 * 0.01) ** 0.5 * noise

            return jax.lax.fori_loop(0, steps, move, y)

        runs = iter(range(1 << 40))

        def work():
            self.last = walk(jax.random.key(next(runs)), start)

        return work

    def contrast(self, spec, rows):
        xs, ys = (jnp.asarray(values) for values in harness.data(spec))
        chains = jax.tree.map(jnp.asarray, harness.timed_parameters(spec["network"], 1))
        support, first_time = spec["support"], spec["first_time"]
        group = support if support > 1 else rows
        groups = rows * support // group

        def loss(chains, key):
            one, two, three = jax.random.split(key, 3)
            chosen = jax.random.randint(one, (rows,), 0, xs.shape[0])
            samples = ys[chosen].reshape(groups, group, -1)
            time = jax.random.uniform(two, (groups, 1, 1), minval=first_time, maxval=1.0)
            log_alpha = harness.log_alpha(time)
            clean = samples[..., :-1]
            noise = jax.random.normal(three, clean.shape)
            noised = jnp.exp(log_alpha) * clean + jnp.sqrt(-jnp.expm1(2 * log_alpha)) * noise
            time = jnp.broadcast_to(time, (groups, group, 1))
            context = None
            if spec["x"]:
                context = jnp.broadcast_to(xs[chosen][:, None, :], (rows, support, spec["x"]))
            logits = -timed(chains, noised, time, context)[..., 0]
            labels = jax.nn.softmax(-spec["beta"] * samples[..., -1], 1)
            return -jnp.mean(jnp.sum(labels * jax.nn.log_softmax(logits, 1), 1))

        @jax.jit
        def step(state):
            chains, first, second, count, key, _ = state
            key, own = jax.random.split(key)
            value, gradients = jax.value_and_grad(loss)(chains, own)
            return (*adam(chains, gradients, first, second, count + 1, 2e-3), count + 1, key, value)

        zeros = jax.tree.map(jnp.zeros_like, chains)
        self.last = (chains, zeros, zeros, jnp.float32(0), jax.random.key(1), jnp.float32(0))

        def work():
            self.last = step(self.last)

        return work

    def guided(self, spec, samples, steps):
        score, energy = (jax.tree.map(jnp.asarray, harness.timed_parameters(spec[name], 1)) for name in ("score", "energy"))
        steps = jnp.asarray(harness.solver(steps), jnp.float32)

        @jax.jit
        def solve(key):
            def evaluate(state, step):
                x, before = state
                level, alpha, sigma, start, own, last = step
                time = jnp.full((samples, 1), level)
                gradient = jax.grad(lambda x: timed(energy, x, time).sum())(x)
                value = (x - sigma * (timed(score, x, time) + sigma * gradient)) / alpha
                return (start * x + own * value + last * before, value), None

            x = jax.random.normal(key, (samples, 2))
            return jax.lax.scan(evaluate, (x, jnp.zeros_like(x)), steps)[0]

        runs = iter(range(1 << 40))

        def work():
            self.last = solve(jax.random.key(next(runs)))

        return work

    def left(self):
        """Training ends its state with the loss; sampling keeps the samples and its last model value."""
        return np.asarray(self.last[0] if len(self.last) == 2 else self.last[-1])

    @staticmethod
    def moved(layers, activation, y, eta):
        return y - eta * jax.grad(lambda y: energy("plain", activation, layers, y).sum())(y)

    def gemm(self, spec, rows):
        keys = iter(jax.random.split(jax.random.key(0), 4))
        rand = lambda *shape: jax.random.uniform(next(keys), shape) - 0.4
        h, dz = rand(rows, spec["inputs"]), rand(rows, spec["outputs"])
        weight, bias = rand(spec["inputs"], spec["outputs"]), rand(spec["outputs"])
        product = {"forward": lambda h, dz, weight, bias: h @ weight + bias,
                   "inputs": lambda h, dz, weight, bias: dz @ weight.T,
                   "weights": lambda h, dz, weight, bias: (h.T @ dz, dz.sum(0))}[spec["product"]]
        jitted = jax.jit(product)

        def work():
            self.last = jitted(h, dz, weight, bias)

        return work

    def gradient(self, shape, activation, layers, x, y, log_density):
        value = jax.value_and_grad(rnce)
        loss, gradients = value(jax.tree.map(jnp.asarray, layers), shape, activation, x, y, log_density)
        return float(loss), [tuple(np.asarray(v) for v in pair) for pair in gradients]

    def langevin_step(self, activation, layers, y, eta):
        return np.asarray(self.moved(layers, activation, jnp.asarray(y), eta))


if __name__ == "__main__":
    sys.exit(harness.main("jax", lambda arguments: Peer()))
