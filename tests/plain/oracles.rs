//! The host's closed forms against values computed independently of this crate, test by test of the
//! derivations.

mod reference;

use gibbs::diffusion::{NoiseLevel, NoiseSchedule};
use gibbs::tasks::toy::{
    Component, Evaluation, LabeledPoint, MixtureOracle, Oracle, Quadratic, Task, TiltedMixture,
};
use reference::{FIRST_ORDER_GAPS, LABEL_WEIGHTS, LABELS, QUADRATIC, TILTED};

const POINTS: [[f64; 2]; 3] = [[0.7, 0.2], [-1.0, 1.0], [0.3, -1.6]];
const LABEL_POINTS: [[f64; 2]; 4] = [[0.0, 0.0], [1.0, 2.0], [-2.5, -0.5], [2.2, -1.0]];
const TIMES: [f64; 5] = [0.001, 0.1, 0.3, 0.6, 1.0];

fn level(time: f64) -> NoiseLevel {
    NoiseSchedule::default().at(time)
}

fn components() -> Vec<Component> {
    vec![
        Component { weight: 0.5, mean: [2.0, 0.0], variance: 0.25 },
        Component { weight: 0.3, mean: [-1.0, 1.5], variance: 0.36 },
        Component { weight: 0.2, mean: [0.0, -2.0], variance: 0.16 },
    ]
}

const ENERGY: Quadratic = Quadratic { matrix: [[1.2, 0.3], [0.3, 0.7]], center: [0.5, -0.5] };

fn mixture(beta: f64) -> MixtureOracle {
    MixtureOracle::new(components(), ENERGY, beta).unwrap()
}

fn close(found: f64, wanted: f64, tolerance: f64) -> bool {
    (found - wanted).abs() <= tolerance * wanted.abs().max(1.0)
}

fn exact(found: &Evaluation) -> (f64, [f64; 2]) {
    (found.energy, found.gradient)
}

fn mean(found: &Evaluation) -> (f64, [f64; 2]) {
    (found.mean_energy, found.mean_energy_gradient)
}

#[track_caller]
fn assert_row((energy, gradient): (f64, [f64; 2]), wanted: [f64; 3], what: &str) {
    let found = [energy, gradient[0], gradient[1]];
    let agrees = found.iter().zip(wanted).all(|(found, wanted)| close(*found, wanted, 1e-9));
    assert!(agrees, "{what}: {found:?}, known {wanted:?}");
}

/// C4 and C5, and the values at all other times.
#[test]
fn c4_c5_a_mixture_under_a_quadratic_energy_has_the_known_energies() {
    for (beta, time, rows) in QUADRATIC {
        let oracle = mixture(beta);
        let at = oracle.at(level(time)).unwrap();
        for (x, [energy, regressed, denoised]) in POINTS.into_iter().zip(rows) {
            let found = at.evaluate(x);
            let what = format!("beta {beta}, t {time}, {x:?}");
            assert_row(exact(&found), energy, &what);
            assert_row(mean(&found), regressed, &what);
            assert_row(at.denoised(x), denoised, &what);
            assert_eq!(
                (at.energy(x), at.gradient(x), at.score(x)),
                (found.energy, found.gradient, found.score)
            );
        }
    }
    // As printed in the derivations, by hand.
    let found = mixture(5.0).at(level(0.3)).unwrap().evaluate([-1.0, 1.0]);
    assert!(close(found.energy, 5.495054, 1e-6) && close(found.gradient[1], 1.33928, 1e-5));
}

#[test]
fn c6_the_tilted_mixture_has_the_known_parameters() {
    for (beta, weights, means, covariances, mean, covariance, z) in TILTED {
        let tilted = mixture(beta).tilted();
        for (k, found) in tilted.components.iter().enumerate() {
            let [[xx, xy], [yx, yy]] = found.covariance;
            let pairs = [
                (found.weight, weights[k]),
                (found.mean[0], means[k][0]),
                (found.mean[1], means[k][1]),
                (xx, covariances[k][0]),
                (xy, covariances[k][1]),
                (yx, covariances[k][1]),
                (yy, covariances[k][2]),
            ];
            assert!(
                pairs.iter().all(|(found, wanted)| close(*found, *wanted, 1e-9)),
                "{beta} {k}: {found:?}"
            );
        }
        let (found, [[xx, xy], [_, yy]]) = tilted.moments();
        let pairs = [(found[0], mean[0]), (found[1], mean[1]), (xx, covariance[0]), (xy, covariance[1])];
        assert!(pairs.iter().all(|(found, wanted)| close(*found, *wanted, 1e-9)), "{beta}: {tilted:?}");
        assert!(close(yy, covariance[2], 1e-9) && close(tilted.log_z.exp(), z, 1e-11), "{beta}: {tilted:?}");
    }
}

/// Mean of `x_0` and score under a noised mixture of full covariances, independently of the oracle.
fn tilted_posterior(tilted: &TiltedMixture, level: NoiseLevel, x: [f64; 2]) -> ([f64; 2], [f64; 2]) {
    let (a, s) = (level.alpha(), level.sigma());
    let (mut total, mut mean, mut score) = (0.0, [0.0; 2], [0.0; 2]);
    for component in &tilted.components {
        let [[p, q], [_, r]] = component.covariance;
        let (gp, gq, gr) = (a * a * p + s * s, a * a * q, a * a * r + s * s);
        let determinant = gp * gr - gq * gq;
        let d = [x[0] - a * component.mean[0], x[1] - a * component.mean[1]];
        let solved = [(gr * d[0] - gq * d[1]) / determinant, (gp * d[1] - gq * d[0]) / determinant];
        let share =
            component.weight * (-0.5 * (d[0] * solved[0] + d[1] * solved[1])).exp() / determinant.sqrt();
        let pulled = [p * solved[0] + q * solved[1], q * solved[0] + r * solved[1]];
        total += share;
        for i in 0..2 {
            mean[i] += share * (component.mean[i] + a * pulled[i]);
            score[i] -= share * solved[i];
        }
    }
    (mean.map(|v| v / total), score.map(|v| v / total))
}

#[test]
fn c7_identity_a_the_gradient_is_the_difference_of_posterior_means() {
    for beta in [0.3, 1.5, 5.0] {
        let (oracle, plain, tilted) = (mixture(beta), mixture(0.0).tilted(), mixture(beta).tilted());
        for time in TIMES {
            let level = level(time);
            let at = oracle.at(level).unwrap();
            let scale = level.alpha() / level.sigma().powi(2);
            for x in POINTS {
                let found = at.evaluate(x);
                let (here, score) = tilted_posterior(&plain, level, x);
                let (there, tilted_score) = tilted_posterior(&tilted, level, x);
                for i in 0..2 {
                    let what = format!("beta {beta}, t {time}, {x:?}, {i}");
                    assert!(close(found.gradient[i], scale * (here[i] - there[i]), 1e-9), "{what}");
                    assert!(close(found.score[i], score[i], 1e-10), "{what}");
                    assert!(close(found.score[i] - found.gradient[i], tilted_score[i], 1e-10), "{what}");
                }
            }
        }
    }
}

#[test]
fn c7_identity_b_the_tilted_mass_is_the_same_at_every_time() {
    let oracle = mixture(1.5);
    let (half, count) = (7.0, 701);
    let step = 2.0 * half / f64::from(count - 1);
    for time in TIMES {
        let at = oracle.at(level(time)).unwrap();
        let sum: f64 = (0..count * count)
            .map(|cell| {
                let x = [f64::from(cell % count), f64::from(cell / count)].map(|v| v * step - half);
                let found = at.evaluate(x);
                (found.log_density - found.energy).exp()
            })
            .sum();
        let z = sum * step * step;
        assert!((z - 0.136105190851).abs() < 1e-9, "{time}: {z}");
    }
}

#[test]
fn c8_regression_is_the_first_order_of_the_exact_energy() {
    let gap = |beta: f64| {
        let oracle = mixture(beta);
        let at = oracle.at(level(0.3)).unwrap();
        let gaps = POINTS.map(|x| {
            let found = at.evaluate(x);
            (0..2).map(|i| (found.gradient[i] - found.mean_energy_gradient[i]).abs()).fold(0.0, f64::max)
        });
        gaps.into_iter().fold(0.0, f64::max)
    };
    let gaps = [0.4, 0.2, 0.1, 0.05].map(gap);
    for (found, wanted) in gaps.iter().zip(FIRST_ORDER_GAPS) {
        assert!((found / wanted - 1.0).abs() < 1e-6, "{gaps:?}");
    }
    // Second order in beta: the gap tends to a quarter with every halving.
    let ratios: Vec<f64> = gaps.windows(2).map(|pair| pair[0] / pair[1]).collect();
    assert!(ratios.windows(2).all(|pair| (pair[1] - 4.0).abs() < (pair[0] - 4.0).abs()), "{ratios:?}");
    assert!((ratios[2] - 4.0).abs() < 0.1, "{ratios:?}");
}

/// C10: adding a constant to the energy moves `E_t` by it, at every time, and leaves the gradient.
#[test]
fn c10_a_constant_in_the_energy_leaves_the_gradient() {
    let energies = [-1.0, 0.5, 0.25, -0.125, 2.0];
    let points = |shift: f32| -> Vec<LabeledPoint> {
        let place = |i: usize| [1.3 * i as f32 - 2.0, 0.7 * (i * i % 5) as f32];
        energies.iter().enumerate().map(|(i, e)| LabeledPoint { x: place(i), energy: e + shift }).collect()
    };
    for beta in [0.5, 7.0] {
        let plain = Oracle::finite(&points(0.0), beta).unwrap();
        let moved = Oracle::finite(&points(4.0), beta).unwrap();
        for time in TIMES {
            let (plain, moved) = (plain.at(level(time)).unwrap(), moved.at(level(time)).unwrap());
            for x in POINTS {
                let (a, b) = (plain.evaluate(x), moved.evaluate(x));
                assert!(close(b.energy - a.energy, 4.0 * beta, 1e-12));
                assert!(close(b.mean_energy - a.mean_energy, 4.0 * beta, 1e-12));
                for i in 0..2 {
                    // Sums of numbers as large as 1 / sigma^2 are rounded differently.
                    let rounding = 1e-12 / level(time).sigma().powi(2);
                    assert!((a.gradient[i] - b.gradient[i]).abs() < rounding, "{beta} {time} {x:?}");
                    let gap = a.mean_energy_gradient[i] - b.mean_energy_gradient[i];
                    assert!(gap.abs() < 20.0 * rounding, "{beta} {time} {x:?}: {gap}");
                }
            }
        }
    }
}

#[test]
fn c17_the_energy_starts_at_the_data_and_ends_at_a_constant() {
    for beta in [1.5, 5.0] {
        let oracle = mixture(beta);
        let (start, end) = (oracle.at(level(0.001)).unwrap(), oracle.at(level(1.0)).unwrap());
        for x in POINTS {
            let wanted = beta * ENERGY.energy(x);
            assert!((start.energy(x) / wanted - 1.0).abs() < 0.01, "{beta} {x:?}");
            let gradient = end.gradient(x);
            assert!(gradient[0].hypot(gradient[1]) < 0.005, "{beta} {x:?}: {gradient:?}");
        }
        let first = end.energy(POINTS[0]);
        let limit = -oracle.tilted().log_z;
        assert!((first - limit).abs() < 0.005, "{beta}: {first} {limit}");
    }
    let oracle = mixture(1.5);
    assert!((oracle.at(level(1.0)).unwrap().energy(POINTS[0]) - 1.994789).abs() < 1e-6);
    assert!((-oracle.tilted().log_z - 1.9943).abs() < 1e-4);
}

/// O2: the eight Gaussians' energies and target weights.
#[test]
fn o2_labels_on_eight_gaussians_have_the_known_energies_and_weights() {
    for (beta, time, rows) in LABELS {
        let oracle = Task::EightGaussians.oracle(beta).unwrap();
        let at = oracle.at(level(time)).unwrap();
        for (x, [energy, regressed]) in LABEL_POINTS.into_iter().zip(rows) {
            let found = at.evaluate(x);
            let what = format!("beta {beta}, t {time}, {x:?}");
            assert_row(exact(&found), energy, &what);
            assert_row(mean(&found), regressed, &what);
        }
    }
    for (beta, weights) in LABEL_WEIGHTS {
        let target = Task::EightGaussians.target(beta).unwrap();
        let found = target.mode_weights().unwrap();
        assert!(found.iter().zip(weights).all(|(found, wanted)| close(*found, wanted, 1e-9)), "{found:?}");
    }
    let weights = Task::EightGaussians.target(10.0).unwrap().mode_weights().unwrap();
    let printed = [0.000035, 0.000144, 0.000601, 0.002508, 0.010465, 0.043669, 0.182220, 0.760357];
    assert!(weights.iter().zip(printed).all(|(found, wanted)| (found - wanted).abs() < 1e-6), "{weights:?}");
}

/// O4: many draws of the data are as good as the data, where noise hides which they are.
#[test]
fn o4_a_finite_set_tends_to_the_density_it_was_drawn_from() {
    for task in Task::ALL {
        let finite = Oracle::finite(&task.draw(40_000, 2), 3.0).unwrap();
        let oracle = task.oracle(3.0).unwrap();
        let (few, all) = (finite.at(level(0.4)).unwrap(), oracle.at(level(0.4)).unwrap());
        for x in [[0.1, 0.2], [0.9, -0.7], [-1.0, 0.4]] {
            let (found, wanted) = (few.evaluate(x), all.evaluate(x));
            assert!((found.energy - wanted.energy).abs() < 0.04, "{task} {x:?}");
            assert!((found.log_density - wanted.log_density).abs() < 0.05, "{task} {x:?}");
            for i in 0..2 {
                assert!((found.gradient[i] - wanted.gradient[i]).abs() < 0.08, "{task} {x:?}");
            }
        }
    }
}

#[test]
fn gradients_of_the_mixture_agree_with_central_differences() {
    let finite = Oracle::finite(&Task::Rings.draw(50, 3), 5.0).unwrap();
    let h = 1e-5;
    for beta in [1.5, 5.0] {
        let oracle = mixture(beta);
        for time in [0.1, 0.3, 0.6, 1.0] {
            let (at, few) = (oracle.at(level(time)).unwrap(), finite.at(level(time)).unwrap());
            for x in POINTS {
                for i in 0..2 {
                    let along = |value: &dyn Fn([f64; 2]) -> f64| {
                        let (mut up, mut down) = (x, x);
                        up[i] += h;
                        down[i] -= h;
                        (value(up) - value(down)) / (2.0 * h)
                    };
                    let here = at.evaluate(x);
                    let pairs = [
                        (here.gradient[i], along(&|x| at.energy(x))),
                        (here.score[i], along(&|x| at.evaluate(x).log_density)),
                        (here.mean_energy_gradient[i], along(&|x| at.evaluate(x).mean_energy)),
                        (at.denoised(x).1[i], along(&|x| at.denoised(x).0)),
                        (few.gradient(x)[i], along(&|x| few.energy(x))),
                    ];
                    for (kind, (found, wanted)) in pairs.into_iter().enumerate() {
                        assert!(close(found, wanted, 1e-6), "{beta} {time} {x:?} {kind}: {found} {wanted}");
                    }
                }
            }
        }
    }
}

#[test]
fn mixtures_without_sense_are_refused() {
    let bad = |components: Vec<Component>, energy: Quadratic, beta: f64| {
        MixtureOracle::new(components, energy, beta).expect_err("refused").to_string()
    };
    assert!(bad(Vec::new(), ENERGY, 1.0).contains("components"));
    let mut flat = components();
    flat[1].variance = 0.0;
    assert!(bad(flat, ENERGY, 1.0).contains("variances"));
    let skew = Quadratic { matrix: [[1.0, 0.5], [0.4, 1.0]], ..ENERGY };
    assert!(bad(components(), skew, 1.0).contains("symmetric"));
    let hill = Quadratic { matrix: [[-1.0, 0.0], [0.0, 1.0]], ..ENERGY };
    assert!(bad(components(), hill, 3.0).contains("mass"));
    MixtureOracle::new(components(), hill, 2.0).unwrap();
    assert!(bad(components(), ENERGY, -1.0).contains("beta"));
    assert!(mixture(1.0).at(NoiseLevel { time: 0.0, log_alpha: f64::NAN }).is_err());
}
