//! Tensors: labelled slices of device buffers with a shape and an element type.

use std::fmt;

use bytemuck::Pod;

use super::Gpu;
use super::context::Home;
use crate::{Error, Result};

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

    /// A matrix whose rows are padded with zeros to whole `vec4`s: what dense layers read and write.
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

    /// Product of all dimensions but the last; saturates, so that an absurd shape meets a limit check.
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

/// A labelled slice of a buffer with a shape and an element type. A cheap clone: copies share the buffer.
#[derive(Clone, Debug)]
pub struct Tensor {
    label: String,
    buffer: wgpu::Buffer,
    offset: u64,
    shape: Shape,
    dtype: DType,
    /// The device, where it is known: a host's buffer does not tell.
    home: Option<Home>,
}

impl Tensor {
    /// A tensor of zeros.
    ///
    /// # Errors
    /// [`Error::Limit`] beyond the device's buffer or binding size, [`Error::OutOfMemory`],
    /// [`Error::DeviceLost`].
    pub fn zeros(gpu: &Gpu, label: &str, dtype: DType, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        let buffer = gpu.create_buffer(label, bytes_of(&shape, dtype), Gpu::TENSOR_USAGES)?;
        let home = Some(gpu.home().clone());
        Ok(Self { label: label.into(), buffer, offset: 0, shape, dtype, home })
    }

    /// A tensor with the given values, in memory order (padding included for packed shapes).
    ///
    /// # Errors
    /// As [`Tensor::zeros`]; [`Error::Shape`] if the number of values is not that of the shape.
    pub fn from_slice<T: Element>(
        gpu: &Gpu,
        label: &str,
        shape: impl Into<Shape>,
        values: &[T],
    ) -> Result<Self> {
        let tensor = Self::zeros(gpu, label, T::DTYPE, shape)?;
        tensor.write(gpu, values)?;
        Ok(tensor)
    }

    /// A tensor round a buffer that somebody else made, from byte `offset` on. The buffer needs the usage
    /// `STORAGE` (`COPY_SRC` too if it is to be read back, `COPY_DST` if written from the host). It must belong to the device
    /// that it is used on, which nothing here can check.
    ///
    /// # Errors
    /// [`Error::Shape`] if the buffer is too small, [`Error::Argument`] if `offset` is not a multiple of 256
    /// or the usage is missing.
    pub fn from_buffer(
        label: &str,
        buffer: wgpu::Buffer,
        offset: u64,
        dtype: DType,
        shape: impl Into<Shape>,
    ) -> Result<Self> {
        let shape = shape.into();
        let operation = format!("tensor `{label}` round a buffer");
        if !offset.is_multiple_of(256) {
            return Err(Error::argument(
                operation,
                "offset",
                format!("is {offset}, it must be a multiple of 256 bytes"),
            ));
        }
        if !buffer.usage().intersects(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM) {
            return Err(Error::argument(
                operation,
                "buffer",
                format!("has usages {:?}, it needs STORAGE or UNIFORM", buffer.usage()),
            ));
        }
        let needed = offset.saturating_add(bytes_of(&shape, dtype));
        if needed > buffer.size() {
            return Err(Error::shape(
                operation,
                label,
                format!("{} bytes in the buffer", buffer.size()),
                format!("{needed} bytes for {shape} {dtype} at offset {offset}"),
                "give a larger buffer or a smaller shape",
            ));
        }
        Ok(Self { label: label.into(), buffer, offset, shape, dtype, home: None })
    }

    /// The label given when it was made.
    pub fn label(&self) -> &str {
        &self.label
    }
    /// The buffer it lies in.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }
    /// First byte in the buffer.
    pub fn offset(&self) -> u64 {
        self.offset
    }
    /// Whether both begin at the same place.
    pub(super) fn is_same_memory(&self, other: &Self) -> bool {
        self.buffer == other.buffer && self.offset == other.offset
    }
    /// Its shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }
    /// Its element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }
    /// Bytes in memory, padding included.
    pub fn bytes(&self) -> u64 {
        bytes_of(&self.shape, self.dtype)
    }
    pub(crate) fn home(&self) -> Option<&Home> {
        self.home.as_ref()
    }

    /// Overwrites the tensor from the host before the next submit. Counted as a host write.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of values differs, [`Error::Argument`] if the element type differs or the tensor
    /// was made on another device.
    pub fn write<T: Element>(&self, gpu: &Gpu, values: &[T]) -> Result<()> {
        self.check_element::<T>("write")?;
        gpu.check_home(|| format!("write to tensor `{}`", self.label), self)?;
        if values.len() != self.shape.len() {
            return Err(Error::shape(
                format!("write to tensor `{}`", self.label),
                &self.label,
                format!("{} values", values.len()),
                format!("{} for {}", self.shape.len(), self.shape),
                "pass every element in memory order",
            ));
        }
        gpu.write_buffer(&self.buffer, self.offset, bytemuck::cast_slice(values))
    }

    pub(crate) fn check_element<T: Element>(&self, verb: &str) -> Result<()> {
        if T::DTYPE == self.dtype {
            return Ok(());
        }
        Err(Error::argument(
            format!("{verb} tensor `{}`", self.label),
            "element type",
            format!("is {}, the tensor holds {}", T::DTYPE, self.dtype),
        ))
    }
}

/// Bytes of a shape in memory; saturates, so that an absurd shape meets the limit check instead of wrapping.
pub(crate) fn bytes_of(shape: &Shape, dtype: DType) -> u64 {
    (shape.len() as u64).saturating_mul(dtype.size() as u64)
}

/// Writes the contexts of a compiled sampler, which has a tensor for them if its model is conditional.
///
/// # Errors
/// [`Error::Shape`] if there are too many or too few, or any where none are taken; [`Error::DeviceLost`].
pub(crate) fn write_contexts(
    gpu: &Gpu,
    operation: &str,
    tensor: Option<&Tensor>,
    contexts: &[f32],
) -> Result<()> {
    match tensor {
        Some(tensor) => tensor.write(gpu, contexts),
        None if contexts.is_empty() => Ok(()),
        None => {
            let found = format!("{} values", contexts.len());
            let hint = "give contexts to what was made for some";
            Err(Error::shape(operation, "context", found, "none", hint))
        }
    }
}
