//! Floor 1, the thin scheduler: devices and their memory, recordings, plans, and running them.

pub mod device;
pub mod plan;
pub mod record;
pub mod run;

pub use device::{
    AdoptOptions, Capabilities, Counters, DeviceClass, Fault, FaultRecord, Gpu, GpuOptions, KernelChoice,
    OptionalPath, OptionalPaths, PathChoice, PathState, Tensor, TunedChoice, Tuning, TuningFile,
    VariantChoices, describe, shape_class,
};
pub(crate) use device::{choices, write_contexts, write_whole};
pub use plan::{DispatchTiming, Plan, PlanTiming};
pub(crate) use record::Library;
pub use record::shared_layout::{MemberType, SharedConstant, SharedType, StructLayout};
pub(crate) use record::shared_layout::{shared_constant, shared_struct};
pub use record::{
    Bindings, DType, Define, DispatchBuilder, Element, KernelSource, KernelVariant, Knob, Param, Recording,
    Shape, Target, Value, pad4,
};
pub use run::{Column, MetricsRing, MetricsRow, Points, Readback, RunState, StepReport};

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

/// Largest energy, log-density or output, in size, that kernels promise to work with.
pub const MAX_MAGNITUDE: f32 = 1e36;

/// The structs that kernels of this room share with the host.
pub(crate) fn shared_structs() -> Vec<StructLayout> {
    let mut all = run::advance::shared_structs();
    all.extend(run::metrics::shared_structs());
    all
}

/// The constants that kernels of this room share with the host.
pub(crate) fn shared_constants() -> Vec<SharedConstant> {
    let header = run::metrics::RingHeader::WORDS as f64;
    vec![
        shared_constant("lib/finite.wgsl", "MAX_MAGNITUDE", MAX_MAGNITUDE.into()),
        shared_constant("lib/ring.wgsl", "RING_HEADER_WORDS", header),
        shared_constant("gpu/run/finish_step.wgsl", "NONE", run::finish_step::NONE.into()),
    ]
}

/// The kernels of this floor.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    run::kernels()
}
