//! Network, draws and densities of a mixture in one dispatch
//! (`shaders/proposal/mixture_propose.wgsl`).

use super::mixture_shape::MixtureShape;
use super::traits::{Draws, check_draws};
use crate::Result;
use crate::gpu::{
    DType, DeviceClass, KernelSource, KernelVariant, Recording, RunState, SharedConstant, Value,
    embedded_kernel, pad4, shared_constant,
};
use crate::nn::{Activation, FusableLayer, FusableMlp, Model, PackedLayer};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("proposal/mixture_propose.wgsl");

/// Widest row that its workgroup memory holds.
const MAX_WIDTH: usize = 256;

/// Rounds of its loops per invocation: lavapipe ends a kernel's loops after 65535 in all.
const MAX_ROUNDS: usize = 60_000;

pub(super) fn shared_constants() -> Vec<SharedConstant> {
    vec![shared_constant("proposal/mixture_propose.wgsl", "MAX_WIDTH4", MAX_WIDTH as f64 / 4.0)]
}

/// Invocations and contexts per workgroup. A software renderer pays for loads, which contexts
/// share, and runs 8 lanes at once.
fn block(class: DeviceClass) -> [(&'static str, u32); 2] {
    match class {
        DeviceClass::Cpu => [("WORKGROUP", 8), ("ROWS", 4)],
        DeviceClass::Gpu => [("WORKGROUP", 64), ("ROWS", 1)],
    }
}

/// The kernel in every variant that can be recorded.
pub(super) fn variants() -> Vec<KernelVariant> {
    let mut all = Vec::new();
    for class in [DeviceClass::Cpu, DeviceClass::Gpu] {
        for activation in 0..Activation::COUNT {
            let defines = [&block(class)[..], &[("ACTIVATION", activation)]].concat();
            all.push(KernelVariant::new(&KERNEL, &defines).for_class(class));
        }
    }
    all
}

/// The mixture's network, if the kernel holds it and `candidates` per context.
pub(crate) fn fits<'a>(
    (model, shape): (&'a Model, &MixtureShape),
    class: DeviceClass,
    candidates: usize,
) -> Option<FusableMlp<'a>> {
    let fusable = model.network().fusable_mlp(MAX_WIDTH)?;
    let [(_, lanes), (_, rows)] = block(class).map(|(name, value)| (name, value as usize));
    let (components, dims) = (shape.components, shape.dims());
    // Philox takes 10 rounds a block; the rest are components and dimensions.
    let draw = 10 * (1 + dims.div_ceil(4)) + 4 * components + 5 * dims.div_ceil(4);
    let density = components * (dims + 2);
    let points = (rows * candidates).div_ceil(lanes).saturating_mul(draw + density + 1);
    let layers: usize =
        fusable.rest.iter().map(|layer| layer.outputs.div_ceil(4 * lanes) * layer.inputs).sum();
    (points.saturating_add(layers) + 4 * MAX_WIDTH <= MAX_ROUNDS).then_some(fusable)
}

/// Records draws and the log-densities of all candidates, `[contexts, candidates]`: the same
/// numbers as those of [`super::mixture_sample`] and [`super::mixture_log_density`] behind the
/// layers of the network. One dispatch.
///
/// * `context`: `[contexts, width]`; the candidates outside the draws are read.
///
/// # Errors
/// [`crate::Error::Shape`] if shapes do not fit, [`crate::Error::Argument`] for no draws or a
/// stream in use.
pub(crate) fn record(
    recording: &mut Recording,
    (model, shape): (&Model, &MixtureShape),
    fusable: &FusableMlp<'_>,
    context: Value,
    draws: &Draws<'_>,
) -> Result<Value> {
    let dims = shape.dims();
    let (contexts, candidates) = check_draws(recording, "mixture proposal", draws, dims)?;
    let x_width = fusable.inputs.iter().map(|(input, _)| input.width).sum::<usize>();
    recording.expect_shape("mixture proposal", context, [contexts, x_width])?;
    let first = fusable.inputs.iter().map(|(_, layer)| *layer);
    let layers: Vec<FusableLayer> = first.chain(fusable.rest.iter().copied()).collect();
    let word = |value: usize| value as u32;
    let packed: Vec<PackedLayer> = layers.iter().map(FusableLayer::packed).collect();
    let mut flat = shape.normalizer.flat();
    for (input, _) in &fusable.inputs {
        flat.extend(input.normalizer.flat());
    }
    let network = {
        let words: &[u32] = bytemuck::cast_slice(&packed);
        recording.constant("network", [packed.len(), PackedLayer::WORDS], words)?
    };
    let normalizer = recording.constant("normalizer", [flat.len()], &flat)?;
    let component_stream = recording.stream(&format!("{}/component", draws.stream))?;
    let normal_stream = recording.stream(&format!("{}/normal", draws.stream))?;
    let parameters = model.value(recording)?;
    let state = RunState::value(recording)?;
    let log_q = recording.scratch("log_q", DType::F32, [contexts, candidates]);
    let block = block(recording.class());
    let rows = block[1].1 as usize;
    let products: usize = layers.iter().map(|layer| layer.inputs * layer.outputs).sum();
    recording
        .dispatch(&KERNEL, "propose")
        .defines(&block)
        .define("ACTIVATION", fusable.activation.code())
        .bind("parameters", parameters)
        .bind("x", context)
        .bind("state", state)
        .bind("network", network)
        .bind("normalizer", normalizer)
        .bind("y", draws.candidates)
        .bind("log_q", log_q)
        .set("contexts", word(contexts))
        .set("candidates", word(candidates))
        .set("first", word(draws.first))
        .set("draws", word(draws.count))
        .set("components", word(shape.components))
        .set("dims", word(dims))
        .set("x_width", word(x_width))
        .set("layers", word(layers.len()))
        .set("stride", word(pad4(shape.outputs())))
        .set("low", shape.low)
        .set("high", shape.high)
        .set("log_volume", shape.normalizer.log_volume() as f32)
        .set("component_stream", component_stream)
        .set("normal_stream", normal_stream)
        .set("inner", draws.inner)
        .flops(2 * (contexts * products) as u64)
        .workgroups_folded(contexts.div_ceil(rows))
        .finish()?;
    Ok(log_q)
}
