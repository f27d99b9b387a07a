//! Densities that dynamics keep.

use gibbs::Gpu;
use gibbs::energy::{Energy, MixtureEnergy, QuadraticEnergy};
use gibbs::gpu::run::random;
use gibbs::gpu::run::random::Distribution;
use gibbs::gpu::{DType, RunState};
use gibbs::math::Bounds;
use gibbs::mcmc::{
    ChainInputs, ChainOptions, ChainSampler, DerivativeFreeOptimizer, Dynamics, Hamiltonian, Langevin, Mala,
    Return, StepSchedule,
};
use gibbs::proposal::{Draws, Proposal, UniformBox};

use super::bench::{Bench, assert_near, mean, mean_f32};
use crate::common;

/// `E(y) = |y|^2 / 2`.
fn bowl(dims: usize) -> QuadraticEnergy {
    QuadraticEnergy::isotropic(&vec![0.0; dims], 1.0).unwrap()
}

/// `E(y) = -ln(0.3 N(y; -1.5, 0.7^2) + 0.7 N(y; 1, 0.5^2))` in one dimension.
fn wells() -> MixtureEnergy {
    MixtureEnergy::isotropic(&[0.3, 0.7], &[-1.5, 1.0], &[0.7, 0.5]).unwrap()
}

/// The variance of all coordinates after `steps` steps from exact N(0, 1), and their mean energy
/// per coordinate.
fn langevin_variance(gpu: &Gpu, eta: f64, steps: usize, chains: usize) -> (f64, f64, usize) {
    // Four dimensions share one block of random words.
    let bowl = bowl(4);
    let mut bench = Bench::new(gpu, "langevin");
    bench.bind(&RunState::new(gpu, 31).unwrap().bindings());
    let recording = &mut bench.recording;
    let y = recording.scratch("y", DType::F32, [1, chains, 4]);
    let stream = recording.stream("theory/start").unwrap();
    random::record(recording, Distribution::Normal, stream, 0, y).unwrap();
    let langevin =
        Langevin::default().with_steps(steps).with_step_sizes(StepSchedule::Constant { value: eta });
    langevin.record(recording, &bowl, None, y, "theory/langevin").unwrap();
    let energy = bowl.record_value(recording, None, y).unwrap();
    bench.output(y);
    bench.output(energy);
    let read = bench.run();
    let count = read[0].len() as f64;
    let (first, second) =
        read[0].iter().map(|&v| f64::from(v)).fold((0.0, 0.0), |s, v| (s.0 + v, s.1 + v * v));
    let variance = second / count - (first / count).powi(2);
    let bound = 3.0 * (variance / count).sqrt();
    assert_near(&format!("mean at eta {eta}"), first / count, 0.0, bound);
    (variance, 2.0 * mean_f32(&read[1]) / 4.0, read[0].len())
}

#[test]
fn r14_unadjusted_langevin_has_the_stationary_variance_of_its_step_size() {
    let gpu = &common::lavapipe().gpu;
    // Steps after which what is left of the start, (v - 1) (1 - eta)^(2 steps), is below 1e-4.
    for (eta, steps, expected) in [(0.5, 12, 1.33333), (0.1, 40, 1.05263), (0.01, 200, 1.00503)] {
        let (variance, twice_energy, count) = langevin_variance(gpu, eta, steps, 1 << 18);
        let error = expected * (2.0 / count as f64).sqrt();
        eprintln!("eta {eta}: variance {variance:.5} +- {error:.5}, expected {expected}");
        assert_near(&format!("variance at eta {eta}"), variance, expected, 3.0 * error);
        assert_near(&format!("mean energy at eta {eta}"), twice_energy, expected, 3.0 * error);
    }
}

/// Where chains start: exact N(0, 1), or uniform in a box.
enum Starts<'a> {
    Normal,
    Uniform(&'a UniformBox),
}

/// Where the chains end, their mean acceptance and the learned factor on step sizes.
struct Ended {
    y: Vec<f64>,
    acceptance: f64,
    factor: f64,
}

fn inputs(
    gpu: &Gpu,
    energy: &dyn Energy,
    dynamics: impl Into<Dynamics>,
    starts: Starts<'_>,
    chains: usize,
) -> Ended {
    let dynamics = dynamics.into();
    let mut bench = Bench::new(gpu, "chains");
    bench.bind(&RunState::new(gpu, 53).unwrap().bindings());
    let recording = &mut bench.recording;
    let y = recording.scratch("y", DType::F32, [1, chains, energy.dims()]);
    match starts {
        Starts::Normal => {
            let stream = recording.stream("theory/start").unwrap();
            random::record(recording, Distribution::Normal, stream, 0, y).unwrap();
        }
        Starts::Uniform(bounds) => {
            let none = recording.scratch("none", DType::F32, [1, 0]);
            let prepared = bounds.record_prepare(recording, none).unwrap();
            let draws = Draws { candidates: y, first: 0, count: chains, stream: "theory/start", inner: 0 };
            bounds.record_sample(recording, &prepared, &draws).unwrap();
        }
    }
    let inputs = ChainInputs { energy, context: None, y, stream: "theory/chain", trace: None };
    let walked = dynamics.record(recording, &inputs).unwrap();
    bench.output(y);
    bench.output(walked.accepted.unwrap());
    bench.output(walked.step_adaptation.unwrap());
    let read = bench.run();
    Ended {
        y: read[0].iter().map(|&v| v.into()).collect(),
        acceptance: mean_f32(&read[1]) / dynamics.steps() as f64,
        factor: read[2][0].into(),
    }
}

/// Mean and variance within three standard errors of independent draws, with the fourth central
/// moment given.
#[track_caller]
fn assert_moments(what: &str, y: &[f64], expected: (f64, f64), fourth: f64) {
    let count = y.len() as f64;
    let (found, _) = mean(y);
    let variance = y.iter().map(|v| (v - found).powi(2)).sum::<f64>() / count;
    let error = ((fourth - expected.1 * expected.1) / count).sqrt();
    eprintln!("{what}: mean {found:.5}, variance {variance:.5} +- {error:.5}, expected {expected:?}");
    assert_near(&format!("mean, {what}"), found, expected.0, 3.0 * (expected.1 / count).sqrt());
    assert_near(&format!("variance, {what}"), variance, expected.1, 3.0 * error);
}

fn constant(value: f64) -> StepSchedule {
    StepSchedule::Constant { value }
}

fn adjusted(eta: f64, steps: usize) -> Mala {
    Mala::default().with_steps(steps).with_step_sizes(constant(eta)).with_warmup(0)
}

#[test]
fn r21_adjusted_langevin_keeps_the_variance_and_accepts_as_often_as_it_should() {
    let gpu = &common::lavapipe().gpu;
    for (eta, expected) in [(0.1, 0.9929), (0.5, 0.9209), (1.0, 0.7841)] {
        let ended = inputs(gpu, &bowl(1), adjusted(eta, 10), Starts::Normal, 1 << 17);
        eprintln!("eta {eta}: acceptance {:.5}, expected {expected}", ended.acceptance);
        assert_near(&format!("acceptance at eta {eta}"), ended.acceptance, expected, 0.005);
        assert_moments(&format!("eta {eta}"), &ended.y, (0.0, 1.0), 3.0);
    }
}

#[test]
fn r22_hamiltonian_trajectories_keep_the_variance_and_are_accepted_as_often_as_they_should() {
    let gpu = &common::lavapipe().gpu;
    for (eps, leapfrogs, expected) in [(0.5, 5, 0.9882), (1.0, 5, 0.9208), (1.5, 3, 0.7605)] {
        let dynamics = Hamiltonian::default()
            .with_steps(6)
            .with_leapfrogs(leapfrogs)
            .with_step_sizes(constant(eps))
            .with_warmup(0);
        let ended = inputs(gpu, &bowl(1), dynamics, Starts::Normal, 1 << 16);
        eprintln!("eps {eps}, {leapfrogs} steps: acceptance {:.5}, expected {expected}", ended.acceptance);
        assert_near(&format!("acceptance at eps {eps}"), ended.acceptance, expected, 0.005);
        assert_moments(&format!("eps {eps}, {leapfrogs} steps"), &ended.y, (0.0, 1.0), 3.0);
    }
}

/// Mean, variance and fourth central moment of `exp(-energy)` on an interval, by the midpoint rule.
fn interval_moments(low: f64, high: f64, energy: impl Fn(f64) -> f64) -> (f64, f64, f64) {
    let cells = 20_000;
    let node = |i: usize| low + (high - low) * (i as f64 + 0.5) / cells as f64;
    let sum =
        |of: &dyn Fn(f64) -> f64| (0..cells).map(|i| of(node(i)) * (-energy(node(i))).exp()).sum::<f64>();
    let total = sum(&|_| 1.0);
    let mean = sum(&|y| y) / total;
    (mean, sum(&|y| (y - mean).powi(2)) / total, sum(&|y| (y - mean).powi(4)) / total)
}

#[test]
fn in_a_box_the_adjusted_dynamics_sample_the_truncated_density() {
    let gpu = &common::lavapipe().gpu;
    let bounds = UniformBox::new(&[-0.5], &[1.5]).unwrap();
    let (mean, variance, fourth) = interval_moments(-0.5, 1.5, |y| 0.5 * y * y);
    let langevin = adjusted(0.2, 60).with_bounds(Bounds::from(bounds.clone()));
    let hamiltonian = Hamiltonian::default()
        .with_steps(40)
        .with_leapfrogs(3)
        .with_step_sizes(constant(0.4))
        .with_warmup(0)
        .with_bounds(Bounds::from(bounds.clone()));
    for (what, dynamics) in
        [("adjusted Langevin", Dynamics::from(langevin)), ("Hamiltonian", hamiltonian.into())]
    {
        let ended = inputs(gpu, &bowl(1), dynamics, Starts::Uniform(&bounds), 1 << 15);
        assert!(ended.y.iter().all(|y| (-0.5..=1.5).contains(y)), "{what}");
        assert!((0.3..0.95).contains(&ended.acceptance), "{what}: {}", ended.acceptance);
        assert_moments(what, &ended.y, (mean, variance), fourth);
    }
}

#[test]
fn temperatures_widen_the_density_that_is_sampled() {
    let gpu = &common::lavapipe().gpu;
    // The last steps count: what came before at another temperature is forgotten.
    let temperatures = StepSchedule::Polynomial { first: 6.0, last: 2.0, power: 30.0 };
    let langevin = adjusted(0.8, 60).with_temperatures(temperatures);
    let hamiltonian = Hamiltonian::default()
        .with_steps(40)
        .with_leapfrogs(3)
        .with_step_sizes(constant(0.5))
        .with_temperatures(temperatures)
        .with_warmup(0);
    for (what, dynamics) in
        [("adjusted Langevin", Dynamics::from(langevin)), ("Hamiltonian", hamiltonian.into())]
    {
        let ended = inputs(gpu, &bowl(1), dynamics, Starts::Normal, 1 << 16);
        assert_moments(&format!("{what} at temperature 2"), &ended.y, (0.0, 2.0), 12.0);
    }
}

#[test]
fn modes_have_their_weights() {
    let gpu = &common::lavapipe().gpu;
    let hamiltonian =
        Hamiltonian::default().with_steps(60).with_leapfrogs(4).with_step_sizes(constant(0.4)).with_warmup(0);
    for (what, dynamics) in
        [("adjusted Langevin", adjusted(0.4, 300).into()), ("Hamiltonian", Dynamics::from(hamiltonian))]
    {
        let ended = inputs(gpu, &wells(), dynamics, Starts::Normal, 1 << 14);
        let (expected, variance) = (0.3 * -1.5 + 0.7, 0.3 * (0.49 + 2.25) + 0.7 * (0.25 + 1.0) - 0.25 * 0.25);
        let (found, error) = mean(&ended.y);
        eprintln!(
            "{what}: mean {found:.4} +- {error:.4}, expected {expected}; accepted {:.3}",
            ended.acceptance
        );
        assert_near(
            &format!("mean, {what}"),
            found,
            expected,
            3.5 * (variance / ended.y.len() as f64).sqrt(),
        );
        // The left mode's share: 0.3 Phi((-0.4 + 1.5) / 0.7) + 0.7 Phi((-0.4 - 1) / 0.5).
        let left = ended.y.iter().filter(|&&y| y < -0.4).count() as f64 / ended.y.len() as f64;
        let share = 0.3 * 0.941_981 + 0.7 * 0.002_555;
        assert_near(
            &format!("left mode, {what}"),
            left,
            share,
            3.5 * (0.3 * 0.7 / ended.y.len() as f64).sqrt(),
        );
    }
}

#[test]
fn the_warm_up_finds_the_step_size_of_its_target() {
    let gpu = &common::lavapipe().gpu;
    // Within what the averaged logarithm still remembers of its first steps, taken far away.
    let round = bowl(16);
    for (first, target_acceptance) in [(1e-4, 0.574), (30.0, 0.574), (0.5, 0.9)] {
        let dynamics = adjusted(first, 30).with_warmup(200).with_target_acceptance(target_acceptance);
        let ended = inputs(gpu, &round, dynamics, Starts::Normal, 2048);
        eprintln!(
            "from {first}: {:.4}, acceptance {:.4} for {target_acceptance}",
            first * ended.factor,
            ended.acceptance
        );
        assert_near(&format!("acceptance from {first}"), ended.acceptance, target_acceptance, 0.03);
    }
    // Two leapfrog steps in many dimensions: a longer trajectory in a round bowl ends at its mirror
    // image for some step size, where acceptance rises again.
    let round = bowl(64);
    for (first, target_acceptance) in [(1e-2, 0.8), (3.0, 0.65)] {
        let step_sizes = constant(first);
        let dynamics = Hamiltonian::default()
            .with_steps(20)
            .with_leapfrogs(2)
            .with_step_sizes(step_sizes)
            .with_warmup(200)
            .with_target_acceptance(target_acceptance);
        let ended = inputs(gpu, &round, dynamics, Starts::Normal, 512);
        eprintln!(
            "from {first}: {:.4}, acceptance {:.4} for {target_acceptance}",
            first * ended.factor,
            ended.acceptance
        );
        assert_near(&format!("acceptance from {first}"), ended.acceptance, target_acceptance, 0.03);
    }
}

#[test]
fn derivative_free_optimization_finds_the_minimum() {
    let gpu = &common::lavapipe().gpu;
    // Off the center of the box; the lowest of 16384 uniform samples is typically 0.01 away, four
    // rounds come closer.
    let bounds = UniformBox::new(&[-3.0, -1.0], &[1.0, 2.0]).unwrap();
    let best = |steps: usize, temperature: f32| {
        let mut dfo = DerivativeFreeOptimizer::new(bounds.clone().into());
        dfo.steps = steps;
        let options = ChainOptions::default()
            .with_contexts(5)
            .with_chains(16384)
            .with_dynamics(dfo)
            .with_returns(Return::Lowest)
            .with_seed(3);
        let mut sampler = ChainSampler::new(gpu, &bowl(2), &bounds, &options).unwrap();
        sampler.tune(1.0, temperature).unwrap();
        let found = sampler.sample(&[]).unwrap();
        assert_eq!(found.len(), 10);
        found.chunks_exact(2).map(|y| f64::from(y[0]).hypot(f64::from(y[1]))).sum::<f64>() / 5.0
    };
    let (one, many) = (best(1, 0.01), best(8, 0.01));
    eprintln!("mean distance after one round {one:.5}, after eight {many:.5}");
    assert!(one < 0.03 && many < 0.006 && many < one, "{one}, {many}");
}
