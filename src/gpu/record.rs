//! Recordings: what a plan will do, as plain data, checked against the text of its kernels.

pub(crate) mod bindings;
pub(crate) mod dispatch;
pub(crate) mod dispatch_builder;
pub(crate) mod kernel_variant;
pub(crate) mod recording;
pub(crate) mod reflect;
pub(crate) mod row_range;
pub(crate) mod shape;
pub mod shared_layout;
pub(crate) mod source;
pub(crate) mod stream;
pub(crate) mod target;
mod unread;
pub(crate) mod value;
pub(crate) mod written;

pub use bindings::Bindings;
pub use dispatch::Param;
pub use dispatch_builder::DispatchBuilder;
pub use kernel_variant::KernelVariant;
pub use recording::Recording;
pub(crate) use reflect::Library;
pub use shape::{DType, Element, Shape, pad4};
pub use source::{Define, KernelSource};
pub use target::Target;
pub use value::{Knob, Value};
