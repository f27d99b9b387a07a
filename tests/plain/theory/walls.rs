//! Chains on energies with walls: infinite outside of a set, where some chains start.

use gibbs::energy::{Energy, Gradient, ShaderEnergy, ShaderEnergyOptions};
use gibbs::gpu::{MetricsRing, RunState};
use gibbs::math::Bounds;
use gibbs::mcmc::{
    ChainInputs, ChainOptions, ChainSampler, Dynamics, Hamiltonian, Langevin, Mala, Return, StepSchedule,
    count_lost, keep_sample,
};
use gibbs::proposal::UniformBox;

use crate::common::lavapipe;

const CHAINS: usize = 4000;

/// Densities `exp(-E)` in the plane that are 0 outside of a set.
#[derive(Clone, Copy, Debug)]
enum Walled {
    /// `E = -3 r^2` in the unit disc.
    Disc,
    /// `E = |y|^2 / 2` in the square of +-1.
    Square,
    /// `E = |y|^2 / 2` where `y0 > 0`.
    HalfPlane,
}

impl Walled {
    /// Infinity is made of bits that the compiler does not see through.
    fn energy(self) -> ShaderEnergy {
        let (inside, value, slope) = match self {
            Self::Disc => ("y[0] * y[0] + y[1] * y[1] < 1.0", -3.0, -6.0),
            Self::Square => ("abs(y[0]) < 1.0 && abs(y[1]) < 1.0", 0.5, 1.0),
            Self::HalfPlane => ("y[0] > 0.0", 0.5, 1.0),
        };
        let text = format!(
            "fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {{
                let value = value_factor * (y[0] * y[0] + y[1] * y[1]);
                return bitcast<f32>(select(0x7f800000u, bitcast<u32>(value), {inside}));
            }}
            fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {{
                return array<f32, DIMS>(slope_factor * y[0], slope_factor * y[1]);
            }}"
        );
        let options = ShaderEnergyOptions::new(0, 2, Gradient::Written)
            .number("value_factor", value)
            .number("slope_factor", slope);
        ShaderEnergy::new("walled", "walled.wgsl", &text, options).expect("an energy")
    }

    /// Whether a point is inside.
    fn holds(self, y: [f64; 2]) -> bool {
        match self {
            Self::Disc => y[0].hypot(y[1]) < 1.0,
            Self::Square => y[0].abs() < 1.0 && y[1].abs() < 1.0,
            Self::HalfPlane => y[0] > 0.0,
        }
    }

    /// A quantity that feels the wall.
    fn quantity(self, y: [f64; 2]) -> f64 {
        match self {
            Self::Disc => y[0].hypot(y[1]),
            Self::Square => y[0] * y[0],
            Self::HalfPlane => y[0],
        }
    }

    /// Its mean and variance under the density, by the midpoint rule over one coordinate (of the
    /// disc: the radius) with its weight.
    fn exact(self) -> [f64; 2] {
        let weight = |v: f64| match self {
            Self::Disc => v * (3.0 * v * v).exp(),
            Self::Square | Self::HalfPlane => (-0.5 * v * v).exp(),
        };
        let (end, power) = match self {
            Self::Disc => (1.0, 1),
            Self::Square => (1.0, 2),
            Self::HalfPlane => (12.0, 1),
        };
        let points = (0..200_000).map(|i| end * (f64::from(i) + 0.5) / 200_000.0);
        let mut sums = [0.0; 3];
        for v in points {
            let (w, q) = (weight(v), v.powi(power));
            sums = [sums[0] + w, sums[1] + w * q, sums[2] + w * q * q];
        }
        let mean = sums[1] / sums[0];
        [mean, sums[2] / sums[0] - mean * mean]
    }
}

/// Chains that start uniformly in a square of `half`: those that do not start beyond the wall end
/// distributed as they should, and the others are counted.
fn check(walled: Walled, dynamics: Dynamics, half: f32) {
    let what = format!("{walled:?}, {}, +-{half}", if half > 0.0 { dynamics_name(&dynamics) } else { "" });
    let gpu = &lavapipe().gpu;
    let energy = walled.energy();
    let start = UniformBox::new(&[-half; 2], &[half; 2]).unwrap();
    let options = ChainOptions::default().with_chains(CHAINS).with_dynamics(dynamics).with_seed(3);
    let mut sampler = ChainSampler::new(gpu, &energy, &start, &options).unwrap();
    let ends = sampler.sample(&[]).unwrap();
    let points: Vec<[f64; 2]> = ends.chunks_exact(2).map(|y| [f64::from(y[0]), f64::from(y[1])]).collect();
    let living: Vec<f64> = points
        .iter()
        .filter(|y| y[0].is_finite() && y[1].is_finite())
        .map(|&y| {
            assert!(walled.holds(y), "{what}: {y:?} is beyond the wall");
            walled.quantity(y)
        })
        .collect();
    let lost = sampler.lost_chains().unwrap();
    assert_eq!(lost, [CHAINS - living.len()], "{what}");
    let count = living.len() as f64;
    let mean = living.iter().sum::<f64>() / count;
    let [expected, variance] = walled.exact();
    let error = (variance / count).sqrt();
    let acceptance = sampler.acceptance().unwrap().iter().map(|&a| f64::from(a)).sum::<f64>() / count;
    let step = sampler.step_size().unwrap();
    eprintln!(
        "{what}: {:.0} % dead, step {step:.3}, acceptance {acceptance:.2}, mean {mean:.4}, exact {expected:.4}, \
         {:+.1} standard errors",
        100.0 * (1.0 - count / CHAINS as f64),
        (mean - expected) / error
    );
    assert!((mean - expected).abs() < 4.0 * error, "{what}: {mean}, exact {expected} +- {error}");
    assert!(step > 1e-3, "{what}: the step collapsed to {step}");
}

fn dynamics_name(dynamics: &Dynamics) -> &'static str {
    match dynamics {
        Dynamics::Mala(_) => "MALA",
        _ => "HMC",
    }
}

#[test]
fn chains_that_start_beyond_a_wall_do_not_freeze_the_others() {
    check(Walled::Disc, Mala::default().into(), 1.2);
    check(Walled::Disc, Hamiltonian::default().with_steps(50).into(), 1.2);
}

/// 0 to 91 % of the chains start dead.
#[test]
#[ignore = "long: 24 runs of thousands of chains, about two minutes"]
fn walls_of_any_kind_leave_the_density_alone() {
    for walled in [Walled::Disc, Walled::Square, Walled::HalfPlane] {
        for half in [0.7, 1.2, 2.0, 3.0] {
            check(walled, Mala::default().into(), half);
            check(walled, Hamiltonian::default().into(), half);
        }
    }
}

/// `E = |y|^2 / 2 - ln(y0 + 5)`, with `dead` of 16 chains at `y0 = -10`, where the logarithm is of
/// a negative number.
fn step_with_dead_starts(dead: usize) -> (f64, usize) {
    let gpu = &lavapipe().gpu;
    let text = "
        fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
            return 0.5 * (y[0] * y[0] + y[1] * y[1]) - log(y[0] + 5.0);
        }
        fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {
            return array<f32, DIMS>(y[0] - 1.0 / (y[0] + 5.0), y[1]);
        }";
    let options = ShaderEnergyOptions::new(0, 2, Gradient::Written);
    let energy = ShaderEnergy::new("barrier", "barrier.wgsl", text, options).unwrap();
    let options =
        ChainOptions::default().with_chains(16).with_dynamics(Mala::default().with_steps(20)).with_seed(1);
    let mut sampler = ChainSampler::from_points(gpu, &energy, &options).unwrap();
    let starts: Vec<f32> =
        (0..16).flat_map(|chain| [if chain < dead { -10.0 } else { 0.1 * chain as f32 }, 0.2]).collect();
    let result = sampler.sample_from(&[], &starts).unwrap();
    assert!(result[2 * dead..].iter().all(|v| v.is_finite()));
    (sampler.step_size().unwrap(), sampler.lost_chains().unwrap()[0])
}

#[test]
fn the_learned_step_does_not_depend_on_the_share_of_dead_chains() {
    for dead in [0, 2, 4, 8, 15] {
        let (step, lost) = step_with_dead_starts(dead);
        eprintln!("{dead} of 16 dead: step {step:.3}");
        assert_eq!(lost, dead);
        assert!((0.4..4.0).contains(&step), "{dead} of 16 dead: {step}");
    }
}

#[test]
fn a_context_without_a_living_chain_is_an_error_that_counts() {
    let gpu = &lavapipe().gpu;
    let energy = Walled::Disc.energy();
    for (dynamics, returns) in [
        (Dynamics::from(Mala::default().with_steps(3).with_warmup(2)), Return::All),
        (Hamiltonian::default().with_steps(3).with_warmup(2).into(), Return::Lowest),
        (Mala::default().with_steps(3).with_warmup(0).into(), Return::SampleTrace { thin: 1 }),
    ] {
        let options = ChainOptions::default()
            .with_contexts(3)
            .with_chains(2)
            .with_returns(returns)
            .with_dynamics(dynamics);
        let mut sampler = ChainSampler::from_points(gpu, &energy, &options).unwrap();
        // The second context has no chain inside, the third one of two.
        let starts = [0.1, 0.2, 0.3, 0.4, 2.0, 0.0, 0.0, 2.0, 0.5, 0.5, 5.0, 0.0];
        let error = sampler.sample_from(&[], &starts).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, gibbs::Error::Chains { .. }), "{text}");
        for part in ["3 of 6 chains", "1 of 3 contexts", "first is 1", "llvmpipe"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(sampler.lost_chains().unwrap(), [0, 2, 1]);
        // The sampler goes on.
        let mut inside = starts;
        inside[4] = 0.2;
        let result = sampler.sample_from(&[], &inside).unwrap();
        assert_eq!(sampler.lost_chains().unwrap(), [0, 1, 1]);
        if returns == Return::Lowest {
            assert!(result.iter().all(|v| v.is_finite()), "{result:?}");
        }
    }
}

/// A gradient of the wrong sign and size: no step is small enough.
#[test]
fn a_warmup_that_finds_no_step_is_an_error() {
    let gpu = &lavapipe().gpu;
    let text = "
        fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
            return bitcast<f32>(select(0x7f800000u, bitcast<u32>(y[1]), y[0] == 0.25));
        }
        fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {
            return array<f32, DIMS>(1.0, 1.0);
        }";
    let options = ShaderEnergyOptions::new(0, 2, Gradient::Written);
    let energy = ShaderEnergy::new("line", "line.wgsl", text, options).unwrap();
    let bounds = Bounds::new(&[-9.0; 2], &[9.0; 2]).unwrap();
    let options = ChainOptions::default().with_chains(8).with_dynamics(Mala::default().with_bounds(bounds));
    let mut sampler = ChainSampler::from_points(gpu, &energy, &options).unwrap();
    let error = sampler.sample_from(&[], &[0.25; 16]).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, gibbs::Error::Chains { .. }) && text.contains("step size"), "{text}");
}

/// What unadjusted chains come to at a wall: their mean's bias and its standard error, both as
/// shares of the exact mean, and the share of refused moves.
fn unadjusted(walled: Walled, eta: f64, chains: usize) -> [f64; 3] {
    let gpu = &lavapipe().gpu;
    let energy = walled.energy();
    let start = UniformBox::new(&[-0.7; 2], &[0.7; 2]).unwrap();
    // Long enough to forget the start: the slowest time is 1.
    let steps = (5.0 / eta) as usize;
    let langevin = Langevin::default().with_steps(steps);
    let langevin = langevin.with_step_sizes(StepSchedule::Constant { value: eta });
    let options = ChainOptions::default().with_chains(chains).with_dynamics(langevin).with_seed(5);
    let mut sampler = ChainSampler::new(gpu, &energy, &start, &options).unwrap();
    let ends = sampler.sample(&[]).unwrap();
    let points: Vec<[f64; 2]> = ends.chunks_exact(2).map(|y| [f64::from(y[0]), f64::from(y[1])]).collect();
    let living: Vec<f64> = points
        .iter()
        .filter(|y| !(y[0].is_nan() && y[1].is_nan()))
        .map(|&y| {
            assert!(walled.holds(y), "{walled:?}: {y:?} is beyond the wall");
            walled.quantity(y)
        })
        .collect();
    let dead = points.len() - living.len();
    assert_eq!(sampler.lost_chains().unwrap(), [dead], "{walled:?}");
    assert!(matches!(walled, Walled::HalfPlane) == (dead > 0), "{walled:?}: {dead} dead");
    let stats = sampler.stats();
    let refused = sampler.refused_moves().unwrap();
    assert_eq!(refused.iter().sum::<usize>() as u64, stats.refused_moves);
    assert_eq!((stats.lost_chains, stats.moves), (dead as u64, (living.len() * steps) as u64));
    let share = stats.refused_moves as f64 / stats.moves as f64;
    let count = living.len() as f64;
    let mean = living.iter().sum::<f64>() / count;
    let [expected, variance] = walled.exact();
    let error = (variance / count).sqrt();
    eprintln!(
        "{walled:?}, unadjusted, step {eta}: {:.1} % refused, mean {mean:.4}, exact {expected:.4}, {:+.1} %, \
         {:+.1} standard errors",
        100.0 * share,
        100.0 * (mean / expected - 1.0),
        (mean - expected) / error
    );
    [(mean - expected) / expected, error / expected, share]
}

#[test]
fn unadjusted_chains_stay_behind_a_wall_with_a_bias_that_shrinks() {
    for walled in [Walled::Disc, Walled::Square, Walled::HalfPlane] {
        let [coarse, fine] = [0.1, 0.01].map(|eta| unadjusted(walled, eta, 10_000));
        assert!(fine[0].abs() < coarse[0].abs() + 2.0 * fine[1], "{walled:?}: {coarse:?}, {fine:?}");
        assert!(
            fine[0].abs() < 0.05 && coarse[2] > fine[2] && fine[2] > 0.0,
            "{walled:?}: {coarse:?}, {fine:?}"
        );
    }
}

#[test]
#[ignore = "long: 12 runs of up to 500 steps of 40000 chains, about half a minute"]
fn the_bias_of_unadjusted_chains_at_walls() {
    for walled in [Walled::Disc, Walled::Square, Walled::HalfPlane] {
        for eta in [0.3, 0.1, 0.03, 0.01] {
            unadjusted(walled, eta, 40_000);
        }
    }
}

/// Chains in a recording of one's own, two of five of which start beyond the wall.
#[test]
fn the_number_of_lost_chains_is_a_metric_of_any_recording() {
    let gpu = &lavapipe().gpu;
    let energy = Walled::Disc.energy();
    let run = RunState::new(gpu, 1).unwrap();
    let mut ring = MetricsRing::new(gpu, &["loss", count_lost::NON_FINITE], 0).unwrap();
    let mut recording = gpu.record("own chains");
    recording.provide_all(&run.bindings());
    recording.provide_all(&ring.bindings());
    recording.provide_all(&energy.bindings());
    let (start, given) = recording.input::<f32>(gpu, "start", [1, 5, 2]).unwrap();
    let y = recording.scratch("chains", gibbs::gpu::DType::F32, [1, 5, 2]);
    keep_sample::record(&mut recording, given, 0..2, y, 0).unwrap();
    let inputs = ChainInputs { energy: &energy, context: None, y, stream: "own", trace: None };
    Dynamics::from(Langevin::default().with_steps(3)).record(&mut recording, &inputs).unwrap();
    count_lost::record_metric(&mut recording, &ring, y).unwrap();
    RunState::record_advance(&mut recording).unwrap();
    let plan = recording.compile_bound(gpu).unwrap();
    start.write(gpu, &[0.1, 0.2, 3.0, 0.0, 0.3, 0.0, 0.0, -2.0, 0.5, 0.5]).unwrap();
    plan.run_chunked(2, 2, |encoder, ended| if ended == 0 { Ok(()) } else { ring.encode_copy(encoder) })
        .unwrap();
    let rows = ring.collect(true).unwrap();
    let found: Vec<(u64, f32)> = rows.iter().map(|row| (row.step, row.values[1])).collect();
    assert_eq!(found, [(0, 2.0), (1, 2.0)]);
}

/// Central differences are not finite at a wall and NaN beyond it: a chain that went there stayed
/// there for good, as it still does where the energy is said to have no walls.
#[test]
fn starts_beyond_the_box_are_moved_into_it_before_they_are_judged() {
    let text = "
        fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
            let square = y[0] * y[0] + y[1] * y[1];
            return bitcast<f32>(select(0x7f800000u, bitcast<u32>(square), square < 1.0));
        }";
    let differences = ShaderEnergyOptions::new(0, 2, Gradient::CentralDifferences { step: 1e-3 });
    let energy = ShaderEnergy::new("disc", "disc.wgsl", text, differences).unwrap();
    let (start, bounds) = (UniformBox::new(&[-2.0; 2], &[2.0; 2]).unwrap(), Bounds::cube(2, 0.5).unwrap());
    for dynamics in [
        Dynamics::from(Langevin::default().with_steps(3).with_bounds(Some(bounds.clone()))),
        Mala::default().with_bounds(Some(bounds.clone())).into(),
    ] {
        let options = ChainOptions::default().with_chains(500).with_dynamics(dynamics);
        let mut sampler = ChainSampler::new(&lavapipe().gpu, &energy, &start, &options).unwrap();
        let ends = sampler.sample(&[]).unwrap();
        assert_eq!(sampler.stats().lost_chains, 0, "{}", dynamics_name(&options.dynamics));
        assert!(ends.iter().all(|v| v.abs() <= 0.5));
    }
}

#[test]
fn differences_across_a_wall_lose_no_chain_that_starts_inside() {
    let gpu = &lavapipe().gpu;
    let text = "
        fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
            let square = y[0] * y[0] + y[1] * y[1];
            return bitcast<f32>(select(0x7f800000u, bitcast<u32>(-3.0 * square), square < 1.0));
        }";
    let differences = ShaderEnergyOptions::new(0, 2, Gradient::CentralDifferences { step: 1e-3 });
    let start = UniformBox::new(&[-0.7; 2], &[0.7; 2]).unwrap();
    let options = ChainOptions::default().with_chains(2000).with_dynamics(Langevin::default());
    let ends = |differences: ShaderEnergyOptions| {
        let energy = ShaderEnergy::new("disc", "disc.wgsl", text, differences).unwrap();
        let mut sampler = ChainSampler::new(gpu, &energy, &start, &options).unwrap();
        sampler.sample(&[]).map(|ends| (ends, sampler.stats()))
    };
    let (inside, stats) = ends(differences.clone()).unwrap();
    assert!(inside.iter().all(|v| v.is_finite()));
    assert!(stats.lost_chains == 0 && stats.refused_moves > 2000, "{stats:?}");
    let lost = match ends(differences.without_walls()) {
        Ok((_, stats)) => stats.lost_chains,
        Err(_) => 2000,
    };
    eprintln!("{lost} of 2000 chains are lost without the rule, none with it");
    assert!(lost > 1500, "{lost}");
}
