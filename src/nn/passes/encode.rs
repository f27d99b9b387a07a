//! Inputs on their way into the first layer and gradients on their way out, for whatever encoding
//! an input has.

use super::{fourier_features, fourier_gradient, pack_inputs, unpack_gradient};
use crate::Result;
use crate::gpu::record::row_range::{PerRow, RowRange, cut};
use crate::gpu::{DType, Recording, Shape, Value};
use crate::nn::{Encoding, Input};

fn encode_into(recording: &mut Recording, x: Value, input: &Input, out: Value) -> Result<()> {
    match &input.encoding {
        Encoding::Raw => pack_inputs::record_into(recording, x, &input.normalizer, out),
        Encoding::Fourier(fourier) => {
            fourier_features::record_into(recording, x, &input.normalizer, fourier, out)
        }
    }
}

/// Records the packed rows that the first layer reads: `[rows, encoded width]` of `x`,
/// `[.., width]`.
pub(in crate::nn) fn encode(recording: &mut Recording, x: Value, input: &Input) -> Result<Value> {
    match &input.encoding {
        Encoding::Raw => pack_inputs::record(recording, x, &input.normalizer),
        Encoding::Fourier(fourier) => fourier_features::record(recording, x, &input.normalizer, fourier),
    }
}

/// The ranges in which all rows of an input are encoded, and their gradient goes back through the
/// input's layers and is decoded.
pub(in crate::nn) fn input_ranges(
    recording: &Recording,
    rows: usize,
    input: &Input,
    outputs: usize,
) -> Vec<RowRange> {
    let embedded = input.nodes().iter().map(|node| node.width).fold(outputs, usize::max);
    let widest = Shape::packed(rows, input.encoded_width().max(embedded)).stride().max(input.width);
    cut(recording.target(), rows, &[PerRow { stride: widest, candidates: 1 }])
}

/// As [`encode`], in several dispatches where the rows pass the largest binding.
pub(in crate::nn) fn encode_all(recording: &mut Recording, x: Value, input: &Input) -> Result<Value> {
    let rows = recording.shape(x)?.rows();
    let ranges = input_ranges(recording, rows, input, 0);
    if ranges.len() == 1 {
        return encode(recording, x, input);
    }
    let out = recording.scratch("encoded", DType::F32, Shape::packed(rows, input.encoded_width()));
    for range in ranges {
        let (part, written) = (range.of(recording, x)?, range.of(recording, out)?);
        recording.scoped(&range.name(), |recording| encode_into(recording, part, input, written))?;
    }
    Ok(out)
}

/// Records the gradient at an input's rows, in 1 / data units, from that at its encoded rows.
pub(in crate::nn) fn decode_into(
    recording: &mut Recording,
    dz: Value,
    encoded: Value,
    input: &Input,
    out: Value,
) -> Result<()> {
    match &input.encoding {
        Encoding::Raw => unpack_gradient::record_into(recording, dz, &input.normalizer, out),
        Encoding::Fourier(fourier) => {
            fourier_gradient::record_into(recording, dz, encoded, &input.normalizer, fourier, out)
        }
    }
}
