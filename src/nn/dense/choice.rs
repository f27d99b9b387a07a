//! The three products of dense layers, each by the variant that the table or a measurement chooses.

use super::dense_forward::{DenseForward, DenseOutput};
use super::dense_input_gradient::Epilogue;
use super::variant::{DenseOperation, DenseSize, Variant};
use super::{dense_forward, dense_input_gradient, dense_weight_gradient, measure};
use crate::Result;
use crate::gpu::{DType, Recording, Shape, Value, shape_class};
use crate::nn::network::layout::ParameterSlice;

/// Chooses the variant for an operation and notes it in the recording.
fn choose(recording: &mut Recording, operation: DenseOperation, size: DenseSize) -> Result<Variant> {
    let target = recording.target();
    let class = shape_class(operation.stem(), [size.rows, size.inputs, size.outputs]);
    let mut variant = operation.by_table(target, size)?;
    if let Some(gpu) = &target.tuner {
        let named = gpu.tuner().choice(&class, || measure::measure(gpu, target, operation, size, &class))?;
        let known = |name: &String| {
            operation.table().into_iter().find(|known| known.name() == *name && known.runs_on(target))
        };
        match named.as_ref().map(|name| (name, known(name))) {
            Some((_, Some(known))) => variant = known,
            Some((name, None)) => gpu
                .tuner()
                .tell_once(&format!("tuning: {class}: this device has no `{name}`; the table chooses")),
            None => {}
        }
    }
    recording.note_variant(class, variant.name());
    Ok(variant)
}

/// Records `z = start + h W`, `output = act(z)` and, on request, `slope = act'(z)`.
///
/// * `h`: packed `[rows, inputs]`. One dispatch, `2 rows inputs outputs` operations.
///
/// # Errors
/// [`crate::Error::Shape`] if `h` or the context do not fit the weight;
/// [`crate::Error::Unsupported`] for an activation on a sum that a residual block's rows start.
pub fn record_forward(recording: &mut Recording, h: Value, layer: &DenseForward<'_>) -> Result<DenseOutput> {
    let shape = Shape::packed(recording.shape(h)?.rows(), layer.weight.columns);
    let output = recording.scratch("activations", DType::F32, shape);
    record_forward_into(recording, h, layer, output)
}

/// As [`record_forward`], into memory of the caller's.
///
/// # Errors
/// As [`record_forward`], and [`crate::Error::Shape`] if `output` is not packed `[rows, outputs]`.
pub(crate) fn record_forward_into(
    recording: &mut Recording,
    h: Value,
    layer: &DenseForward<'_>,
    output: Value,
) -> Result<DenseOutput> {
    let (rows, weight) = (recording.shape(h)?.rows(), layer.weight);
    let size = DenseSize { rows, inputs: weight.rows, outputs: weight.columns, splits: 1 };
    let variant = choose(recording, DenseOperation::Forward, size)?;
    dense_forward::record(recording, &variant, h, layer, output)
}

/// Records `dh = (dz W^T) * slope + skip`.
///
/// * `dz`: packed `[rows, outputs]`; slope and skip of `epilogue`: packed `[rows, inputs]`, 1 and 0
///   where absent.
/// * returns packed `[rows, inputs]`. One dispatch, `2 rows inputs outputs` operations.
///
/// # Errors
/// [`crate::Error::Shape`] if `dz`, the slope or the skip do not fit the weight.
pub fn record_input_gradient(
    recording: &mut Recording,
    dz: Value,
    parameters: Value,
    weight: &ParameterSlice,
    epilogue: Epilogue,
) -> Result<Value> {
    let rows = recording.shape(dz)?.rows();
    let size = DenseSize { rows, inputs: weight.rows, outputs: weight.columns, splits: 1 };
    let variant = choose(recording, DenseOperation::InputGradient, size)?;
    dense_input_gradient::record(recording, &variant, dz, parameters, weight, epilogue)
}

/// Records the sums over row ranges of `h^T dz` and, with a bias, of `dz`, into the layer's slices
/// of `partials`.
///
/// * `h`: packed `[rows, inputs]`; `dz`: packed `[rows, outputs]`; `partials`:
///   `[splits, parameters]`, each of the `splits` contiguous row ranges in a row of its own. One
///   dispatch, `2 rows inputs outputs` operations.
///
/// # Errors
/// [`crate::Error::Shape`] if `h`, `dz` or `partials` do not fit the weight.
pub fn record_weight_gradient(
    recording: &mut Recording,
    h: Value,
    dz: Value,
    weight: &ParameterSlice,
    bias: Option<&ParameterSlice>,
    partials: Value,
) -> Result<()> {
    let (rows, splits) = (recording.shape(h)?.rows(), recording.shape(partials)?.rows());
    let size = DenseSize { rows, inputs: weight.rows, outputs: weight.columns, splits };
    let variant = choose(recording, DenseOperation::WeightGradient, size)?;
    dense_weight_gradient::record(recording, &variant, h, dz, weight, bias, partials)
}
