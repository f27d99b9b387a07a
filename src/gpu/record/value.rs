//! Values, knobs, and what a recording knows of each.

use std::sync::Arc;

use super::shape::{DType, Shape, bytes_of};

/// A tensor of a recording: a name for memory that a plan will provide. Only valid in the recording
/// it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    pub(in crate::gpu) recording: u32,
    pub(in crate::gpu) index: u32,
}

/// A number that the host may turn between submits ([`crate::gpu::Plan::set_knob`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knob {
    pub(in crate::gpu) recording: u32,
    pub(in crate::gpu) index: usize,
}

/// Where the memory of a value comes from.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// Bound by name when the plan is compiled or encoded.
    Slot,
    /// Memory of the plan, shared by values whose lives do not overlap.
    Scratch,
    /// Uploaded once when the plan is compiled.
    Constant(Arc<[u8]>),
    /// A range of another value's bytes.
    View {
        /// Index of the value, which is no view itself.
        root: usize,
        /// First byte.
        offset: u64,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct ValueInfo {
    pub label: String,
    pub dtype: DType,
    pub shape: Shape,
    pub role: Role,
    /// Whether kernels may bind parts of it as uniform buffers.
    pub uniform: bool,
}

impl ValueInfo {
    pub(crate) fn bytes(&self) -> u64 {
        bytes_of(&self.shape, self.dtype)
    }
}
