//! Steps in the scale of each dimension: one step size for columns of any unit.

use gibbs::Gpu;
use gibbs::energy::{Energy, MixtureEnergy, QuadraticEnergy};
use gibbs::math::{Bounds, Scales};
use gibbs::mcmc::{ChainOptions, ChainSampler, Dynamics, Hamiltonian, Langevin, Mala, StepSchedule};

use super::bench::assert_near;
use crate::common::{data, lavapipe};

const CHAINS: usize = 4096;

/// Four modes at (+-1, +-1) units, of deviation 0.2 units.
fn modes(units: [f64; 2]) -> MixtureEnergy {
    let corners = [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]];
    let means: Vec<f64> =
        corners.iter().flat_map(|corner| [corner[0] * units[0], corner[1] * units[1]]).collect();
    let stds: Vec<f64> = corners.iter().flat_map(|_| units.map(|unit| 0.2 * unit)).collect();
    MixtureEnergy::diagonal(&[1.0; 4], &means, &stds).unwrap()
}

fn bounds(units: [f64; 2]) -> Bounds {
    let high = units.map(|unit| (2.0 * unit) as f32);
    Bounds::new(&high.map(|high| -high), &high).unwrap()
}

fn scaled(dynamics: &Dynamics, units: [f64; 2], scales: bool) -> Dynamics {
    let scales = scales.then(|| Scales::new(&units.map(|unit| unit as f32)).unwrap());
    let mut dynamics = dynamics.clone().with_bounds(bounds(units));
    match &mut dynamics {
        Dynamics::Langevin(langevin) => langevin.scales = scales,
        Dynamics::Mala(mala) => mala.scales = scales,
        Dynamics::Hamiltonian(hamiltonian) => hamiltonian.scales = scales,
        Dynamics::DerivativeFreeOptimizer(_) => {}
    }
    dynamics
}

/// Where chains end, in units.
fn ends(gpu: &Gpu, energy: &dyn Energy, dynamics: Dynamics, units: [f64; 2]) -> Vec<f32> {
    let options = ChainOptions::default().with_chains(CHAINS).with_dynamics(dynamics).with_seed(7);
    let mut sampler = ChainSampler::from_points(gpu, energy, &options).unwrap();
    let unit = |at: usize| units[at % 2] as f32;
    let starts: Vec<f32> = data(3, 2 * CHAINS).iter().enumerate().map(|(at, v)| 1.5 * v * unit(at)).collect();
    let ends = sampler.sample_from(&[], &starts).unwrap();
    ends.iter().enumerate().map(|(at, y)| y / unit(at)).collect()
}

/// The share of points within two deviations of a mode.
fn share_in_modes(ends: &[f32]) -> f64 {
    let inside = ends.chunks_exact(2).filter(|y| y.iter().all(|y| (y.abs() - 1.0).abs() < 0.4)).count();
    inside as f64 / CHAINS as f64
}

fn all() -> [Dynamics; 3] {
    let langevin = Langevin::default().with_steps(40).with_quiet_last(true);
    let sizes = StepSchedule::Geometric { first: 6e-3, last: 6e-4 };
    let fixed = StepSchedule::Constant { value: 0.02 };
    [
        langevin.with_step_sizes(sizes).into(),
        Mala::default().with_steps(40).with_warmup(30).into(),
        Hamiltonian::default().with_steps(8).with_leapfrogs(4).with_warmup(0).with_step_sizes(fixed).into(),
    ]
}

#[test]
fn columns_of_any_unit_are_sampled_as_in_equal_units() {
    let gpu = &lavapipe().gpu;
    for dynamics in all() {
        let share = |units, scales| {
            share_in_modes(&ends(gpu, &modes(units), scaled(&dynamics, units, scales), units))
        };
        let (equal, apart) = (share([1.0, 1.0], false), share([1e-9, 1e3], true));
        // The step that the smaller column needs.
        let least = match scaled(&dynamics, [1e-9, 1e3], false) {
            Dynamics::Langevin(langevin) => {
                let sizes = StepSchedule::Geometric { first: 6e-21, last: 6e-22 };
                let units = [1e-9, 1e3];
                Some(share_in_modes(&ends(gpu, &modes(units), langevin.with_step_sizes(sizes).into(), units)))
            }
            _ => None,
        };
        eprintln!(
            "{dynamics:?}: {equal:.4} in modes in equal units, {apart:.4} apart, {least:?} without scales"
        );
        assert_near("share in modes", apart, equal, 3.0 * (0.5 / CHAINS as f64).sqrt());
        assert!(least.is_none_or(|least| least < equal - 0.1), "{least:?} of {equal}");
    }
}

/// Powers of two move no bit but those of exponents.
#[test]
fn scales_that_are_powers_of_two_change_no_digit() {
    let gpu = &lavapipe().gpu;
    let bowl = |units: [f64; 2]| {
        let inverse = units.map(|unit| 1.0 / (unit * unit));
        QuadraticEnergy::diagonal(&[0.25 * units[0], 0.0], &[2.0 * inverse[0], 5.0 * inverse[1]]).unwrap()
    };
    let units = [f64::from(2f32.powi(-30)), 1024.0];
    for dynamics in all() {
        let run = |units, scales| ends(gpu, &bowl(units), scaled(&dynamics, units, scales), units);
        let plain = run([1.0; 2], false);
        assert_eq!(run([1.0; 2], true), plain, "{dynamics:?}: scales of 1");
        let apart = run(units, true);
        let other = plain.iter().zip(&apart).filter(|(plain, apart)| plain != apart).count();
        assert_eq!(other, 0, "{dynamics:?}: {other} of {} coordinates differ", plain.len());
    }
}
