//! Inputs, poisoned outputs, padding.

use super::failure::Failure;
use crate::gpu::{DType, Element, Gpu, Shape, Tensor, pad4};
use crate::{Error, Result};

/// What outputs hold before a run: the bits of a NaN that no kernel writes.
pub const POISON: u32 = 0x7fc0_dead;

/// `n` numbers in (-1, 1), the same for the same seed: no symmetry, no repeated rows, none below
/// 1e-3 in size.
pub fn data(seed: u32, n: usize) -> Vec<f32> {
    (0..n as u32)
        .map(|at| {
            let mut word =
                at.wrapping_mul(0x9e37_79b9) ^ seed.wrapping_mul(0x85eb_ca6b).wrapping_add(0x27d4_eb2f);
            for (shift, factor) in [(16, 0x7feb_352d), (15, 0x846c_a68b), (16, 1)] {
                word = (word ^ (word >> shift)).wrapping_mul(factor);
            }
            let size = 1e-3 + 0.998 * (f64::from(word >> 8) / f64::from(1 << 24));
            // Two thirds positive: sums do not cancel to zero on average.
            (if word.is_multiple_of(3) { -size } else { size }) as f32
        })
        .collect()
}

/// `n` factors of both signs with sizes in (1.25, 2.25): none is 0, 1 or -1, so that a factor left
/// out shows.
pub fn coefficients(seed: u32, n: usize) -> Vec<f32> {
    data(seed, n).into_iter().map(|value| value + 1.25f32.copysign(value)).collect()
}

/// The same numbers in f64.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Rows padded with zeros to whole `vec4`s, as [`Shape::packed`] wants them.
///
/// # Panics
/// If `values` is not `[rows, width]`.
#[track_caller]
pub fn pack(values: &[f32], rows: usize, width: usize) -> Vec<f32> {
    assert_eq!(values.len(), rows * width, "values of a packed matrix");
    let mut flat = vec![0.0; Shape::packed(rows, width).len()];
    if width > 0 {
        for (row, values) in flat.chunks_exact_mut(pad4(width)).zip(values.chunks_exact(width)) {
            row[..width].copy_from_slice(values);
        }
    }
    flat
}

/// The inverse of [`pack`].
///
/// # Errors
/// [`Failure`] if the length is not that of the shape, or padding is not zero.
pub fn unpack(flat: &[f32], rows: usize, width: usize) -> Result<Vec<f32>, Failure> {
    let expected = Shape::packed(rows, width).len();
    if flat.len() != expected || width == 0 {
        let problem = format!("holds {} elements, packed [{rows}, {width}] has {expected}", flat.len());
        return Err(Failure::new("", problem));
    }
    for (row, values) in flat.chunks_exact(pad4(width)).enumerate() {
        if let Some(at) = values[width..].iter().position(|&value| value != 0.0) {
            let found = values[width + at];
            let problem = format!("padding of row {row}, column {}, holds {found:e}", width + at);
            return Err(Failure::new("", problem));
        }
    }
    Ok(flat.chunks_exact(pad4(width)).flat_map(|row| &row[..width]).copied().collect())
}

/// A tensor full of [`POISON`].
///
/// # Errors
/// As [`Tensor::zeros`].
pub fn poisoned(gpu: &Gpu, name: &str, dtype: DType, shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    from_words(gpu, name, dtype, shape.clone(), &vec![POISON; shape.len()])
}

/// A tensor of any element type from the bits of its elements.
pub(super) fn from_words(gpu: &Gpu, name: &str, dtype: DType, shape: Shape, words: &[u32]) -> Result<Tensor> {
    fn cast<T: Element>(words: &[u32]) -> &[T] {
        bytemuck::cast_slice(words)
    }
    match dtype {
        DType::F32 => Tensor::from_slice(gpu, name, shape, cast::<f32>(words)),
        DType::I32 => Tensor::from_slice(gpu, name, shape, cast::<i32>(words)),
        DType::U32 => Tensor::from_slice(gpu, name, shape, words),
    }
}

/// The bits of a tensor's elements, whatever its element type.
pub(super) fn words(gpu: &Gpu, tensor: &Tensor) -> Result<Vec<u32>, Error> {
    match tensor.dtype() {
        DType::F32 => Ok(gpu.read::<f32>(tensor)?.into_iter().map(f32::to_bits).collect()),
        DType::I32 => Ok(gpu.read::<i32>(tensor)?.into_iter().map(|value| value as u32).collect()),
        DType::U32 => gpu.read(tensor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_and_unpacking_are_inverse_and_stale_padding_shows() {
        for (rows, width) in [(1, 1), (7, 4), (3, 5), (2, 64)] {
            let values = data(1, rows * width);
            let mut flat = pack(&values, rows, width);
            assert_eq!(unpack(&flat, rows, width).unwrap(), values);
            assert!(unpack(&flat[1..], rows, width).is_err(), "an element too few");
            if width % 4 != 0 {
                *flat.last_mut().unwrap() = 1e-20;
                let failure = unpack(&flat, rows, width).unwrap_err().to_string();
                assert!(failure.contains(&format!("row {}", rows - 1)), "{failure}");
            }
        }
    }

    #[test]
    fn no_coefficient_can_be_left_out_unnoticed() {
        let all = coefficients(3, 1000);
        assert!(all.iter().all(|c| (1.25..2.26).contains(&c.abs())));
        assert!(all.iter().any(|c| *c < 0.0) && all.iter().any(|c| *c > 0.0));
        assert_eq!(POISON, f32::from_bits(POISON).to_bits());
        assert!(f32::from_bits(POISON).is_nan());
    }
}
