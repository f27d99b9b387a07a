//! How to open a device, or to work on one that a host owns.

use std::path::PathBuf;
use std::time::Duration;

use super::fault::Fault;
use super::optional::OptionalPaths;

/// How to choose and open an adapter.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct GpuOptions {
    /// A part of the adapter's name, driver or backend ("llvmpipe", "nvidia", "metal"), in any
    /// case. When absent, the environment variable `GIBBS_ADAPTER` is taken; when that is absent
    /// too, the first adapter in the order discrete, integrated, virtual, CPU; then Vulkan, Metal
    /// and DX12 before GL; lavapipe before SwiftShader.
    pub adapter: Option<String>,
    /// Backends to look at; all of them by default.
    pub backends: Option<wgpu::Backends>,
    /// Compile shaders with every runtime check. Default: the environment variable `GIBBS_CHECKED`.
    pub checked: Option<bool>,
    /// Optional paths to leave out although the device has them.
    pub without: OptionalPaths,
    /// Fill fresh scratch buffers with a signalling pattern, so that a read before the first write
    /// shows. Default: on in debug builds.
    pub poison: Option<bool>,
    /// Longest wait for the device before [`crate::Error::Timeout`]. Default: 60 s.
    pub timeout: Option<Duration>,
    /// A folder, made if it is not there, in which compiled pipelines are kept between runs, one
    /// file per adapter and driver. Default: the environment variable `GIBBS_PIPELINE_CACHE`;
    /// without either nothing is kept. Backends other than Vulkan keep nothing.
    pub pipeline_cache: Option<PathBuf>,
    /// A fault to cause on purpose, as by [`crate::Gpu::inject`]. Default: the environment variable
    /// `GIBBS_FAULT`.
    pub fault: Option<Fault>,
}

crate::error::setters!(GpuOptions {
    with_adapter => adapter: into Option<String>,
    with_backends => backends: into Option<wgpu::Backends>,
    with_checked => checked: into Option<bool>,
    with_without => without: OptionalPaths,
    with_poison => poison: into Option<bool>,
    with_timeout => timeout: into Option<Duration>,
    with_pipeline_cache => pipeline_cache: into Option<PathBuf>,
    with_fault => fault: into Option<Fault>,
});

/// How to work on a device that somebody else owns.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AdoptOptions {
    /// As [`GpuOptions::checked`].
    pub checked: Option<bool>,
    /// As [`GpuOptions::without`].
    pub without: OptionalPaths,
    /// As [`GpuOptions::poison`].
    pub poison: Option<bool>,
    /// As [`GpuOptions::timeout`].
    pub timeout: Option<Duration>,
}

crate::error::setters!(AdoptOptions {
    with_checked => checked: into Option<bool>,
    with_without => without: OptionalPaths,
    with_poison => poison: into Option<bool>,
    with_timeout => timeout: into Option<Duration>,
});
