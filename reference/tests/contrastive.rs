//! The losses of intermediate energies against published numbers and difference quotients.

mod common;

use common::{check_gradient, downstream, near, normals};
use gibbs_reference::energy::{contrastive, energy_regression};

/// `beta E = (0, 1, 2)` and outputs `-f` of test C3.
const ENERGY: [f64; 3] = [0.0, 1.0, 2.0];
const OUTPUT: [f64; 3] = [-0.5, 0.0, 1.0];

#[test]
fn c3_the_contrastive_loss_has_its_published_numbers() {
    // The table gives gradients to f = -output.
    let known = [
        (None, 0.861540701, [-0.118691569, 0.086770489, 0.031921079]),
        (Some(0.0), 1.295080667, [-0.178418913, 0.130434677, 0.047984236]),
    ];
    for (reference, loss, gradient) in known {
        for beta in [1.0, 2.0] {
            let energy = ENERGY.map(|e| e / beta);
            let found = contrastive(&energy, &OUTPUT, 3, beta, reference);
            near("loss", found.loss[0], loss, 1e-8);
            for (seed, known) in found.seed.iter().zip(gradient) {
                near("gradient", -seed, known, 1e-8);
            }
        }
    }
}

#[test]
fn gradients_of_the_contrastive_loss_are_its_difference_quotients() {
    for (groups, size) in [(1, 2), (3, 5), (2, 17)] {
        let n = groups * size;
        let (energy, output) = (normals(1, n), normals(2, n));
        for (beta, reference) in [(0.7, None), (3.0, None), (0.7, Some(-0.4)), (2.0, Some(0.1))] {
            let mean = |output: &[f64]| {
                contrastive(&energy, output, size, beta, reference).loss.iter().sum::<f64>() / groups as f64
            };
            let found = contrastive(&energy, &output, size, beta, reference);
            check_gradient("contrastive", &output, &found.seed, mean);
        }
    }
}

#[test]
fn gradients_of_the_regressions_are_their_difference_quotients() {
    let (energy, output) = (normals(3, 23), normals(4, 23));
    for reference in [None, Some(-0.3)] {
        let mean = |output: &[f64]| {
            energy_regression(&energy, output, 1.3, reference).0.iter().sum::<f64>() / energy.len() as f64
        };
        let (losses, seed) = energy_regression(&energy, &output, 1.3, reference);
        assert!(downstream(&losses) != 0.0);
        check_gradient("regression", &output, &seed, mean);
    }
}

#[test]
fn the_loss_is_least_where_shares_are_labels() {
    let energy = normals(5, 7);
    let best: Vec<f64> = energy.iter().map(|e| 1.7 * e - 3.0).collect();
    for reference in [None, Some(-1.0)] {
        let found = contrastive(&energy, &best, 7, 1.7, reference);
        assert!(found.seed.iter().all(|seed| seed.abs() < 1e-14), "{:?}", found.seed);
        let other = contrastive(&energy, &normals(6, 7), 7, 1.7, reference);
        assert!(other.loss[0] > found.loss[0]);
    }
    let (losses, seed) =
        energy_regression(&energy, &energy.iter().map(|e| 1.7 * e).collect::<Vec<_>>(), 1.7, None);
    assert!(losses.iter().chain(&seed).all(|value| value.abs() < 1e-14));
}

#[test]
fn c10_constants_of_energies_and_outputs() {
    let (energy, output) = (normals(7, 10), normals(8, 10));
    let add = |values: &[f64], constant: f64| values.iter().map(|v| v + constant).collect::<Vec<_>>();
    let (beta, constant) = (1.4, 0.9);
    for reference in [None, Some(0.2)] {
        let plain = contrastive(&energy, &output, 5, beta, reference);
        let factor = reference.map_or(1.0, |_| (-beta * constant).exp());
        let shifted = contrastive(&add(&energy, constant), &output, 5, beta, reference);
        let moved = contrastive(&energy, &add(&output, -3.0), 5, beta, reference);
        for (at, loss) in plain.loss.iter().enumerate() {
            near("energies", shifted.loss[at], factor * loss, 1e-12);
            near("outputs", moved.loss[at], *loss, 1e-12);
        }
        for (at, seed) in plain.seed.iter().enumerate() {
            near("energies", shifted.seed[at], factor * seed, 1e-12);
            near("outputs", moved.seed[at], *seed, 1e-12);
        }
    }
}
