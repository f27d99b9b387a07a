//! Floor 4: the regressions that contrastive energy prediction is compared with.

use gibbs::gpu::{Column, DType, Recording, Shape};
use gibbs::loss::{EnergyTargets, Regression, energy_regression};
use gibbs_reference::loss::energy_regression as reference_of;

use super::contrastive::labeled;
use crate::EPS;
use crate::common::{Adapter, Case, Results, data, every_adapter, wide};

every_adapter!(
    regressions_equal_the_reference,
    regressions_clamp_their_exponents,
    bad_values_spoil_their_row_alone;
    once: what_cannot_be_regressed_on_is_refused,
);

fn regress(adapter: &Adapter, regression: Regression, energy: &[f32], output: &[f32], beta: f64) -> Results {
    let rows = output.len();
    let mut case = Case::new(adapter, format!("{regression:?} {rows} beta {beta}"));
    let labeled = labeled(&mut case, energy, output, beta, rows % 2 == 1);
    let written = energy_regression::record(&mut case.recording, regression, rows, &labeled).unwrap();
    case.output("loss", written.loss);
    case.output("output_gradient", written.output_gradient);
    case.expect_kernels(&["energy_regression"]);
    case.run()
}

fn check_regression(adapter: &Adapter, regression: Regression, energy: &[f32], output: &[f32], beta: f64) {
    let results = regress(adapter, regression, energy, output, beta);
    let fixed = match regression {
        Regression::Energy => None,
        Regression::Exponential { reference } => Some(reference),
    };
    let (energy, output) = (wide(energy), wide(output));
    let (losses, seeds) = reference_of(&energy, &output, beta, fixed);
    // Error and size of the residual and of what it is multiplied with.
    let parts = |at: usize| match fixed {
        None => {
            let target = beta * energy[at];
            (3.0 * (target.abs() + output[at].abs()), 1.0, (output[at] - target).abs())
        }
        Some(reference) => {
            let f = -output[at];
            let (model, exponent) = (f.min(40.0).exp(), -beta * (energy[at] - reference));
            let target = exponent.min(4.0).exp();
            let of = |value: f64, x: f64| value * (4.0 + 4.0 * x.abs().min(90.0));
            let slope = model * (5.0 + 2.0 * f.abs().min(90.0));
            (of(model, f) + of(target, exponent) + 1e-30, slope, (model - target).abs())
        }
    };
    let bound = |at: usize| {
        let (error, _, residual) = parts(at);
        EPS * (2.0 * residual * error + EPS * error * error + 4.0 * residual * residual) + 1e-36
    };
    results.expect("loss", &results.get("loss"), &losses, bound);
    let bound = |at: usize| {
        let (error, slope, residual) = parts(at);
        (EPS * (2.0 * slope * (error + residual)) + 1e-36) / output.len() as f64 + 4.0 * EPS * seeds[at].abs()
    };
    results.expect("output_gradient", &results.packed("output_gradient"), &seeds, bound);
}

const REGRESSIONS: [Regression; 2] = [Regression::Energy, Regression::Exponential { reference: -0.75 }];

fn regressions_equal_the_reference(adapter: &Adapter) {
    for rows in [1, 7, 63, 64, 65, 257] {
        let output: Vec<f32> = data(53, rows).iter().map(|v| 3.0 * v).collect();
        for regression in REGRESSIONS {
            for beta in [0.0, 0.75, 3.0, 20.0] {
                check_regression(adapter, regression, &data(54, rows), &output, beta);
            }
        }
    }
}

fn regressions_clamp_their_exponents(adapter: &Adapter) {
    // Exponents of the model on both sides of 40, far below, and ordinary; of the target beyond 4
    // and below -100.
    let output = [-39.0f32, -41.0, -2e5, 95.0, 2e5, -0.5, 0.25, -1.5];
    let energy = [-3.0f32, -5.0, -2e5, 99.0, 2e5, 101.0, 0.5, -5.0];
    let regression = Regression::Exponential { reference: 0.0 };
    check_regression(adapter, regression, &energy, &output, 1.0);
    let results = regress(adapter, regression, &energy, &output, 1.0);
    let seeds = results.packed("output_gradient");
    assert!(seeds[0] < 0.0 && seeds[1] == 0.0 && seeds[2] == 0.0, "{seeds:?}");
}

fn bad_values_spoil_their_row_alone(adapter: &Adapter) {
    for regression in REGRESSIONS {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2e36] {
            for of_energy in [true, false] {
                let (mut energy, mut output) = (data(55, 7), data(56, 7));
                if of_energy {
                    energy[4] = bad
                } else {
                    output[4] = bad
                }
                let results = regress(adapter, regression, &energy, &output, 2.0);
                for values in [results.get::<f32>("loss"), results.packed("output_gradient")] {
                    assert!(
                        values.iter().enumerate().all(|(at, v)| v.is_finite() == (at != 4)),
                        "{values:?}"
                    );
                }
            }
        }
    }
    // The square of a residual that f32 cannot hold.
    let results = regress(adapter, Regression::Energy, &[1e20, 1.0], &[0.0, 0.5], 1.0);
    let loss: Vec<f32> = results.get("loss");
    assert!(!loss[0].is_finite() && loss[1] == 0.25, "{loss:?}");
}

fn what_cannot_be_regressed_on_is_refused() {
    let mut recording = Recording::new("refused");
    let output = recording.slot("output", DType::F32, Shape::packed(12, 1)).unwrap();
    let energy = recording.slot("energy", DType::F32, [12]).unwrap();
    let good = EnergyTargets { output, energies: Column::all(&recording, energy).unwrap(), beta: 2.0 };
    let beta = |beta| EnergyTargets { beta, ..good };
    let count = EnergyTargets { energies: Column { count: 11, ..good.energies }, ..good };
    let exponential = |reference| Regression::Exponential { reference };
    for (regression, rows, labeled, words) in [
        (Regression::Energy, 0, good, "one energy per sample"),
        (Regression::Energy, 11, good, "one energy per sample"),
        (Regression::Energy, 12, count, "one per sample"),
        (Regression::Energy, 12, beta(-0.1), "beta"),
        (Regression::Energy, 12, beta(f64::INFINITY), "beta"),
        (exponential(f64::NAN), 12, good, "reference"),
        (exponential(-1e37), 12, good, "reference"),
    ] {
        let error = energy_regression::record(&mut recording, regression, rows, &labeled).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(recording.is_empty());
    energy_regression::record(&mut recording, exponential(0.0), 12, &good).unwrap();
}
