//! Quadratic, mixture and user-written energies.

use crate::common::{check_gradient, coefficients, downstream, near, normals, uniforms};
use gibbs_reference::energy::*;

/// `B B' + 1/2`: symmetric and positive definite.
fn positive_matrix(dims: usize) -> Vec<f64> {
    let b = normals(41, dims * dims);
    let entry = |i: usize, j: usize| (0..dims).map(|k| b[i * dims + k] * b[j * dims + k]).sum::<f64>();
    (0..dims * dims)
        .map(|at| entry(at / dims, at % dims) + if at % (dims + 1) == 0 { 0.5 } else { 0.0 })
        .collect()
}

/// Gradient of the rows' energies with the coefficients of `downstream`.
fn weighted(gradient: &[f64], dims: usize) -> Vec<f64> {
    let c = coefficients(gradient.len() / dims);
    gradient.iter().enumerate().map(|(at, g)| g * c[at / dims]).collect()
}

#[test]
fn quadratic_by_hand() {
    let energy = Quadratic {
        mean: &[1.0, -1.0],
        slope: &[1.0, 0.0, 2.0, -1.0],
        inverse_covariance: &[2.0, 1.0, 1.0, 3.0],
    };
    // Mean 1 + 3 = 4, -1 + 6 - 1 = 4; d = (1, -2); A d = (0, -5); E = 5.
    let result = quadratic_energy(energy, &[3.0, 1.0], &[5.0, 2.0]);
    assert_eq!((result.energy, result.gradient), (vec![5.0], vec![0.0, -5.0]));
    assert_eq!(result.gradient_magnitude, [2.0 * 9.0 + 10.0, 9.0 + 30.0]);
}

#[test]
fn quadratic_gradient_is_that_of_its_energy() {
    for (contexts, chains, dims, width) in [(1, 1, 1, 0), (3, 2, 5, 2), (2, 3, 4, 0)] {
        let matrix = positive_matrix(dims);
        let (mean, slope, x) = (normals(42, dims), normals(43, dims * width), normals(44, contexts * width));
        let energy = Quadratic { mean: &mean, slope: &slope, inverse_covariance: &matrix };
        let y = normals(45, contexts * chains * dims);
        let result = quadratic_energy(energy, &x, &y);
        check_gradient("quadratic", &y, &weighted(&result.gradient, dims), |y| {
            downstream(&quadratic_energy(energy, &x, y).energy)
        });
        for (sum, size) in result.gradient.iter().zip(&result.gradient_magnitude) {
            assert!(sum.abs() <= *size);
        }
        for (sum, size) in result.energy.iter().zip(&result.energy_magnitude) {
            assert!((0.0..=*size).contains(sum));
        }
    }
}

#[test]
fn mixture_of_one_component_is_a_quadratic_with_its_log_partition() {
    let (means, stds, y) = ([0.3, -1.2], [0.5, 2.0], normals(46, 6));
    let mixture = mixture_energy(DiagonalMixture { weights: &[1.0], means: &means, stds: &stds }, &y);
    let matrix = [4.0, 0.0, 0.0, 0.25];
    let quadratic =
        quadratic_energy(Quadratic { mean: &means, slope: &[], inverse_covariance: &matrix }, &[], &y);
    // ln(2 pi) + ln(0.5 * 2)
    let log_partition = std::f64::consts::TAU.ln();
    for r in 0..3 {
        near("energy", mixture.energy[r], quadratic.energy[r] + log_partition, 1e-12);
    }
    for (at, g) in mixture.gradient.iter().enumerate() {
        near("gradient", *g, quadratic.gradient[at], 1e-12);
    }
}

#[test]
fn mixture_gradient_is_that_of_its_energy() {
    for (rows, components, dims) in [(1, 1, 1), (7, 3, 2), (3, 5, 4)] {
        let raw = uniforms(47, components);
        let weights: Vec<f64> = raw.iter().map(|w| w / raw.iter().sum::<f64>()).collect();
        let means = normals(48, components * dims);
        let stds: Vec<f64> = uniforms(49, components * dims).iter().map(|u| 0.4 + u).collect();
        let mixture = DiagonalMixture { weights: &weights, means: &means, stds: &stds };
        let y = normals(50, rows * dims);
        let result = mixture_energy(mixture, &y);
        check_gradient("mixture", &y, &weighted(&result.gradient, dims), |y| {
            downstream(&mixture_energy(mixture, y).energy)
        });
    }
}

#[test]
fn mixture_far_away_is_its_widest_component() {
    let mixture = DiagonalMixture { weights: &[0.5, 0.5], means: &[0.0, 1.0], stds: &[1.0, 2.0] };
    let result = mixture_energy(mixture, &[1e6]);
    near("gradient", result.gradient[0], (1e6 - 1.0) / 4.0, 1e-9);
    near("energy", result.energy[0], 0.125 * (1e6f64 - 1.0).powi(2), 10.0);
}

#[test]
fn differences_are_exact_for_quadratics_and_second_order_otherwise() {
    let (x, y) = ([0.5, -1.0], [1.0, 2.0, -3.0, 0.25]);
    let quadratic = |x: &[f64], y: &[f64]| x[0] * y[0] * y[0] + y[0] * y[1];
    let slopes = |x: &[f64], y: &[f64]| vec![2.0 * x[0] * y[0] + y[1], y[0]];
    let written = shader_energy((&x, 1), (&y, 2), quadratic, slopes);
    let quotients = shader_differences((&x, 1), (&y, 2), 0.1, quadratic);
    assert_eq!(written.0, quotients.0);
    assert_eq!(written.0, [0.5 + 2.0, -9.0 - 0.75]);
    for (written, quotient) in written.1.iter().zip(&quotients.1) {
        near("quotient", *quotient, *written, 1e-12);
    }
    let cubic = shader_differences((&[], 0), (&[2.0], 1), 0.1, |x, y| x[0] + y[0].powi(3));
    near("cubic", cubic.1[0], 12.0 + 0.01, 1e-12);
    assert_eq!(difference_step(0.1, -4096.0), 1.0);
}
