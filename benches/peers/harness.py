"""What all Python peers share: the workloads, timing, scaling, the f64 reference, and the file of figures.

Definitions are those of `examples/bench` (see `--list` there). A peer is a class with these methods; each returns a function
without arguments that does `size` worth of work and hands it to the device, and `wait()` blocks until all of it is done:

    training(spec, contexts, draws)   one R-NCE step with Adam; `draws`: batch and negatives are drawn anew, or stay as they are
    chains(spec, chains, steps)       Langevin dynamics
    contrast(spec, rows)              one step with Adam of an intermediate energy, contrasted within groups (arXiv 2304.12824)
    guided(spec, samples, steps)      a whole pass of a solver, guided by an energy; `steps` evaluations
    left()                            the loss or the samples that the last of these two left: numbers, or it gets no figure
    gemm(spec, rows)                  one matrix product
    gradient(shape, activation, parameters, x, y, log_density)   loss and parameter gradients, for the check
    langevin_step(activation, parameters, y, eta)                one step without noise, for the check

A method that the peer does not have is left out.
"""

import argparse
import json
import math
import pathlib
import sys
import time
import traceback

import numpy as np

# Longest repetition, in seconds; what would take longer is measured in part.
LONGEST = 2.0
# Operations that are tried at once before anything is known about the speed.
TRUSTED = 1e10
ROWS_OF_DATA = 4096


def training(contexts, negatives, x, y, hidden, activation, proposal, blocks=0):
    widths = [hidden] * (1 + 2 * blocks) if blocks else hidden
    return dict(kind="training", contexts=contexts, negatives=negatives, x=x, y=y, widths=widths,
                activation=activation, proposal=proposal, shape="preactivation" if blocks else "plain")


def chains(inputs, hidden, activation):
    return dict(kind="chains", chains=4096, steps=100, y=inputs, widths=hidden, activation=activation, shape="plain")


def gemm(rows, outputs, inputs, product):
    return dict(kind="gemm", rows=rows, outputs=outputs, inputs=inputs, product=product)


def timed_network(action, time, context, hidden, outputs):
    """Widths of three chains of layers: of the action's, of the time's from its 32 features on, of those behind them."""
    return [action, time, [action[-1] + time[-1] + context, *hidden, outputs]]


TOY_ENERGY = timed_network([2], [32, 32], 0, [512] * 4, 1)
TOY_SCORE = timed_network([2, 224], [32, 32, 32], 0, [512] * 4 + [256], 2)


def contrast(rows, support, x, y, network, first_time):
    """`rows` of the data, each with `support` samples: a group, or 1 where all of a step are one group."""
    return dict(kind="contrast", rows=rows, support=support, x=x, y=y, network=network, first_time=first_time, beta=3.0)


def workloads():
    found = {}
    for rows, outputs, inputs in [(2048, 256, 256), (8192, 1024, 1024), (65536, 128, 128)]:
        for suffix, product in [("", "forward"), ("/inputs", "inputs"), ("/weights", "weights")]:
            found[f"gemm-{rows}x{outputs}x{inputs}{suffix}"] = gemm(rows, outputs, inputs, product)
    found["rnce-small"] = training(128, 63, 2, 2, [128] * 3, "silu", "gaussian")
    found["rnce-small/no-draws"] = dict(found["rnce-small"], draws=False)
    found["rnce-wide"] = training(256, 32, 40, 32, [1024] * 4, "relu", "gaussian")
    found["ibc-push"] = training(512, 256, 10, 2, 128, "relu", "uniform", blocks=8)
    found["tiny"] = training(16, 15, 2, 2, [64] * 2, "silu", "gaussian")
    found["langevin-small"] = chains(4, [128] * 3, "silu")
    found["ibc-langevin"] = chains(32, [512] * 8, "relu")
    found["cep-toy"] = contrast(2048, 1, 0, 2, TOY_ENERGY, 1e-5)
    policy = timed_network([6], [32, 32], 17, [256] * 4, 1)
    found["qgpo-energy"] = contrast(256, 16, 17, 6, policy, 1e-3)
    found["guided-sampling"] = dict(kind="guided", samples=4096, steps=15, score=TOY_SCORE, energy=TOY_ENERGY)
    return found


def layer_widths(spec):
    """Widths of a network's layers from its inputs to its output."""
    return [spec.get("x", 0) + spec["y"], *spec["widths"], 1]


def multiply_adds(chains):
    """Of one row, given the widths of chains of layers."""
    return sum(a * b for widths in chains for a, b in zip(widths, widths[1:]))


def operations(spec, rows):
    """Nominal operations of one step: 2 per multiply-add of a product, 4 for an input gradient, 6 for training."""
    if spec["kind"] == "gemm":
        return 2.0 * rows * spec["outputs"] * spec["inputs"]
    if spec["kind"] == "contrast":
        return 6.0 * rows * spec["support"] * multiply_adds(spec["network"])
    if spec["kind"] == "guided":
        return rows * (2.0 * multiply_adds(spec["score"]) + 4.0 * multiply_adds(spec["energy"]))
    if spec["kind"] == "chains":
        return 4.0 * rows * multiply_adds([layer_widths(spec)])
    return 6.0 * rows * (spec["negatives"] + 1) * multiply_adds([layer_widths(spec)])


def waves(width):
    """Smooth, asymmetric rows in [-1, 1]."""
    rows = np.arange(ROWS_OF_DATA)[:, None]
    return np.sin((rows * 7 + np.arange(width)[None, :] * 13) * 0.37).astype(np.float32)


def data(spec):
    """Contexts and actions; to be contrasted, a row's actions one behind the other, each with its energy."""
    if spec["kind"] == "contrast":
        return waves(spec["x"]), waves(spec["support"] * (spec["y"] + 1))
    return waves(spec["x"]), waves(spec["y"])


def parameters(widths, seed):
    """Weights and biases, uniform in +-1 / sqrt(inputs), as pairs `[inputs, outputs]`, `[outputs]`."""
    random = np.random.default_rng(seed)
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        bound = 1 / math.sqrt(inputs)
        draw = lambda *shape: random.uniform(-bound, bound, shape).astype(np.float32)
        layers.append((draw(inputs, outputs), draw(outputs)))
    return layers


def timed_parameters(network, seed):
    """Layers of the three chains of a network."""
    return [parameters(widths, seed + at) for at, widths in enumerate(network)]


def frequencies():
    """16 of deviation 30: time enters as sines and cosines of that many turns per unit."""
    return (30.0 * np.random.default_rng(11).normal(size=16)).astype(np.float32)


# The variance-preserving schedule: noise rates at time 0 and 1.
RATES = (0.1, 20.0)


def log_alpha(t):
    """Of the factor of the data at a time, a number or an array of any framework; `sigma = sqrt(-expm1(2 log_alpha))`."""
    return -0.25 * (RATES[1] - RATES[0]) * t * t - 0.5 * RATES[0] * t


def solver(evaluations):
    """DPM-Solver++ of second order, multistep, from time 1 to 0.001 in equal steps of the log-SNR: per evaluation time, alpha,
    sigma, and the factors of the sample and of the model values of this evaluation and the one before."""
    def log_snr(t):
        return log_alpha(t) - 0.5 * math.log(-math.expm1(2 * log_alpha(t)))

    def time_of(value):
        slope = RATES[1] - RATES[0]
        noise = 2 * slope * math.log1p(math.exp(-2 * value))
        return noise / ((math.sqrt(RATES[0] ** 2 + noise) + RATES[0]) * slope)

    times = [time_of(value) for value in np.linspace(log_snr(1.0), log_snr(1e-3), evaluations + 1)]
    alphas = [math.exp(log_alpha(t)) for t in times]
    sigmas = [math.sqrt(-math.expm1(2 * log_alpha(t))) for t in times]
    steps = []
    for at in range(evaluations):
        own = alphas[at + 1] * -math.expm1(log_snr(times[at]) - log_snr(times[at + 1]))
        # Steps are equal; there is no model value before the first.
        half = 0.5 * own if at else 0.0
        steps.append((times[at], alphas[at], sigmas[at], sigmas[at + 1] / sigmas[at], own + half, -half))
    return np.array(steps)


# The f64 reference ---------------------------------------------------------------------------------------------------


def reference_energy(shape, activation, layers, rows):
    act = {"silu": lambda z: z / (1 + np.exp(-z)), "relu": lambda z: np.maximum(z, 0)}[activation]
    layers = [(w.astype(np.float64), b.astype(np.float64)) for w, b in layers]
    affine = lambda h, layer: h @ layer[0] + layer[1]
    h = rows.astype(np.float64)
    if shape == "plain":
        for layer in layers[:-1]:
            h = act(affine(h, layer))
    else:
        h = affine(h, layers[0])
        for first, second in zip(layers[1:-1:2], layers[2:-1:2]):
            h = h + affine(act(affine(act(h), first)), second)
    return affine(h, layers[-1])[..., 0]


def reference_loss(shape, activation, layers, x, y, log_density):
    """Ranking NCE; candidate 0 is the data's. `x`: [contexts, .], `y`: [contexts, candidates, .]."""
    repeated = np.broadcast_to(x[:, None, :], (*y.shape[:2], x.shape[1]))
    logits = -reference_energy(shape, activation, layers, np.concatenate([repeated, y], -1)) - log_density
    top = logits.max(1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(1)) + top[:, 0]
    return float(np.mean(total - logits[:, 0]))


def check(peer):
    """Compares loss, gradients and a step of a chain with central differences in f64. Raises if they differ."""
    random = np.random.default_rng(7)
    normal = lambda *shape: random.normal(size=shape).astype(np.float32)
    if hasattr(peer, "gradient"):
        for shape, activation, widths in [("plain", "silu", [5, 7, 6, 1]), ("preactivation", "relu", [5, 6, 6, 6, 1])]:
            layers, x, y, log_density = parameters(widths, 3), normal(4, 3), normal(4, 5, 2), normal(4, 5)
            loss, gradients = peer.gradient(shape, activation, layers, x, y, log_density)
            expected = reference_loss(shape, activation, layers, x, y, log_density)
            near("the loss", loss, expected, 1e-5 * (1 + abs(expected)))
            for at, pair in enumerate(layers):
                for which, values in enumerate(pair):
                    index = tuple(random.integers(size) for size in values.shape)
                    wide = [tuple(v.astype(np.float64) for v in pair) for pair in layers]
                    ends = []
                    for step in (1e-5, -1e-5):
                        wide[at][which][index] = float(values[index]) + step
                        ends.append(reference_loss(shape, activation, wide, x, y, log_density))
                    slope = (ends[0] - ends[1]) / 2e-5
                    size = float(np.abs(gradients[at][which]).max())
                    near(f"gradient {at}.{which}{index}", gradients[at][which][index], slope, 1e-3 * size + 1e-5)
    if hasattr(peer, "langevin_step"):
        layers, y, eta = parameters([3, 9, 8, 1], 5), normal(6, 3), 0.25
        found = np.asarray(peer.langevin_step("silu", layers, y, eta))
        for row in range(6):
            for column in range(3):
                ends = []
                for step in (1e-5, -1e-5):
                    moved = y.astype(np.float64)
                    moved[row, column] += step
                    ends.append(reference_energy("plain", "silu", layers, moved)[row])
                expected = y[row, column] - eta * (ends[0] - ends[1]) / 2e-5
                near(f"chain [{row}, {column}]", found[row, column], expected, 1e-5)


def near(what, found, expected, bound):
    if not abs(float(found) - float(expected)) <= bound:
        raise AssertionError(f"{what} is {float(found)} where {float(expected)} is right")


# Timing --------------------------------------------------------------------------------------------------------------


def reduced(size, factor):
    """About 1 / factor of (rows, steps): fewer steps first, then fewer rows."""
    rows, steps = size
    fewer = max(1, steps // factor)
    left = max(1, factor * fewer // steps)
    return max(1, rows // left), fewer


def power(ratio):
    return 1 << max(0, math.ceil(math.log2(max(1.0, ratio))))


def build(peer, spec, size):
    rows, steps = size
    if spec["kind"] == "training":
        return peer.training(spec, rows, spec.get("draws", True))
    if spec["kind"] == "chains":
        return peer.chains(spec, rows, steps)
    if spec["kind"] == "contrast":
        return peer.contrast(spec, rows)
    if spec["kind"] == "guided":
        return peer.guided(spec, rows, steps)
    return peer.gemm(spec, rows)


def timed(peer, work, times):
    begun = time.perf_counter()
    for _ in range(times):
        work()
    peer.wait()
    return (time.perf_counter() - begun) / times


def measure(peer, spec, repetitions, seconds):
    full = {"training": lambda: (spec["contexts"], 1), "chains": lambda: (spec["chains"], spec["steps"]),
            "gemm": lambda: (spec["rows"], 1), "contrast": lambda: (spec["rows"], 1),
            "guided": lambda: (spec["samples"], spec["steps"])}[spec["kind"]]()
    size = reduced(full, power(operations(spec, full[0]) * full[1] / TRUSTED))
    work = build(peer, spec, size)
    # Compilation and first touches of memory, then one that counts.
    timed(peer, work, 3)
    once = timed(peer, work, 1)
    fitting = reduced(full, power(once * full[0] * full[1] / (size[0] * size[1]) / LONGEST))
    if fitting != size:
        size = fitting
        work = build(peer, spec, size)
        timed(peer, work, 3)
        once = timed(peer, work, 1)
    times = min(2000, max(1, int(seconds / timed(peer, work, min(10, max(1, int(seconds / once)))))))
    found = sorted(1e3 * timed(peer, work, times) / size[1] for _ in range(repetitions))
    if spec["kind"] in ("contrast", "guided") and not np.isfinite(peer.left()).all():
        raise AssertionError("what it computed is not finite")
    quantile = lambda share: float(np.quantile(found, share))
    median = quantile(0.5)
    row = dict(median_ms=median, min_ms=found[0], max_ms=found[-1], lower_quartile_ms=quantile(0.25),
               upper_quartile_ms=quantile(0.75), gflops=operations(spec, size[0]) * 1e-6 / median,
               steps_per_repetition=times * size[1])
    what = {"training": "contexts", "chains": "chains", "gemm": "rows", "guided": "samples"}.get(spec["kind"])
    if spec["kind"] == "contrast":
        what = "samples" if spec["support"] == 1 else "states"
    scale = [dict(of=of, measured=part, full=whole)
             for of, part, whole in [(what, size[0], full[0]), ("steps", size[1], full[1])] if part != whole]
    return dict(row, scale=scale) if scale else row


def main(name, make):
    """Runs a peer from the command line: `make(arguments)` returns it with `version` and `device`."""
    options = argparse.ArgumentParser(description=f"Measure {name} on the workloads of gibbs.")
    options.add_argument("--workload", action="append", choices=list(workloads()), metavar="NAME", help="may be repeated [all]")
    options.add_argument("--json", type=pathlib.Path, required=True, help="file for the figures")
    options.add_argument("--repetitions", type=int, default=7, help="at least 5 [7]")
    options.add_argument("--milliseconds", type=int, default=600, help="about how long a repetition takes [600]")
    options.add_argument("--form", default="", help="which form of the peer, where it has several")
    arguments = options.parse_args()
    if arguments.repetitions < 5:
        options.error("at least 5 repetitions")
    figures = dict(peer=name, form=arguments.form, workloads={}, errors={})

    def save():
        # After each workload, so that a crash or a time limit leaves what was measured before.
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")

    try:
        peer = make(arguments)
        figures.update(version=peer.version, device=peer.device)
        check(peer)
    except Exception as error:
        traceback.print_exc()
        figures["errors"]["check"] = f"{type(error).__name__}: {error}"
        save()
        return 1
    for workload in arguments.workload or workloads():
        spec = workloads()[workload]
        if not hasattr(peer, spec["kind"]):
            continue
        print(f"{name} {arguments.form}: {workload}", file=sys.stderr, flush=True)
        try:
            figures["workloads"][workload] = measure(peer, spec, arguments.repetitions, 1e-3 * arguments.milliseconds)
        except Exception as error:
            traceback.print_exc()
            figures["errors"][workload] = f"{type(error).__name__}: {error}".splitlines()[0]
        save()
    save()
    return 0
