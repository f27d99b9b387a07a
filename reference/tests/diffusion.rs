//! Exact scores and energies, likelihoods: the references against their own laws.

mod common;

use common::{check_gradient, coefficients, downstream, near, normals, uniforms};
use gibbs_reference::diffusion::*;

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
fn one_gaussian_by_hand() {
    let mixture = GaussianMixture { weights: &[1.0], means: &[2.0, 0.0], covariances: &[4.0, 0.0, 0.0, 9.0] };
    // alpha = sigma = 1: variances 5 and 10.
    let x = [7.0, -20.0];
    assert_eq!(mixture_score(mixture, (1.0, 1.0), &x).value, [1.0, -2.0]);
    let product = mixture_score_product(mixture, (1.0, 1.0), &x, &[10.0, 10.0]).value;
    near("first", product[0], 2.0, 1e-12);
    near("second", product[1], 1.0, 1e-12);
}
