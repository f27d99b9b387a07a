//! What every refusal must be like, and the kernel that most tests record.

use gibbs::gpu::{Bindings, DType, Gpu, KernelSource, Recording, Tensor, Value};
use gibbs::nn::{Activation, Input, Network};

/// `result[i] = factor * input[i]`
const SCALE: &str = "
struct Params {
    count: u32,
    factor: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
@compute @workgroup_size(64)
fn scale(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < params.count) {
        result[id.x] = params.factor * input[id.x];
    }
}
";

pub fn scale() -> KernelSource {
    KernelSource::new("user/scale.wgsl", SCALE)
}

/// The message of an error that is of the expected kind and holds all the words.
#[track_caller]
pub fn expect<T>(result: gibbs::Result<T>, kind: &str, words: &[&str]) -> String {
    let Err(error) = result else { panic!("expected an error of kind {kind} with {words:?}") };
    let text = error.to_string();
    let found = format!("{error:?}");
    assert!(found.starts_with(kind), "expected {kind}, got {found}");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in: {text}");
    }
    assert!(text.len() < 1000, "one message, not a report: {text}");
    text
}

pub fn slots(recording: &mut Recording) -> (Value, Value) {
    let input = recording.slot("input", DType::F32, [100]).expect("a slot");
    let result = recording.slot("result", DType::F32, [100]).expect("a slot");
    (input, result)
}

/// Records `result = factor * input`, of 100 numbers.
pub fn record_scale(
    recording: &mut Recording,
    input: Value,
    result: Value,
    factor: f32,
) -> gibbs::Result<()> {
    recording
        .dispatch(&scale(), "scale")
        .bind("input", input)
        .bind("result", result)
        .set("count", 100u32)
        .set("factor", factor)
        .invocations(100)
        .finish()
}

/// The device still computes.
#[track_caller]
pub fn still_works(gpu: &Gpu) {
    let mut recording = Recording::new("check");
    let (input, result) = slots(&mut recording);
    record_scale(&mut recording, input, result, 2.0).expect("a good dispatch");
    let numbers: Vec<f32> = (0..100).map(|n| n as f32).collect();
    let input = Tensor::from_slice(gpu, "input", [100], &numbers).expect("memory");
    let result = Tensor::zeros(gpu, "result", DType::F32, [100]).expect("memory");
    let bindings = Bindings::new().with("input", &input).with("result", &result);
    recording.compile(gpu, &bindings).expect("a plan").run(1).expect("a run");
    let doubled: Vec<f32> = numbers.iter().map(|n| 2.0 * n).collect();
    assert_eq!(gpu.read::<f32>(&result).expect("a readback"), doubled);
}

pub fn energy_network() -> Network {
    Network::mlp(vec![Input::new("context", 2), Input::new("action", 3)], &[8], Activation::Silu, 1)
}
