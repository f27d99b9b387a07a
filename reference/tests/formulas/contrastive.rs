//! The losses of intermediate energies against published numbers and difference quotients.

use crate::common::{check_gradient, downstream, near, normals};
use gibbs_reference::loss::{contrastive_energy_prediction, energy_regression};

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
            let found = contrastive_energy_prediction(&energy, &OUTPUT, 3, beta, reference);
            near("loss", found.loss[0], loss, 1e-8);
            for (output_gradient, known) in found.output_gradient.iter().zip(gradient) {
                near("gradient", -output_gradient, known, 1e-8);
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
                contrastive_energy_prediction(&energy, output, size, beta, reference).loss.iter().sum::<f64>()
                    / groups as f64
            };
            let found = contrastive_energy_prediction(&energy, &output, size, beta, reference);
            check_gradient("contrastive", &output, &found.output_gradient, mean);
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
        let (losses, output_gradient) = energy_regression(&energy, &output, 1.3, reference);
        assert!(downstream(&losses) != 0.0);
        check_gradient("regression", &output, &output_gradient, mean);
    }
}

#[test]
fn the_loss_is_least_where_shares_are_labels() {
    let energy = normals(5, 7);
    let best: Vec<f64> = energy.iter().map(|e| 1.7 * e - 3.0).collect();
    for reference in [None, Some(-1.0)] {
        let found = contrastive_energy_prediction(&energy, &best, 7, 1.7, reference);
        assert!(
            found.output_gradient.iter().all(|output_gradient| output_gradient.abs() < 1e-14),
            "{:?}",
            found.output_gradient
        );
        let other = contrastive_energy_prediction(&energy, &normals(6, 7), 7, 1.7, reference);
        assert!(other.loss[0] > found.loss[0]);
    }
    let (losses, output_gradient) =
        energy_regression(&energy, &energy.iter().map(|e| 1.7 * e).collect::<Vec<_>>(), 1.7, None);
    assert!(losses.iter().chain(&output_gradient).all(|value| value.abs() < 1e-14));
}

#[test]
fn c10_constants_of_energies_and_outputs() {
    let (energy, output) = (normals(7, 10), normals(8, 10));
    let add = |values: &[f64], constant: f64| values.iter().map(|v| v + constant).collect::<Vec<_>>();
    let (beta, constant) = (1.4, 0.9);
    for reference in [None, Some(0.2)] {
        let plain = contrastive_energy_prediction(&energy, &output, 5, beta, reference);
        let factor = reference.map_or(1.0, |_| (-beta * constant).exp());
        let shifted = contrastive_energy_prediction(&add(&energy, constant), &output, 5, beta, reference);
        let moved = contrastive_energy_prediction(&energy, &add(&output, -3.0), 5, beta, reference);
        for (at, loss) in plain.loss.iter().enumerate() {
            near("energies", shifted.loss[at], factor * loss, 1e-12);
            near("outputs", moved.loss[at], *loss, 1e-12);
        }
        for (at, output_gradient) in plain.output_gradient.iter().enumerate() {
            near("energies", shifted.output_gradient[at], factor * output_gradient, 1e-12);
            near("outputs", moved.output_gradient[at], *output_gradient, 1e-12);
        }
    }
}
