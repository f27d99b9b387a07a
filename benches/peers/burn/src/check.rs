//! Loss, gradients and a step of a chain against differences in f64.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::model::{Activation, Energy, Shape};

/// A layer: weights `[inputs, outputs]` row by row, biases.
type Wide = Vec<(Vec<f64>, Vec<f64>)>;

fn wide(energy: &Energy) -> Wide {
    let values = |data: TensorData| data.iter::<f64>().collect();
    let layers = energy.layers.layers.iter();
    layers
        .map(|layer| {
            let bias = layer.bias.as_ref().expect("a bias");
            (values(layer.weight.val().into_data()), values(bias.val().into_data()))
        })
        .collect()
}

fn affine(h: &[f64], (weight, bias): &(Vec<f64>, Vec<f64>)) -> Vec<f64> {
    let outputs = bias.len();
    (0..outputs)
        .map(|o| bias[o] + h.iter().enumerate().map(|(i, h)| h * weight[i * outputs + o]).sum::<f64>())
        .collect()
}

fn energy_of(energy: &Energy, layers: &Wide, row: &[f64]) -> f64 {
    let act = |h: &[f64]| -> Vec<f64> {
        let one = |&z: &f64| match energy.activation {
            Activation::Silu => z / (1.0 + (-z).exp()),
            Activation::Relu => z.max(0.0),
        };
        h.iter().map(one).collect()
    };
    let last = layers.len() - 1;
    let mut h = affine(row, &layers[0]);
    match energy.shape {
        Shape::Plain => {
            for layer in &layers[1..=last] {
                h = affine(&act(&h), layer);
            }
            h[0]
        }
        Shape::Preactivation => {
            for pair in layers[1..last].chunks(2) {
                let left = affine(&act(&affine(&act(&h), &pair[0])), &pair[1]);
                h.iter_mut().zip(left).for_each(|(h, left)| *h += left);
            }
            affine(&h, &layers[last])[0]
        }
    }
}

const CONTEXTS: usize = 4;
const CANDIDATES: usize = 5;

fn loss_of(energy: &Energy, layers: &Wide, x: &[f64], y: &[f64], log_density: &[f64]) -> f64 {
    let one = |context: usize| {
        let logits: Vec<f64> = (0..CANDIDATES)
            .map(|candidate| {
                let at = context * CANDIDATES + candidate;
                let row = [&x[3 * context..][..3], &y[2 * at..][..2]].concat();
                -energy_of(energy, layers, &row) - log_density[at]
            })
            .collect();
        logits.iter().map(|logit| logit.exp()).sum::<f64>().ln() - logits[0]
    };
    (0..CONTEXTS).map(one).sum::<f64>() / CONTEXTS as f64
}

/// Numbers in (-1, 1) without a pattern.
fn numbers(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from((state >> 40) as f32 / (1 << 23) as f32 - 1.0)
        })
        .collect()
}

fn near(what: &str, found: f64, expected: f64, bound: f64) -> Result<(), String> {
    match (found - expected).abs() <= bound {
        true => Ok(()),
        false => Err(format!("{what} is {found} where {expected} is right")),
    }
}

fn tensor<const D: usize>(values: &[f64], shape: [usize; D], device: &Device) -> Tensor<D> {
    let narrow: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    Tensor::from_data(TensorData::new(narrow, shape), device)
}

pub fn check(device: &Device) -> Result<(), String> {
    let training = device.clone().autodiff();
    for (shape, activation, widths) in [
        (Shape::Plain, Activation::Silu, vec![5, 7, 6, 1]),
        (Shape::Preactivation, Activation::Relu, vec![5, 6, 6, 6, 1]),
    ] {
        let energy = Energy::new(shape, activation, &widths, &training);
        let (x, y) = (numbers(1, 3 * CONTEXTS), numbers(2, 2 * CONTEXTS * CANDIDATES));
        let log_density = numbers(3, CONTEXTS * CANDIDATES);
        let loss = energy.loss(
            tensor(&x, [CONTEXTS, 3], &training),
            tensor(&y, [CONTEXTS, CANDIDATES, 2], &training),
            tensor(&log_density, [CONTEXTS, CANDIDATES], &training),
        );
        let gradients = loss.backward();
        let layers = wide(&energy);
        let value = |layers: &Wide| loss_of(&energy, layers, &x, &y, &log_density);
        near("the loss", f64::from(loss.into_scalar::<f32>()), value(&layers), 1e-5)?;
        for (at, layer) in energy.layers.layers.iter().enumerate() {
            let gradient = layer.weight.val().grad(&gradients).ok_or("there is no gradient")?;
            let found: Vec<f64> = gradient.into_data().iter::<f64>().collect();
            let size = found.iter().fold(0.0f64, |most, value| most.max(value.abs()));
            for index in [0, found.len() / 3, found.len() - 1] {
                let end = |step: f64| {
                    let mut moved = layers.clone();
                    moved[at].0[index] += step;
                    value(&moved)
                };
                let slope = (end(1e-5) - end(-1e-5)) / 2e-5;
                near(&format!("gradient {at}[{index}]"), found[index], slope, 1e-3 * size + 1e-5)?;
            }
        }
    }
    let mut energy = Energy::new(Shape::Plain, Activation::Silu, &[3, 9, 8, 1], &training);
    energy.layers = energy.layers.no_grad();
    let layers = wide(&energy);
    let (y, eta) = (numbers(4, 18), 0.25);
    let moved: Vec<f64> =
        energy.walk(tensor(&y, [6, 3], device), eta, 0.0).into_data().iter::<f64>().collect();
    for at in 0..18 {
        let end = |step: f64| {
            let mut row = y[3 * (at / 3)..][..3].to_vec();
            row[at % 3] += step;
            energy_of(&energy, &layers, &row)
        };
        let expected = y[at] - eta * (end(1e-5) - end(-1e-5)) / 2e-5;
        near(&format!("chain [{}, {}]", at / 3, at % 3), moved[at], expected, 1e-5)?;
    }
    Ok(())
}
