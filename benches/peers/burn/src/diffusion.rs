//! Energy-guided diffusion (arXiv 2304.12824): training an intermediate energy, and sampling guided by one.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Distribution, Int, Tensor, activation};

use crate::workloads::data;

/// Widths of three chains of layers: of the action's, of the time's from its 32 features on, of those behind them.
#[derive(Clone, Debug)]
pub struct Widths([Vec<usize>; 3]);

impl Widths {
    pub fn new(action: &[usize], time: &[usize], context: usize, hidden: &[usize], outputs: usize) -> Self {
        let inputs = action[action.len() - 1] + time[time.len() - 1] + context;
        Self([action.to_vec(), time.to_vec(), [&[inputs], hidden, &[outputs]].concat()])
    }

    pub fn multiply_adds(&self) -> usize {
        self.0.iter().flat_map(|widths| widths.windows(2)).map(|pair| pair[0] * pair[1]).sum()
    }
}

/// Contrastive training of an intermediate energy: rows of the data per step, samples of each (a group, or 1 where all of a step
/// are one group), numbers of a context and of a sample, the first time to train on.
#[derive(Clone, Debug)]
pub struct Contrast {
    pub rows: usize,
    pub support: usize,
    pub widths: (usize, usize),
    pub network: Widths,
    pub first_time: f64,
}

/// Samples in the plane, led by an energy.
#[derive(Clone, Debug)]
pub struct Guided {
    pub samples: usize,
    pub evaluations: usize,
    pub score: Widths,
    pub energy: Widths,
}

pub fn toy_energy() -> Widths {
    Widths::new(&[2], &[32, 32], 0, &[512; 4], 1)
}

pub fn toy_score() -> Widths {
    Widths::new(&[2, 224], &[32, 32, 32], 0, &[512, 512, 512, 512, 256], 2)
}

#[derive(Module, Debug)]
struct Layers {
    action: Vec<Linear>,
    time: Vec<Linear>,
    rest: Vec<Linear>,
}

/// A network over noised samples, and the frequencies of its time, `[1, 16]`, in radians.
struct Timed {
    layers: Layers,
    turns: Tensor<2>,
}

/// SiLU between layers, none behind the last.
fn chain(layers: &[Linear], mut h: Tensor<2>) -> Tensor<2> {
    for (at, layer) in layers.iter().enumerate() {
        h = layer.forward(if at > 0 { activation::silu(h) } else { h });
    }
    h
}

impl Timed {
    fn new(widths: &Widths, device: &Device, plain: &Device) -> Self {
        let layer = |pair: &[usize]| LinearConfig::new(pair[0], pair[1]).init(device);
        let [action, time, rest] =
            [0, 1, 2].map(|at| widths.0[at].windows(2).map(layer).collect::<Vec<Linear>>());
        let turns = Tensor::<2>::random([1, 16], Distribution::Normal(0.0, 30.0), plain);
        Self { layers: Layers { action, time, rest }, turns: turns * std::f64::consts::TAU }
    }

    /// Features of times `[rows, 1]`.
    fn features(&self, time: Tensor<2>) -> Tensor<2> {
        let angles = time * self.turns.clone();
        Tensor::cat(vec![angles.clone().sin(), angles.cos()], 1)
    }

    /// Time passes through its layers row by row, as in the published code.
    fn forward(&self, action: Tensor<2>, features: Tensor<2>, context: Option<Tensor<2>>) -> Tensor<2> {
        let mut parts = vec![chain(&self.layers.action, action), chain(&self.layers.time, features)];
        parts.extend(context);
        chain(&self.layers.rest, Tensor::cat(parts, 1))
    }
}

/// Noise rates of the variance-preserving schedule at time 0 and 1.
const RATES: (f64, f64) = (0.1, 20.0);
const BETA: f64 = 3.0;

fn log_alpha(time: f64) -> f64 {
    -0.25 * (RATES.1 - RATES.0) * time * time - 0.5 * RATES.0 * time
}

fn sigma(time: f64) -> f64 {
    (-(2.0 * log_alpha(time)).exp_m1()).sqrt()
}

fn log_snr(time: f64) -> f64 {
    log_alpha(time) - sigma(time).ln()
}

/// The time with a log-SNR.
fn time_of(log_snr: f64) -> f64 {
    let slope = RATES.1 - RATES.0;
    let noise = 2.0 * slope * (-2.0 * log_snr).exp().ln_1p();
    noise / (((RATES.0 * RATES.0 + noise).sqrt() + RATES.0) * slope)
}

/// What is computed must be a number; the first step tells.
fn finite<const D: usize>(tensor: Tensor<D>) {
    let values = tensor.into_data();
    assert!(values.iter::<f64>().all(f64::is_finite), "what it computed is not finite");
}

impl Contrast {
    pub fn flops_per_step(&self, rows: usize) -> f64 {
        6.0 * (rows * self.support) as f64 * self.network.multiply_adds() as f64
    }

    pub fn build(&self, device: &Device, rows: usize) -> Box<dyn FnMut()> {
        let (support, (states, actions), first_time) = (self.support, self.widths, self.first_time);
        let group = if support > 1 { support } else { rows };
        let (groups, all) = (rows * support / group, rows * support);
        let contexts = (states > 0).then(|| data(states, device));
        let rows_of_data = data(support * (actions + 1), device);
        let mut energy = Timed::new(&self.network, &device.clone().autodiff(), device);
        let mut optimizer = AdamConfig::new().with_epsilon(1e-8).init();
        let plain = device.clone();
        let mut begun = false;
        Box::new(move || {
            let chosen = Tensor::<1, Int>::random([rows], Distribution::Uniform(0.0, 4096.0), &plain);
            let samples = rows_of_data.clone().select(0, chosen.clone()).reshape([all, actions + 1]);
            let (clean, energies) = (samples.clone().narrow(1, 0, actions), samples.narrow(1, actions, 1));
            let time = Tensor::<2>::random([groups, 1], Distribution::Uniform(first_time, 1.0), &plain);
            let time = time.expand([groups, group]).reshape([all, 1]);
            let slope = -0.25 * (RATES.1 - RATES.0);
            let alpha = (time.clone() * time.clone() * slope - time.clone() * (0.5 * RATES.0)).exp();
            let sigma = (-(alpha.clone() * alpha.clone()) + 1.0).clamp_min(0.0).sqrt();
            let noise = Tensor::<2>::random([all, actions], Distribution::Normal(0.0, 1.0), &plain);
            let noised = clean * alpha + noise * sigma;
            let context = contexts.clone().map(|contexts| {
                let chosen = contexts.select(0, chosen).unsqueeze_dim::<3>(1);
                chosen.expand([rows, support, states]).reshape([all, states]).autodiff()
            });
            let labels = activation::softmax(energies.reshape([groups, group]) * -BETA, 1);
            let features = energy.features(time).autodiff();
            let logits = -energy.forward(noised.autodiff(), features, context).reshape([groups, group]);
            let terms = labels.autodiff() * activation::log_softmax(logits, 1);
            let loss = -terms.sum_dim(1).mean();
            if !begun {
                finite(loss.clone());
                begun = true;
            }
            let gradients = GradientsParams::from_grads(loss.backward(), &energy.layers);
            energy.layers = optimizer.step(2e-3, energy.layers.clone(), gradients);
        })
    }
}

impl Guided {
    pub fn flops_per_step(&self, samples: usize) -> f64 {
        let (score, energy) = (self.score.multiply_adds() as f64, self.energy.multiply_adds() as f64);
        samples as f64 * (2.0 * score + 4.0 * energy)
    }

    /// DPM-Solver++ of second order, multistep, from time 1 to 0.001 in equal steps of the log-SNR.
    pub fn build(&self, device: &Device, samples: usize, evaluations: usize) -> Box<dyn FnMut()> {
        let score = Timed::new(&self.score, device, device);
        let mut energy = Timed::new(&self.energy, &device.clone().autodiff(), device);
        energy.layers = energy.layers.no_grad();
        let ends = [log_snr(1.0), log_snr(1e-3)];
        let step = (ends[1] - ends[0]) / evaluations as f64;
        let times: Vec<f64> = (0..=evaluations).map(|at| time_of(ends[0] + step * at as f64)).collect();
        let plain = device.clone();
        let mut begun = false;
        Box::new(move || {
            let mut x = Tensor::<2>::random([samples, 2], Distribution::Normal(0.0, 1.0), &plain);
            let mut before: Option<Tensor<2>> = None;
            for pair in times.windows(2) {
                let (alpha, deviation) = (log_alpha(pair[0]).exp(), sigma(pair[0]));
                let time = Tensor::<2>::full([samples, 1], pair[0], &plain);
                let point = x.clone().autodiff().require_grad();
                let features = energy.features(time.clone()).autodiff();
                let mut gradients = energy.forward(point.clone(), features, None).sum().backward();
                let slope = point.grad_remove(&mut gradients).expect("a gradient of the samples");
                let noise = score.forward(x.clone(), score.features(time), None) + slope * deviation;
                let value = (x.clone() - noise * deviation) * (1.0 / alpha);
                // Steps are equal; there is no model value before the first.
                let own = -log_alpha(pair[1]).exp() * (-step).exp_m1();
                let ahead = match before.take() {
                    Some(before) => value.clone() * (1.5 * own) - before * (0.5 * own),
                    None => value.clone() * own,
                };
                x = x * (sigma(pair[1]) / deviation) + ahead;
                before = Some(value);
            }
            if !begun {
                finite(x);
                begun = true;
            }
        })
    }
}
