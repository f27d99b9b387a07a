//! Dispatches: one kernel with its bindings, parameters and grid.

use super::reflect::{Access, Specialization};
use super::shape::DType;

#[derive(Clone, Debug)]
pub(crate) struct BoundValue {
    pub binding: u32,
    pub name: String,
    pub access: Access,
    pub value: usize,
}

/// The `knobs` uniform of a dispatch.
#[derive(Clone, Debug)]
pub(crate) struct KnobBlock {
    /// Its bytes at first.
    pub bytes: Vec<u8>,
    /// Byte offsets and the knobs that fill them.
    pub places: Vec<(u32, usize)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    pub label: String,
    pub special: Specialization,
    pub bound: Vec<BoundValue>,
    /// Bytes of the `params` uniform.
    pub params: Option<Vec<u8>>,
    pub knobs: Option<KnobBlock>,
    pub grid: [u32; 3],
    pub flops: u64,
}

/// A number for a member of a kernel's `params`.
#[derive(Clone, Copy, Debug)]
pub enum Param {
    /// Unsigned integer.
    U32(u32),
    /// Signed integer.
    I32(i32),
    /// Float.
    F32(f32),
}

impl From<u32> for Param {
    fn from(value: u32) -> Self {
        Param::U32(value)
    }
}
impl From<i32> for Param {
    fn from(value: i32) -> Self {
        Param::I32(value)
    }
}
impl From<f32> for Param {
    fn from(value: f32) -> Self {
        Param::F32(value)
    }
}

impl Param {
    pub(super) fn parts(self) -> (DType, [u8; 4]) {
        match self {
            Param::U32(value) => (DType::U32, value.to_ne_bytes()),
            Param::I32(value) => (DType::I32, value.to_ne_bytes()),
            Param::F32(value) => (DType::F32, value.to_ne_bytes()),
        }
    }
}
