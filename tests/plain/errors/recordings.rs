//! What belongs together in a recording, and adapters.

use gibbs::gpu::run::random;
use gibbs::gpu::{Bindings, DType, Gpu, GpuOptions, MetricsRing, Recording, RunState, Tensor};
use gibbs::nn::{Activation, Input, Model, Network};
use gibbs::proposal::{Draws, Proposal, UniformBox};
use gibbs::wgpu;

use super::expectation::{expect, record_scale, slots, still_works};
use crate::common::lavapipe;

#[test]
fn an_unknown_adapter_lists_those_present() {
    let present = &lavapipe().gpu.info().name;
    let options = GpuOptions::default().with_adapter(Some("no such adapter".into()));
    expect(Gpu::open(&options), "NoAdapter", &["`no such adapter`", present, "Install a Vulkan driver"]);
    let none = options.with_backends(wgpu::Backends::empty()).with_adapter(Some("x".into()));
    expect(Gpu::open(&none), "NoAdapter", &["present: none"]);
}

#[test]
fn a_random_stream_that_is_used_twice_is_refused() {
    let mut recording = Recording::new("run");
    recording.stream("noise").unwrap();
    expect(recording.stream("noise"), "Argument", &["run", "random stream", "`noise`", "same numbers"]);
    // Two names with the same 16-bit number.
    let mut known = std::collections::HashMap::new();
    let (a, b) = (0..)
        .find_map(|n| {
            let name = format!("stream {n}");
            let id = gibbs::gpu::run::random::stream_id(&name);
            known.insert(id, name.clone()).map(|other| (other, name))
        })
        .unwrap();
    recording.stream(&a).unwrap();
    expect(recording.stream(&b), "Argument", &[&a, &b, "same number", "another name"]);
    let bounds = UniformBox::new(&[0.0], &[1.0]).unwrap();
    let y = recording.slot("y", DType::F32, [2, 2, 1]).unwrap();
    let prepared = bounds.record_prepare(&mut recording, y).unwrap();
    let draws = Draws { candidates: y, first: 0, count: 1, stream: "noise", inner: 0 };
    expect(bounds.record_sample(&mut recording, &prepared, &draws), "Argument", &["`noise`", "already used"]);
}

#[test]
fn values_of_another_recording_are_refused() {
    let mut foreign = Recording::new("foreign");
    let stranger = foreign.scratch("x", DType::F32, [100]);
    let mut recording = Recording::new("run");
    let own = recording.scratch("x", DType::F32, [100]);
    let words = &["run", "another recording"];
    expect(recording.shape(stranger).cloned(), "Argument", words);
    expect(recording.expect_shape("x", stranger, [100]), "Argument", words);
    expect(recording.expose(stranger, "result"), "Argument", words);
    let state = RunState::value(&mut recording).unwrap();
    expect(recording.expose(own, RunState::SLOT), "Argument", &["slot name `run_state`", "taken"]);
    expect(recording.expose(state, "again"), "Argument", &["slot name `again`", "not scratch"]);
}

#[test]
fn wrong_and_open_slots_are_named() {
    let gpu = &lavapipe().gpu;
    let mut recording = Recording::new("run");
    let (input, result) = slots(&mut recording);
    record_scale(&mut recording, input, result, 1.0).unwrap();
    let tensor = |name: &str| Tensor::zeros(gpu, name, DType::F32, [100]).unwrap();
    let (a, b) = (tensor("a"), tensor("b"));
    let wrong = Bindings::new().with("inptu", &a);
    expect(recording.compile(gpu, &wrong), "Argument", &["compile `run`", "`inptu`", "fits no slot"]);
    let plan = recording.compile(gpu, &Bindings::new().with("input", &a)).unwrap();
    expect(plan.run(1), "Argument", &["run/scale", "slot `result`", "not bound"]);
    expect(plan.run_timed(1), "Argument", &["slot `result`", "not bound"]);
    expect(plan.run_dispatches_timed(1), "Argument", &["slot `result`", "not bound"]);
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut encode = |bindings: &Bindings| plan.encode(&mut encoder, bindings);
    expect(encode(&Bindings::new()), "Argument", &["slot `result`", "not bound"]);
    expect(encode(&wrong), "Argument", &["encode `run`", "`inptu`", "fits no slot"]);
    let short = Tensor::zeros(gpu, "short", DType::F32, [99]).unwrap();
    expect(encode(&Bindings::new().with("result", &short)), "Shape", &["`result`", "[99]", "[100]"]);
    let replaced = Bindings::new().with("result", &b).with("input", &short);
    expect(encode(&replaced), "Shape", &["[99]", "[100]"]);
    let aliased = Bindings::new().with("result", &a);
    expect(encode(&aliased), "Binding", &["run/scale", "one buffer", "different buffers"]);
    encode(&Bindings::new().with("result", &b)).unwrap();
}

#[test]
fn tensors_that_share_a_buffer_may_not_meet_in_one_dispatch() {
    let gpu = &lavapipe().gpu;
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 2048,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let piece = |offset| Tensor::from_buffer("piece", buffer.clone(), offset, DType::F32, [100]);
    let bindings = Bindings::new().with("input", &piece(0).unwrap()).with("result", &piece(1024).unwrap());
    let mut recording = Recording::new("run");
    let (input, result) = slots(&mut recording);
    record_scale(&mut recording, input, result, 1.0).unwrap();
    expect(recording.compile(gpu, &bindings), "Binding", &["run/scale", "one buffer", "different buffers"]);
    expect(piece(4), "Argument", &["`piece`", "offset", "is 4", "multiple of 256"]);
    expect(piece(1792), "Shape", &["`piece`", "2048 bytes", "2192 bytes", "offset 1792"]);
    expect(piece(u64::MAX - 255), "Shape", &["`piece`", "2048 bytes"]);
    let copies = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 2048,
        usage: wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let unusable = Tensor::from_buffer("copies", copies, 0, DType::F32, [100]);
    expect(unusable, "Argument", &["`copies`", "COPY_DST", "STORAGE"]);
    // Readable by shaders, not by the host: an error of the driver layer, still a value.
    expect(gpu.read::<f32>(&piece(0).unwrap()), "Device", &["read `piece`", &gpu.info().name]);
    still_works(gpu);
}

#[test]
fn bad_metrics_are_named() {
    let gpu = &lavapipe().gpu;
    let ring = MetricsRing::new(gpu, &["loss"], 0).unwrap();
    let mut recording = Recording::new("run");
    let values = recording.slot("values", DType::F32, [8]).unwrap();
    let mut mean = |name: &str, range| ring.record_mean(&mut recording, name, values, range, (1.0, 0.0));
    expect(mean("accuracy", 0..8), "Argument", &["metrics", "`accuracy`"]);
    expect(mean("loss", 0..9), "Argument", &["metric `loss`", "0..9", "[8]"]);
    expect(mean("loss", 3..3), "Argument", &["metric `loss`", "3..3", "empty"]);
}

#[test]
fn counters_of_random_streams_do_not_run_into_each_other() {
    let mut recording = Recording::new("run");
    let out = recording.scratch("out", DType::F32, [8]);
    for (stream, inner) in [(3, 1 << 16), (1 << 16, 0)] {
        let drawn = random::record(&mut recording, random::Distribution::Normal, stream, inner, out);
        expect(drawn, "Argument", &["random", "65536"]);
    }
}

/// Failed expectations print plans; the texts of all kernels would hide the message.
#[test]
fn what_is_printed_of_a_plan_fits_a_line() {
    let mut recording = Recording::new("run");
    let (input, result) = slots(&mut recording);
    record_scale(&mut recording, input, result, 1.0).unwrap();
    let plan = recording.compile(&lavapipe().gpu, &Bindings::new()).unwrap();
    let text = format!("{plan:?}");
    assert!(text.contains("\"run\"") && text.contains(&lavapipe().gpu.info().name), "{text}");
    assert!(text.len() < 200, "{text}");
}

#[test]
fn recordings_collect_their_tensors_and_refuse_two_for_one_slot() {
    let gpu = &lavapipe().gpu;
    let network = || Network::mlp(vec![Input::new("action", 2)], &[4], Activation::Tanh, 1);
    let from_seed = |seed| Model::from_seed(gpu, "net", network(), seed).unwrap();
    let (first, second) = (from_seed(1), from_seed(2));
    let bits = |model: &Model| -> Vec<u32> {
        gpu.read::<f32>(model.parameters()).unwrap().into_iter().map(f32::to_bits).collect()
    };
    let run = RunState::new(gpu, 1).unwrap();
    assert_eq!(bits(&first), bits(&Model::new(gpu, "net", network(), &run).unwrap()));
    assert_ne!(bits(&first), bits(&second));

    let y = Tensor::from_slice(gpu, "y", [3, 2], &[0.5f32, -1.0, 2.0, 0.25, 0.0, 1.5]).unwrap();
    let record = |models: &[&Model]| {
        let mut recording = gpu.record("collected");
        let y = recording.tensor(&y).unwrap();
        let all: Vec<_> = models
            .iter()
            .map(|model| model.record_value(&mut recording, &[("action", y)]).unwrap())
            .collect();
        (recording, all[0])
    };
    let (mut recording, value) = record(&[&first]);
    let result = recording.output(gpu, value, "result").unwrap();
    recording.compile_bound(gpu).unwrap().run(1).unwrap();
    let own: Vec<f32> = gpu.read(&result).unwrap();
    assert!(own.iter().any(|&v| v != 0.0));
    // Other tensors may take the place of those that are remembered.
    recording.compile_with(gpu, &second.bindings()).unwrap().run(1).unwrap();
    let replaced: Vec<f32> = gpu.read(&result).unwrap();
    assert_ne!(own, replaced);
    expect(recording.compile_with(gpu, &run.bindings()), "Argument", &["`run_state`", "fits no slot"]);
    // The old way binds nothing that is not given.
    let plan = recording.compile(gpu, &Bindings::new()).unwrap();
    expect(plan.run(1), "Argument", &["collected", "y"]);

    let (clash, _) = record(&[&first, &second]);
    expect(clash.compile_bound(gpu), "Argument", &["`net/parameters`", "two tensors", "Model::renamed"]);
    record(&[&first, &first]).0.compile_bound(gpu).unwrap();
    record(&[&first, &second.renamed("other")]).0.compile_bound(gpu).unwrap();
    // What is provided for no slot does not count, and another device is refused.
    let mut recording = gpu.record("collected");
    recording.provide("nowhere", &y);
    recording.tensor(&y).unwrap();
    recording.compile_bound(gpu).unwrap();
    let adapter = Some(gpu.info().name.clone());
    let other = Gpu::open(&GpuOptions::default().with_adapter(adapter)).unwrap();
    let (recording, _) = record(&[&first]);
    expect(recording.compile_bound(&other), "Argument", &["another device"]);
    still_works(gpu);
}
