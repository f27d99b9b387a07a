//! The workloads: those of `examples/bench` and `harness.py`.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData, activation};

use crate::diffusion::{Contrast, Guided, Widths, toy_energy, toy_score};
use crate::model::{Activation, Energy, Shape};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Proposal {
    Gaussian,
    Uniform,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Draws {
    Anew,
    Fixed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Product {
    Forward,
    Inputs,
    Weights,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Training { contexts: usize, negatives: usize, x: usize, y: usize, proposal: Proposal, draws: Draws },
    Chains { chains: usize, steps: usize },
    Gemm { rows: usize, outputs: usize, inputs: usize, product: Product },
    Contrast(Contrast),
    Guided(Guided),
}

/// A workload: what is done, and the network's widths from inputs to output where it has one chain of layers.
#[derive(Clone, Debug)]
pub struct Spec {
    pub kind: Kind,
    pub widths: Vec<usize>,
    pub shape: Shape,
    pub activation: Activation,
}

pub fn all() -> Vec<(String, Spec)> {
    let mut found = Vec::new();
    for (rows, outputs, inputs) in [(2048, 256, 256), (8192, 1024, 1024), (65536, 128, 128)] {
        for (suffix, product) in
            [("", Product::Forward), ("/inputs", Product::Inputs), ("/weights", Product::Weights)]
        {
            let kind = Kind::Gemm { rows, outputs, inputs, product };
            let spec = Spec { kind, widths: Vec::new(), shape: Shape::Plain, activation: Activation::Silu };
            found.push((format!("gemm-{rows}x{outputs}x{inputs}{suffix}"), spec));
        }
    }
    let training =
        |(contexts, negatives), (x, y), hidden: &[usize], shape, activation, proposal, draws| Spec {
            kind: Kind::Training { contexts, negatives, x, y, proposal, draws },
            widths: [&[x + y], hidden, &[1]].concat(),
            shape,
            activation,
        };
    let (plain, silu, relu) = (Shape::Plain, Activation::Silu, Activation::Relu);
    let gaussian = Proposal::Gaussian;
    for (name, draws) in [("rnce-small", Draws::Anew), ("rnce-small/no-draws", Draws::Fixed)] {
        found.push((name.into(), training((128, 63), (2, 2), &[128; 3], plain, silu, gaussian, draws)));
    }
    let wide = training((256, 32), (40, 32), &[1024; 4], plain, relu, gaussian, Draws::Anew);
    found.push(("rnce-wide".into(), wide));
    let deep = (Shape::Preactivation, Proposal::Uniform);
    found.push((
        "ibc-push".into(),
        training((512, 256), (10, 2), &[128; 17], deep.0, relu, deep.1, Draws::Anew),
    ));
    found.push(("tiny".into(), training((16, 15), (2, 2), &[64; 2], plain, silu, gaussian, Draws::Anew)));
    for (name, inputs, hidden, activation) in
        [("langevin-small", 4, vec![128; 3], silu), ("ibc-langevin", 32, vec![512; 8], relu)]
    {
        let widths = [&[inputs], &hidden[..], &[1]].concat();
        let kind = Kind::Chains { chains: 4096, steps: 100 };
        found.push((name.into(), Spec { kind, widths, shape: plain, activation }));
    }
    let cep = Contrast { rows: 2048, support: 1, widths: (0, 2), network: toy_energy(), first_time: 1e-5 };
    let network = Widths::new(&[6], &[32, 32], 17, &[256; 4], 1);
    let qgpo = Contrast { rows: 256, support: 16, widths: (17, 6), network, first_time: 1e-3 };
    let guided = Guided { samples: 4096, evaluations: 15, score: toy_score(), energy: toy_energy() };
    for (name, kind) in [
        ("cep-toy", Kind::Contrast(cep)),
        ("qgpo-energy", Kind::Contrast(qgpo)),
        ("guided-sampling", Kind::Guided(guided)),
    ] {
        found.push((name.into(), Spec { kind, widths: Vec::new(), shape: plain, activation: silu }));
    }
    found
}

/// Smooth, asymmetric rows in [-1, 1].
pub fn data(width: usize, device: &Device) -> Tensor<2> {
    let wave = |at: usize| (((at / width) * 7 + (at % width) * 13) as f32 * 0.37).sin();
    let values: Vec<f32> = (0..4096 * width).map(wave).collect();
    Tensor::from_data(TensorData::new(values, [4096, width]), device)
}

impl Spec {
    /// Rows (contexts, chains) and steps of the whole workload.
    pub fn size(&self) -> (usize, usize) {
        match &self.kind {
            Kind::Training { contexts, .. } => (*contexts, 1),
            Kind::Chains { chains, steps } => (*chains, *steps),
            Kind::Gemm { rows, .. } => (*rows, 1),
            Kind::Contrast(contrast) => (contrast.rows, 1),
            Kind::Guided(guided) => (guided.samples, guided.evaluations),
        }
    }

    /// Nominal: 2 per multiply-add of a product, 4 for an input gradient, 6 for training.
    pub fn flops_per_step(&self, rows: usize) -> f64 {
        let multiply_adds: usize = self.widths.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let (factor, rows, each) = match &self.kind {
            Kind::Training { negatives, .. } => (6.0, rows * (negatives + 1), multiply_adds),
            Kind::Chains { .. } => (4.0, rows, multiply_adds),
            Kind::Gemm { outputs, inputs, .. } => (2.0, rows, outputs * inputs),
            Kind::Contrast(contrast) => return contrast.flops_per_step(rows),
            Kind::Guided(guided) => return guided.flops_per_step(rows),
        };
        factor * rows as f64 * each as f64
    }

    /// The work of one replay.
    pub fn build(&self, device: &Device, (rows, steps): (usize, usize)) -> Box<dyn FnMut()> {
        match &self.kind {
            Kind::Contrast(contrast) => contrast.build(device, rows),
            Kind::Guided(guided) => guided.build(device, rows, steps),
            &Kind::Training { negatives, x, y, proposal, draws, .. } => {
                self.training(device, (rows, negatives), (x, y), proposal, draws)
            }
            &Kind::Chains { .. } => {
                let mut energy = self.energy(&device.clone().autodiff());
                energy.layers = energy.layers.no_grad();
                let start =
                    Tensor::<2>::random([rows, self.widths[0]], Distribution::Uniform(-1.0, 1.0), device);
                Box::new(move || {
                    let mut y = start.clone();
                    for _ in 0..steps {
                        y = energy.walk(y, 0.01, 1.0);
                    }
                })
            }
            &Kind::Gemm { outputs, inputs, product, .. } => {
                let random = |shape| Tensor::<2>::random(shape, Distribution::Uniform(-0.4, 0.6), device);
                let (h, dz) = (random([rows, inputs]), random([rows, outputs]));
                let (weight, bias) = (random([inputs, outputs]), random([1, outputs]));
                Box::new(move || match product {
                    Product::Forward => drop(h.clone().matmul(weight.clone()) + bias.clone()),
                    Product::Inputs => drop(dz.clone().matmul(weight.clone().transpose())),
                    Product::Weights => {
                        drop((h.clone().transpose().matmul(dz.clone()), dz.clone().sum_dim(0)));
                    }
                })
            }
        }
    }

    fn energy(&self, device: &Device) -> Energy {
        Energy::new(self.shape, self.activation, &self.widths, device)
    }

    fn training(
        &self,
        device: &Device,
        (contexts, negatives): (usize, usize),
        (x_width, y_width): (usize, usize),
        proposal: Proposal,
        draws: Draws,
    ) -> Box<dyn FnMut()> {
        // The proposal is not trained: it runs without gradients.
        let (xs, ys) = (data(x_width, device), data(y_width, device));
        let sampler = Sampler::new(proposal, x_width, y_width, device);
        let plain = device.clone();
        let draw = move || {
            let chosen = Tensor::<1, Int>::random([contexts], Distribution::Uniform(0.0, 4096.0), &plain);
            let (x, data) = (xs.clone().select(0, chosen.clone()), ys.clone().select(0, chosen));
            let (y, log_density) = sampler.draw(x.clone(), data, negatives);
            (x, y, log_density)
        };
        let fixed = (draws == Draws::Fixed).then(&draw);
        let mut energy = self.energy(&device.clone().autodiff());
        let mut optimizer = AdamConfig::new().with_epsilon(1e-8).init();
        Box::new(move || {
            let (x, y, log_density) = fixed.clone().unwrap_or_else(&draw);
            let loss = energy.loss(x.autodiff(), y.autodiff(), log_density.autodiff());
            let gradients = GradientsParams::from_grads(loss.backward(), &energy.layers);
            energy.layers = optimizer.step(1e-3, energy.layers.clone(), gradients);
        })
    }
}

/// Negatives with log-densities: a conditional diagonal Gaussian from one hidden layer of 128, or the box from -1.25 to 1.25.
struct Sampler {
    layers: Option<(Linear, Linear)>,
}

impl Sampler {
    fn new(proposal: Proposal, x: usize, y: usize, device: &Device) -> Self {
        let layer = |inputs, outputs| LinearConfig::new(inputs, outputs).init(device);
        let layers = (proposal == Proposal::Gaussian).then(|| (layer(x, 128), layer(128, 2 * y)));
        Self { layers }
    }

    fn draw(&self, x: Tensor<2>, data: Tensor<2>, negatives: usize) -> (Tensor<3>, Tensor<2>) {
        let [contexts, dims] = data.dims();
        let data = data.unsqueeze_dim::<3>(1);
        let device = data.device();
        let shape = [contexts, negatives, dims];
        match &self.layers {
            Some((hidden, output)) => {
                let h = output.forward(activation::silu(hidden.forward(x))).unsqueeze_dim::<3>(1);
                let (mean, log_deviation) = (h.clone().narrow(2, 0, dims), h.narrow(2, dims, dims));
                let noise = Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
                let drawn = mean.clone() + log_deviation.clone().exp() * noise;
                let y = Tensor::cat(vec![data, drawn], 1);
                let z = (y.clone() - mean) * (-log_deviation.clone()).exp();
                let terms = z.powi_scalar(2) * -0.5 - log_deviation - 0.918_938_533_204_672_7;
                (y, terms.sum_dim(2).squeeze_dim::<2>(2))
            }
            None => {
                let drawn = Tensor::<3>::random(shape, Distribution::Uniform(-1.25, 1.25), &device);
                let y = Tensor::cat(vec![data, drawn], 1);
                let density = -(dims as f32) * 2.5f32.ln();
                (y, Tensor::<2>::full([contexts, negatives + 1], density, &device))
            }
        }
    }
}
