//! The forward pass of one dense layer (`shaders/nn/dense/dense_forward.wgsl`).

use super::variant::{DenseSize, Variant};
use crate::gpu::{DType, KernelSource, Recording, Shape, Value, embedded_kernel, pad4};
use crate::nn::{Activation, ParameterSlice};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/dense/dense_forward.wgsl");

/// By tiles in workgroup memory.
pub const TILED: KernelSource = embedded_kernel!("nn/dense/dense_forward_tiled.wgsl");

/// By subgroups of 8 that share what they load.
pub const SUBGROUP: KernelSource = embedded_kernel!("nn/dense/dense_forward_subgroup.wgsl");

/// What a layer's sums start from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// The layer's bias.
    Bias(&'a ParameterSlice),
    /// Packed `[rows / candidates, outputs]`: the part that all candidates of a context share.
    Context(Value),
    /// The same for some of the candidates of these contexts: a range of rows that may begin and
    /// end within a context.
    ContextRange {
        /// Packed `[contexts, outputs]`.
        context: Value,
        /// Rows of each context.
        candidates: usize,
        /// Which of the contexts' rows, counted through, is the first of `h`.
        first_row: usize,
    },
    /// The layer's bias plus packed `[rows, outputs]`: the rows that a residual block passes on.
    Residual(&'a ParameterSlice, Value),
}

/// One dense layer to record.
#[derive(Clone, Copy, Debug)]
pub struct DenseForward<'a> {
    /// The flat parameters.
    pub parameters: Value,
    /// The weight matrix.
    pub weight: &'a ParameterSlice,
    /// What the sums start from.
    pub start: Start<'a>,
    /// The activation.
    pub activation: Activation,
    /// Whether a backward pass will need the activation's slope.
    pub keep_slope: bool,
}

/// Of a context: its packed rows, the rows per context, and the first row.
fn context_of(recording: &Recording, start: Start<'_>, rows: usize) -> Result<Option<(Value, usize, usize)>> {
    match start {
        Start::Bias(_) => Ok(None),
        Start::Residual(_, skip) => {
            let even = recording.shape(skip)?.rows() == rows;
            Ok(Some((skip, usize::from(even), 0)))
        }
        Start::Context(context) => {
            let contexts = recording.shape(context)?.rows();
            let even = contexts > 0 && rows.is_multiple_of(contexts);
            Ok(Some((context, if even { rows / contexts } else { 0 }, 0)))
        }
        Start::ContextRange { context, candidates, first_row } => {
            let within = recording.shape(context)?.rows().saturating_mul(candidates) >= first_row + rows;
            Ok(Some((context, if within { candidates } else { 0 }, first_row)))
        }
    }
}

/// What a layer wrote: packed `[rows, outputs]` each.
#[derive(Clone, Copy, Debug)]
pub struct DenseOutput {
    /// `act(z)`.
    pub output: Value,
    /// `act'(z)`, if it was asked for; its padding holds `act'(0)`, which only ever meets zeros.
    pub slope: Option<Value>,
}

/// Records `z = start + h W`, `output = act(z)` and, on request, `slope = act'(z)` by one variant.
///
/// * `h`: packed `[rows, inputs]`; `output`: packed `[rows, outputs]`. One dispatch.
///
/// # Errors
/// [`Error::Shape`] if `h`, the context or the output do not fit the weight; [`Error::Unsupported`]
/// for an activation on a sum that a residual block's rows start.
pub(crate) fn record(
    recording: &mut Recording,
    variant: &Variant,
    h: Value,
    layer: &DenseForward<'_>,
    output: Value,
) -> Result<DenseOutput> {
    let (inputs, outputs) = (layer.weight.rows, layer.weight.columns);
    if matches!(layer.start, Start::Residual(..))
        && (layer.activation != Activation::Identity || layer.keep_slope)
    {
        return Err(Error::Unsupported {
            operation: format!("dense forward {}", layer.weight.name),
            reason: "the sum of a residual block has no activation of its own".into(),
            hint: "record the activation behind it".into(),
        });
    }
    let rows = recording.shape(h)?.rows();
    recording.expect_shape("dense forward", h, Shape::packed(rows, inputs))?;
    recording.expect_shape("dense forward", output, Shape::packed(rows, outputs))?;
    let shared = context_of(recording, layer.start, rows)?;
    if let Some((context, candidates, _)) = shared {
        let shape = recording.shape(context)?.clone();
        if !shape.is_packed() || shape.width() != outputs || candidates == 0 {
            let expected = format!("packed [divisor of {rows}, {outputs}]");
            let hint = "each context needs the same number of candidates";
            return Err(Error::shape("dense forward", "context", shape, expected, hint));
        }
    }
    let bias_offset = match layer.start {
        Start::Bias(bias) | Start::Residual(bias, _) => bias.offset / 4,
        Start::Context(_) | Start::ContextRange { .. } => 0,
    };
    let init = match layer.start {
        Start::Bias(_) => 1,
        Start::Context(_) | Start::ContextRange { .. } => 2,
        Start::Residual(..) => 3,
    };
    let (context, candidates, first_row) = shared.unwrap_or((layer.parameters, 1, 0));
    // An unused binding still needs a buffer of its own.
    let slope = match layer.keep_slope {
        true => recording.scratch("slope", DType::F32, Shape::packed(rows, outputs)),
        false => recording.scratch("unused", DType::F32, [4]),
    };
    let size = DenseSize { rows, inputs, outputs, splits: 1 };
    let operation = format!("forward {}", layer.weight.name);
    variant
        .bind_weights(recording, &operation, layer.parameters, layer.weight)?
        .defines(&variant.defines(size))
        .define("ACTIVATION", layer.activation.code())
        .define("INIT", init)
        .define("SLOPE", u32::from(layer.keep_slope))
        .bind("h", h)
        .bind("parameters", layer.parameters)
        .bind("context", context)
        .bind("output", output)
        .bind("slope", slope)
        .set("rows", rows as u32)
        .set("inputs4", (pad4(inputs) / 4) as u32)
        .set("outputs4", (pad4(outputs) / 4) as u32)
        .set("outputs", outputs as u32)
        .set("weight_offset", (layer.weight.offset / 4) as u32)
        .set("bias_offset", bias_offset as u32)
        .set("candidates", candidates as u32)
        .set("first_row", first_row as u32)
        .workgroups(variant.grid(size))
        .flops(2 * (rows * inputs * outputs) as u64)
        .finish()?;
    Ok(DenseOutput { output, slope: layer.keep_slope.then_some(slope) })
}
