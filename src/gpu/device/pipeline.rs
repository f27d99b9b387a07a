//! Built pipelines, and what identifies one.

use crate::gpu::record::reflect::Specialization;

/// What identifies a pipeline within a context.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PipelineKey(pub Specialization);

/// A built pipeline with its one bind group layout.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}
