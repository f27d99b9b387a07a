//! Kernels with one set of defines: what tests and tools that need no device translate.

use super::reflect::{Specialization, reflect};
use super::source::{Define, KernelSource};
use crate::gpu::device::capabilities::DeviceClass;
use crate::gpu::device::optional::{OptionalPath, OptionalPaths};

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
        let special = Specialization {
            source: self.source.clone(),
            defines: self.defines.clone(),
            overrides: Vec::new(),
        };
        Ok(reflect(&special)?.module.clone())
    }
}
