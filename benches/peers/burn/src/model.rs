//! The energy network, its loss, and a step of Langevin dynamics.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor, activation};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    Silu,
    Relu,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    Plain,
    Preactivation,
}

#[derive(Module, Debug)]
pub struct Layers {
    pub layers: Vec<Linear>,
}

/// A network as numbers say it.
#[derive(Clone, Debug)]
pub struct Energy {
    pub layers: Layers,
    pub shape: Shape,
    pub activation: Activation,
}

impl Energy {
    pub fn new(shape: Shape, activation: Activation, widths: &[usize], device: &Device) -> Self {
        let layers = widths.windows(2).map(|pair| LinearConfig::new(pair[0], pair[1]).init(device)).collect();
        Self { layers: Layers { layers }, shape, activation }
    }

    pub fn act<const D: usize>(&self, h: Tensor<D>) -> Tensor<D> {
        match self.activation {
            Activation::Silu => activation::silu(h),
            Activation::Relu => activation::relu(h),
        }
    }

    /// `[rows, inputs]` to `[rows, 1]`.
    pub fn forward(&self, h: Tensor<2>) -> Tensor<2> {
        let layers = &self.layers.layers;
        let last = layers.len() - 1;
        let mut h = layers[0].forward(h);
        match self.shape {
            Shape::Plain => {
                for layer in &layers[1..=last] {
                    h = layer.forward(self.act(h));
                }
                h
            }
            Shape::Preactivation => {
                for pair in layers[1..last].chunks(2) {
                    let inner = pair[0].forward(self.act(h.clone()));
                    h = h + pair[1].forward(self.act(inner));
                }
                layers[last].forward(h)
            }
        }
    }

    /// Ranking NCE; candidate 0 is the data's. `x`: `[contexts, .]`, `y`: `[contexts, candidates, .]`.
    pub fn loss(&self, x: Tensor<2>, y: Tensor<3>, log_density: Tensor<2>) -> Tensor<1> {
        let [contexts, candidates, dims] = y.dims();
        let width = x.dims()[1];
        let repeated = x.unsqueeze_dim::<3>(1).expand([contexts, candidates, width]);
        let rows = Tensor::cat(vec![repeated, y], 2).reshape([contexts * candidates, width + dims]);
        let logits = -self.forward(rows).reshape([contexts, candidates]) - log_density;
        -activation::log_softmax(logits, 1).narrow(1, 0, 1).mean()
    }

    /// A step of Langevin dynamics at a temperature; the layers must want no gradient.
    pub fn walk(&self, y: Tensor<2>, eta: f64, temperature: f64) -> Tensor<2> {
        let y = y.autodiff().require_grad();
        let mut gradients = self.forward(y.clone()).sum().backward();
        let gradient = y.grad_remove(&mut gradients).expect("a gradient of the chains");
        let y = y.inner();
        let noise = y.random_like(Distribution::Normal(0.0, 1.0));
        y - gradient * eta + noise * (2.0 * eta * temperature).sqrt()
    }
}
