//! Energies with a constant so large that 32 bits do not hold their differences: chains that
//! decide by them say so.

use gibbs::energy::{Energy, Gradient, MixtureEnergy, ShaderEnergy, ShaderEnergyOptions};
use gibbs::math::{Bounds, Scales};
use gibbs::mcmc::{
    ChainOptions, ChainSampler, DerivativeFreeOptimizer, Dynamics, Hamiltonian, Langevin, Mala, Return,
    StepSchedule,
};
use gibbs::proposal::UniformBox;

use super::bench::assert_near;
use crate::common::lavapipe;

const CHAINS: usize = 1 << 13;

/// `E(y) = y^2 / 2 + constant` in one dimension.
fn raised(constant: f32) -> ShaderEnergy {
    let text = "
        fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 { return 0.5 * y[0] * y[0] + raised_by; }
        fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> { return y; }";
    let options = ShaderEnergyOptions::new(0, 1, Gradient::Written).number("raised_by", constant);
    ShaderEnergy::new("raised", "raised.wgsl", text, options).unwrap()
}

fn mala(steps: usize) -> Mala {
    let sizes = StepSchedule::Constant { value: 0.5 };
    Mala::default().with_steps(steps).with_warmup(0).with_step_sizes(sizes)
}

fn hamiltonian() -> Hamiltonian {
    let sizes = StepSchedule::Constant { value: 0.8 };
    Hamiltonian::default().with_steps(20).with_leapfrogs(3).with_warmup(0).with_step_sizes(sizes)
}

/// Chains that start uniformly within two units of `y = 0`, which may be far from it at last.
fn sampler(energy: &dyn Energy, dynamics: Dynamics, returns: Return, unit: f32) -> ChainSampler {
    let start = UniformBox::new(&vec![-2.0 * unit; energy.dims()], &vec![2.0 * unit; energy.dims()]).unwrap();
    let options = ChainOptions::default()
        .with_chains(CHAINS)
        .with_dynamics(dynamics)
        .with_returns(returns)
        .with_seed(4);
    ChainSampler::new(&lavapipe().gpu, energy, &start, &options).unwrap()
}

fn variance(y: &[f32]) -> f64 {
    let count = y.len() as f64;
    let mean = y.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    y.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count
}

#[test]
fn decisions_that_rounding_makes_are_warned_of_with_the_magnitude() {
    for (what, dynamics) in [("MALA", Dynamics::from(mala(100))), ("HMC", hamiltonian().into())] {
        for (constant, wrong) in
            [(0.0, false), (1e3, false), (-1e3, false), (1e5, false), (1e8, true), (-1e8, true)]
        {
            let mut sampler = sampler(&raised(constant), dynamics.clone(), Return::All, 1.0);
            let found = variance(&sampler.sample(&[]).unwrap());
            let decisions = sampler.rounded_decisions().unwrap();
            let warnings = sampler.warnings();
            eprintln!("{what} at {constant}: variance {found:.3}, {decisions:?}");
            if wrong {
                assert!(
                    decisions.share > 0.5 && (decisions.magnitude - 1e8).abs() < 100.0,
                    "{what}: {decisions:?}"
                );
                assert!(
                    warnings.len() == 1 && warnings[0].contains("as large as 1e8"),
                    "{what}: {warnings:?}"
                );
                assert!(warnings[0].contains("constant out of the energy"), "{what}: {warnings:?}");
            } else {
                assert_eq!((decisions.share, warnings.len()), (0.0, 0), "{what} at {constant}: {warnings:?}");
                let error = (2.0 / CHAINS as f64).sqrt();
                assert_near(&format!("variance, {what} at {constant}"), found, 1.0, 4.0 * error);
            }
        }
    }
}

#[test]
fn a_choice_by_energies_that_rounding_has_made_equal_is_warned_of() {
    let bounds = Bounds::cube(1, 2.0).unwrap();
    let dynamics = [
        Dynamics::from(Langevin::default().with_steps(4)),
        mala(4).into(),
        DerivativeFreeOptimizer::new(bounds).into(),
    ];
    for dynamics in dynamics {
        for (constant, temperature, warns) in
            [(1e3, 1.0, false), (1e8, 1.0, true), (-1e8, 1.0, true), (1e8, 1e4, false), (1e3, 1e-4, true)]
        {
            let mut sampler = sampler(&raised(constant), dynamics.clone(), Return::Lowest, 1.0);
            sampler.tune(1.0, temperature).unwrap();
            assert_eq!(sampler.sample(&[]).unwrap().len(), 1);
            let warnings = sampler.warnings();
            let of_choice = warnings.iter().filter(|words| words.contains("chooses by energy")).count();
            let what = format!("{dynamics:?} on {constant} at {temperature}");
            assert_eq!(of_choice, usize::from(warns), "{what}: {warnings:?}");
            let magnitude = if constant == 1e3 { "as large as 1000" } else { "as large as 1e8" };
            assert!(warnings.iter().all(|words| words.contains(magnitude)), "{what}: {warnings:?}");
        }
    }
}

/// The normalization of narrow Gaussians in many dimensions is a constant, too: one that 32 bits
/// hold.
#[test]
fn constants_of_normalized_mixtures_are_harmless() {
    let (dims, std) = (100, 1e-8);
    let energy = MixtureEnergy::isotropic(&[1.0], &vec![0.0; dims], &[std]).unwrap();
    let scales = Scales::new(&vec![std as f32; dims]).unwrap();
    let sizes = StepSchedule::Constant { value: 0.1 };
    let mala = mala(60).with_step_sizes(sizes).with_scales(scales);
    let mut sampler = sampler(&energy, mala.into(), Return::All, std as f32);
    let found = variance(&sampler.sample(&[]).unwrap()) / (std * std);
    let decisions = sampler.rounded_decisions().unwrap();
    eprintln!(
        "E from {:.0}: variance {found:.4} of 1, {decisions:?}",
        -energy.log_density(&vec![0.0; dims]).unwrap()
    );
    assert_eq!((decisions.share, sampler.warnings().len()), (0.0, 0));
    assert_near("variance", found, 1.0, 0.01);
}
