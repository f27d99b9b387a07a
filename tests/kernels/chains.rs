//! Floor 4: trajectories, their decisions and traces.

use std::mem::offset_of;

use gibbs::gpu::run::random::stream_id;
use gibbs::gpu::{DType, Value};
use gibbs::math::Bounds;
use gibbs::math::clip_chains;
use gibbs::mcmc::begin_chains::{Chain, Memory, StepAdaptation};
use gibbs::mcmc::begin_leapfrog::{BeginLeapfrog, LeapfrogTrajectory, SizeOf};
use gibbs::mcmc::metropolis::{Count, Decision};
use gibbs::mcmc::{begin_leapfrog, keep_sample, leapfrog, metropolis};
use gibbs_reference::gpu::run::random::{Draw, normal, uniform};
use gibbs_reference::mcmc as reference;
use gibbs_reference::mcmc::leapfrog::outside;
use gibbs_reference::mcmc::metropolis::{acceptance, gain, rounding_decides};

use crate::EPS;
use crate::common::{Adapter, Case, Results, data, every_adapter, wide};

every_adapter!(
    trajectories_begin_as_the_reference_does,
    inner_leapfrog_steps_equal_the_reference,
    decisions_equal_the_reference,
    trajectories_that_fail_are_rejected,
    decisions_that_rounding_may_turn_are_counted,
    chains_are_clipped_and_columns_kept,
);

pub(super) const SHAPES: [[usize; 3]; 7] =
    [[1, 1, 1], [7, 1, 7], [3, 17, 2], [1, 63, 4], [13, 5, 5], [1, 257, 3], [5, 13, 65]];
pub(super) const SEED: u64 = 77;
pub(super) const STEP: u64 = (2 << 32) + 9;

pub(super) fn draw(stream: &str, inner: usize) -> Draw {
    Draw { seed: SEED, step: STEP, stream: u32::from(stream_id(stream)), inner: inner as u32 }
}

/// Element `row * ceil(dims / 4) + j / 4` owns the normals of dimensions `j .. j + 3`.
pub(super) fn noise(stream: &str, inner: usize, rows: usize, dims: usize) -> Vec<f64> {
    let blocks = dims.div_ceil(4);
    let all = normal(draw(stream, inner), (rows * blocks) as u32);
    all.chunks_exact(4 * blocks).flat_map(|row| &row[..dims]).copied().collect()
}

/// The first uniform of element `row`.
pub(super) fn uniforms(stream: &str, inner: usize, rows: usize) -> Vec<f64> {
    uniform(draw(stream, inner), rows as u32).into_iter().step_by(4).collect()
}

/// Borders off the center, so that some chains meet each of them.
pub(super) fn bounds(dims: usize) -> (Bounds, Vec<f64>, Vec<f64>) {
    let (low, high): (Vec<f32>, Vec<f32>) =
        data(53, dims).iter().map(|v| (-1.1 + 0.3 * v, 1.0 + 0.3 * v)).unzip();
    (Bounds::new(&low, &high).unwrap(), wide(&low), wide(&high))
}

pub(super) fn borders(case: &mut Case, low: &[f64], high: &[f64]) -> Value {
    let flat: Vec<f32> = low.iter().chain(high).map(|v| *v as f32).collect();
    case.input("box", [2, low.len()], &flat)
}

pub(super) fn numbers<T: bytemuck::NoUninit>(of: &T) -> &[f32] {
    bytemuck::cast_slice(std::slice::from_ref(of))
}

/// The adaptation of step sizes before the first step.
pub(super) fn at_start() -> StepAdaptation {
    StepAdaptation { factor: 1.0, ..StepAdaptation::default() }
}

/// Scales of dimensions, some of them far from 1, so that those of a neighbor show.
pub(super) fn scales(dims: usize) -> Vec<f32> {
    data(57, dims).iter().enumerate().map(|(j, v)| [1.0, 0.01, 3.0][j % 3] * (1.1 + v)).collect()
}

/// A chain memory with gradients `gradient` behind numbers that no kernel would write, and scales.
pub(super) fn memory_rows(chain: &Chain, gradient: &[f32], scales: &[f32]) -> Vec<f32> {
    let rows = gradient.chunks_exact(scales.len());
    rows.flat_map(|energy_gradient| [numbers(chain), energy_gradient].concat())
        .chain(last_row(scales))
        .collect()
}

/// The row of a memory that holds the scales.
pub(super) fn last_row(scales: &[f32]) -> impl Iterator<Item = f32> {
    [numbers(&Chain::default()), scales].concat().into_iter()
}

/// A chain with numbers that no kernel would write.
pub(super) const BEFORE: Chain = Chain {
    energy: 4.5,
    kinetic: 9.0,
    step: 9.0,
    outside: 9.0,
    accepted: 3.0,
    acceptance: 0.25,
    dead: 0.0,
    rounded: 5.0,
    magnitude: 6.0,
};

/// Columns of a chain's memory.
pub(super) const ENERGY: usize = offset_of!(Chain, energy) / 4;
pub(super) const OUTSIDE: usize = offset_of!(Chain, outside) / 4;
pub(super) const ACCEPTED: usize = offset_of!(Chain, accepted) / 4;
pub(super) const ACCEPTANCE: usize = offset_of!(Chain, acceptance) / 4;

/// The chains of a memory, without their gradients.
pub(super) fn chains_of(cache: &[f32], dims: usize) -> Vec<Chain> {
    let width = Chain::WORDS + dims;
    let rows = cache[..cache.len() - width].chunks_exact(width);
    rows.map(|row| bytemuck::pod_read_unaligned(bytemuck::cast_slice(&row[..Chain::WORDS]))).collect()
}

pub(super) fn column(results: &Results, dims: usize, member: impl Fn(&Chain) -> f32) -> Vec<f32> {
    chains_of(&results.get::<f32>("cache"), dims).iter().map(member).collect()
}

fn trajectories_begin_as_the_reference_does(adapter: &Adapter) {
    for (index, shape) in SHAPES.into_iter().enumerate() {
        let [contexts, chains, dims] = shape;
        let rows = contexts * chains;
        let (y, energy_gradient) = (data(11, rows * dims), data(12, rows * dims));
        let (_, low, high) = bounds(dims);
        let (scale, temperature, factor) = [(1.0, 1.0, 1.0), (0.5, 2.0, 0.75)][index % 2];
        for size_of in [SizeOf::Leapfrog, SizeOf::Langevin] {
            let launched = BeginLeapfrog {
                stream: u32::from(stream_id("test")),
                inner: 3,
                size: 0.2,
                size_of,
                temperature: 0.7,
            };
            let mut case = Case::new(adapter, format!("begin_leapfrog {shape:?}, {size_of:?}"));
            case.run_state(SEED, STEP);
            let adaptation = StepAdaptation { factor, log_mean: 9.0, deficit: 9.0, acceptance: 9.0 };
            let scales = scales(dims);
            let rows_of_memory = memory_rows(&BEFORE, &energy_gradient, &scales);
            let memory = Memory {
                cache: case.input("cache", [rows + 1, Chain::WORDS + dims], &rows_of_memory),
                step_adaptation: case.input("step_adaptation", [StepAdaptation::WORDS], numbers(&adaptation)),
            };
            let trajectory = LeapfrogTrajectory {
                momentum: case.poisoned("momentum", DType::F32, shape),
                proposed: case.poisoned("proposed", DType::F32, shape),
            };
            let value = case.input("y", shape, &y);
            let borders = borders(&mut case, &low, &high);
            let recording = &mut case.recording;
            let knobs = [recording.knob("step_scale", 1.0), recording.knob("temperature", 1.0)];
            begin_leapfrog::record(recording, &launched, knobs, (value, borders), &memory, &trajectory)
                .unwrap();
            case.knob(knobs[0], scale);
            case.knob(knobs[1], temperature);
            case.expect_kernels(&["begin_leapfrog"]);
            let results = case.run();

            let size = f64::from(0.2f32 * scale * factor);
            let eps = if size_of == SizeOf::Langevin { (2.0 * size).sqrt() } else { size };
            let temperature = f64::from(0.7f32 * temperature);
            let n = noise("test", 3, rows, dims);
            let scales = wide(&scales);
            let expected =
                reference::begin_leapfrog(&wide(&y), &wide(&energy_gradient), &n, &scales, eps, temperature);
            let push = |at: usize| {
                let slope = scales[at % dims] * f64::from(energy_gradient[at]).abs();
                temperature.sqrt() * n[at].abs() + eps * slope
            };
            results.expect("momentum", &results.get("momentum"), &expected.momentum, |at: usize| {
                16.0 * EPS * push(at)
            });
            let reach = |at: usize| {
                3.0 * EPS * f64::from(y[at]).abs() + 24.0 * EPS * eps * scales[at % dims] * push(at)
            };
            results.expect("proposed", &results.get("proposed"), &expected.proposed, reach);
            let of_sum = EPS * (24.0 + (dims as f64).sqrt());
            results.expect(
                "kinetic",
                &column(&results, dims, |chain| chain.kinetic),
                &expected.kinetic,
                |row: usize| of_sum * expected.kinetic[row],
            );
            let steps = column(&results, dims, |chain| chain.step);
            results.expect("eps", &steps, &vec![eps; rows], |_: usize| 8.0 * EPS * eps);
            let flags = column(&results, dims, |chain| chain.outside);
            expect_outside(&results, &flags, &expected.proposed, &low, &high);
            for chain in chains_of(&results.get::<f32>("cache"), dims) {
                let Chain { kinetic, step, outside, .. } = chain;
                assert_eq!(chain, Chain { kinetic, step, outside, ..BEFORE });
            }
        }
    }
}

/// Flags equal those of the reference's proposals; rows with a coordinate within rounding of a
/// border are left out, and few.
fn expect_outside(results: &Results, flags: &[f32], proposals: &[f64], low: &[f64], high: &[f64]) {
    let dims = low.len();
    let expected = outside(proposals, low, high);
    let mut close = 0;
    for (row, proposed) in proposals.chunks_exact(dims).enumerate() {
        let near = |j: usize| (proposed[j] - low[j]).abs() < 1e-5 || (proposed[j] - high[j]).abs() < 1e-5;
        if (0..dims).any(near) {
            close += 1;
            continue;
        }
        let flag = [f64::from(u8::from(expected[row]))];
        results.expect(&format!("outside, row {row}"), &flags[row..=row], &flag, |_: usize| 0.0);
    }
    assert!(close * 20 <= flags.len(), "{close} of {} rows end at a border", flags.len());
}

fn inner_leapfrog_steps_equal_the_reference(adapter: &Adapter) {
    for shape in SHAPES {
        let [contexts, chains, dims] = shape;
        let rows = contexts * chains;
        let [h, y, energy_gradient] = [21, 22, 23].map(|seed| data(seed, rows * dims));
        let (_, low, high) = bounds(dims);
        let eps = 0.3f32;
        let mut case = Case::new(adapter, format!("leapfrog {shape:?}"));
        let before = Chain { step: eps, ..BEFORE };
        let scales = scales(dims);
        let rows_of_memory = memory_rows(&before, &energy_gradient, &scales);
        let memory = Memory {
            cache: case.input("cache", [rows + 1, Chain::WORDS + dims], &rows_of_memory),
            step_adaptation: case.input(
                "step_adaptation",
                [StepAdaptation::WORDS],
                &[1.0; StepAdaptation::WORDS],
            ),
        };
        let trajectory = LeapfrogTrajectory {
            momentum: case.input("momentum", shape, &h),
            proposed: case.input("proposed", shape, &y),
        };
        let gradient = case.input("gradient", shape, &energy_gradient);
        let borders = borders(&mut case, &low, &high);
        leapfrog::record(&mut case.recording, gradient, borders, &memory, &trajectory).unwrap();
        case.expect_kernels(&["leapfrog"]);
        let results = case.run();
        let eps = f64::from(eps);
        let (momentum, proposed) =
            reference::leapfrog(&wide(&h), &wide(&y), &wide(&energy_gradient), &wide(&scales), eps);
        results.expect("momentum", &results.get("momentum"), &momentum, |at: usize| {
            4.0 * EPS * (1.0 + f64::from(scales[at % dims]))
        });
        results.expect("proposed", &results.get("proposed"), &proposed, |at: usize| {
            6.0 * EPS * (1.0 + f64::from(scales[at % dims])).powi(2)
        });
        expect_outside(&results, &column(&results, dims, |chain| chain.outside), &proposed, &low, &high);
        for chain in chains_of(&results.get::<f32>("cache"), dims) {
            assert_eq!(chain, Chain { outside: chain.outside, ..before });
        }
    }
}

/// What a decision is made from, of `rows` chains.
struct Ends {
    energy: Vec<f32>,
    gradient: Vec<f32>,
    momentum: Vec<f32>,
    proposed: Vec<f32>,
    cache: Vec<f32>,
    scales: Vec<f32>,
    y: Vec<f32>,
}

impl Ends {
    const EPS: f32 = 0.4;

    /// Gains between about -4 and 4; every fifth row is outside the box.
    fn new(rows: usize, dims: usize) -> Self {
        let [gradient, momentum, proposed, y, old] = [31, 32, 33, 34, 35].map(|seed| data(seed, rows * dims));
        let (energy, before, kinetic) = (data(36, rows), data(37, rows), data(38, rows));
        let scales = scales(dims);
        // What the last kinetic energies are on average.
        let shift = 0.17 * scales.iter().map(|s| 1.0 + 0.04 * s * s).sum::<f32>();
        let cache = (0..rows).flat_map(|row| {
            let outside = if row % 5 == 4 { 1.0 } else { 0.0 };
            let chain = Chain {
                energy: 2.0 * before[row] + shift,
                kinetic: kinetic[row].abs(),
                step: Self::EPS,
                outside,
                accepted: 3.0,
                acceptance: 9.0,
                dead: 0.0,
                rounded: 5.0,
                magnitude: 0.25,
            };
            [numbers(&chain), &old[row * dims..(row + 1) * dims]].concat()
        });
        let cache = cache.chain(last_row(&scales)).collect();
        let energy = energy.iter().map(|v| 2.0 * v).collect();
        Self { cache, scales, energy, gradient, momentum, proposed, y }
    }

    fn record(&self, case: &mut Case, decision: &Decision, temperature: f32, dims: usize, packed: bool) {
        let rows = self.energy.len();
        let shape = [rows, 1, dims];
        case.run_state(SEED, STEP);
        let energy = match packed {
            true => case.packed("energy", rows, 1, &self.energy),
            false => case.input("energy", [rows, 1], &self.energy),
        };
        let gradient = case.input("gradient", shape, &self.gradient);
        let trajectory = LeapfrogTrajectory {
            momentum: case.input("momentum", shape, &self.momentum),
            proposed: case.input("proposed", shape, &self.proposed),
        };
        let memory = Memory {
            cache: case.input("cache", [rows + 1, Chain::WORDS + dims], &self.cache),
            step_adaptation: case.input(
                "step_adaptation",
                [StepAdaptation::WORDS],
                &[1.0; StepAdaptation::WORDS],
            ),
        };
        let y = case.input("y", shape, &self.y);
        let knob = case.recording.knob("temperature", 1.0);
        metropolis::record(
            &mut case.recording,
            decision,
            knob,
            (energy, gradient),
            (&memory, &trajectory),
            y,
        )
        .unwrap();
        case.knob(knob, temperature);
        case.expect_kernels(&["metropolis"]);
    }
}

fn decisions_equal_the_reference(adapter: &Adapter) {
    let mut seen = [0; 2];
    for (index, [contexts, chains, dims]) in SHAPES.into_iter().enumerate() {
        let rows = contexts * chains;
        let ends = Ends::new(rows, dims);
        let count = [Count::Yes, Count::No][index % 2];
        let decision = Decision { stream: u32::from(stream_id("test")), inner: 5, temperature: 0.8, count };
        let mut case = Case::new(adapter, format!("metropolis {rows} x {dims}, {count:?}"));
        ends.record(&mut case, &decision, 1.5, dims, index % 3 == 0);
        let results = case.run();

        let temperature = f64::from(0.8f32 * 1.5);
        let chains = chains_of(&ends.cache, dims);
        let before: Vec<f64> =
            chains.iter().map(|chain| f64::from(chain.energy) + f64::from(chain.kinetic)).collect();
        let (energy_gradient, h) = (wide(&ends.gradient), wide(&ends.momentum));
        let scales = wide(&ends.scales);
        let gains = gain(&before, &wide(&ends.energy), (&energy_gradient, &h), &scales, f64::from(Ends::EPS));
        let u = uniforms("test", 5, rows);
        let (mut y, mut cache) = (wide(&ends.y), wide(&ends.cache));
        // Energies up to 15 and dims momenta below 2.
        let kicks: f64 = scales.iter().map(|s| (1.0 + 0.2 * s).powi(2)).sum();
        let error = 4.0 * EPS * (15.0 + 2.0 * kicks) / temperature;
        let mut close = Vec::new();
        for row in 0..rows {
            let inside = chains[row].outside == 0.0;
            let first = row * (Chain::WORDS + dims);
            cache[first + ACCEPTANCE] = if inside { acceptance(gains[row], temperature) } else { 0.0 };
            if (gains[row] / temperature - u[row].ln()).abs() < error {
                close.push(row);
            }
            let accepted = inside && reference::metropolis(gains[row], temperature, u[row]);
            seen[usize::from(accepted)] += 1;
            if accepted {
                y[row * dims..(row + 1) * dims]
                    .copy_from_slice(&wide(&ends.proposed)[row * dims..(row + 1) * dims]);
                cache[first + ENERGY] = f64::from(ends.energy[row]);
                cache[first + ACCEPTED] += if count == Count::Yes { 1.0 } else { 0.0 };
                cache[first + Chain::WORDS..first + Chain::WORDS + dims]
                    .copy_from_slice(&energy_gradient[row * dims..(row + 1) * dims]);
            }
        }
        assert!(close.len() * 50 <= rows, "{} of {rows} decisions are ties", close.len());
        let skipped = |row: usize| if close.contains(&row) { 10.0 } else { 0.0 };
        results.expect("y", &results.get("y"), &y, |at: usize| skipped(at / dims));
        // The acceptance: the gain's error and that of the exponential.
        results.expect("cache", &results.get("cache"), &cache, |at: usize| {
            let of_chance = if at % (Chain::WORDS + dims) == ACCEPTANCE { error + 8e-6 } else { 0.0 };
            skipped(at / (Chain::WORDS + dims)) + of_chance
        });
    }
    assert!(seen.iter().all(|&count| count > 100), "both decisions are met: {seen:?}");
}

fn trajectories_that_fail_are_rejected(adapter: &Adapter) {
    let dims = 2;
    let mut ends = Ends::new(8, dims);
    // Far downhill: accepted for certain, were there nothing else.
    ends.energy = vec![-500.0; 8];
    ends.cache.iter_mut().skip(OUTSIDE).step_by(Chain::WORDS + dims).for_each(|outside| *outside = 0.0);
    ends.energy[1] = f32::NAN;
    ends.energy[2] = f32::NEG_INFINITY;
    ends.gradient[3 * dims + 1] = f32::NAN;
    ends.gradient[4 * dims] = 1e16;
    ends.momentum[5 * dims] = f32::INFINITY;
    ends.proposed[6 * dims + 1] = f32::NAN;
    let decision =
        Decision { stream: u32::from(stream_id("test")), inner: 0, temperature: 1.0, count: Count::Yes };
    let mut case = Case::new(adapter, "metropolis with faults");
    ends.record(&mut case, &decision, 1.0, dims, false);
    let results = case.run();
    let y: Vec<f32> = results.get("y");
    for row in 0..8 {
        let accepted = row == 0 || row == 7;
        let at = row * dims..(row + 1) * dims;
        let expected = if accepted { &ends.proposed[at.clone()] } else { &ends.y[at.clone()] };
        assert_eq!(&y[at], expected, "{}: row {row}", adapter.name);
        let (count, acceptance) = if accepted { (4.0, 1.0) } else { (3.0, 0.0) };
        assert_eq!(column(&results, dims, |chain| chain.accepted)[row], count, "{}: row {row}", adapter.name);
        assert_eq!(
            column(&results, dims, |chain| chain.acceptance)[row],
            acceptance,
            "{}: row {row}",
            adapter.name
        );
    }
}

/// Energies with constants of several sizes at one temperature, and with one constant at several.
fn decisions_that_rounding_may_turn_are_counted(adapter: &Adapter) {
    let (rows, dims) = (1024, 3);
    let mut shares = Vec::new();
    for (constant, knob) in [(0.0f32, 1.0f32), (1e3, 1.0), (1e6, 1.0), (-1e8, 1.0), (1e6, 100.0), (1e3, 1e-3)]
    {
        for count in [Count::Yes, Count::No] {
            let mut ends = Ends::new(rows, dims);
            ends.energy.iter_mut().for_each(|energy| *energy += constant);
            let width = Chain::WORDS + dims;
            ends.cache.iter_mut().step_by(width).take(rows).for_each(|energy| *energy += constant);
            let decision =
                Decision { stream: u32::from(stream_id("test")), inner: 2, temperature: 1.0, count };
            let mut case =
                Case::new(adapter, format!("metropolis at {constant}, temperature {knob}, {count:?}"));
            ends.record(&mut case, &decision, knob, dims, false);
            let results = case.run();
            let chains = chains_of(&ends.cache, dims);
            // The difference of the energies first: both are numbers of f32.
            let kinetic: Vec<f64> = chains.iter().map(|chain| chain.kinetic.into()).collect();
            let rise: Vec<f64> =
                (0..rows).map(|row| f64::from(ends.energy[row]) - f64::from(chains[row].energy)).collect();
            let (energy_gradient, h) = (wide(&ends.gradient), wide(&ends.momentum));
            let gains =
                gain(&kinetic, &rise, (&energy_gradient, &h), &wide(&ends.scales), f64::from(Ends::EPS));
            let u = uniforms("test", 2, rows);
            let mut rounded = 0;
            for (row, found) in chains_of(&results.get::<f32>("cache"), dims).iter().enumerate() {
                let magnitude = ends.energy[row].abs().max(chains[row].energy.abs());
                let decides = |factor: f64| {
                    let magnitude = factor * f64::from(magnitude);
                    rounding_decides(gains[row], knob.into(), u[row], magnitude)
                };
                let sound = chains[row].outside == 0.0 && count == Count::Yes;
                // Within the rounding of the rounding, both are right.
                if decides(0.999) != decides(1.001) {
                    continue;
                }
                let counts = sound && decides(1.0);
                let expected = if counts { (6.0, magnitude.max(0.25)) } else { (5.0, 0.25) };
                assert_eq!(
                    (found.rounded, found.magnitude),
                    expected,
                    "{}: row {row} at {constant}",
                    adapter.name
                );
                rounded += usize::from(counts);
            }
            if count == Count::Yes {
                shares.push(rounded as f64 / rows as f64);
            }
        }
    }
    let [none, small, some, all, hot, cold] = shares[..] else { panic!("six cases: {shares:?}") };
    assert_eq!([none, small, hot, cold], [0.0; 4], "{}", adapter.name);
    assert!(some > 0.02 && some < 0.2 && all > 0.75, "{}: {shares:?}", adapter.name);
}

fn chains_are_clipped_and_columns_kept(adapter: &Adapter) {
    for shape in SHAPES {
        let [contexts, chains, dims] = shape;
        let rows = contexts * chains;
        let y: Vec<f32> = data(46, rows * dims).iter().map(|v| 2.0 * v).collect();
        let (bounds, low, high) = bounds(dims);
        let mut case = Case::new(adapter, format!("clip and keep {shape:?}"));
        let value = case.input("y", shape, &y);
        let trace = case.poisoned("trace", DType::F32, [3, contexts, chains, dims]);
        clip_chains::record(&mut case.recording, value, &bounds).unwrap();
        keep_sample::record(&mut case.recording, value, 0..dims, trace, 1).unwrap();
        let columns = dims / 2..dims;
        let some = case.poisoned("some", DType::F32, [rows, columns.len()]);
        keep_sample::record(&mut case.recording, value, columns.clone(), some, 0).unwrap();
        case.expect_kernels(&["clip_chains", "keep_sample", "keep_sample"]);
        let results = case.run();
        let expected = gibbs_reference::math::clip_chains(&wide(&y), &low, &high);
        assert!(rows < 9 || expected != wide(&y), "nothing was clipped");
        results.expect("y", &results.get("y"), &expected, |_: usize| 0.0);
        let n = rows * dims;
        results.expect("trace", &results.get("trace")[n..2 * n], &expected, |_: usize| 0.0);
        results.expect_untouched("trace", (0..n).chain(2 * n..3 * n));
        let part = reference::keep_sample(&expected, dims, columns);
        results.expect("columns", &results.get("some"), &part, |_: usize| 0.0);
    }
    let mut case = Case::new(adapter, "clip a fault");
    let value = case.input("y", [1, 3, 1], &[f32::NAN, 5.0, f32::INFINITY]);
    clip_chains::record(&mut case.recording, value, &Bounds::new(&[0.0], &[1.0]).unwrap()).unwrap();
    let y: Vec<f32> = case.run().get("y");
    assert!(!y[0].is_finite() && y[1] == 1.0 && !y[2].is_finite(), "{}: {y:?}", adapter.name);
}
