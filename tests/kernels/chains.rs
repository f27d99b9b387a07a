//! Floor 4: trajectories, their decisions and adaptation, resampling and traces.

use std::mem::offset_of;

use gibbs::energy::Energy;
use gibbs::gpu::run::random::stream_id;
use gibbs::gpu::{Bindings, DType, Recording, Value};
use gibbs::math::clip_chains;
use gibbs::math::{Bounds, Scales};
use gibbs::mcmc::begin_chains::{Chain, Memory, StepAdaptation};
use gibbs::mcmc::begin_leapfrog::{BeginLeapfrog, LeapfrogTrajectory, SizeOf};
use gibbs::mcmc::metropolis::{Count, Decision};
use gibbs::mcmc::resample::Round;
use gibbs::mcmc::{
    ChainInputs, DerivativeFreeOptimizer, Hamiltonian, Mala, SampleTrace, StepSchedule, adapt_step,
    begin_chains, begin_leapfrog, count_lost, cumulative_weights, keep_sample, leapfrog, mark_lost,
    metropolis, resample, usable_energy,
};
use gibbs_reference::gpu::run::random::{Draw, normal, uniform};
use gibbs_reference::mcmc as reference;
use gibbs_reference::mcmc::adapt_step::Tuner;
use gibbs_reference::mcmc::leapfrog::outside;
use gibbs_reference::mcmc::metropolis::{acceptance, gain, rounding_decides};
use gibbs_reference::mcmc::resample::pick;

use crate::EPS;
use crate::common::{Adapter, Case, Results, data, every_adapter, wide};

every_adapter!(
    trajectories_begin_as_the_reference_does,
    inner_leapfrog_steps_equal_the_reference,
    decisions_equal_the_reference,
    trajectories_that_fail_are_rejected,
    decisions_that_rounding_may_turn_are_counted,
    the_memory_of_chains_begins_with_their_start,
    the_step_size_is_learned_as_in_the_reference,
    dead_chains_do_not_shrink_the_step,
    lost_chains_are_marked_and_counted,
    energies_of_lost_chains_are_not_usable,
    chains_are_clipped_and_columns_kept,
    running_sums_equal_the_reference,
    samples_are_drawn_as_in_the_reference,
    a_context_without_a_finite_energy_shows,
    whole_chains_equal_the_reference,
    rounds_of_resampling_end_where_the_chains_are,
);

const SHAPES: [[usize; 3]; 7] =
    [[1, 1, 1], [7, 1, 7], [3, 17, 2], [1, 63, 4], [13, 5, 5], [1, 257, 3], [5, 13, 65]];
const SEED: u64 = 77;
const STEP: u64 = (2 << 32) + 9;

fn draw(stream: &str, inner: usize) -> Draw {
    Draw { seed: SEED, step: STEP, stream: u32::from(stream_id(stream)), inner: inner as u32 }
}

/// Element `row * ceil(dims / 4) + j / 4` owns the normals of dimensions `j .. j + 3`.
fn noise(stream: &str, inner: usize, rows: usize, dims: usize) -> Vec<f64> {
    let blocks = dims.div_ceil(4);
    let all = normal(draw(stream, inner), (rows * blocks) as u32);
    all.chunks_exact(4 * blocks).flat_map(|row| &row[..dims]).copied().collect()
}

/// The first uniform of element `row`.
fn uniforms(stream: &str, inner: usize, rows: usize) -> Vec<f64> {
    uniform(draw(stream, inner), rows as u32).into_iter().step_by(4).collect()
}

/// Borders off the center, so that some chains meet each of them.
fn bounds(dims: usize) -> (Bounds, Vec<f64>, Vec<f64>) {
    let (low, high): (Vec<f32>, Vec<f32>) =
        data(53, dims).iter().map(|v| (-1.1 + 0.3 * v, 1.0 + 0.3 * v)).unzip();
    (Bounds::new(&low, &high).unwrap(), wide(&low), wide(&high))
}

fn borders(case: &mut Case, low: &[f64], high: &[f64]) -> Value {
    let flat: Vec<f32> = low.iter().chain(high).map(|v| *v as f32).collect();
    case.input("box", [2, low.len()], &flat)
}

fn numbers<T: bytemuck::NoUninit>(of: &T) -> &[f32] {
    bytemuck::cast_slice(std::slice::from_ref(of))
}

/// The adaptation of step sizes before the first step.
fn at_start() -> StepAdaptation {
    StepAdaptation { factor: 1.0, ..StepAdaptation::default() }
}

/// Scales of dimensions, some of them far from 1, so that those of a neighbor show.
fn scales(dims: usize) -> Vec<f32> {
    data(57, dims).iter().enumerate().map(|(j, v)| [1.0, 0.01, 3.0][j % 3] * (1.1 + v)).collect()
}

/// A chain memory with gradients `gradient` behind numbers that no kernel would write, and scales.
fn memory_rows(chain: &Chain, gradient: &[f32], scales: &[f32]) -> Vec<f32> {
    let rows = gradient.chunks_exact(scales.len());
    rows.flat_map(|energy_gradient| [numbers(chain), energy_gradient].concat())
        .chain(last_row(scales))
        .collect()
}

/// The row of a memory that holds the scales.
fn last_row(scales: &[f32]) -> impl Iterator<Item = f32> {
    [numbers(&Chain::default()), scales].concat().into_iter()
}

/// A chain with numbers that no kernel would write.
const BEFORE: Chain = Chain {
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
const ENERGY: usize = offset_of!(Chain, energy) / 4;
const OUTSIDE: usize = offset_of!(Chain, outside) / 4;
const ACCEPTED: usize = offset_of!(Chain, accepted) / 4;
const ACCEPTANCE: usize = offset_of!(Chain, acceptance) / 4;

/// The chains of a memory, without their gradients.
fn chains_of(cache: &[f32], dims: usize) -> Vec<Chain> {
    let width = Chain::WORDS + dims;
    let rows = cache[..cache.len() - width].chunks_exact(width);
    rows.map(|row| bytemuck::pod_read_unaligned(bytemuck::cast_slice(&row[..Chain::WORDS]))).collect()
}

fn column(results: &Results, dims: usize, member: impl Fn(&Chain) -> f32) -> Vec<f32> {
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

fn the_memory_of_chains_begins_with_their_start(adapter: &Adapter) {
    for (index, shape) in SHAPES.into_iter().enumerate() {
        let dims = shape[2];
        let rows = shape[0] * shape[1];
        let (energies, slopes, y) = (data(41, rows), data(42, rows * dims), data(43, rows * dims));
        let mut case = Case::new(adapter, format!("begin {shape:?}"));
        let energy = match index % 2 {
            0 => case.packed("energy", rows, 1, &energies),
            _ => case.input("energy", [rows, 1], &energies),
        };
        let gradient = case.input("gradient", shape, &slopes);
        let value = case.input("y", shape, &y);
        let units = scales(dims);
        let scales = case.input("scales", [dims], &units);
        let memory = begin_chains::record(&mut case.recording, (energy, gradient), scales, value).unwrap();
        case.output("cache", memory.cache);
        case.output("step_adaptation", memory.step_adaptation);
        case.expect_kernels(&["begin_chains"]);
        let results = case.run();
        let expected = reference::begin_chains(&wide(&energies), &wide(&slopes), &wide(&units), &wide(&y));
        results.expect("cache", &results.get("cache"), &expected, |_: usize| 0.0);
        assert_eq!(results.get::<f32>("step_adaptation"), numbers(&at_start()));
        assert_eq!(results.get::<f32>("y"), y);
    }
    // What is not finite about a start shows in it.
    let mut case = Case::new(adapter, "begin with faults");
    let energy = case.input("energy", [4, 1], &[1.0, f32::NAN, 2.0, 3.0]);
    let gradient = case.input("gradient", [1, 4, 2], &[0.1, 0.2, 0.3, 0.4, f32::INFINITY, 0.6, 0.7, 0.8]);
    let value = case.input("y", [1, 4, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, f32::NAN]);
    let scales = case.input("scales", [2], &[1.0, 2.0]);
    let memory = begin_chains::record(&mut case.recording, (energy, gradient), scales, value).unwrap();
    case.output("cache", memory.cache);
    let results = case.run();
    let y: Vec<f32> = results.get("y");
    assert_eq!((y[0], y[1], y[5]), (1.0, 2.0, 6.0), "{}", adapter.name);
    assert_eq!(column(&results, 2, |chain| chain.dead), [0.0, 1.0, 1.0, 1.0], "{}", adapter.name);
    assert!([y[2], y[3], y[4]].iter().all(|v| !v.is_finite()), "{}: {y:?}", adapter.name);
}

fn the_step_size_is_learned_as_in_the_reference(adapter: &Adapter) {
    for (rows, dims, steps) in [(1, 1, 4), (7, 3, 9), (255, 2, 1), (257, 5, 6), (1000, 1, 12)] {
        let chances: Vec<f32> = data(45, rows).iter().map(|v| v.abs()).collect();
        let mut case = Case::new(adapter, format!("adapt {rows} rows, {steps} steps"));
        let rows_of_memory: Vec<f32> = chances
            .iter()
            .flat_map(|&acceptance| [numbers(&chain_of(acceptance, 0.0)).to_vec(), vec![7.0; dims]].concat())
            .chain(last_row(&scales(dims)))
            .collect();
        let memory = Memory {
            cache: case.input("cache", [rows + 1, Chain::WORDS + dims], &rows_of_memory),
            step_adaptation: case.input("step_adaptation", [StepAdaptation::WORDS], numbers(&at_start())),
        };
        for index in 0..steps {
            adapt_step::record(&mut case.recording, &memory, 0.6, (index, steps)).unwrap();
        }
        case.expect_kernels(&vec!["adapt_step"; steps]);
        let results = case.run();
        let acceptance = wide(&chances).iter().sum::<f64>() / rows as f64;
        let mut step_adaptation = Tuner { factor: 1.0, log_mean: 0.0, deficit: 0.0 };
        for t in 1..=steps {
            step_adaptation = reference::adapt_step(step_adaptation, acceptance, 0.6, t, steps);
        }
        let expected =
            [step_adaptation.factor, step_adaptation.log_mean, step_adaptation.deficit, acceptance];
        // The deficit is multiplied by up to 20 sqrt(12), its logarithm's error is relative to the
        // factor.
        let bound = [1e-4 * step_adaptation.factor, 3e-5, 1e-6, 1e-6];
        results.expect("step_adaptation", &results.get("step_adaptation"), &expected, &bound[..]);
    }
}

fn chain_of(acceptance: f32, dead: f32) -> Chain {
    Chain { acceptance, dead, ..BEFORE }
}

fn dead_chains_do_not_shrink_the_step(adapter: &Adapter) {
    for (rows, every) in [(1, 1), (7, 2), (257, 3), (1000, 1)] {
        let chances: Vec<f32> = data(47, rows).iter().map(|v| v.abs()).collect();
        let dead = |row: usize| row.is_multiple_of(every);
        let chains: Vec<f32> = (0..rows)
            .flat_map(|row| match dead(row) {
                true => numbers(&chain_of(0.0, 1.0)).to_vec(),
                false => numbers(&chain_of(chances[row], 0.0)).to_vec(),
            })
            .chain(last_row(&[]))
            .collect();
        let mut case = Case::new(adapter, format!("adapt, every {every} of {rows} dead"));
        let memory = Memory {
            cache: case.input("cache", [rows + 1, Chain::WORDS], &chains),
            step_adaptation: case.input("step_adaptation", [StepAdaptation::WORDS], numbers(&at_start())),
        };
        for index in 0..3 {
            adapt_step::record(&mut case.recording, &memory, 0.6, (index, 3)).unwrap();
        }
        let results = case.run();
        let living: Vec<f64> =
            (0..rows).filter(|&row| !dead(row)).map(|row| f64::from(chances[row])).collect();
        // Without a living chain the acceptance is taken for the one wanted.
        let acceptance = match living.len() {
            0 => 0.6,
            count => living.iter().sum::<f64>() / count as f64,
        };
        let mut step_adaptation = Tuner { factor: 1.0, log_mean: 0.0, deficit: 0.0 };
        for t in 1..=3 {
            step_adaptation = reference::adapt_step(step_adaptation, acceptance, 0.6, t, 3);
        }
        let expected =
            [step_adaptation.factor, step_adaptation.log_mean, step_adaptation.deficit, acceptance];
        let bound = [1e-4 * step_adaptation.factor, 3e-5, 1e-6, 1e-6];
        results.expect("step_adaptation", &results.get("step_adaptation"), &expected, &bound[..]);
    }
}

fn lost_chains_are_marked_and_counted(adapter: &Adapter) {
    for (index, shape) in SHAPES.into_iter().enumerate() {
        let [contexts, chains, dims] = shape;
        let mut y = data(48, contexts * chains * dims);
        for at in (0..y.len()).filter(|at| at % (5 + dims) == index) {
            y[at] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][at % 3];
        }
        let mut case = Case::new(adapter, format!("lost {shape:?}"));
        let value = case.input("y", shape, &y);
        let marks = mark_lost::record(&mut case.recording, value).unwrap();
        let counts = count_lost::record(&mut case.recording, marks).unwrap();
        case.output("marks", marks);
        case.output("counts", counts);
        case.expect_kernels(&["mark_lost", "count_lost"]);
        let results = case.run();
        let expected = reference::mark_lost(&wide(&y), dims);
        results.expect("marks", &results.get("marks"), &expected, |_: usize| 0.0);
        let expected = reference::count_lost(&expected, chains);
        results.expect("counts", &results.get("counts"), &expected, |_: usize| 0.0);
    }
}

fn energies_of_lost_chains_are_not_usable(adapter: &Adapter) {
    for (index, shape) in SHAPES.into_iter().enumerate() {
        let [contexts, chains, dims] = shape;
        let rows = contexts * chains;
        let (mut y, mut energies) = (data(54, rows * dims), data(55, rows));
        for at in (0..y.len()).filter(|at| at % (5 + dims) == index) {
            y[at] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][at % 3];
        }
        // Energies that are not finite, and the largest of the finite ones, pass as they are.
        for at in (0..rows).filter(|at| at % 4 == 2) {
            energies[at] = [f32::NAN, f32::INFINITY, f32::MAX, -f32::MAX][at / 4 % 4];
        }
        let mut case = Case::new(adapter, format!("usable energy {shape:?}"));
        let energy = match index % 2 {
            0 => case.packed("energy", rows, 1, &energies),
            _ => case.input("energy", [rows, 1], &energies),
        };
        let value = case.input("y", shape, &y);
        let usable = usable_energy::record(&mut case.recording, energy, value).unwrap();
        case.output("usable", usable);
        case.expect_kernels(&["usable_energy"]);
        let results = case.run();
        let expected = reference::usable_energy(&wide(&energies), &wide(&y), dims);
        for (row, (found, expected)) in results.get::<f32>("usable").iter().zip(expected).enumerate() {
            let what = format!("{}: row {row} is {found}, not {expected}", adapter.name);
            assert!(f64::from(*found) == expected || found.is_nan() && expected.is_nan(), "{what}");
        }
    }
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

const SAMPLES: [[usize; 2]; 9] =
    [[1, 1], [7, 2], [3, 7], [5, 63], [1, 64], [65, 65], [3, 257], [2, 5001], [1, 16384]];

fn running_sums_equal_the_reference(adapter: &Adapter) {
    for (index, [contexts, samples]) in SAMPLES.into_iter().enumerate() {
        // Up to 300 apart, and a shift that would overflow or underflow were it not taken out.
        for (scale, shift) in [(2.0, 0.0), (150.0, 4e4), (1e37, -2e38)] {
            let energies: Vec<f32> = data(61, contexts * samples).iter().map(|v| scale * v + shift).collect();
            let mut case = Case::new(adapter, format!("cumulative_weights {contexts} x {samples}, {scale}"));
            let energy = match index % 2 {
                0 => case.input("energy", [contexts * samples, 1], &energies),
                _ => case.packed("energy", contexts * samples, 1, &energies),
            };
            let knob = case.recording.knob("temperature", 1.0);
            let shape = [contexts, samples];
            let sums = cumulative_weights::record(&mut case.recording, energy, knob, shape).unwrap();
            case.knob(knob, 1.5);
            case.output("sums", sums);
            case.expect_kernels(&["cumulative_weights"]);
            let results = case.run();
            let expected = reference::cumulative_weights(&wide(&energies), samples, 1.5);
            // Sums of a lane's share and over 256 lanes; the exponential, and its argument's
            // rounding, up to 87.
            let relative = EPS * (samples as f64 / 256.0 + 256.0 + 90.0) + 8e-6;
            results
                .expect("sums", &results.get("sums"), &expected, |at: usize| relative * expected[at] + 1e-30);
            for row in results.get::<f32>("sums").chunks_exact(samples) {
                assert!(row.windows(2).all(|pair| pair[0] <= pair[1]), "{}: not monotone", adapter.name);
            }
        }
    }
    // Energies that are not finite weigh nothing, to the bit.
    let mut energies = data(62, 700);
    let mut masked = wide(&energies);
    for at in (0..700).filter(|at| at % 3 == 1 || (300..420).contains(at)) {
        energies[at] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][at % 2 + usize::from(at % 5 == 0)];
        masked[at] = f64::INFINITY;
    }
    let mut case = Case::new(adapter, "cumulative_weights with faults");
    let energy = case.input("energy", [700, 1], &energies);
    let knob = case.recording.knob("temperature", 1.0);
    let sums = cumulative_weights::record(&mut case.recording, energy, knob, [1, 700]).unwrap();
    case.knob(knob, 1.0);
    case.output("sums", sums);
    let results = case.run();
    let found: Vec<f32> = results.get("sums");
    let expected = reference::cumulative_weights(&masked, 700, 1.0);
    results.expect("sums", &found, &expected, |at: usize| 5e-5 * expected[at] + 1e-30);
    for at in (1..700).filter(|&at| masked[at].is_infinite()) {
        assert_eq!(
            found[at].to_bits(),
            found[at - 1].to_bits(),
            "{}: sample {at} has a weight",
            adapter.name
        );
    }
}

fn samples_are_drawn_as_in_the_reference(adapter: &Adapter) {
    for (index, [contexts, samples]) in SAMPLES.into_iter().enumerate() {
        let dims = [1, 2, 5, 7][index % 4];
        let rows = contexts * samples;
        let y: Vec<f32> = data(63, rows * dims).iter().map(|v| 1.2 * v).collect();
        let energies = data(64, rows);
        let sums: Vec<f32> = reference::cumulative_weights(&wide(&energies), samples, 0.3)
            .iter()
            .map(|sum| *sum as f32)
            .collect();
        let (bounds, low, high) = bounds(dims);
        for (share, scale) in [(0.0, 1.0), (0.25, 0.5)] {
            let round = Round {
                picks: u32::from(stream_id("pick")),
                stream: u32::from(stream_id("noise")),
                inner: 4,
                noise: share,
            };
            let shape = [contexts, samples, dims];
            let mut case = Case::new(adapter, format!("resample {shape:?}, noise {share}"));
            case.run_state(SEED, STEP);
            let cumulative = case.input("cumulative", [contexts, samples], &sums);
            let value = case.input("y", shape, &y);
            let out = case.poisoned("out", DType::F32, shape);
            let knob = case.recording.knob("step_scale", 1.0);
            resample::record(&mut case.recording, &round, knob, &bounds, cumulative, (value, out)).unwrap();
            case.knob(knob, scale);
            case.expect_kernels(&["resample"]);
            let results = case.run();
            let u = uniforms("pick", 4, rows);
            let picked = pick(&wide(&sums), samples, &u);
            let close: Vec<bool> =
                (0..rows).map(|row| close_to_a_border(&sums, samples, row, u[row])).collect();
            let ties = close.iter().filter(|&&tie| tie).count();
            assert!(ties * 50 <= rows, "{ties} of {rows} draws are ties");
            let n = noise("noise", 4, rows, dims);
            let share = share * f64::from(scale);
            let expected = reference::resample(&wide(&y), &picked, samples, &n, share, (&low, &high));
            let bound = |at: usize| {
                if close[at / dims] { 3.0 } else { share * 24.0 * EPS + 2.0 * EPS * share.ceil() }
            };
            results.expect("out", &results.get("out"), &expected, bound);
        }
    }
}

/// Whether the rounding of `u * total` may pick a neighbor.
fn close_to_a_border(sums: &[f32], samples: usize, row: usize, u: f64) -> bool {
    let sums = &sums[row / samples * samples..][..samples];
    let total = f64::from(sums[samples - 1]);
    sums[..samples - 1].iter().any(|&sum| (f64::from(sum) - u * total).abs() < EPS * total)
}

fn a_context_without_a_finite_energy_shows(adapter: &Adapter) {
    let mut case = Case::new(adapter, "resample without weights");
    case.run_state(SEED, STEP);
    let energies = [f32::NAN, f32::INFINITY, f32::NAN, 1.0, f32::NAN, 500.0, 0.0, 1.0, 2.0];
    let energy = case.input("energy", [9, 1], &energies);
    let y = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, f32::NAN, f32::INFINITY, f32::NAN];
    let y = case.input("y", [3, 3, 1], &y);
    let out = case.poisoned("out", DType::F32, [3, 3, 1]);
    let recording = &mut case.recording;
    let knobs = [recording.knob("step_scale", 1.0), recording.knob("temperature", 1.0)];
    let energy = usable_energy::record(recording, energy, y).unwrap();
    let sums = cumulative_weights::record(recording, energy, knobs[1], [3, 3]).unwrap();
    let round = Round { picks: 1, stream: 2, inner: 0, noise: 0.0 };
    let bounds = Bounds::new(&[0.0], &[1.0]).unwrap();
    resample::record(recording, &round, knobs[0], &bounds, sums, (y, out)).unwrap();
    let out: Vec<f32> = case.run().get("out");
    assert!(out[..3].iter().all(|v| !v.is_finite()), "{}: {out:?}", adapter.name);
    assert_eq!(out[3..6], [0.4; 3], "{}", adapter.name);
    assert!(out[6..].iter().all(|v| !v.is_finite()), "{}: {out:?}", adapter.name);
}

/// An energy whose values and gradients are given tensors, wherever it is asked: chains meet known
/// numbers.
struct Given {
    shape: [usize; 3],
}

impl Energy for Given {
    fn dims(&self) -> usize {
        self.shape[2]
    }
    fn record_value(&self, recording: &mut Recording, _: Option<Value>, _: Value) -> gibbs::Result<Value> {
        recording.slot("energy", DType::F32, [self.shape[0] * self.shape[1], 1])
    }
    fn record_gradient(&self, recording: &mut Recording, _: Option<Value>, _: Value) -> gibbs::Result<Value> {
        recording.slot("gradient", DType::F32, self.shape)
    }
    fn bindings(&self) -> Bindings {
        Bindings::new()
    }
}

/// One chain as the reference runs it on [`Given`]: positions after every counted step, the
/// accepted count, and whether a decision or a border was within rounding.
struct Replay {
    y: Vec<Vec<f64>>,
    accepted: Vec<f64>,
    close: Vec<bool>,
    factor: f64,
}

fn replay(
    chain: &Hamiltonian,
    eps: impl Fn(f64) -> f64,
    start: &[f64],
    energy_gradient: &[f64],
    dims: usize,
) -> Replay {
    let rows = start.len() / dims;
    let bounds = chain.bounds.as_ref().unwrap();
    let (low, high) = (wide(bounds.low()), wide(bounds.high()));
    let scales = chain.scales.as_ref().map_or(vec![1.0; dims], |scales| wide(scales.values()));
    let mut y = gibbs_reference::math::clip_chains(start, &low, &high);
    let mut all = Replay { y: Vec::new(), accepted: vec![0.0; rows], close: vec![false; rows], factor: 1.0 };
    let mut step_adaptation = Tuner { factor: 1.0, log_mean: 0.0, deficit: 0.0 };
    for inner in 0..chain.warmup + chain.steps {
        let index = inner.saturating_sub(chain.warmup);
        let eps = eps(chain.step_sizes.at(index, chain.steps) * step_adaptation.factor);
        let temperature = chain.temperatures.at(index, chain.steps);
        let n = noise("test/momentum", inner, rows, dims);
        let begun = reference::begin_leapfrog(&y, energy_gradient, &n, &scales, eps, temperature);
        let (mut h, mut proposed) = (begun.momentum, begun.proposed);
        for _ in 1..chain.leapfrogs {
            (h, proposed) = reference::leapfrog(&h, &proposed, energy_gradient, &scales, eps);
        }
        let beyond = outside(&proposed, &low, &high);
        let gains = gain(&begun.kinetic, &vec![0.0; rows], (energy_gradient, &h), &scales, eps);
        let u = uniforms("test/accept", inner, rows);
        let mut chances = 0.0;
        for row in 0..rows {
            let at = row * dims..(row + 1) * dims;
            let edge = |j: usize| {
                let v = proposed[row * dims + j];
                (v - low[j]).abs() < 1e-4 || (v - high[j]).abs() < 1e-4
            };
            all.close[row] |= (gains[row] / temperature - u[row].ln()).abs() < 1e-4 || (0..dims).any(edge);
            chances += if beyond[row] { 0.0 } else { acceptance(gains[row], temperature) };
            if !beyond[row] && reference::metropolis(gains[row], temperature, u[row]) {
                y[at.clone()].copy_from_slice(&proposed[at]);
                all.accepted[row] += f64::from(u8::from(inner >= chain.warmup));
            }
        }
        match inner < chain.warmup {
            true => {
                let mean = chances / rows as f64;
                step_adaptation = reference::adapt_step(
                    step_adaptation,
                    mean,
                    chain.target_acceptance,
                    inner + 1,
                    chain.warmup,
                );
            }
            false => all.y.push(y.clone()),
        }
    }
    all.factor = step_adaptation.factor;
    all
}

fn whole_chains_equal_the_reference(adapter: &Adapter) {
    let step_sizes = StepSchedule::Geometric { first: 0.05, last: 0.01 };
    let temperatures = StepSchedule::Polynomial { first: 2.0, last: 0.5, power: 2.0 };
    for (shape, leapfrogs, warmup, scaled) in [
        ([7, 9, 3], 1, 0, false),
        ([7, 9, 3], 1, 3, true),
        ([1, 65, 2], 3, 0, true),
        ([5, 13, 5], 3, 2, false),
    ] {
        let dims = shape[2];
        let n: usize = shape.iter().product();
        // Some starts outside the box.
        let start: Vec<f32> = data(71, n).iter().map(|v| 1.3 * v).collect();
        let energy_gradient = data(72, n);
        let (bounds, ..) = bounds(dims);
        let chain = Hamiltonian::default()
            .with_steps(4)
            .with_leapfrogs(leapfrogs)
            .with_step_sizes(step_sizes)
            .with_temperatures(temperatures)
            .with_warmup(warmup)
            .with_target_acceptance(0.7)
            .with_bounds(bounds)
            .with_scales(scaled.then(|| Scales::new(&scales(dims)).unwrap()));
        let mut case = Case::new(
            adapter,
            format!("chains {shape:?}, {leapfrogs} leapfrogs, warm-up {warmup}, {scaled}"),
        );
        case.run_state(SEED, STEP);
        case.input("gradient", shape, &energy_gradient);
        case.input("energy", [n / dims, 1], &data(73, n / dims));
        let y = case.input("y", shape, &start);
        let trace = case.poisoned("trace", DType::F32, [2, shape[0], shape[1], dims]);
        let energy = Given { shape };
        let trace = Some(SampleTrace { value: trace, thin: 2 });
        let inputs = ChainInputs { energy: &energy, context: None, y, stream: "test", trace };
        let adjusted = leapfrogs == 1;
        let walked = match adjusted {
            true => {
                let Hamiltonian { steps, bounds, scales, target_acceptance, .. } = chain.clone();
                Mala::default()
                    .with_steps(steps)
                    .with_step_sizes(step_sizes)
                    .with_temperatures(temperatures)
                    .with_warmup(warmup)
                    .with_target_acceptance(target_acceptance)
                    .with_bounds(bounds)
                    .with_scales(scales)
                    .record(&mut case.recording, &inputs)
                    .unwrap()
            }
            false => chain.record(&mut case.recording, &inputs).unwrap(),
        };
        case.output("accepted", walked.accepted.unwrap());
        case.output("rounded", walked.rounded.unwrap());
        case.output("step_adaptation", walked.step_adaptation.unwrap());
        for knob in [walked.step_scale, walked.temperature] {
            case.knob(knob, 1.0);
        }
        let mut stems = vec!["clip_chains", "begin_chains"];
        for step in 0..warmup + 4 {
            stems.push("begin_leapfrog");
            stems.extend(vec!["leapfrog"; leapfrogs - 1]);
            stems.push("metropolis");
            match step {
                _ if step < warmup => stems.push("adapt_step"),
                _ if (step - warmup) % 2 == 1 => stems.push("keep_sample"),
                _ => {}
            }
        }
        stems.extend(["keep_sample"; 2]);
        case.expect_kernels(&stems);
        let results = case.run();
        let eps = |size: f64| if adjusted { (2.0 * size).sqrt() } else { size };
        let expected = replay(&chain, eps, &wide(&start), &wide(&energy_gradient), dims);
        let ties = expected.close.iter().filter(|&&tie| tie).count();
        let rows = n / dims;
        assert!(ties * 10 <= rows, "{ties} of {rows} chains met a tie");
        let bound = |at: usize| if expected.close[at % n / dims] { 10.0 } else { 2e-4 };
        results.expect("y", &results.get("y"), &expected.y[3], bound);
        results.expect(
            "trace",
            &results.get("trace"),
            &[expected.y[1].clone(), expected.y[3].clone()].concat(),
            bound,
        );
        let of_row = |row: usize| if expected.close[row] { 10.0 } else { 0.0 };
        results.expect("accepted", &results.get("accepted"), &expected.accepted, of_row);
        assert!(results.get::<f32>("rounded").iter().all(|&v| v == 0.0));
        let total: f64 = expected.accepted.iter().sum();
        assert!(total > 0.0 && total < 4.0 * rows as f64, "both decisions are met");
        let factor = results.get::<f32>("step_adaptation")[0];
        results.expect("factor", &[factor], &[expected.factor], |_: usize| 2e-3 * expected.factor);
    }
}

fn rounds_of_resampling_end_where_the_chains_are(adapter: &Adapter) {
    for steps in [1, 2, 3] {
        let shape = [3, 65, 2];
        let rows = shape[0] * shape[1];
        let y: Vec<f32> = data(81, rows * 2).iter().map(|v| 1.4 * v).collect();
        let energies = data(82, rows);
        let (bounds, low, high) = bounds(2);
        let mut case = Case::new(adapter, format!("dfo, {steps} rounds"));
        case.run_state(SEED, STEP);
        case.input("energy", [rows, 1], &energies);
        let value = case.input("y", shape, &y);
        let energy = Given { shape };
        let inputs = ChainInputs { energy: &energy, context: None, y: value, stream: "test", trace: None };
        let dfo = DerivativeFreeOptimizer::new(bounds).with_steps(steps).with_noise(0.5).with_shrink(0.25);
        let walked = dfo.record(&mut case.recording, &inputs).unwrap();
        case.knob(walked.step_scale, 1.0);
        case.knob(walked.temperature, 1.0);
        let mut stems = vec!["clip_chains"];
        stems.extend(["usable_energy", "cumulative_weights", "resample"].repeat(steps));
        if steps % 2 == 1 {
            stems.push("keep_sample");
        }
        case.expect_kernels(&stems);
        let results = case.run();
        let mut expected = gibbs_reference::math::clip_chains(&wide(&y), &low, &high);
        let sums = reference::cumulative_weights(&wide(&energies), shape[1], 1.0);
        let fusable: Vec<f32> = sums.iter().map(|sum| *sum as f32).collect();
        // A tie moves all that descends from its sample.
        let mut close = vec![false; rows];
        for round in 0..steps {
            let u = uniforms("test/pick", round, rows);
            let picked = pick(&sums, shape[1], &u);
            let near = |row: usize| {
                let row_sums = &fusable[row / 65 * 65..][..65];
                row_sums.iter().any(|&sum| (f64::from(sum) - u[row] * f64::from(row_sums[64])).abs() < 1e-3)
            };
            close = (0..rows).map(|row| close[row / 65 * 65 + picked[row]] || near(row)).collect();
            let share = 0.5 * 0.25f64.powi(round as i32);
            let n = noise("test/noise", round, rows, 2);
            expected = reference::resample(&expected, &picked, shape[1], &n, share, (&low, &high));
        }
        let ties = close.iter().filter(|&&tie| tie).count();
        assert!(ties * 10 <= rows, "{ties} of {rows} samples met a tie");
        let bound = |at: usize| if close[at / 2] { 3.0 } else { 2e-5 };
        results.expect("y", &results.get("y"), &expected, bound);
    }
}
