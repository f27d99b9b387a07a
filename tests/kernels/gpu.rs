//! Floor 1: run state, random numbers, metrics.

use gibbs::gpu::run::metrics::CAPACITY;
use gibbs::gpu::run::random::{Distribution, stream_id};
use gibbs::gpu::run::{random, random_words};
use gibbs::gpu::{Column, DType, KernelSource, MetricsRing, RunState, StepReport, Value};
use gibbs::nn::{OptimizerStep, ScheduleRow};
use gibbs_reference::gpu::run::advance as reference_advance;
use gibbs_reference::gpu::run::advance::RunState as ReferenceState;
use gibbs_reference::gpu::run::finish_step::finish_step;
use gibbs_reference::gpu::run::metrics::{Ring, metrics};
use gibbs_reference::gpu::run::random::{
    Draw, normal, normal_pair, philox4x32, uniform, uniform_of_word, words,
};

use crate::EPS;
use crate::common::{Adapter, Case, POISON, adapters, data, every_adapter, wide};

every_adapter!(
    advance_counts_in_64_bits,
    philox_gives_its_published_answers,
    random_words_equal_the_reference,
    uniforms_are_exact_and_normals_within_rounding,
    extreme_words_give_finite_normals,
    metrics_write_the_mean_and_nothing_else,
    metrics_latch_the_first_bad_step,
    a_finished_step_has_its_metrics_and_its_successor,
    a_finished_step_latches_what_is_bad;
    once: streams_are_the_same_bits_on_every_adapter,
);

fn advance_counts_in_64_bits(adapter: &Adapter) {
    for step in [0, 6, u64::from(u32::MAX) - 1, u64::from(u32::MAX), (7 << 32) - 2, u64::MAX - 1] {
        let seed = 0x0123_4567_89ab_cdef;
        let mut case = Case::new(adapter, format!("advance from {step}"));
        case.run_state(seed, step);
        RunState::record_advance(&mut case.recording).unwrap();
        case.expect_kernels(&["advance"]);
        let results = case.run_times(3);
        let halves = |v: u64| [v as u32, (v >> 32) as u32];
        let mut state = ReferenceState { step: halves(step), seed: halves(seed) };
        for _ in 0..3 {
            state = reference_advance(state);
        }
        let expected = [state.step, state.seed].concat();
        results.expect_words("state", &results.get::<u32>(RunState::SLOT), &expected);
    }
}

const PHILOX_PROBE: &str = "
//#include \"lib/philox.wgsl\"
@group(0) @binding(0) var<storage, read> counter: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> key: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<u32>>;

@compute @workgroup_size(1, 1, 1)
fn philox_probe(@builtin(workgroup_id) group: vec3<u32>) {
    out[group.x] = philox4x32(counter[group.x], key[group.x], ROUNDS);
}
";

/// Source: DEShawResearch/random123, `tests/kat_vectors`; seven rounds tell a wrong count of
/// rounds.
fn philox_gives_its_published_answers(adapter: &Adapter) {
    let counters: [u32; 12] = [
        0,
        0,
        0,
        0, //
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff, //
        0x243f_6a88,
        0x85a3_08d3,
        0x1319_8a2e,
        0x0370_7344,
    ];
    let keys: [u32; 6] = [0, 0, 0xffff_ffff, 0xffff_ffff, 0xa409_3822, 0x299f_31d0];
    let ten: [u32; 12] = [
        0x6627_e8d5,
        0xe169_c58d,
        0xbc57_ac4c,
        0x9b00_dbd8, //
        0x408f_276d,
        0x41c8_3b0e,
        0xa20b_c7c6,
        0x6d54_51fd, //
        0xd16c_fe09,
        0x94fd_cceb,
        0x5001_e420,
        0x2412_6ea1,
    ];
    let seven: [u32; 12] = [
        0x5f6f_b709,
        0x0d89_3f64,
        0x4f12_1f81,
        0x4f73_0a48, //
        0x5207_ddc2,
        0x4516_5e59,
        0x4d8e_e751,
        0x8c52_f662, //
        0x4dfc_caba,
        0x190a_87f0,
        0xc473_62ba,
        0xb6b5_242a,
    ];
    for (rounds, answers) in [(10, ten), (7, seven)] {
        let mut case = Case::new(adapter, format!("Philox with {rounds} rounds"));
        let counter = case.input("counter", [3, 4], &counters);
        let key = case.input("key", [3, 2], &keys);
        let out = case.poisoned("out", DType::U32, [3, 4]);
        case.recording
            .dispatch(&KernelSource::new("test/philox_probe.wgsl", PHILOX_PROBE), "probe")
            .define("ROUNDS", rounds)
            .bind("counter", counter)
            .bind("key", key)
            .bind("out", out)
            .workgroups([3, 1, 1])
            .finish()
            .unwrap();
        let results = case.run();
        results.expect_words("words", &results.get::<u32>("out"), &answers);
    }
    // The reference used everywhere below is held to the same answers.
    for at in 0..3 {
        let counter = [0, 1, 2, 3].map(|lane| counters[4 * at + lane]);
        let key = [keys[2 * at], keys[2 * at + 1]];
        assert_eq!(philox4x32(10, counter, key)[..], ten[4 * at..4 * at + 4]);
    }
}

/// Draws that differ in every part of counter and key.
fn draws() -> [Draw; 4] {
    [
        Draw { seed: 0, step: 0, stream: 0, inner: 0 },
        Draw { seed: 1 << 40, step: 3, stream: u32::from(stream_id("train/batch")), inner: 0 },
        Draw { seed: 77, step: (5 << 32) + 9, stream: 0xffff, inner: 0x1234 },
        Draw { seed: u64::MAX, step: u64::MAX, stream: 1, inner: 0xffff },
    ]
}

const COUNTS: [usize; 7] = [1, 7, 63, 64, 65, 257, 1026];

fn words_on(adapter: &Adapter, draw: Draw, count: usize) -> Vec<u32> {
    let mut case = Case::new(adapter, format!("random words, {count}, {draw:?}"));
    case.run_state(draw.seed, draw.step);
    let out = case.poisoned("out", DType::U32, [count]);
    random_words::record(&mut case.recording, draw.stream, draw.inner, out).unwrap();
    case.expect_kernels(&["random_words"]);
    case.run().get("out")
}

fn random_words_equal_the_reference(adapter: &Adapter) {
    for draw in draws() {
        for count in COUNTS {
            let expected = &words(draw, count.div_ceil(4) as u32)[..count];
            let found = words_on(adapter, draw, count);
            assert_eq!(found, expected, "{}: {draw:?}", adapter.name);
        }
    }
}

fn fill(adapter: &Adapter, distribution: Distribution, draw: Draw, count: usize) -> Vec<f32> {
    let mut case = Case::new(adapter, format!("{distribution:?}, {count}, {draw:?}"));
    case.run_state(draw.seed, draw.step);
    let out = case.poisoned("out", DType::F32, [count]);
    random::record(&mut case.recording, distribution, draw.stream, draw.inner, out).unwrap();
    case.expect_kernels(&["random"]);
    case.run().get("out")
}

fn uniforms_are_exact_and_normals_within_rounding(adapter: &Adapter) {
    for draw in draws() {
        for count in COUNTS {
            let elements = count.div_ceil(4) as u32;
            let found = fill(adapter, Distribution::Uniform, draw, count);
            assert_eq!(wide(&found), uniform(draw, elements)[..count], "{}: {draw:?}", adapter.name);

            let found = fill(adapter, Distribution::Normal, draw, count);
            // 4e-7 relative, as the shader's header says.
            for (at, (found, expected)) in wide(&found).into_iter().zip(normal(draw, elements)).enumerate() {
                let bound = 4e-7 * expected.abs() + 1e-9;
                assert!(
                    (found - expected).abs() <= bound,
                    "{}: {draw:?}: normal {at}: {found} for {expected}, bound {bound:e}",
                    adapter.name
                );
            }
        }
    }
}

const NORMAL_PROBE: &str = "
//#include \"lib/philox.wgsl\"
@group(0) @binding(0) var<storage, read> words: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(1, 1, 1)
fn normal_probe(@builtin(workgroup_id) group: vec3<u32>) {
    out[group.x] = normal4(words[group.x]);
}
";

/// Ends of the unit interval, quarter turns, powers of two: where polynomials and range reductions
/// go wrong.
fn extreme_words_give_finite_normals(adapter: &Adapter) {
    let edges: Vec<u32> = [0u32, 0x200, 0x3fff_ffff, 0x4000_0000, 0x5a82_7999, 0x7fff_ffff, 0x8000_0000]
        .into_iter()
        .chain([0xb504_f333, 0xbfff_ffff, 0xc000_0000, 0xffff_fdff, u32::MAX])
        .collect();
    let pairs: Vec<[u32; 2]> = edges.iter().flat_map(|&a| edges.iter().map(move |&b| [a, b])).collect();
    let blocks = pairs.len() / 2;
    let mut case = Case::new(adapter, "normals of extreme words");
    let words = case.input("words", [blocks, 4], &pairs.concat());
    let out = case.poisoned("out", DType::F32, [blocks, 4]);
    case.recording
        .dispatch(&KernelSource::new("test/normal_probe.wgsl", NORMAL_PROBE), "probe")
        .bind("words", words)
        .bind("out", out)
        .workgroups([blocks, 1, 1])
        .finish()
        .unwrap();
    let results = case.run();
    let expected: Vec<f64> =
        pairs.iter().flat_map(|&[a, b]| normal_pair(uniform_of_word(a), uniform_of_word(b))).collect();
    let bound = |at: usize| 4e-7 * expected[at].abs() + 1e-9;
    results.expect("normals", &results.get::<f32>("out"), &expected, bound);
}

fn streams_are_the_same_bits_on_every_adapter() {
    let draw = draws()[2];
    let all: Vec<_> =
        adapters().iter().map(|adapter| (adapter.name, words_on(adapter, draw, 1026))).collect();
    for (name, found) in &all[1..] {
        assert!(*found == all[0].1, "{name} and {} draw different words", all[0].0);
    }
}

const NAMES: [&str; 3] = ["loss", "norm", "ess"];

/// The ring's rows as words and the latch, with the poison that nothing may touch.
fn metrics_case(adapter: &Adapter, label: String, step: u64) -> (Case, MetricsRing) {
    let mut case = Case::new(adapter, label);
    case.run_state(5, step);
    let ring = MetricsRing::new(&adapter.gpu, &NAMES, step).unwrap();
    case.poisoned(MetricsRing::RING_SLOT, DType::U32, [CAPACITY, 2 + NAMES.len()]);
    (case, ring)
}

fn metrics_write_the_mean_and_nothing_else(adapter: &Adapter) {
    let steps = [0, 1, 1023, 1024, 70_000, u64::from(u32::MAX), (3 << 32) + 1029];
    for (index, count) in [1, 7, 63, 64, 65, 257, 1000].into_iter().enumerate() {
        let (step, slot) = (steps[index], index % NAMES.len());
        let (scale, offset) = (0.75 - index as f32, 0.125 * index as f32);
        let (mut case, ring) = metrics_case(adapter, format!("mean of {count} at step {step}"), step);
        case.input(MetricsRing::LATCH_SLOT, [4], &[0u32; 4]);
        let (before, after) = (index, 3);
        let mut all = data(index as u32, before + count + after);
        // Neighbors of the range must not count, whatever they are.
        all[..before].fill(f32::NAN);
        all[before + count..].fill(f32::INFINITY);
        let values = case.input("values", [all.len()], &all);
        let range = before..before + count;
        ring.record_mean(&mut case.recording, NAMES[slot], values, range.clone(), (scale, offset)).unwrap();
        case.expect_kernels(&["metrics"]);
        let results = case.run();

        let mut reference = Ring::new(CAPACITY, NAMES.len());
        let inside = wide(&all[range]);
        let (wide_scale, wide_offset) = (f64::from(scale), f64::from(offset));
        let expected = metrics(&mut reference, step, slot, &inside, wide_scale, wide_offset);
        let words: Vec<u32> = results.get(MetricsRing::RING_SLOT);
        let columns = 2 + NAMES.len();
        let row = (step % CAPACITY as u64) as usize;
        let stamp = step.wrapping_add(1);
        let mut exact = vec![POISON; CAPACITY * columns];
        exact[row * columns] = stamp as u32;
        exact[row * columns + 1] = (stamp >> 32) as u32;
        let at = row * columns + 2 + slot;
        exact[at] = words[at];
        results.expect_words("ring", &words, &exact);
        let size = inside.iter().map(|v| v.abs()).sum::<f64>() / count as f64 * wide_scale.abs();
        let bound = EPS * (8.0 * size + wide_offset.abs());
        results.expect("mean", &[f32::from_bits(words[at])], &[expected], |_: usize| bound);
        results.expect_words("latch", &results.get::<u32>(MetricsRing::LATCH_SLOT), &[0; 4]);
        assert_eq!(reference.latch, None);
    }
}

fn metrics_latch_the_first_bad_step(adapter: &Adapter) {
    let step = (2 << 32) + 11;
    // Of the last kind every value is finite, their sum is not.
    for (bad, at) in [(f32::NAN, 0), (f32::INFINITY, 64), (f32::NEG_INFINITY, 256), (3e38, 0)] {
        let mut values = data(9, 257);
        values[at] = bad;
        if bad.is_finite() {
            values.fill(bad);
        }
        for already in [false, true] {
            let (mut case, ring) = metrics_case(adapter, format!("latch for {bad}"), step);
            let before = if already { [1u32, 5, 0, 0] } else { [0; 4] };
            case.input(MetricsRing::LATCH_SLOT, [4], &before);
            let value = case.input("values", [257], &values);
            ring.record_mean(&mut case.recording, "norm", value, 0..257, (1.0, 0.0)).unwrap();
            let results = case.run();
            let expected = if already { before } else { [1, 11, 2, 1] };
            results.expect_words("latch", &results.get::<u32>(MetricsRing::LATCH_SLOT), &expected);
            let columns = 2 + NAMES.len();
            let written: Vec<u32> = results.get(MetricsRing::RING_SLOT);
            let value = f32::from_bits(written[(step % CAPACITY as u64) as usize * columns + 3]);
            assert!(value.is_nan(), "{}: a bad value is recorded as {value}", adapter.name);
        }
    }
}

/// What an optimizer prepared.
fn prepared(case: &mut Case, name: &str, norm: f32, mean_loss: f32, bad: bool) -> Value {
    let schedule =
        ScheduleRow { rate: 7.0, first_correction: 7.0, second_correction: 7.0, average_decay: 7.0 };
    let bad_loss = f32::from(u8::from(bad));
    let step = OptimizerStep { norm, clip: 0.5, go: 1.0, schedule, mean_loss, bad_loss };
    let numbers: &[f32] = bytemuck::cast_slice(std::slice::from_ref(&step));
    case.input(name, [OptimizerStep::WORDS], numbers)
}

fn a_finished_step_has_its_metrics_and_its_successor(adapter: &Adapter) {
    let steps = [0, 1023, 70_000, u64::from(u32::MAX), (3 << 32) + 1029];
    for (index, count) in [1, 7, 64, 65, 257].into_iter().enumerate() {
        let step = steps[index];
        for both in [true, false] {
            let (mut case, ring) = metrics_case(adapter, format!("{count} values at step {step}"), step);
            case.input(MetricsRing::LATCH_SLOT, [4], &[0u32; 4]);
            let first = prepared(&mut case, "first", 2.5, -0.75, false);
            let (stride, begin) = (1 + index % 3, index);
            let mut all = data(index as u32, begin + stride * count);
            let inside: Vec<f32> = (0..count).map(|at| all[begin + stride * at]).collect();
            // What lies between must not count, whatever it is.
            for at in (0..all.len()).filter(|&at| at < begin || (at - begin) % stride != 0) {
                all[at] = f32::NAN;
            }
            let value = case.input("values", [all.len()], &all);
            let column = Column { value, first: begin, stride, count };
            let mut reports = vec![StepReport { prepared: first, loss: Some("loss"), norm: "norm" }];
            if both {
                // The later report of a metric is the one that stays.
                let second = prepared(&mut case, "second", 3.5, 9.0, false);
                reports.push(StepReport { prepared: second, loss: None, norm: "norm" });
            }
            ring.record_finish(&mut case.recording, &reports, Some(("ess", column))).unwrap();
            case.expect_kernels(&["finish_step"]);
            let results = case.run();

            let mut reference = Ring::new(CAPACITY, NAMES.len());
            let before = reference_state(step);
            let norm = if both { 3.5 } else { 2.5 };
            let entries: [(usize, &[f64]); 3] = [(0, &[-0.75]), (1, &[norm]), (2, &wide(&inside))];
            let after = finish_step(&mut reference, before, &entries);
            let words: Vec<u32> = results.get(MetricsRing::RING_SLOT);
            let columns = 2 + NAMES.len();
            let row = (step % CAPACITY as u64) as usize;
            let stamp = step + 1;
            let mut exact = vec![POISON; CAPACITY * columns];
            exact[row * columns..(row + 1) * columns]
                .copy_from_slice(&words[row * columns..(row + 1) * columns]);
            exact[row * columns] = stamp as u32;
            exact[row * columns + 1] = (stamp >> 32) as u32;
            results.expect_words("ring", &words, &exact);
            let found: Vec<f32> =
                (0..3).map(|slot| f32::from_bits(words[row * columns + 2 + slot])).collect();
            let expected = &reference.values[row * NAMES.len()..(row + 1) * NAMES.len()];
            results.expect("means", &found, expected, |_: usize| 8.0 * EPS);
            results.expect_words("latch", &results.get::<u32>(MetricsRing::LATCH_SLOT), &[0; 4]);
            let state = [after.step[0], after.step[1], after.seed[0], after.seed[1]];
            results.expect_words("state", &results.get::<u32>(RunState::SLOT), &state);
        }
    }
}

/// The state of `metrics_case`.
fn reference_state(step: u64) -> ReferenceState {
    ReferenceState { step: [step as u32, (step >> 32) as u32], seed: [5, 0] }
}

fn a_finished_step_latches_what_is_bad(adapter: &Adapter) {
    let step = (2 << 32) + 11;
    for (bad, at) in [(f32::NAN, 0), (f32::INFINITY, 64), (f32::NEG_INFINITY, 256), (3e38, 0)] {
        let mut values = data(9, 257);
        values[at] = bad;
        if bad.is_finite() {
            values.fill(bad);
        }
        for already in [false, true] {
            let (mut case, ring) = metrics_case(adapter, format!("finish with {bad}"), step);
            let before = if already { [1u32, 5, 0, 0] } else { [0; 4] };
            case.input(MetricsRing::LATCH_SLOT, [4], &before);
            let report = prepared(&mut case, "report", 1.0, 0.0, true);
            let reports = [StepReport { prepared: report, loss: Some("loss"), norm: "norm" }];
            let value = case.input("values", [257], &values);
            let column = Column { value, first: 0, stride: 1, count: 257 };
            ring.record_finish(&mut case.recording, &reports, Some(("ess", column))).unwrap();
            let results = case.run();
            let expected = if already { before } else { [1, 11, 2, 2] };
            results.expect_words("latch", &results.get::<u32>(MetricsRing::LATCH_SLOT), &expected);
            let columns = 2 + NAMES.len();
            let written: Vec<u32> = results.get(MetricsRing::RING_SLOT);
            let row = &written[(step % CAPACITY as u64) as usize * columns..][..columns];
            for slot in [0, 2] {
                let value = f32::from_bits(row[2 + slot]);
                assert!(value.is_nan(), "{}: a bad value is recorded as {value}", adapter.name);
            }
        }
    }
}
