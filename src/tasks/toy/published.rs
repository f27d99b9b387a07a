//! The networks of the two-dimensional experiments of arXiv 2304.12824.

use crate::nn::{ACTION, Activation, Fourier, Input, Layer, Network, TIME};

/// Time as 16 random frequencies of deviation 30.
pub fn time() -> Input {
    Input::new(TIME, 1).encoded(Fourier::gaussian(1, 16, 30.0, 0))
}

/// The score: a million parameters.
pub fn score() -> Network {
    let normalizer = |width| Layer::dense(width, Activation::Identity);
    let action = Input::new(ACTION, 2).embedded(vec![normalizer(224)]);
    let time = time().embedded(vec![Layer::dense(32, Activation::Silu), normalizer(32)]);
    Network::mlp(vec![action, time], &[512, 512, 512, 512, 256], Activation::Silu, 2)
}

/// The intermediate energy: 0.8 million.
pub fn energy() -> Network {
    let time = time().embedded(vec![Layer::dense(32, Activation::Identity)]);
    Network::mlp(vec![Input::new(ACTION, 2), time], &[512; 4], Activation::Silu, 1)
}
