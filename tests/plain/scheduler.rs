//! Recordings, plans, readbacks, metrics and timing, apart from any model.

use std::time::{Duration, Instant};

use crate::common::lavapipe;
use gibbs::gpu::{
    AdoptOptions, Bindings, DType, Gpu, GpuOptions, KernelSource, MetricsRing, MetricsRow, OptionalPath,
    OptionalPaths, PathChoice, Plan, Recording, RunState, Tensor, Value,
};
use gibbs::{Error, wgpu};

/// `result[i] = input[i] + offset`
const ADD: &str = "
struct Params {
    count: u32,
    offset: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
@compute @workgroup_size(64)
fn add(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < params.count) {
        result[id.x] = input[id.x] + params.offset;
    }
}
";

/// `result[step] = step + 1`, and dependent arithmetic in every workgroup to spend time. A loop
/// must stay below 65535 rounds: lavapipe ends all loops of an invocation after that many, without
/// a word.
const NOTE: &str = "
//#include \"lib/run_state.wgsl\"
struct Params {
    rounds: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> state: RunState;
@group(0) @binding(2) var<storage, read_write> result: array<u32>;
@compute @workgroup_size(64)
fn note(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    let step = state.step_low;
    var x = lane + 1u;
    for (var round = 0u; round < params.rounds; round++) {
        x = x * 1664525u + 1013904223u;
    }
    if (lane == 0u && group.x == 0u) {
        result[min(step, arrayLength(&result) - 2u)] = step + 1u;
    }
    // Keeps the arithmetic alive.
    if (x == 0u) {
        result[arrayLength(&result) - 1u] = x;
    }
}
";

/// `values[i] = step + i`, or NaN from step `bad` on unless that is 0.
const VALUES: &str = "
//#include \"lib/run_state.wgsl\"
struct Params {
    bad: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> state: RunState;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;
@compute @workgroup_size(4)
fn values_of_step(@builtin(local_invocation_index) lane: u32) {
    let bits = bitcast<u32>(f32(state.step_low + lane));
    values[lane] = bitcast<f32>(select(bits, 0x7fc00000u, params.bad != 0u && state.step_low >= params.bad));
}
";

const COUNT: usize = 1 << 12;

fn add(recording: &mut Recording, input: Value, result: Value, offset: f32) -> gibbs::Result<()> {
    recording
        .dispatch(&KernelSource::new("user/add.wgsl", ADD), "add")
        .bind("input", input)
        .bind("result", result)
        .set("count", COUNT as u32)
        .set("offset", offset)
        .invocations(COUNT)
        .flops(COUNT as u64)
        .finish()
}

/// `input` and `result` slots with `links` additions of 1, 2, .. between them.
fn chain(links: usize) -> Recording {
    let mut recording = Recording::new("chain");
    let mut current = recording.slot("input", DType::F32, [COUNT]).expect("a slot");
    for link in 1..=links {
        let next = match link == links {
            true => recording.slot("result", DType::F32, [COUNT]).expect("a slot"),
            false => recording.scratch("link", DType::F32, [COUNT]),
        };
        add(&mut recording, current, next, link as f32).expect("a dispatch");
        current = next;
    }
    recording
}

/// A plan whose replay notes the step it sees, then advances the run.
fn noting(gpu: &Gpu, run: &RunState, label: &str, workgroups: usize) -> (Plan, Tensor) {
    let mut recording = Recording::new(label);
    let result = recording.slot("steps", DType::U32, [64]).expect("a slot");
    let state = RunState::value(&mut recording).expect("a slot");
    recording
        .dispatch(&KernelSource::new("user/note.wgsl", NOTE), "note")
        .bind("state", state)
        .bind("result", result)
        .set("rounds", if workgroups == 1 { 1u32 } else { 50_000 })
        .workgroups([workgroups, 1, 1])
        .finish()
        .expect("a dispatch");
    RunState::record_advance(&mut recording).expect("a dispatch");
    let steps = Tensor::zeros(gpu, "steps", DType::U32, [64]).expect("memory");
    let plan = recording.compile(gpu, &run.bindings().with("steps", &steps)).expect("a plan");
    (plan, steps)
}

/// What `noting` leaves after `steps` replays.
fn noted(steps: u32) -> Vec<u32> {
    (0..64).map(|at| if at < steps { at + 1 } else { 0 }).collect()
}

#[test]
fn a_recording_needs_no_device() {
    let recording = chain(3);
    assert_eq!((recording.len(), recording.is_empty(), recording.label()), (3, false, "chain"));
    assert_eq!(recording.flops(), 3 * COUNT as u64);
    assert_eq!(recording.bytes(), 3 * 2 * 4 * COUNT as u64);
    let text = recording.describe();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].contains("chain: 3 dispatches") && lines[0].contains("MiB"), "{text}");
    for (index, line) in lines[1..].iter().enumerate() {
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words, [&index.to_string(), "chain/add", "add", "64x1x1", "32768", "B", "4096", "FLOP"]);
    }
    let mut scoped = Recording::new("outer");
    let slot = scoped.slot("a", DType::F32, [COUNT]).unwrap();
    let out = scoped.scratch("b", DType::F32, [COUNT]);
    scoped.scoped("inner", |recording| add(recording, slot, out, 0.0)).unwrap();
    assert!(scoped.describe().contains("outer/inner/add"), "{}", scoped.describe());
    assert!(Recording::new("nothing").describe().contains("nothing: 0 dispatches"));
}

#[test]
fn an_empty_recording_compiles_and_runs_as_nothing() {
    let gpu = &lavapipe().reopen(false);
    let plan = Recording::new("nothing").compile(gpu, &Bindings::new()).unwrap();
    plan.run(3).unwrap();
    plan.run_timed(2).unwrap();
    assert_eq!((plan.dispatches(), plan.flops(), plan.owned_bytes()), (0, 0, 0));
    assert_eq!(gpu.counters().dispatches, 0);
}

#[test]
fn scratch_memory_is_shared_by_lives_that_do_not_overlap() {
    let gpu = &lavapipe().gpu;
    let links = 11;
    let recording = chain(links);
    let numbers: Vec<f32> = (0..COUNT).map(|n| n as f32).collect();
    let input = Tensor::from_slice(gpu, "input", [COUNT], &numbers).unwrap();
    let result = Tensor::zeros(gpu, "result", DType::F32, [COUNT]).unwrap();
    let plan =
        recording.compile(gpu, &Bindings::new().with("input", &input).with("result", &result)).unwrap();
    // A chain needs two buffers, whatever its length.
    assert_eq!(plan.owned_bytes(), 2 * 4 * COUNT as u64);
    plan.run(1).unwrap();
    let total = (links * (links + 1) / 2) as f32;
    let expected: Vec<f32> = numbers.iter().map(|n| n + total).collect();
    assert_eq!(gpu.read::<f32>(&result).unwrap(), expected);
    assert_eq!(gpu.read::<f32>(&input).unwrap(), numbers, "slots are nobody's scratch");
}

/// Four rows of which a dispatch can bind two: no dispatch sees a whole value.
#[test]
fn rows_of_a_value_larger_than_a_binding_are_read_and_written() {
    const ROWS: usize = 4;
    let gpu = &lavapipe().narrow(2 * 4 * COUNT as u64);
    let mut recording = Recording::tuned("rows", gpu.target());
    let input = recording.slot("input", DType::F32, [ROWS, COUNT]).expect("a slot");
    let result = recording.slot("result", DType::F32, [2, 2, COUNT]).expect("a slot");
    let link = recording.scratch("link", DType::F32, [ROWS, COUNT]);
    for row in [2, 0, 3, 1] {
        assert!(!recording.is_written(link));
        let from = recording.rows(input, row, 1).expect("a row");
        let to = recording.rows(link, row, 1).expect("a row");
        assert!(!recording.is_written(to));
        add(&mut recording, from, to, 1.0 + row as f32).expect("a dispatch");
        assert!(recording.is_written(to));
    }
    assert!(recording.is_written(link));
    for first in [0, 2] {
        let from = recording.rows(link, first, 2).expect("two rows");
        let to = recording.rows(result, first, 2).expect("two rows");
        for row in 0..2 {
            // Views of views count from the first row of the outer one.
            let (from, to) = (recording.rows(from, row, 1), recording.rows(to, row, 1));
            add(&mut recording, from.expect("a row"), to.expect("a row"), 10.0).expect("a dispatch");
        }
    }
    let values: Vec<f32> = (0..ROWS * COUNT).map(|at| at as f32).collect();
    let given = Tensor::from_slice(gpu, "input", [ROWS, COUNT], &values).expect("larger than a binding");
    let written = Tensor::zeros(gpu, "result", DType::F32, [2, 2, COUNT]).expect("larger than a binding");
    let expected: Vec<f32> = (0..ROWS * COUNT).map(|at| at as f32 + 11.0 + (at / COUNT) as f32).collect();
    let both = Bindings::new().with("input", &given).with("result", &written);
    recording.compile(gpu, &both).expect("a plan").run(1).expect("a run");
    assert_eq!(gpu.read::<f32>(&written).expect("a readback"), expected);

    // The same with tensors that a host gives for one replay.
    written.write(gpu, &vec![0.0f32; ROWS * COUNT]).expect("a write");
    let plan = recording.compile(gpu, &Bindings::new()).expect("a plan");
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    plan.encode(&mut encoder, &both).expect("a replay");
    gpu.queue().submit([encoder.finish()]);
    assert_eq!(gpu.read::<f32>(&written).expect("a readback"), expected);
}

#[test]
fn equal_constants_share_their_memory() {
    let gpu = &lavapipe().gpu;
    let numbers: Vec<f32> = (0..COUNT).map(|n| n as f32).collect();
    let mut recording = Recording::new("constants");
    let result = recording.slot("result", DType::F32, [COUNT]).unwrap();
    let first = recording.constant("table", [COUNT], &numbers).unwrap();
    let second = recording.constant("table", [COUNT], &numbers).unwrap();
    assert_eq!(first, second);
    let words: Vec<u32> = numbers.iter().map(|n| n.to_bits()).collect();
    assert_ne!(recording.constant("table", [COUNT], &words).unwrap(), first, "another element type");
    assert_ne!(recording.constant("table", [COUNT / 2, 2], &numbers).unwrap(), first, "another shape");
    let mut other = numbers.clone();
    other[7] = -1.0;
    let other = recording.constant("table", [COUNT], &other).unwrap();
    assert_ne!(other, first, "other values");
    add(&mut recording, first, result, 1.0).unwrap();
    add(&mut recording, second, result, 1.0).unwrap();
    let bindings = Tensor::zeros(gpu, "result", DType::F32, [COUNT]).unwrap();
    let bindings = Bindings::new().with("result", &bindings);
    let before = recording.compile(gpu, &bindings).unwrap().owned_bytes();
    let again = recording.constant("table", [COUNT], &numbers).unwrap();
    add(&mut recording, again, result, 2.0).unwrap();
    assert_eq!(recording.compile(gpu, &bindings).unwrap().owned_bytes(), before);
}

#[test]
fn replays_see_the_run_state_advance() {
    let gpu = &lavapipe().gpu;
    let run = RunState::new(gpu, 3).unwrap();
    let (plan, steps) = noting(gpu, &run, "noting", 1);
    plan.run(3).unwrap();
    assert_eq!(gpu.read::<u32>(&steps).unwrap(), noted(3));
    assert_eq!(run.step(gpu).unwrap(), 3);
    plan.run(2).unwrap();
    assert_eq!(gpu.read::<u32>(&steps).unwrap(), noted(5));
    plan.run(0).unwrap();
    assert_eq!(run.step(gpu).unwrap(), 5);
    // The counter is one 64-bit number.
    let late = RunState::at(gpu, 3, (1 << 32) - 2).unwrap();
    let (plan, _) = noting(gpu, &late, "late", 1);
    plan.run(5).unwrap();
    assert_eq!(late.step(gpu).unwrap(), (1 << 32) + 3);
}

#[test]
fn chunks_cover_every_replay_once() {
    let gpu = &lavapipe().reopen(false);
    let run = RunState::new(gpu, 0).unwrap();
    let (plan, steps) = noting(gpu, &run, "noting", 1);
    let before = gpu.counters();
    let mut chunks = Vec::new();
    plan.run_chunked(20, 3, |_, replays| {
        chunks.push(replays);
        Ok(())
    })
    .unwrap();
    let done = gpu.counters() - before;
    assert_eq!(chunks.iter().sum::<u64>(), 20);
    assert!(chunks.iter().all(|&replays| replays <= 3), "{chunks:?}");
    assert_eq!((done.submits, done.dispatches), (chunks.len() as u64, 40));
    assert_eq!((done.host_writes, done.blocking_readbacks, done.bind_groups, done.buffers), (0, 0, 0, 0));
    assert_eq!(gpu.read::<u32>(&steps).unwrap(), noted(20));
    let before = gpu.counters();
    plan.run(500).unwrap();
    assert_eq!(run.step(gpu).unwrap(), 520);
    let done = gpu.counters() - before;
    assert_eq!(done.dispatches, 1000);
    assert!(done.submits < 100, "tiny replays share submits: {done:?}");
    // An error of the caller's ends the run, and what was submitted stays.
    let stopped = plan.run_chunked(5, 1, |_, _| Err(Error::NonFinite { metric: "mine".into(), step: 7 }));
    assert!(matches!(stopped, Err(Error::NonFinite { step: 7, .. })), "{stopped:?}");
    assert_eq!(run.step(gpu).unwrap(), 520);
}

#[test]
fn gpu_time_lies_within_wall_time() {
    let gpu = &lavapipe().gpu;
    let run = RunState::new(gpu, 0).unwrap();
    let (plan, _) = noting(gpu, &run, "timed", 40);
    plan.run(1).unwrap();
    let timing = plan.run_timed(3).unwrap();
    assert!(timing.host <= timing.wall, "{timing:?}");
    assert_eq!(run.step(gpu).unwrap(), 4);
    match timing.gpu {
        Some(span) => assert!(span > Duration::ZERO && span <= timing.wall, "{timing:?}"),
        None => assert!(
            !gpu.capabilities().on().contains(OptionalPath::Timestamps),
            "no time although the adapter has timestamps"
        ),
    }
}

#[test]
fn dispatches_are_timed_one_by_one_and_compute_the_same() {
    // Its counters are its own: other tests submit meanwhile.
    let gpu = &lavapipe().reopen(false);
    let run = RunState::new(gpu, 0).unwrap();
    let (plan, _) = noting(gpu, &run, "each timed", 40);
    plan.run(1).unwrap();
    let before = gpu.counters();
    let timings = plan.run_dispatches_timed(3).unwrap();
    let submits = (gpu.counters() - before).submits;
    assert_eq!(run.step(gpu).unwrap(), 4);
    assert_eq!(timings.len(), plan.dispatches());
    assert_eq!(submits, 3 * plan.dispatches() as u64);
    for timing in &timings {
        assert_eq!(timing.walls.len(), 3, "{timing:?}");
        assert!(timing.walls.iter().all(|wall| *wall > Duration::ZERO), "{timing:?}");
        assert!(timing.label.starts_with("each timed/"), "{timing:?}");
        assert!(!timing.kernel.is_empty() && timing.workgroups.iter().all(|count| *count > 0));
    }
    assert_eq!(plan.run_dispatches_timed(0).unwrap()[0].walls, []);
}

#[test]
fn an_optional_path_can_be_left_out() {
    let opened = Gpu::open(&GpuOptions::default().with_without(OptionalPaths::all())).unwrap();
    // A host's device, opened with the feature where the adapter has it.
    let whole = lavapipe().reopen(false);
    let options = AdoptOptions::default().with_without(OptionalPaths::all());
    let adopted = Gpu::adopt(whole.device(), whole.queue(), options);
    for gpu in [&opened, &adopted] {
        let capabilities = gpu.capabilities();
        assert_eq!(capabilities.on(), OptionalPaths::NONE);
        assert_eq!(capabilities.paths.len(), OptionalPath::ALL.len());
        assert!(capabilities.paths.iter().all(|state| state.choice != PathChoice::On));
        let words = capabilities.to_string();
        assert!(words.contains("off: left out by the options") || words.contains("is set"), "{words}");
        let run = RunState::new(gpu, 0).unwrap();
        let (plan, _) = noting(gpu, &run, "untimed", 2);
        assert!(plan.run_timed(1).unwrap().gpu.is_none(), "timed although timestamps are left out");
    }
    assert!(!opened.capabilities().features.contains(OptionalPath::Timestamps.features()));
    // Dense layers alone have variants that need one.
    let [without, with] = [&opened, &whole].map(|gpu| gibbs::kernels_for(gpu.capabilities()));
    let pairs = without.iter().zip(&with).filter(|(a, b)| a != b);
    let changed: Vec<_> = pairs.map(|(choice, _)| choice.stem()).collect();
    assert_eq!(changed, ["dense_forward", "dense_input_gradient", "dense_weight_gradient"]);
}

/// The driver's data are kept per adapter, survive a restart, and are replaced where they are
/// damaged.
#[test]
fn compiled_pipelines_are_kept_between_runs() {
    let folder = std::env::temp_dir().join(format!("gibbs-pipelines-{}", std::process::id()));
    let open = || {
        let options = GpuOptions::default()
            .with_adapter(Some("llvmpipe".into()))
            .with_backends(wgpu::Backends::VULKAN)
            .with_pipeline_cache(Some(folder.join("below")));
        let gpu = Gpu::open(&options).unwrap();
        let run = RunState::new(&gpu, 3).unwrap();
        let (plan, sums) = noting(&gpu, &run, "kept", 2);
        plan.run(2).unwrap();
        gpu.read::<u32>(&sums).unwrap()
    };
    let first = open();
    let files = || -> Vec<_> {
        std::fs::read_dir(folder.join("below")).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let [file] = &files()[..] else { panic!("one file per adapter: {:?}", files()) };
    assert!(std::fs::metadata(file).unwrap().len() > 0);
    assert_eq!(open(), first);
    for damaged in [&b"no cache"[..], &[0; 4096]] {
        std::fs::write(file, damaged).unwrap();
        assert_eq!(open(), first);
        assert_ne!(std::fs::read(file).unwrap(), damaged, "the file is written anew");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn readbacks_arrive_without_waiting() {
    let gpu = &lavapipe().reopen(false);
    let run = RunState::new(gpu, 0).unwrap();
    let (plan, steps) = noting(gpu, &run, "noting", 2);
    let before = gpu.counters();
    let mut pending = Vec::new();
    for _ in 0..3 {
        plan.run(1).unwrap();
        pending.push(gpu.read_later::<u32>(&steps).unwrap());
    }
    let done = gpu.counters() - before;
    assert_eq!((done.async_readbacks, done.blocking_readbacks), (3, 0));
    let deadline = Instant::now() + Duration::from_secs(60);
    for (at, readback) in pending.iter_mut().enumerate() {
        let values = loop {
            match readback.try_take().unwrap() {
                Some(values) => break values,
                None => assert!(Instant::now() < deadline, "nothing arrived"),
            }
        };
        assert_eq!(values, noted(at as u32 + 1), "each holds the state at its own submit");
    }
    // One that nobody takes does no harm.
    drop(gpu.read_later::<u32>(&steps).unwrap());
    plan.run(1).unwrap();
    assert_eq!(gpu.read::<u32>(&steps).unwrap(), noted(4));
}

#[test]
fn a_wait_that_takes_too_long_is_an_error_and_the_device_lives_on() {
    let name = lavapipe().gpu.info().name.clone();
    let adapters = Gpu::adapters(None);
    let adapter = adapters.iter().find(|adapter| adapter.get_info().name == name).expect("found before");
    let options = GpuOptions::default().with_timeout(Duration::from_millis(20));
    let gpu = &Gpu::open_adapter(adapter, &options).unwrap();
    let patient = &lavapipe().gpu;
    let run = RunState::new(patient, 0).unwrap();
    let trial = 64;
    let (plan, _) = noting(patient, &run, "trial", trial);
    plan.run_timed(1).unwrap();
    let second = plan.run_timed(1).unwrap().wall.as_secs_f64() / trial as f64;
    let groups = (0.6 / second).clamp(64.0, 65535.0) as usize;

    let run = RunState::new(gpu, 0).unwrap();
    let (plan, steps) = noting(gpu, &run, "long work", groups);
    let mut ring = MetricsRing::new(gpu, &["loss"], 0).unwrap();
    gpu.wait().unwrap();
    // lavapipe holds a second submit back until the first is done: the copy to wait for goes with
    // the work.
    plan.run_chunked(1, 1, |encoder, _| ring.encode_copy(encoder)).unwrap();
    let read = ring.collect(true).map(|_| ());
    for (what, result) in [("read `metrics`", read), ("wait for submitted work", gpu.wait())] {
        match result {
            Err(Error::Timeout { operation, adapter, last, seconds }) => {
                assert!(operation.contains(what) && last.contains("long work"), "{operation}; {last}");
                assert_eq!((&adapter, seconds > 0.0 && seconds <= 0.02), (&name, true), "{seconds}");
            }
            other => panic!("{what}: expected a timeout, got {other:?}"),
        }
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = gpu.wait() {
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        assert!(Instant::now() < deadline, "the work never ended");
    }
    let mut late = gpu.read_later::<u32>(&steps).unwrap();
    assert_eq!(late.wait(Duration::from_secs(60)).unwrap(), noted(1));
}

/// A ring with two metrics and a plan that fills it: `loss` is `2 * step + 4`, `first` the step.
fn measuring(gpu: &Gpu, from: u64, bad: u32) -> (Plan, MetricsRing, RunState) {
    let run = RunState::at(gpu, 0, from).unwrap();
    let ring = MetricsRing::new(gpu, &["loss", "first"], from).unwrap();
    let mut recording = Recording::new("measuring");
    let values = recording.scratch("values", DType::F32, [4]);
    let state = RunState::value(&mut recording).unwrap();
    recording
        .dispatch(&KernelSource::new("user/values_of_step.wgsl", VALUES), "values")
        .bind("state", state)
        .bind("values", values)
        .set("bad", bad)
        .workgroups([1, 1, 1])
        .finish()
        .unwrap();
    ring.record_mean(&mut recording, "loss", values, 0..4, (2.0, 1.0)).unwrap();
    ring.record_mean(&mut recording, "first", values, 0..1, (1.0, 0.0)).unwrap();
    RunState::record_advance(&mut recording).unwrap();
    let plan = recording.compile(gpu, &run.bindings().merge(&ring.bindings())).unwrap();
    (plan, ring, run)
}

fn row(step: u64) -> MetricsRow {
    // The kernel counts in the low word.
    let number = step as u32 as f32;
    MetricsRow { step, values: vec![2.0 * number + 4.0, number] }
}

#[test]
fn metrics_of_every_step_arrive_in_order() {
    let gpu = &lavapipe().reopen(false);
    let (plan, mut ring, _run) = measuring(gpu, 0, 0);
    assert_eq!(ring.names(), ["loss", "first"]);
    assert_eq!((ring.slot("first").unwrap(), ring.collect(true).unwrap().len()), (1, 0));
    let before = gpu.counters();
    let mut rows = Vec::new();
    // More steps than the ring holds.
    for _ in 0..3 {
        plan.run_chunked(500, 200, |encoder, _| ring.encode_copy(encoder)).unwrap();
        rows.extend(ring.collect(false).unwrap());
    }
    let done = gpu.counters() - before;
    assert_eq!((done.host_writes, done.blocking_readbacks), (0, 0));
    assert!(done.async_readbacks > 0);
    rows.extend(ring.collect(true).unwrap());
    let expected: Vec<_> = (0..1500).map(row).collect();
    assert_eq!(rows, expected);
    ring.check_latch().unwrap();
    assert!(ring.collect(true).unwrap().is_empty());
}

#[test]
fn metrics_know_the_step_beyond_32_bits() {
    let gpu = &lavapipe().gpu;
    let from = (1 << 32) - 3;
    let (plan, mut ring, _run) = measuring(gpu, from, 0);
    plan.run_chunked(6, 6, |encoder, _| ring.encode_copy(encoder)).unwrap();
    let steps: Vec<_> = ring.collect(true).unwrap().iter().map(|row| row.step).collect();
    assert_eq!(steps, (from..from + 6).collect::<Vec<_>>());
}

#[test]
fn the_first_value_that_is_not_finite_is_latched_with_its_step() {
    let gpu = &lavapipe().gpu;
    let (plan, mut ring, _run) = measuring(gpu, 0, 6);
    plan.run_chunked(10, 4, |encoder, _| ring.encode_copy(encoder)).unwrap();
    gpu.wait().unwrap();
    let latched = ring.check_latch();
    let expect_step = |result: gibbs::Result<()>| match result {
        Err(Error::NonFinite { metric, step }) => assert_eq!((metric.as_str(), step), ("loss", 6)),
        other => panic!("expected a latch at step 6, got {other:?}"),
    };
    expect_step(latched);
    // The rows before it are not lost; the error comes with them or after them.
    let mut rows = Vec::new();
    let failed = loop {
        match ring.collect(true) {
            Ok(more) if !more.is_empty() => rows.extend(more),
            Ok(_) => panic!("no error after {rows:?}"),
            Err(error) => break error,
        }
    };
    expect_step(Err(failed));
    let good: Vec<_> = rows.iter().take(6).cloned().collect();
    assert_eq!(good, (0..6).map(row).collect::<Vec<_>>());
    assert!(rows.len() <= 7, "{rows:?}");
    if let Some(bad) = rows.get(6) {
        assert!(bad.step == 6 && bad.values.iter().all(|value| value.is_nan()), "{bad:?}");
    }
    expect_step(ring.check_latch());
}

#[test]
fn two_contexts_live_side_by_side() {
    let (a, b) = (&lavapipe().reopen(false), &lavapipe().reopen(true));
    let runs = [RunState::new(a, 1).unwrap(), RunState::new(b, 2).unwrap()];
    let (plan_a, steps_a) = noting(a, &runs[0], "on a", 2);
    let (plan_b, steps_b) = noting(b, &runs[1], "on b", 2);
    std::thread::scope(|scope| {
        scope.spawn(|| plan_a.run(4).unwrap());
        scope.spawn(|| plan_b.run(7).unwrap());
    });
    assert_eq!(a.read::<u32>(&steps_a).unwrap(), noted(4));
    assert_eq!(b.read::<u32>(&steps_b).unwrap(), noted(7));
    assert_eq!((a.counters().dispatches, b.counters().dispatches), (8, 14), "each counts its own");
    // A tensor of the other device is an error, not a panic.
    let recording = chain(1);
    let numbers = |gpu: &Gpu, name: &str| Tensor::zeros(gpu, name, DType::F32, [COUNT]).unwrap();
    let mixed = Bindings::new().with("input", &numbers(b, "input")).with("result", &numbers(a, "result"));
    let compiled = recording.compile(a, &mixed);
    assert!(matches!(compiled, Err(Error::Argument { .. })), "{compiled:?}");
    assert!(matches!(a.read::<u32>(&steps_b), Err(Error::Argument { .. })));
    plan_a.run(1).unwrap();
    assert_eq!(a.read::<u32>(&steps_a).unwrap(), noted(5));
}

#[test]
fn devices_and_readbacks_can_be_awaited() {
    let adapter = crate::common::lavapipe().gpu.info().name.clone();
    let options = GpuOptions::default().with_adapter(adapter);
    let (gpu, numbers) = pollster::block_on(async {
        let gpu = Gpu::open_async(&options).await?;
        let tensor = Tensor::from_slice(&gpu, "numbers", [1000], &[1.5f32; 1000])?;
        let numbers = gpu.read_async::<f32>(&tensor).await?;
        Ok::<_, Error>((gpu, numbers))
    })
    .unwrap();
    assert_eq!(numbers, [1.5; 1000]);
    assert_eq!(gpu.counters().blocking_readbacks, 0);
    assert_eq!(gpu.counters().async_readbacks, 1);
    let tensor = Tensor::from_slice(&gpu, "words", [3], &[1u32, 2, 3]).unwrap();
    let wrong = pollster::block_on(gpu.read_async::<f32>(&tensor)).unwrap_err();
    assert!(matches!(wrong, Error::Argument { .. }), "{wrong}");
    // Several at a time, awaited in another order than they were started.
    let [first, second] = [1.0f32, 2.0].map(|value| {
        let tensor = Tensor::from_slice(&gpu, "numbers", [70], &[value; 70]).unwrap();
        gpu.read_later::<f32>(&tensor).unwrap()
    });
    assert_eq!(pollster::block_on(second).unwrap(), [2.0; 70]);
    assert_eq!(pollster::block_on(first).unwrap(), [1.0; 70]);
    // A lost device ends the wait.
    let pending = gpu.read_later::<u32>(&tensor).unwrap();
    gpu.device().destroy();
    if let Err(error) = pollster::block_on(pending) {
        assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
    }
    let error = pollster::block_on(gpu.read_async::<u32>(&tensor)).unwrap_err();
    assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
}
