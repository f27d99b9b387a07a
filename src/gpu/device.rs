//! The device: which adapter, what it can do, its memory and its pipelines, and what went wrong on
//! it.

pub(crate) mod adapter;
pub(crate) mod capabilities;
pub(crate) mod counters;
pub(crate) mod environment;
pub(crate) mod fault;
pub(crate) mod gpu;
pub(crate) mod home;
pub(crate) mod kernel_choice;
mod mark;
mod needs;
pub(crate) mod optional;
pub(crate) mod options;
pub(crate) mod pipeline;
pub(crate) mod pipeline_build;
pub(crate) mod pipeline_cache;
pub(crate) mod polling;
pub(crate) mod tensor;
pub(crate) mod tuning;
pub(crate) mod whole_file;
mod work;

pub use adapter::describe;
pub use capabilities::{Capabilities, DeviceClass};
pub use counters::Counters;
pub use fault::{Fault, FaultRecord};
pub use gpu::Gpu;
pub use kernel_choice::KernelChoice;
pub(crate) use kernel_choice::choices;
pub use optional::{OptionalPath, OptionalPaths, PathChoice, PathState};
pub use options::{AdoptOptions, GpuOptions};
pub use tensor::Tensor;
pub(crate) use tensor::write_contexts;
pub use tuning::{TunedChoice, Tuning, TuningFile, VariantChoices, shape_class};
pub(crate) use whole_file::write_whole;
