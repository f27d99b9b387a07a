//! Exact scores and energies, likelihoods: the references against their own laws.

use crate::common::{check_gradient, coefficients, downstream, near, normals, uniforms};
use gibbs_reference::compose::flow_log_density;
use gibbs_reference::compose::likelihood::{HEUN, RUNGE_KUTTA_4};
use gibbs_reference::diffusion::*;
use gibbs_reference::loss::*;
use gibbs_reference::ode::*;

/// Positive weights that sum to 1.
fn weights(n: usize) -> Vec<f64> {
    let raw = uniforms(61, n);
    let total: f64 = raw.iter().sum();
    raw.iter().map(|w| w / total).collect()
}

/// `B B' + 0.2` per component.
fn covariances(components: usize, dims: usize) -> Vec<f64> {
    let b = normals(62, components * dims * dims);
    let entry = |k: usize, i: usize, j: usize| {
        let row = |i: usize| &b[(k * dims + i) * dims..][..dims];
        row(i).iter().zip(row(j)).map(|(a, b)| 0.5 * a * b).sum::<f64>() + if i == j { 0.2 } else { 0.0 }
    };
    (0..components * dims * dims).map(|at| entry(at / (dims * dims), at / dims % dims, at % dims)).collect()
}

#[test]
fn mixture_noise_is_the_gradient_of_its_log_density() {
    for (components, dims) in [(1, 1), (3, 2), (5, 4)] {
        let (weights, means) = (weights(components), normals(63, components * dims));
        let covariances = covariances(components, dims);
        let mixture = GaussianMixture { weights: &weights, means: &means, covariances: &covariances };
        for level in [(0.9, 0.43589), (0.3, 0.95394)] {
            let x = normals(64, 3 * dims);
            let noise = mixture_score(mixture, level, &x);
            let c = coefficients(3);
            let weighted: Vec<f64> =
                noise.value.iter().enumerate().map(|(at, e)| -e / level.1 * c[at / dims]).collect();
            check_gradient("log q", &x, &weighted, |x| downstream(&mixture_log_density(mixture, level, x)));
            let v = coefficients(3 * dims);
            let product = mixture_score_product(mixture, level, &x, &v);
            check_gradient("noise", &x, &product.value, |x| {
                downstream(&mixture_score(mixture, level, x).value)
            });
            for (sum, size) in
                noise.value.iter().zip(&noise.magnitude).chain(product.value.iter().zip(&product.magnitude))
            {
                assert!(sum.abs() <= *size);
            }
        }
    }
}

#[test]
fn the_seed_of_the_denoising_loss_is_the_gradient_of_its_mean() {
    let (rows, dims) = (5, 3);
    let (prediction, target) = (normals(65, rows * dims), normals(66, rows * dims));
    let mean =
        |prediction: &[f64]| denoising_loss(prediction, &target, dims).loss.iter().sum::<f64>() / rows as f64;
    let found = denoising_loss(&prediction, &target, dims);
    check_gradient("denoising loss", &prediction, &found.output_gradient, mean);
    let perfect = denoising_loss(&target, &target, dims);
    assert!(perfect.loss.iter().chain(&perfect.output_gradient).all(|v| *v == 0.0));
}

#[test]
fn one_gaussian_by_hand() {
    let mixture = GaussianMixture { weights: &[1.0], means: &[2.0, 0.0], covariances: &[4.0, 0.0, 0.0, 9.0] };
    // alpha = sigma = 1: variances 5 and 10.
    let x = [7.0, -20.0];
    assert_eq!(mixture_score(mixture, (1.0, 1.0), &x).value, [1.0, -2.0]);
    let product = mixture_score_product(mixture, (1.0, 1.0), &x, &[10.0, 10.0]).value;
    near("first", product[0], 2.0, 1e-12);
    near("second", product[1], 1.0, 1e-12);
}

#[test]
fn finite_energy_and_noise_have_the_gradients_of_their_values() {
    for (count, dims) in [(1, 1), (5, 2), (9, 3)] {
        let (points, energies) = (normals(65, count * dims), normals(66, count));
        for level in [(0.9, 0.43589), (0.3, 0.95394)] {
            let x = normals(67, 3 * dims);
            let c = coefficients(3);
            let per_row = |values: &[f64]| -> Vec<f64> {
                values.iter().enumerate().map(|(at, v)| v * c[at / dims]).collect()
            };
            let found = empirical_energy(&points, &energies, level, dims, &x);
            // One point leaves its energy and no gradient.
            if count == 1 {
                near("energy", found.energy[0], energies[0], 1e-12);
                assert!(found.gradient.iter().all(|g| g.abs() < 1e-12));
            } else {
                check_gradient("E_t", &x, &per_row(&found.gradient), |x| {
                    downstream(&empirical_energy(&points, &energies, level, dims, x).energy)
                });
            }
            // The same density as a mixture of narrow Gaussians.
            let narrow: Vec<f64> = (0..count * dims * dims)
                .map(|at| if at % (dims * dims) % (dims + 1) == 0 { 1e-13 } else { 0.0 })
                .collect();
            let weights = vec![1.0 / count as f64; count];
            let mixture = GaussianMixture { weights: &weights, means: &points, covariances: &narrow };
            let noise = empirical_noise(&points, level, dims, &x);
            for (found, expected) in noise.value.iter().zip(mixture_score(mixture, level, &x).value) {
                near("noise", *found, expected, 1e-10);
            }
        }
    }
}

#[test]
fn a_constant_on_all_energies_moves_the_value_alone() {
    let (points, energies, x) = (normals(68, 12), normals(69, 6), normals(70, 8));
    let shifted: Vec<f64> = energies.iter().map(|e| e + 3.5).collect();
    let level = (0.7, 0.71414);
    let (first, second) = (
        empirical_energy(&points, &energies, level, 2, &x),
        empirical_energy(&points, &shifted, level, 2, &x),
    );
    for (a, b) in first.energy.iter().zip(&second.energy) {
        near("energy", *b, a + 3.5, 1e-12);
    }
    for (a, b) in first.gradient.iter().zip(&second.gradient) {
        near("gradient", *b, *a, 1e-12);
    }
}

/// A mixture of mean 0, so that little of it is left at the end of the flow.
const CENTRED: GaussianMixture<'_> = GaussianMixture {
    weights: &[0.4, 0.6],
    means: &[0.9, -0.6, -0.6, 0.4],
    covariances: &[0.3, 0.12, 0.12, 0.2, 0.15, -0.05, -0.05, 0.4],
};

/// From t = 1e-3 to 1 of the linear schedule.
const LAMBDAS: (f64, f64) = (4.557714930, -5.024978415);

fn flow(stages: &[(f64, f64)], steps: usize, x: &[f64]) -> Vec<f64> {
    let units = [[1.0, 0.0], [0.0, 1.0]].map(|unit| unit.repeat(x.len() / 2));
    let noise = |level, x: &[f64]| mixture_score(CENTRED, level, x).value;
    let product = |level, x: &[f64], v: &[f64]| mixture_score_product(CENTRED, level, x, v).value;
    flow_log_density(stages, (LAMBDAS, steps), (x, 2), (&units, 1.0), noise, product)
}

#[test]
fn the_flow_gives_the_log_density_and_converges_with_its_order() {
    let x = [0.3, -0.2, -1.1, 0.9, 1.6, 0.4, 2.5, -1.5, 0.0, -1.2];
    let alpha = (1.0 + (-2.0 * LAMBDAS.0).exp()).powf(-0.5);
    let exact = mixture_log_density(CENTRED, (alpha, (1.0 - alpha * alpha).sqrt()), &x);
    let fine = flow(&RUNGE_KUTTA_4, 320, &x);
    for (found, exact) in fine.iter().zip(&exact) {
        // What is left is the mixture's share in the noise at the end.
        near("log density", *found, *exact, 2e-4);
    }
    let error = |stages: &[(f64, f64)], steps: usize| {
        let squares = flow(stages, steps, &x).iter().zip(&fine).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        (squares / fine.len() as f64).sqrt()
    };
    near("Runge-Kutta", (error(&RUNGE_KUTTA_4, 20) / error(&RUNGE_KUTTA_4, 40)).log2(), 4.0, 0.15);
    near("Heun", (error(&HEUN, 40) / error(&HEUN, 80)).log2(), 2.0, 0.1);
}

#[test]
fn probes_are_signs_or_normals() {
    let numbers = uniforms(71, 24);
    let signs = flow_probe(&numbers, 3, false);
    assert_eq!(signs.len(), 18);
    for (row, found) in signs.chunks_exact(3).enumerate() {
        for (j, sign) in found.iter().enumerate() {
            assert_eq!(*sign > 0.0, numbers[4 * row + j] > 0.5);
            assert_eq!(sign.abs(), 1.0);
        }
    }
    assert_eq!(flow_probe(&numbers, 3, true)[3..6], numbers[4..7]);
}
