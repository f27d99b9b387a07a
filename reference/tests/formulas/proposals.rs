//! Mixtures and the uniform box.

use crate::common::{check_gradient, near, normals, uniforms};
use gibbs_reference::compose::{Mlp, mixture_network_likelihood};
use gibbs_reference::nn::Activation;
use gibbs_reference::proposal::*;

const SHIFT: [f64; 2] = [0.4, -1.0];
const SCALE: [f64; 2] = [2.0, 0.6];
const ACTION: ActionScale<'static> = ActionScale { shift: &SHIFT, scale: &SCALE };

fn shape(components: usize) -> MixtureShape {
    MixtureShape { components, dims: 2, log_std_low: -1.5, log_std_high: 0.5 }
}

/// Network outputs whose log standard deviations fall on both sides of both clamps.
fn outputs(shape: &MixtureShape, contexts: usize) -> Vec<f64> {
    let outputs: Vec<f64> = normals(21, contexts * shape.width()).iter().map(|v| 0.9 * v).collect();
    let raw = (0..contexts).flat_map(|b| {
        let row = &outputs[b * shape.width()..(b + 1) * shape.width()];
        row[shape.logits() + shape.components * shape.dims..].to_vec()
    });
    for clamp in [shape.log_std_low, shape.log_std_high] {
        // The clamp is a kink: difference quotients are wrong within a step of it.
        assert!(raw.clone().all(|raw| (raw - clamp).abs() > 1e-3), "choose data away from the clamp");
    }
    outputs
}

#[test]
fn widths_and_layout() {
    assert_eq!((shape(1).width(), shape(1).logits(), shape(3).width()), (4, 0, 15));
    let outputs: Vec<f64> = (0..30).map(f64::from).collect();
    let row = shape(3).row(&outputs, 1);
    assert_eq!(row.mean, &outputs[18..24]);
    assert_eq!(row.log_std, [0.5; 6]);
    assert_eq!(row.inside, [false; 6]);
    near("log softmax", row.log_weight[2], -(1.0 + (-1f64).exp() + (-2f64).exp()).ln(), 1e-14);
    assert_eq!(shape(1).row(&outputs[..4], 0).log_weight, [0.0]);
}

#[test]
fn log_density_of_one_gaussian_in_closed_form() {
    let outputs = [0.3, -0.2, -0.5, 0.25];
    let y = [0.9, 0.1];
    let std = [(-0.5f64).exp(), 0.25f64.exp()];
    let mut expected = 0.0;
    for j in 0..2 {
        // Mean and standard deviation in data units.
        let mean = SHIFT[j] + outputs[j] / SCALE[j];
        let sigma = std[j] / SCALE[j];
        let t: f64 = (y[j] - mean) / sigma;
        expected += -0.5 * t * t - (sigma * std::f64::consts::TAU.sqrt()).ln();
    }
    near("log q", mixture_log_density(&shape(1), &outputs, ACTION, &y).value[0], expected, 1e-12);
}

#[test]
fn mixture_density_integrates_to_one() {
    for components in [1, 3] {
        let shape = shape(components);
        let outputs = outputs(&shape, 2);
        let (cells, half) = (160, [7.0, 24.0]);
        let mut y = Vec::new();
        for _context in 0..2 {
            for i in 0..cells * cells {
                for (j, cell) in [i / cells, i % cells].into_iter().enumerate() {
                    y.push(SHIFT[j] + half[j] * ((cell as f64 + 0.5) / cells as f64 * 2.0 - 1.0));
                }
            }
        }
        let area = 4.0 * half[0] * half[1] / (cells * cells) as f64;
        let density = mixture_log_density(&shape, &outputs, ACTION, &y).value;
        for rows in density.chunks_exact(cells * cells) {
            near("integral", rows.iter().map(|l| l.exp()).sum::<f64>() * area, 1.0, 1e-6);
        }
    }
}

#[test]
fn samples_follow_their_density() {
    let shape = shape(3);
    let outputs = outputs(&shape, 1);
    let n = 20_000;
    let sample = mixture_sample(&shape, &outputs, ACTION, &uniforms(22, n), &normals(23, 2 * n));
    let row = shape.row(&outputs, 0);
    let weights: Vec<f64> = row.log_weight.iter().map(|l| l.exp()).collect();
    for (c, &weight) in weights.iter().enumerate() {
        let share = sample.component.iter().filter(|&&chosen| chosen == c).count() as f64 / n as f64;
        near("share", share, weight, 4.0 * (weight * (1.0 - weight) / n as f64).sqrt());
    }
    for j in 0..2 {
        let mean: f64 = (0..3).map(|c| weights[c] * row.mean[2 * c + j]).sum();
        let second: f64 = (0..3)
            .map(|c| weights[c] * (row.mean[2 * c + j].powi(2) + (2.0 * row.log_std[2 * c + j]).exp()))
            .sum();
        let variance = (second - mean * mean) / SCALE[j].powi(2);
        let found = sample.y.iter().skip(j).step_by(2).sum::<f64>() / n as f64;
        near("mean", found, SHIFT[j] + mean / SCALE[j], 4.0 * (variance / n as f64).sqrt());
        let found = sample.y.iter().skip(j).step_by(2).map(|y| (y - found).powi(2)).sum::<f64>() / n as f64;
        near("variance", found, variance, 0.1 * variance);
    }
}

#[test]
fn component_choice_at_its_edges() {
    // Weights 1/4, 1/2, 1/4; means 10 c, standard deviation exp(-1.5).
    let shape = MixtureShape { components: 3, dims: 1, log_std_low: -1.5, log_std_high: 0.5 };
    let outputs = [0.0, 2f64.ln(), 0.0, 0.0, 10.0, 20.0, -9.0, -9.0, -9.0];
    let action = ActionScale { shift: &[1.0], scale: &[2.0] };
    let u = [0.1, 0.2499, 0.2501, 0.7499, 0.7501, 0.999];
    let sample = mixture_sample(&shape, &outputs, action, &u, &[0.0, 1.0, 0.0, 0.0, -1.0, 0.0]);
    assert_eq!(sample.component, [0, 0, 1, 1, 2, 2]);
    let half = 0.5 * (-1.5f64).exp();
    for (found, expected) in sample.y.iter().zip([1.0, 1.0 + half, 6.0, 6.0, 11.0 - half, 11.0]) {
        near("y", *found, expected, 1e-12);
    }
    for (found, expected) in sample.margin.iter().zip([0.15, 1e-4, 1e-4, 1e-4, 1e-4, 0.249]) {
        near("margin", *found, expected, 1e-12);
    }
    let gaussian = MixtureShape { components: 1, ..shape };
    let sample = mixture_sample(&gaussian, &[3.0, 0.0, 5.0, 0.0], action, &[0.5; 4], &[0.0; 4]);
    assert_eq!(sample.y, [2.5, 2.5, 3.5, 3.5]);
    assert_eq!(sample.margin, [f64::INFINITY; 4]);
}

#[test]
fn likelihood_is_the_log_density_and_its_gradient() {
    for (components, contexts) in [(1, 3), (4, 5)] {
        let shape = shape(components);
        let outputs = outputs(&shape, contexts);
        let y = normals(24, contexts * 2);
        let result = mixture_likelihood(&shape, &outputs, ACTION, &y);
        let density = mixture_log_density(&shape, &outputs, ACTION, &y);
        for b in 0..contexts {
            near("loss", result.loss[b], -density.value[b], 1e-12);
            near("magnitude", result.loss_magnitude[b], density.magnitude[b], 1e-9);
            let r = &result.responsibilities[b * components..(b + 1) * components];
            near("responsibilities", r.iter().sum(), 1.0, 1e-12);
        }
        // A coefficient on the mean loss stands for the rest of a graph.
        let scaled: Vec<f64> = result.seeds.iter().map(|s| 1.7 * s).collect();
        check_gradient("seeds", &outputs, &scaled, |outputs| {
            let loss = mixture_likelihood(&shape, outputs, ACTION, &y).loss;
            1.7 * loss.iter().sum::<f64>() / contexts as f64
        });
        let clamped: Vec<usize> = (0..contexts * shape.width())
            .filter(|i| i % shape.width() >= shape.logits() + components * 2)
            .filter(|&i| !(-1.5..=0.5).contains(&outputs[i]))
            .collect();
        assert!(!clamped.is_empty(), "the clamp is exercised");
        assert!(clamped.iter().all(|&i| result.seeds[i] == 0.0));
        for (seed, magnitude) in result.seeds.iter().zip(&result.seed_magnitude) {
            assert!(seed.abs() <= *magnitude, "magnitude {magnitude} below its value {seed}");
        }
    }
}

#[test]
fn likelihood_is_finite_far_away() {
    let shape = shape(4);
    let outputs = outputs(&shape, 3);
    for far in [1e3, -1e6] {
        let result = mixture_likelihood(&shape, &outputs, ACTION, &[far; 6]);
        assert!(result.loss.iter().chain(&result.seeds).all(|v| v.is_finite()));
    }
    let mut extreme = outputs.clone();
    extreme[..4].copy_from_slice(&[1e30, -1e30, 0.0, 3.0]);
    let result = mixture_likelihood(&shape, &extreme, ACTION, &[0.1; 6]);
    assert!(result.loss.iter().chain(&result.seeds).all(|v| v.is_finite()));
}

#[test]
fn mixture_network_gradient_matches_differences_and_descends() {
    let shape = shape(3);
    let widths = [2, 5, shape.width()];
    let network = Mlp::new(&widths, Activation::Tanh, &uniforms(25, Mlp::parameter_count(&widths)));
    let (x, y) = (normals(26, 8), normals(27, 8));
    let step = mixture_network_likelihood(&network, &shape, ACTION, &x, &y);
    let loss =
        |p: &[f64]| mixture_network_likelihood(&network.with_parameters(p), &shape, ACTION, &x, &y).loss;
    let scaled: Vec<f64> = step.gradient.iter().map(|g| 0.3 * g).collect();
    let point = network.parameters();
    check_gradient("parameters", &point, &scaled, |p| 0.3 * loss(p));
    let moved: Vec<f64> = point.iter().zip(&step.gradient).map(|(p, g)| p - 1e-3 * g).collect();
    assert!(loss(&moved) < step.loss);
}

#[test]
fn uniform_box_draws_inside_and_knows_its_volume() {
    let (low, high) = ([-1.0, 2.0], [3.0, 2.5]);
    let drawn = uniform_sample(&low, &high, &[0.25, 0.5, 0.0, 1.0]);
    assert_eq!(drawn, [0.0, 2.25, -1.0, 2.5]);
    assert_eq!(uniform_log_density(&low, &high, &drawn), [-(2f64.ln()); 2]);
    let found = uniform_log_density(&low, &high, &[3.001, 2.2, 0.0, 1.9, 0.0, 2.1]);
    assert_eq!(found, [-1e30, -1e30, -(2f64.ln())]);
}
