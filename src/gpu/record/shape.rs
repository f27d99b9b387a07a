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

/// Sizes of a tensor, row-major. The last dimension may be packed: each row then takes
/// [`pad4`]`(width)` elements in memory, the rest being zeros.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: Vec<usize>,
    packed: bool,
}

impl Shape {
    /// A shape without padding.
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Self { dims: dims.into(), packed: false }
    }

    /// A matrix whose rows are padded with zeros to whole `vec4`s: what dense layers read and
    /// write.
    pub fn packed(rows: usize, width: usize) -> Self {
        Self { dims: vec![rows, width], packed: true }
    }

    /// The sizes.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Whether rows are padded to whole `vec4`s.
    pub fn is_packed(&self) -> bool {
        self.packed
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
        if self.packed { pad4(self.width()) } else { self.width() }
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
        write!(f, "{:?}{}", self.dims, if self.packed { " packed" } else { "" })
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Self::new(dims)
    }
}

/// Bytes of a shape in memory; saturates, so that an absurd shape meets the limit check instead of
/// wrapping.
pub(crate) fn bytes_of(shape: &Shape, dtype: DType) -> u64 {
    (shape.len() as u64).saturating_mul(dtype.size() as u64)
}
