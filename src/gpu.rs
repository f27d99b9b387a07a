//! Floor 1, the thin scheduler: context, tensors, kernels, recordings and plans, random streams, readback,
//! metrics, timing, errors.

pub mod advance;
mod bindings;
mod capabilities;
mod choice;
mod compile;
mod context;
mod counters;
mod dispatch;
mod fault;
pub mod finish_step;
mod groups;
mod kernel;
mod memory;
pub mod metrics;
mod optional;
mod pace;
mod pipeline_cache;
mod plan;
pub mod random;
pub mod random_words;
mod readback;
mod recording;
mod reflect;
mod source;
mod tensor;
mod tuning;
mod whole_file;
mod written;

pub use advance::RunState;
pub use bindings::Bindings;
pub use capabilities::{Capabilities, DeviceClass, Target};
pub use choice::KernelChoice;
pub(crate) use choice::choices;
pub use context::{AdoptOptions, Gpu, GpuOptions, describe};
pub use counters::Counters;
pub use dispatch::{DispatchBuilder, Param};
pub use fault::{Fault, FaultRecord};
pub use finish_step::{Column, StepReport};
pub use metrics::{MetricsRing, MetricsRow};
pub use optional::{OptionalPath, OptionalPaths, PathChoice, PathState};
pub use plan::{Plan, PlanTiming};
pub use readback::Readback;
pub use recording::{Knob, Recording, Value};
pub(crate) use reflect::Library;
pub use source::{Define, KernelSource};
pub(crate) use tensor::write_contexts;
pub use tensor::{DType, Element, Shape, Tensor, pad4};
pub use tuning::{TunedChoice, Tuning, TuningFile, VariantChoices, shape_class};
pub(crate) use whole_file::write_whole;

/// A kernel of ours, by its path below `shaders/`.
macro_rules! embedded_kernel {
    ($path:literal) => {
        $crate::gpu::KernelSource::embedded(
            $path,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path)),
        )
    };
}
pub(crate) use embedded_kernel;

/// A kernel with one set of defines, for tests that translate every shader without a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelVariant {
    /// The kernel.
    pub source: KernelSource,
    /// Constants put in front of it.
    pub defines: Vec<Define>,
    /// The class of devices it is recorded for; `None`: every class.
    pub class: Option<DeviceClass>,
    /// Optional paths that it needs.
    pub paths: OptionalPaths,
    /// The size that all subgroups must have for it; `None`: any.
    pub subgroup_size: Option<u32>,
}

impl KernelVariant {
    /// A variant of a kernel.
    pub fn new(source: &KernelSource, defines: &[(&'static str, u32)]) -> Self {
        let defines = defines.iter().map(|&(name, value)| Define { name, value }).collect();
        Self { source: source.clone(), defines, class: None, paths: OptionalPaths::NONE, subgroup_size: None }
    }

    /// The same variant, recorded for one class of devices only.
    pub fn for_class(self, class: DeviceClass) -> Self {
        Self { class: Some(class), ..self }
    }

    /// The same variant, recorded only where an optional path is on.
    pub fn needing(self, path: OptionalPath) -> Self {
        Self { paths: self.paths.with(path), ..self }
    }

    /// The same variant, recorded only where all subgroups have this size.
    pub fn for_subgroups_of(self, size: u32) -> Self {
        Self { subgroup_size: Some(size), ..self }
    }

    /// Links, parses and validates the kernel and returns its module.
    ///
    /// # Errors
    /// [`crate::Error::Shader`] with file, line and column.
    pub fn module(&self) -> crate::Result<naga::Module> {
        let special = reflect::Specialisation {
            source: self.source.clone(),
            defines: self.defines.clone(),
            overrides: Vec::new(),
        };
        Ok(reflect::reflect(&special)?.module.clone())
    }
}

/// The kernels of this floor.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    vec![
        KernelVariant::new(&advance::KERNEL, &[]),
        KernelVariant::new(&finish_step::KERNEL, &[]),
        KernelVariant::new(&metrics::KERNEL, &[]),
        KernelVariant::new(&random::KERNEL, &[("NORMAL", 0)]),
        KernelVariant::new(&random::KERNEL, &[("NORMAL", 1)]),
        KernelVariant::new(&random_words::KERNEL, &[]),
    ]
}
