//! What a recording must know of the device it is meant for.

use crate::gpu::device::capabilities::{Capabilities, DeviceClass};
use crate::gpu::device::gpu::Gpu;
use crate::gpu::device::optional::OptionalPaths;

/// What a recording must know of the device it is meant for: plain data, so that recording needs no
/// device.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which kernel variants are taken.
    pub class: DeviceClass,
    /// Most bytes of a tensor that one dispatch can bind; networks cut larger ones into ranges of
    /// rows.
    pub max_binding_bytes: u64,
    /// The optional paths that kernel variants may use.
    pub paths: OptionalPaths,
    /// The size of every subgroup, where the device has subgroup operations, one size only, and no
    /// shader is compiled with every check.
    pub subgroup_size: Option<u32>,
    /// The context whose [`crate::gpu::Tuning`] chooses variants ([`Gpu::target`]); none: the
    /// table.
    pub tuner: Option<Gpu>,
}

/// What every WebGPU device grants.
const LEAST_BINDING_BYTES: u64 = 128 << 20;

impl From<DeviceClass> for Target {
    /// A device of that class with no more than WebGPU's default limits and no optional path; the
    /// table chooses variants.
    fn from(class: DeviceClass) -> Self {
        Self {
            class,
            max_binding_bytes: LEAST_BINDING_BYTES,
            paths: OptionalPaths::NONE,
            subgroup_size: None,
            tuner: None,
        }
    }
}

impl Capabilities {
    /// What a recording for this device must know; the table chooses its variants. A recording that
    /// follows the tuning of a context takes [`Gpu::target`].
    pub fn target(&self) -> Target {
        Target {
            class: self.class,
            max_binding_bytes: self.max_binding_bytes(),
            paths: self.on(),
            subgroup_size: self.subgroup_size,
            tuner: None,
        }
    }
}

impl Gpu {
    /// What a recording for this device must know, the tuning included: for
    /// [`crate::gpu::Recording::tuned`].
    pub fn target(&self) -> Target {
        let tuner = self.tuner().is_active().then(|| self.clone());
        Target { tuner, ..self.capabilities().target() }
    }
}
