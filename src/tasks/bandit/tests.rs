use super::*;
use crate::diffusion::NoiseSchedule;

const STATES: [[f64; 2]; 4] = [[0.0, 0.0], [0.7, -0.9], [-1.0, 0.4], [0.3, 1.0]];

/// `sum f(a) mu(a|s) da` over a grid that holds all the mass.
fn integral(state: [f64; 2], f: impl Fn([f64; 2]) -> [f64; 6]) -> [f64; 6] {
    let (half, count) = (10.0, 361);
    let step = 2.0 * half / f64::from(count - 1);
    let modes = Bandit.behavior(state);
    let mut sums = [0.0; 6];
    for cell in 0..count * count {
        let a = [cell % count, cell / count].map(|i| f64::from(i) * step - half);
        let density: f64 = modes
            .iter()
            .map(|mode| {
                let square = (a[0] - mode.mean[0]).powi(2) + (a[1] - mode.mean[1]).powi(2);
                mode.weight * (-0.5 * square / mode.variance).exp() / (std::f64::consts::TAU * mode.variance)
            })
            .sum();
        sums.iter_mut().zip(f(a)).for_each(|(sum, value)| *sum += density * value * step * step);
    }
    sums
}

#[test]
fn the_best_policy_is_that_of_the_defining_integrals() {
    for state in STATES {
        for beta in [0.0, 1.0, 3.0, 10.0] {
            let tilted = Bandit.oracle(state, beta).unwrap().tilted();
            let (mean, covariance) = tilted.moments();
            let [mass, u, v, uu, uv, vv] = integral(state, |a| {
                let tilt = (-beta * Bandit.energy(state, a)).exp();
                [1.0, a[0], a[1], a[0] * a[0], a[0] * a[1], a[1] * a[1]].map(|value| tilt * value)
            });
            let gaps = [
                mass.ln() - tilted.log_z,
                u / mass - mean[0],
                v / mass - mean[1],
                uu / mass - mean[0] * mean[0] - covariance[0][0],
                uv / mass - mean[0] * mean[1] - covariance[0][1],
                vv / mass - mean[1] * mean[1] - covariance[1][1],
            ];
            assert!(gaps.iter().all(|gap| gap.abs() < 1e-9), "{state:?} {beta}: {gaps:?}");
        }
    }
}

#[test]
fn the_density_of_the_best_policy_is_the_tilted_behavior() {
    for state in STATES {
        let (plain, oracle) = (Bandit.oracle(state, 0.0).unwrap(), Bandit.oracle(state, 3.0).unwrap());
        let (behavior, best) = (plain.tilted(), oracle.tilted());
        for a in [[0.2, -0.1], [1.3, 0.4], [-0.9, -1.2]] {
            let wanted = behavior.log_density(a) - 3.0 * Bandit.energy(state, a) - best.log_z;
            assert!((best.log_density(a) - wanted).abs() < 1e-11, "{state:?} {a:?}");
            // At the smallest time the intermediate energy is the energy.
            let at = oracle.at(NoiseSchedule::default().at(0.0)).unwrap();
            assert!((at.energy(a) - 3.0 * Bandit.energy(state, a)).abs() < 1e-9, "{state:?} {a:?}");
        }
    }
}

/// Draws of the best policy have its moments, and 0 relative entropy to it; another temperature has
/// more.
#[test]
fn draws_of_the_best_policy_are_its_own() {
    for state in STATES {
        let best = Bandit.oracle(state, 3.0).unwrap().tilted();
        let sample = best.draw(20_000, 4);
        let (mean, covariance) = best.moments();
        let mut sums = [0.0; 5];
        for x in &sample {
            let [u, v] = [0, 1].map(|i| f64::from(x[i]) - mean[i]);
            sums.iter_mut()
                .zip([u, v, u * u, u * v, v * v])
                .for_each(|(sum, value)| *sum += value / 20_000.0);
        }
        let [[a, b], [_, d]] = covariance;
        let gaps = [sums[0], sums[1], sums[2] - a, sums[3] - b, sums[4] - d];
        assert!(gaps.iter().all(|gap| gap.abs() < 0.06), "{state:?}: {gaps:?}");
        let own = relative_entropy(&sample, 4, |a| best.log_density(a)).unwrap();
        let other = Bandit.oracle(state, 1.0).unwrap().tilted();
        let apart = relative_entropy(&sample, 4, |a| other.log_density(a)).unwrap();
        println!("{state:?}: relative entropy {own:.4}, to the policy of beta 1 {apart:.4}");
        assert!(own.abs() < 0.04 && apart > 0.1, "{state:?}: {own} {apart}");
        assert_eq!(sample, best.draw(20_000, 4));
    }
}

#[test]
fn data_have_the_moments_of_the_behavior() {
    let (states, actions) = Bandit.draw(50_000, 3);
    assert_eq!((states.clone(), actions.clone()), Bandit.draw(50_000, 3));
    // The action less the mean of its state's behavior, alone and times the state: 0 on average.
    let mut sums = [0.0; 6];
    let mut outside = 0;
    for (state, action) in states.iter().zip(&actions) {
        let (state, action) = (state.map(f64::from), action.map(f64::from));
        assert!(state.iter().all(|v| v.abs() < 1.0));
        let (mean, covariance) = Bandit.oracle(state, 0.0).unwrap().tilted().moments();
        let off = [0, 1].map(|i| action[i] - mean[i]);
        let values = [
            off[0],
            off[1],
            off[0] * state[0],
            off[1] * state[1],
            off[0] * off[0] - covariance[0][0],
            off[0] * off[1] - covariance[0][1],
        ];
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value / 50_000.0);
        outside += usize::from(action.iter().any(|v| v.abs() > Bandit::HALF_WIDTH));
    }
    assert!(sums.iter().all(|sum| sum.abs() < 0.06), "{sums:?}");
    assert!(outside < 50, "{outside}");
}

#[test]
fn rows_hold_the_actions_of_a_state_with_their_energies() {
    let states = Bandit.states(700, 8);
    let data = Bandit.support(&states, 5, 9).unwrap();
    assert_eq!((data.rows(), data.support(), data.x_width(), data.y_width()), (700, 5, 2, 2));
    assert_eq!(data.x(), states.as_flattened());
    let mut sum = 0.0;
    let labels = data.energies().unwrap().chunks_exact(5);
    for ((state, row), labels) in states.iter().zip(data.y().chunks_exact(10)).zip(labels) {
        let state = state.map(f64::from);
        let (mean, _) = Bandit.oracle(state, 0.0).unwrap().tilted().moments();
        for (action, label) in row.chunks_exact(2).zip(labels) {
            let energy = Bandit.energy(state, [f64::from(action[0]), f64::from(action[1])]);
            assert!(f64::from(*label) >= Bandit::LOWEST_ENERGY);
            assert!((f64::from(*label) - energy).abs() < 1e-6);
            sum += (f64::from(action[0]) - mean[0]) * mean[0].signum() / 3500.0;
        }
    }
    assert!(sum.abs() < 0.12, "{sum}");
    assert!(Bandit.support(&states, 0, 9).is_err() && Bandit.label(&[], &[]).is_err());
    assert!(Bandit.label(&states[..2], &[[0.0; 2]; 3]).is_err());
}
