//! What the adapter can do at most: multiply-adds in registers and copies of a large buffer, by two
//! kernels of our own.

use gibbs::Gpu;
use gibbs::gpu::{Bindings, DType, DeviceClass, KernelSource, Recording, Tensor};
use serde::Serialize;

use crate::Failure;
use crate::measure::{Budget, Spread, repeat};

/// The two limits of a roofline.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Roofline {
    /// Rate of multiplications and additions in registers, 10^9 per second.
    pub gflops: f64,
    /// Bytes read and written per second by a copy of a large buffer, in 10^9.
    pub gbytes_per_s: f64,
}

/// Rounds in the loop's body, as `multiply_adds.wgsl` writes them out.
const BODY: u32 = 32;
/// Passes of the loop: lavapipe ends an invocation's loops after 65535 in all.
const PASSES: u32 = 16_384 / BODY;
/// What couples the numbers: they grow by 1 + COUPLING per round at most, by e in all.
const COUPLING: f32 = 1.0 / 16_384.0;

/// Largest buffer that is copied, in bytes: more than any cache.
const COPY_BYTES: u64 = 128 << 20;

fn wrong(kernel: &str, at: usize, found: f32, expected: f64) -> Failure {
    format!(
        "the kernel `{kernel}` gave {found} at element {at} where {expected} is right; its rate means nothing"
    )
    .into()
}

/// Both limits, each the best of several repetitions: a limit is what can be reached, not what is
/// usual.
///
/// # Errors
/// A kernel that gives wrong results; what the device refuses.
pub fn measure(gpu: &Gpu, budget: &Budget) -> Result<Roofline, Failure> {
    // The best counts, so many short ones do better than few long ones.
    let budget = &Budget { repetitions: 3 * budget.repetitions, repetition: budget.repetition / 4 };
    Ok(Roofline { gflops: arithmetic(gpu, budget)?, gbytes_per_s: copying(gpu, budget)? })
}

fn arithmetic(gpu: &Gpu, budget: &Budget) -> Result<f64, Failure> {
    let count: usize = match gpu.target().class {
        DeviceClass::Cpu => 1 << 13,
        DeviceClass::Gpu => 1 << 18,
    };
    let kernel = KernelSource::new("examples/bench/multiply_adds.wgsl", include_str!("multiply_adds.wgsl"));
    let mut recording = Recording::tuned("roofline/arithmetic", gpu.target());
    let sums = recording.slot("sums", DType::F32, [count])?;
    let flops = 2 * 12 * u64::from(BODY * PASSES) * count as u64;
    recording
        .dispatch(&kernel, "multiply-adds")
        .bind("sums", sums)
        .set("count", count as u32)
        .set("passes", PASSES)
        .set("coupling", COUPLING)
        .invocations(count)
        .flops(flops)
        .finish()?;
    let tensor = Tensor::zeros(gpu, "sums", DType::F32, [count])?;
    let plan = recording.compile(gpu, &Bindings::new().with("sums", &tensor))?;
    plan.run(1)?;
    let expected: Vec<f64> = (0..16).map(ring).collect();
    for (at, &found) in gpu.read::<f32>(&tensor)?.iter().enumerate() {
        let expected = expected[at % 16];
        // Half the rounds would leave a third less; 16384 roundings add up to 1e-3 at most.
        if (f64::from(found) - expected).abs() > 5e-3 * expected {
            return Err(wrong("multiply_adds", at, found, expected));
        }
    }
    let timings = repeat(&plan, 1, budget)?;
    Ok(flops as f64 * 1e-6 / Spread::of(&timings.wall_ms).min)
}

/// What the arithmetic kernel leaves behind at indices `16 n + index`.
fn ring(index: usize) -> f64 {
    let mut ring: Vec<f64> = (0..12).map(|at| index as f64 / 16.0 + at as f64 / 4.0).collect();
    for _ in 0..BODY * PASSES {
        let first = ring[0];
        for at in 0..12 {
            ring[at] += f64::from(COUPLING) * ring.get(at + 1).copied().unwrap_or(first);
        }
    }
    ring.iter().enumerate().map(|(at, value)| (at + 1) as f64 * value).sum()
}

fn copying(gpu: &Gpu, budget: &Budget) -> Result<f64, Failure> {
    let bytes =
        COPY_BYTES.min(gpu.capabilities().max_binding_bytes()).min(gpu.capabilities().max_tensor_bytes());
    let count = (bytes / 16) as usize;
    let kernel = KernelSource::new("examples/bench/copy.wgsl", include_str!("copy.wgsl"));
    let mut recording = Recording::tuned("roofline/copy", gpu.target());
    let origin = recording.slot("origin", DType::F32, [4 * count])?;
    let copied = recording.slot("copied", DType::F32, [4 * count])?;
    let eighth = count.div_ceil(8);
    recording
        .dispatch(&kernel, "copy")
        .bind("origin", origin)
        .bind("copied", copied)
        .set("count", count as u32)
        .set("eighth", eighth as u32)
        .invocations(eighth)
        .finish()?;
    let value = |at: usize| (at % 8_388_593) as f32;
    let values: Vec<f32> = (0..4 * count).map(value).collect();
    let origin = Tensor::from_slice(gpu, "origin", [4 * count], &values)?;
    let copied = Tensor::zeros(gpu, "copied", DType::F32, [4 * count])?;
    let plan = recording.compile(gpu, &Bindings::new().with("origin", &origin).with("copied", &copied))?;
    plan.run(1)?;
    for (at, &found) in gpu.read::<f32>(&copied)?.iter().enumerate() {
        if found != value(at) {
            return Err(wrong("copy", at, found, value(at).into()));
        }
    }
    let timings = repeat(&plan, 1, budget)?;
    Ok(2.0 * (16 * count) as f64 * 1e-6 / Spread::of(&timings.wall_ms).min)
}
