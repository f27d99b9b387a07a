//! Shapes and element types of tensors.

use std::fmt;

use bytemuck::Pod;

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 32-bit unsigned integer.
    U32,
    /// 32-bit signed integer.
    I32,
}

impl DType {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        4
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::U32 => "u32",
            DType::I32 => "i32",
        })
    }
}

/// Host types that are elements of tensors.
pub trait Element: Pod {
    /// The tensor's element type.
    const DTYPE: DType;
}
impl Element for f32 {
    const DTYPE: DType = DType::F32;
}
impl Element for u32 {
    const DTYPE: DType = DType::U32;
}
impl Element for i32 {
    const DTYPE: DType = DType::I32;
}

/// `width` rounded up to whole `vec4`s.
pub const fn pad4(width: usize) -> usize {
    width.div_ceil(4).saturating_mul(4)
}

/// Sizes of a tensor, row-major. Rows may be padded: each then takes [`pad4`]`(width)` elements in
/// memory, the rest being zeros. Where the width is a multiple of 4 there is nothing to pad, and
/// [`Shape::packed`] gives the same shape as [`Shape::new`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: Vec<usize>,
    padded: bool,
}

impl Shape {
    /// A shape without padding.
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Self { dims: dims.into(), padded: false }
    }

    /// A matrix whose rows take whole `vec4`s, padded with zeros where the width is not a multiple
    /// of 4: what dense layers read and write.
    pub fn packed(rows: usize, width: usize) -> Self {
        Self { dims: vec![rows, width], padded: pad4(width) != width }
    }

    /// The same sizes without padding.
    pub fn plain(&self) -> Self {
        Self { dims: self.dims.clone(), padded: false }
    }

    /// The sizes.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Whether rows take whole `vec4`s in memory, as dense layers read them: [`Shape::packed`], and
    /// every shape whose width is a multiple of 4.
    pub fn is_packed(&self) -> bool {
        self.stride().is_multiple_of(4)
    }

    /// Whether rows are longer in memory than their width.
    pub fn is_padded(&self) -> bool {
        self.padded
    }

    /// The last dimension (1 for a scalar).
    pub fn width(&self) -> usize {
        self.dims.last().copied().unwrap_or(1)
    }

    /// Product of all dimensions but the last; saturates, so that an absurd shape meets a limit
    /// check.
    pub fn rows(&self) -> usize {
        self.dims
            .split_last()
            .map_or(1, |(_, outer)| outer.iter().fold(1, |rows: usize, &size| rows.saturating_mul(size)))
    }

    /// Elements from one row to the next in memory.
    pub fn stride(&self) -> usize {
        if self.padded { pad4(self.width()) } else { self.width() }
    }

    /// Elements in memory, padding included.
    pub fn len(&self) -> usize {
        self.rows().saturating_mul(self.stride())
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.dims, if self.padded { " packed" } else { "" })
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Self::new(dims)
    }
}

/// What to do about a tensor that does not fit a slot.
pub(in crate::gpu) fn binding_hint(found: &Shape, slot: &Shape) -> &'static str {
    match (found.dims == slot.dims, found.padded, slot.padded) {
        (true, false, true) => "rows of the slot are padded: make the tensor with `Shape::packed`",
        (true, true, false) => "rows of the slot have no padding: make the tensor with `Shape::new`",
        _ => "bind a tensor of exactly that shape",
    }
}

/// Bytes of a shape in memory; saturates, so that an absurd shape meets the limit check instead of
/// wrapping.
pub(crate) fn bytes_of(shape: &Shape, dtype: DType) -> u64 {
    (shape.len() as u64).saturating_mul(dtype.size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_rows_without_padding_are_plain() {
        assert_eq!(Shape::packed(256, 4), Shape::new([256, 4]));
        assert_eq!(Shape::packed(7, 0), Shape::new([7, 0]));
        for width in [1, 2, 3, 5, 10] {
            let packed = Shape::packed(7, width);
            assert_ne!(packed, Shape::new([7, width]));
            assert_eq!(packed.plain(), Shape::new([7, width]));
            assert_eq!((packed.stride(), packed.len()), (pad4(width), 7 * pad4(width)));
            assert_eq!((packed.is_padded(), packed.is_packed()), (true, true));
            assert_eq!((packed.plain().is_padded(), packed.plain().is_packed()), (false, false));
        }
        let blocks = Shape::new([3, 7, 8]);
        assert_eq!((blocks.is_padded(), blocks.is_packed(), blocks.stride()), (false, true, 8));
    }
}
