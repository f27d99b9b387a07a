//! Shapes and sizes of tensors.

use gibbs::gpu::{Bindings, DType, Recording, Shape, Tensor, Value};
use gibbs::loss::{RankingObjective, ranking_nce};
use gibbs::nn::Keep;
use gibbs::proposal::{Draws, Proposal, UniformBox};

use super::expectation::{energy_network, expect, record_scale, scale, slots, still_works};
use crate::common::lavapipe;

#[test]
fn a_shape_mismatch_names_the_operation_and_both_shapes() {
    let mut recording = Recording::new("run");
    let network = energy_network();
    let parameters = recording.slot("parameters", DType::F32, [network.layout().len]).unwrap();
    let context = recording.slot("x", DType::F32, [4, 2]).unwrap();
    let fusable = recording.slot("fusable", DType::F32, [4, 9, 2]).unwrap();
    let inputs = [("context", context), ("action", fusable)];
    let forward = network.record_forward(&mut recording, parameters, &inputs, Keep::Output);
    expect(forward, "Shape", &["pack", "[4, 9, 2]", "3"]);
    let action = recording.slot("y", DType::F32, [9, 3]).unwrap();
    let inputs = [("context", context), ("action", action)];
    let forward = network.record_forward(&mut recording, parameters, &inputs, Keep::Output);
    expect(forward, "Shape", &["forward", "context", "[4, 2]", "9 rows"]);
    let log_q = recording.slot("log_q", DType::F32, [4, 8]).unwrap();
    let energy = recording.slot("energy", DType::F32, Shape::packed(31, 1)).unwrap();
    let loss = ranking_nce::record(&mut recording, RankingObjective::Rnce, energy, log_q);
    expect(loss, "Shape", &["ranking nce", "energy", "[31, 1]", "[32, 1]"]);
    expect(
        recording.expect_shape("reduce", log_q, [4, 9]),
        "Shape",
        &["run/reduce", "log_q", "[4, 8]", "[4, 9]"],
    );
    expect(recording.slot("log_q", DType::F32, [8, 4]), "Shape", &["slot", "log_q", "[8, 4]", "[4, 8]"]);
    expect(recording.slot("log_q", DType::U32, [4, 8]), "Shape", &["u32", "f32"]);
    expect(
        recording.constant("table", [3], &[1.0f32; 4]),
        "Shape",
        &["constant", "table", "4 values", "3 for"],
    );
    let bounds = UniformBox::new(&[0.0; 3], &[1.0; 3]).unwrap();
    let candidates = recording.slot("candidates", DType::F32, [4, 5, 3]).unwrap();
    let prepared = bounds.record_prepare(&mut recording, context).unwrap();
    for (first, count) in [(1, 5), (usize::MAX, 2), (0, usize::MAX)] {
        let draws = Draws { candidates, first, count, stream: "draws", inner: 0 };
        let sampled = bounds.record_sample(&mut recording, &prepared, &draws);
        expect(sampled, "Shape", &["uniform sample", "[4, 5, 3]", "at least"]);
    }
    expect(
        bounds.record_log_density(&mut recording, &prepared, log_q),
        "Shape",
        &["uniform log-density", "[4, 8]"],
    );
}

#[test]
fn a_tensor_that_does_not_fit_names_both_sizes() {
    let gpu = &lavapipe().gpu;
    expect(Tensor::from_slice(gpu, "x", [2, 3], &[0.0f32; 5]), "Shape", &["`x`", "5 values", "6 for [2, 3]"]);
    let tensor = Tensor::zeros(gpu, "x", DType::F32, [2, 3]).unwrap();
    expect(tensor.write(gpu, &[0.0f32; 7]), "Shape", &["write to tensor `x`", "7 values", "6 for [2, 3]"]);
    expect(tensor.write(gpu, &[0u32; 6]), "Argument", &["write tensor `x`", "u32", "f32"]);
    expect(gpu.read::<u32>(&tensor), "Argument", &["read tensor `x`", "u32", "f32"]);
    expect(gpu.read_later::<i32>(&tensor), "Argument", &["read tensor `x`", "i32", "f32"]);
    let mut recording = Recording::new("run");
    slots(&mut recording);
    let wrong = recording.compile(gpu, &Bindings::new().with("input", &tensor));
    expect(wrong, "Shape", &["slot `input`", "plan `run`", "[2, 3] f32", "[100] f32"]);
    let words = Tensor::zeros(gpu, "words", DType::U32, [100]).unwrap();
    expect(recording.compile(gpu, &Bindings::new().with("input", &words)), "Shape", &["u32", "f32"]);
}

#[test]
fn tensors_beyond_the_adapters_limits_are_refused() {
    let gpu = &lavapipe().reopen(false);
    let most = gpu.capabilities().max_tensor_bytes() as usize;
    let name = gpu.info().name.as_str();
    let before = gpu.counters().buffers;
    let tebibyte = Tensor::zeros(gpu, "huge", DType::F32, [1 << 10, 1 << 28]);
    expect(tebibyte, "Limit", &["`huge`", "1099511627776", &most.to_string(), name, "fewer rows"]);
    let over = Tensor::zeros(gpu, "over", DType::F32, [most / 4 + 1]);
    expect(over, "Limit", &["`over`", &(4 * (most / 4 + 1)).to_string(), &most.to_string(), name]);
    // Sizes whose product is 2^64 or more must not wrap round to something small.
    for shape in [
        Shape::new([1 << 32, 1 << 32, 4]),
        Shape::new([usize::MAX, usize::MAX]),
        Shape::new([1 << 62, 4, 1]),
        Shape::packed(usize::MAX, usize::MAX),
        Shape::packed(1, usize::MAX),
    ] {
        expect(Tensor::zeros(gpu, "absurd", DType::F32, shape), "Limit", &["`absurd`"]);
    }
    let mut recording = Recording::new("run");
    let (input, _) = slots(&mut recording);
    let scratch = recording.scratch("wide", DType::F32, [1 << 20, 1 << 20]);
    record_scale(&mut recording, input, scratch, 1.0).unwrap();
    let compiled = recording.compile(gpu, &Bindings::new());
    expect(compiled, "Limit", &["run/scale", "`wide`", "4398046511104", name]);
    assert_eq!(gpu.counters().buffers, before, "refused before wgpu was asked");
    still_works(gpu);
}

#[test]
fn tensors_beyond_a_binding_are_refused_where_they_are_bound() {
    let gpu = &lavapipe().narrow(64 << 10);
    let name = gpu.info().name.as_str();
    for (label, target) in
        [("own", gpu.capabilities().target()), ("other", gibbs::gpu::Target::from(gpu.capabilities().class))]
    {
        let mut recording = Recording::tuned("run", target);
        let input = recording.slot("input", DType::F32, [1 << 20]).unwrap();
        let result = recording.slot("result", DType::F32, [100]).unwrap();
        record_scale(&mut recording, input, result, 1.0).unwrap();
        let hint = if label == "own" { "fewer rows" } else { "Capabilities::target" };
        let compiled = recording.compile(gpu, &Bindings::new());
        expect(compiled, "Limit", &["run/scale", "`input`", "4194304", "65536", name, hint]);
    }
}

#[test]
fn wrong_ranges_of_rows_are_named() {
    let mut recording = Recording::new("run");
    let x = recording.slot("x", DType::F32, [128, 3]).unwrap();
    expect(recording.rows(x, 0, 0), "Argument", &["`x`", "128"]);
    expect(recording.rows(x, 64, 65), "Argument", &["`x`", "65 from 64", "128"]);
    expect(recording.rows(x, usize::MAX, 2), "Argument", &["`x`"]);
    expect(recording.rows(x, 63, 1), "Argument", &["`x`", "byte 756", "256"]);
    let foreign = Recording::new("other").slot("x", DType::F32, [128, 3]).unwrap();
    expect(recording.rows(foreign, 0, 1), "Argument", &["another recording"]);
    let record = |recording: &mut Recording, input: Value, result: Value| {
        recording
            .dispatch(&scale(), "scale")
            .bind("input", input)
            .bind("result", result)
            .set("count", 192u32)
            .set("factor", 1.0f32)
            .invocations(192)
            .finish()
    };
    let (low, high) = (recording.rows(x, 0, 64).unwrap(), recording.rows(x, 64, 64).unwrap());
    let aliased = record(&mut recording, low, high);
    expect(aliased, "Binding", &["`input`", "`result`", "same tensor `x`"]);
    let scratch = recording.scratch("scratch", DType::F32, [128, 3]);
    let half = recording.rows(scratch, 64, 64).unwrap();
    record(&mut recording, low, half).unwrap();
    let early = record(&mut recording, scratch, x);
    expect(early, "Binding", &["`input`", "`scratch`", "before"]);
    let constant = recording.constant("table", [128, 3], &[1.0f32; 384]).unwrap();
    let part = recording.rows(constant, 64, 64).unwrap();
    expect(record(&mut recording, low, part), "Binding", &["`result`", "constant"]);
    expect(recording.expose(half, "half"), "Argument", &["not scratch"]);
}
