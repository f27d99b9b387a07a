//! First weights, the gradient norm and Adam.

use gibbs::gpu::run::random::stream_id;
use gibbs::gpu::{Column, DType, MetricsRing};
use gibbs::nn::network::initialize;
use gibbs::nn::optim::adam::{AdamBuffers, AdamConstants};
use gibbs::nn::optim::prepare_step::PrepareStep;
use gibbs::nn::optim::{adam, prepare_step};
use gibbs::nn::passes::reduce_partials;
use gibbs::nn::{
    Activation, FlatGradient, GradientMode, Input, Network, OptimizerStep, ScheduleRow, WatchedLoss,
};
use gibbs_reference::gpu::run::random::{Draw, uniform};
use gibbs_reference::nn as reference;
use gibbs_reference::nn::optim::adam::{AdamState, AdamStep};

use crate::EPS;
use crate::common::{Adapter, Case, POISON, Results, data, every_adapter, wide};

every_adapter!(
    gradient_norm_clips_and_counts,
    gradient_norm_does_not_overflow,
    gradient_norm_calls_a_bad_step_off,
    gradient_norm_adds_partial_gradients_up,
    gradient_norm_watches_losses,
    adam_equals_the_reference,
    adam_waits_while_called_off,
    initialize_draws_every_slice_and_leaves_the_padding,
);

const TABLE_ROWS: usize = 5;

struct Prepared {
    results: Results,
    step: OptimizerStep,
    table: Vec<f32>,
    count: u32,
    latch: Vec<u32>,
}

fn optimizer_step(results: &Results) -> OptimizerStep {
    let words: Vec<f32> = results.get("prepared");
    bytemuck::pod_read_unaligned(bytemuck::cast_slice(&words[..OptimizerStep::WORDS]))
}

fn prepare(adapter: &Adapter, gradient: &[f32], max_norm: f32, count: u32, latch: [u32; 4]) -> Prepared {
    let label = format!("gradient norm of {}, {max_norm}, {count}, {latch:?}", gradient.len());
    let mut case = Case::new(adapter, label);
    case.run_state(3, (6 << 32) + 8);
    let table = data(13, 4 * TABLE_ROWS);
    let value = case.input("gradient", [gradient.len()], gradient);
    let options = PrepareStep {
        table: case.input("table", [TABLE_ROWS, 4], &table),
        count: case.input("count", [1], &[count]),
        max_norm,
        metric: 3,
    };
    case.input(MetricsRing::LATCH_SLOT, [4], &latch);
    let prepared = prepare_step::record(&mut case.recording, value, &options).unwrap();
    case.output("prepared", prepared);
    case.expect_kernels(&["prepare_step"]);
    let results = case.run();
    let step = optimizer_step(&results);
    assert_eq!((step.mean_loss, step.bad_loss), (0.0, 0.0), "no losses were watched");
    let count = results.get::<u32>("count")[0];
    let latch = results.get(MetricsRing::LATCH_SLOT);
    Prepared { results, step, table, count, latch }
}

impl Prepared {
    fn expect(&self, expected: &reference::prepare_step::PreparedStep, go: bool, terms: usize) {
        let row = (expected.count.max(1) as usize).min(TABLE_ROWS) - 1;
        let schedule: &[ScheduleRow] = bytemuck::cast_slice(&self.table);
        assert_eq!(self.step.schedule, schedule[row]);
        assert_eq!(self.step.go, f32::from(u8::from(go)));
        let all = [expected.norm, expected.clip];
        // All terms are positive: a sum's relative error, halved by the root; the quotient adds
        // three roundings.
        let relative = EPS * ((terms as f64).sqrt() + 6.0);
        let bound = |at: usize| relative * all[at];
        self.results.expect("prepared", &[self.step.norm, self.step.clip], &all, bound);
        assert_eq!(u64::from(self.count), expected.count);
    }
}

fn gradient_norm_clips_and_counts(adapter: &Adapter) {
    for (index, length) in [4, 28, 64, 252, 256, 260, 1028, 4100].into_iter().enumerate() {
        let gradient = data(14, length);
        for max_norm in [0.0, 0.5, 1e4] {
            let count = index as u32;
            let prepared = prepare(adapter, &gradient, max_norm, count, [0; 4]);
            let wide_norm = f64::from(max_norm);
            let expected = reference::prepare_step(&wide(&gradient), wide_norm, count.into(), false);
            prepared.expect(&expected, true, length);
            assert_eq!(prepared.latch, [0; 4]);
        }
    }
    // A zero gradient is not divided by.
    let prepared = prepare(adapter, &[0.0; 8], 1.0, 0, [0; 4]);
    prepared.expect(&reference::prepare_step(&[0.0; 8], 1.0, 0, false), true, 8);
}

fn gradient_norm_does_not_overflow(adapter: &Adapter) {
    for factor in [1e-25f32, 1e25, 1e30] {
        let gradient: Vec<f32> = data(15, 516).iter().map(|v| v * factor).collect();
        let prepared = prepare(adapter, &gradient, 0.5, 1, [0; 4]);
        prepared.expect(&reference::prepare_step(&wide(&gradient), 0.5, 1, false), true, 516);
    }
    // Without clipping the squares of such a gradient overflow in the optimizer: it counts as not
    // finite.
    let gradient: Vec<f32> = data(15, 516).iter().map(|v| v * 1e25).collect();
    let prepared = prepare(adapter, &gradient, 0.0, 1, [0; 4]);
    assert_eq!(prepared.latch, [1, 8, 6, 3], "{}", adapter.name);
    assert_eq!(prepared.count, 1, "{}", adapter.name);
}

/// The same bits as those of a sum taken beforehand.
fn gradient_norm_adds_partial_gradients_up(adapter: &Adapter) {
    for (splits, length) in [(1, 4), (7, 64), (16, 260), (3, 1028), (64, 68)] {
        let all = data(15, splits * length);
        let settle = |reduced: bool| {
            let mut case = Case::new(adapter, format!("{splits} partial gradients of {length}, {reduced}"));
            case.run_state(3, 1);
            case.input(MetricsRing::LATCH_SLOT, [4], &[0u32; 4]);
            let options = PrepareStep {
                table: case.input("table", [TABLE_ROWS, 4], &data(13, 4 * TABLE_ROWS)),
                count: case.input("count", [1], &[2u32]),
                max_norm: 0.5,
                metric: 3,
            };
            let partials = case.input("partials", [splits, length], &all);
            let recording = &mut case.recording;
            let gradient = match reduced {
                true => {
                    let mode = GradientMode::Overwrite;
                    FlatGradient::Whole(reduce_partials::record(recording, partials, mode).unwrap())
                }
                false => FlatGradient::Partials(partials),
            };
            let settled = prepare_step::record_watching(recording, gradient, &options, None).unwrap();
            // Both lie in one value; the optimizer takes its parts.
            let adam = |case: &mut Case, name: &str| case.input(name, [length], &vec![0.25; length]);
            let buffers = AdamBuffers {
                gradient: settled.gradient,
                prepared: settled.prepared,
                parameters: adam(&mut case, "parameters"),
                first_moment: adam(&mut case, "first"),
                second_moment: adam(&mut case, "second"),
                average: adam(&mut case, "average"),
            };
            let constants = AdamConstants { beta1: 0.5, beta2: 0.9, epsilon: 1e-8, weight_decay: 0.0 };
            adam::record(&mut case.recording, &buffers, constants).unwrap();
            match reduced {
                true => case.expect_kernels(&["reduce_partials", "prepare_step", "adam"]),
                false => case.expect_kernels(&["prepare_step", "adam"]),
            }
            let results = case.run();
            ["parameters", "first", "second"].map(|name| results.bits(name))
        };
        assert!(settle(true) == settle(false), "{}: {splits} of {length}", adapter.name);
    }
}

fn gradient_norm_watches_losses(adapter: &Adapter) {
    for count in [1usize, 7, 64, 257, 600] {
        for bad in [None, Some(f32::NAN), Some(f32::INFINITY), Some(3e38)] {
            let (first, stride) = (count % 3, 1 + count % 4);
            let mut values = vec![f32::NAN; first + stride * count];
            let losses = data(16, count);
            for (at, loss) in losses.iter().enumerate() {
                values[first + stride * at] = *loss;
            }
            if let Some(bad) = bad {
                // A finite one is bad as a sum alone.
                let all = bad.is_finite();
                (0..count)
                    .filter(|at| all || *at == count / 2)
                    .for_each(|at| values[first + stride * at] = bad);
                if all && count < 2 {
                    continue;
                }
            }
            let mut case = Case::new(adapter, format!("{count} losses, {bad:?}"));
            case.run_state(3, (6 << 32) + 8);
            case.input(MetricsRing::LATCH_SLOT, [4], &[0u32; 4]);
            let gradient = case.input("gradient", [8], &data(14, 8));
            let value = case.input("losses", [values.len()], &values);
            let options = PrepareStep {
                table: case.input("table", [TABLE_ROWS, 4], &data(13, 4 * TABLE_ROWS)),
                count: case.input("count", [1], &[1u32]),
                max_norm: 0.0,
                metric: 3,
            };
            let watched = WatchedLoss { losses: Column { value, first, stride, count }, metric: 5 };
            let gradient = FlatGradient::Whole(gradient);
            let step = prepare_step::record_watching(&mut case.recording, gradient, &options, Some(watched));
            case.output("prepared", step.unwrap().prepared);
            case.expect_kernels(&["prepare_step"]);
            let results = case.run();
            let step = optimizer_step(&results);
            let latch: Vec<u32> = results.get(MetricsRing::LATCH_SLOT);
            let good = bad.is_none();
            let expected = if good { [0; 4] } else { [1, 8, 6, 5] };
            assert_eq!(latch, expected, "{}: {count} {bad:?}", adapter.name);
            let flag = f32::from(u8::from(good));
            assert_eq!((step.go, step.bad_loss), (flag, 1.0 - flag), "{}: {count} {bad:?}", adapter.name);
            assert_eq!(results.get::<u32>("count"), [if good { 2 } else { 1 }]);
            if good {
                let mean = wide(&losses).iter().sum::<f64>() / count as f64;
                results.expect("mean", &[step.mean_loss], &[mean], |_: usize| 8.0 * EPS);
            }
        }
    }
}

fn gradient_norm_calls_a_bad_step_off(adapter: &Adapter) {
    // Latched before by another kernel: the norm is still reported, nothing counts on.
    let gradient = data(16, 260);
    let latch = [1, 2, 3, 4];
    let prepared = prepare(adapter, &gradient, 0.5, 4, latch);
    prepared.expect(&reference::prepare_step(&wide(&gradient), 0.5, 4, true), false, 260);
    assert_eq!(prepared.latch, latch);
    // Not finite: the first and the last element, and one that a later round of its lane follows.
    for at in [0, 259, 1020 + 3, 2051] {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut gradient = data(16, if at < 260 { 260 } else { 2052 });
            gradient[at] = bad;
            let prepared = prepare(adapter, &gradient, 0.5, 2, [0; 4]);
            assert_eq!(prepared.latch, [1, 8, 6, 3], "{}: element {at}", adapter.name);
            assert_eq!((prepared.count, prepared.step.go), (2, 0.0), "{}: element {at}", adapter.name);
            let values: &[f32] = bytemuck::cast_slice(std::slice::from_ref(&prepared.step));
            assert!(values.iter().all(|v| v.is_finite()), "{:?}", prepared.step);
        }
    }
}

const CONSTANTS: AdamConstants =
    AdamConstants { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.05 };

struct AdamCase {
    gradient: Vec<f32>,
    parameters: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    average: Vec<f32>,
    results: Results,
}

fn run_adam(adapter: &Adapter, length: usize, step: OptimizerStep) -> AdamCase {
    let mut all = [17, 18, 19, 20, 21].map(|seed| data(seed, length));
    all[3].iter_mut().for_each(|v| *v *= *v);
    // Padding: four zeros in every buffer.
    all.iter_mut().for_each(|buffer| buffer[length - 4..].fill(0.0));
    let [gradient, parameters, first, second, average] = all;
    let mut case = Case::new(adapter, format!("adam of {length}"));
    let shape = [length];
    let buffers = AdamBuffers {
        gradient: case.input("gradient", shape, &gradient),
        prepared: case.input::<f32>(
            "prepared",
            [OptimizerStep::WORDS],
            bytemuck::cast_slice(std::slice::from_ref(&step)),
        ),
        parameters: case.input("parameters", shape, &parameters),
        first_moment: case.input("first", shape, &first),
        second_moment: case.input("second", shape, &second),
        average: case.input("average", shape, &average),
    };
    adam::record(&mut case.recording, &buffers, CONSTANTS).unwrap();
    case.expect_kernels(&["adam"]);
    AdamCase { gradient, parameters, first, second, average, results: case.run() }
}

fn adam_equals_the_reference(adapter: &Adapter) {
    for (index, length) in [8, 28, 64, 252, 256, 260, 1028].into_iter().enumerate() {
        let t = 1 + index as i32;
        let corrections = [0.9f64, 0.999].map(|beta| (1.0 / (1.0 - beta.powi(t))) as f32);
        let clip = if index % 2 == 0 { 1.0 } else { 0.3 };
        let schedule = ScheduleRow {
            rate: 1e-2,
            first_correction: corrections[0],
            second_correction: corrections[1],
            average_decay: 0.9,
        };
        let prepared = OptimizerStep { norm: 1.7, clip, go: 1.0, schedule, ..OptimizerStep::default() };
        let found = run_adam(adapter, length, prepared);
        let state = AdamState {
            parameters: wide(&found.parameters),
            first: wide(&found.first),
            second: wide(&found.second),
            average: wide(&found.average),
        };
        let wide1 = |v: f32| f64::from(v);
        let step = AdamStep {
            clip: wide1(clip),
            rate: wide1(schedule.rate),
            beta1: wide1(CONSTANTS.beta1),
            beta2: wide1(CONSTANTS.beta2),
            correction1: wide1(schedule.first_correction),
            correction2: wide1(schedule.second_correction),
            epsilon: wide1(CONSTANTS.epsilon),
            weight_decay: wide1(CONSTANTS.weight_decay),
            average_decay: wide1(schedule.average_decay),
        };
        let gradient = wide(&found.gradient);
        let expected = reference::adam(&state, &gradient, &step);
        // Four roundings per moment; the direction adds a product, a quotient (2.5) and a root
        // (2.5).
        let g = |at: usize| (step.clip * gradient[at]).abs();
        let first = |at: usize| step.beta1 * state.first[at].abs() + (1.0 - step.beta1) * g(at);
        let moment = |at: usize| 4.0 * EPS * first(at);
        results_near(&found, "first", &expected.first, moment);
        let second = |at: usize| 4.0 * EPS * expected.second[at];
        results_near(&found, "second", &expected.second, second);
        let moved = |at: usize| {
            let root = (expected.second[at] * step.correction2).sqrt() + step.epsilon;
            let size = first(at) * step.correction1 / root + step.weight_decay * state.parameters[at].abs();
            EPS * (12.0 * step.rate * size + state.parameters[at].abs())
        };
        results_near(&found, "parameters", &expected.parameters, moved);
        let average = |at: usize| {
            let size = state.average[at].abs() + expected.parameters[at].abs();
            moved(at) + 2.0 * EPS * size
        };
        results_near(&found, "average", &expected.average, average);
        for name in ["parameters", "first", "second", "average"] {
            let padding = &found.results.get::<f32>(name)[length - 4..];
            assert!(padding.iter().all(|v| *v == 0.0), "{}: `{name}`: padding moved", adapter.name);
        }
    }
}

fn results_near(case: &AdamCase, name: &str, expected: &[f64], bound: impl Fn(usize) -> f64) {
    case.results.expect(name, &case.results.get(name), expected, bound);
}

fn adam_waits_while_called_off(adapter: &Adapter) {
    let schedule =
        ScheduleRow { rate: 1e-2, first_correction: 10.0, second_correction: 1000.0, average_decay: 0.9 };
    let waiting = OptimizerStep { norm: 1.0, clip: 1.0, go: 0.0, schedule, ..OptimizerStep::default() };
    let found = run_adam(adapter, 260, waiting);
    for (name, before) in [
        ("parameters", &found.parameters),
        ("first", &found.first),
        ("second", &found.second),
        ("average", &found.average),
    ] {
        assert_eq!(found.results.get::<f32>(name), *before, "{}: `{name}`", adapter.name);
    }
}

fn initialize_draws_every_slice_and_leaves_the_padding(adapter: &Adapter) {
    for (context, action, hidden) in [(1, 2, [7, 5]), (3, 5, [65, 63]), (7, 1, [64, 257])] {
        let inputs = vec![Input::new("context", context), Input::new("action", action)];
        let layout = Network::mlp(inputs, &hidden, Activation::Silu, 1).layout();
        let (seed, step) = (0xfeed_0000_0009, 4);
        let mut case = Case::new(adapter, format!("initialize {context}+{action} {hidden:?}"));
        case.run_state(seed, step);
        let parameters = case.poisoned("parameters", DType::F32, [layout.len]);
        initialize::record(&mut case.recording, &layout, parameters, "initialise/test").unwrap();
        case.expect_kernels(&["initialize"; 7]);
        let results = case.run();
        let flat: Vec<f32> = results.get("parameters");
        let mut padding = vec![true; layout.len];
        for (index, slice) in layout.slices.iter().enumerate() {
            let count = slice.rows * slice.columns;
            let stream = u32::from(stream_id("initialise/test"));
            let uniforms =
                uniform(Draw { seed, step, stream, inner: index as u32 }, count.div_ceil(4) as u32);
            let expected = reference::initialize(&uniforms[..count], slice.fan_in, 1.0);
            let limit = 1.0 / (slice.fan_in as f64).sqrt();
            let found = layout.extract(slice, &flat);
            results.expect(&slice.name, &found, &expected, |_: usize| 2.0 * EPS * limit);
            for row in 0..slice.rows {
                padding[slice.offset + row * slice.stride..][..slice.columns].fill(false);
            }
        }
        results.expect_untouched("parameters", (0..layout.len).filter(|&at| padding[at]));
        assert!(flat.iter().filter(|v| v.to_bits() == POISON).count() > 0, "a layout without padding");
    }
}
