//! Tensors: labeled slices of device buffers with a shape and an element type.

use super::home::Home;
use crate::gpu::Gpu;
use crate::gpu::record::shape::{DType, Element, Shape, bytes_of};
use crate::{Error, Result};

/// A labeled slice of a buffer with a shape and an element type. A cheap clone: copies share the
/// buffer.
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

    /// A tensor round a buffer that somebody else made, from byte `offset` on. The buffer needs the
    /// usage `STORAGE` (`COPY_SRC` too if it is to be read back, `COPY_DST` if written from the
    /// host). It must belong to the device that it is used on, which nothing here can check.
    ///
    /// # Errors
    /// [`Error::Shape`] if the buffer is too small, [`Error::Argument`] if `offset` is not a
    /// multiple of 256 or the usage is missing.
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
    pub(in crate::gpu) fn is_same_memory(&self, other: &Self) -> bool {
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
    /// Overwrites the tensor from the host before the next submit. Counted as a host write.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of values differs, [`Error::Argument`] if the element type
    /// differs or the tensor was made on another device.
    pub fn write<T: Element>(&self, gpu: &Gpu, values: &[T]) -> Result<()> {
        self.check_element::<T>("write")?;
        self.check_home(gpu, || format!("write to tensor `{}`", self.label))?;
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

    /// Fails if memory was made on another device. wgpu numbers what it makes per instance, so that
    /// a buffer of one device would stand for some other buffer on the next.
    pub(crate) fn check_home(&self, gpu: &Gpu, operation: impl FnOnce() -> String) -> Result<()> {
        match &self.home {
            Some(home) if !home.is(gpu.home()) => {
                let there = home.adapter_name();
                let problem = format!(
                    "was made on another device, {there}; make it with the context that the plan was compiled for"
                );
                Err(Error::argument(operation(), format!("tensor `{}`", self.label), problem))
            }
            _ => Ok(()),
        }
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

/// Writes the contexts of a compiled sampler, which has a tensor for them if its model is
/// conditional.
///
/// # Errors
/// [`Error::Shape`] if there are too many or too few, or any where none are taken;
/// [`Error::DeviceLost`].
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
