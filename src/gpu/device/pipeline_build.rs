//! From a kernel's text to a pipeline: preflight, error scopes, and nothing else.

use std::sync::Arc;
use std::time::Instant;

use super::counters::count;
use super::pipeline::{Pipeline, PipelineKey};
use super::pipeline_cache::PipelineCache;
use crate::Result;
use crate::gpu::Gpu;
use crate::gpu::record::reflect::{Access, Interface, Specialization, reflect};

/// The runtime checks our shaders are compiled with.
fn runtime_checks(checked: bool) -> wgpu::ShaderRuntimeChecks {
    let mut checks = wgpu::ShaderRuntimeChecks::checked();
    checks.force_loop_bounding = checked;
    checks
}

/// Builds all the pipelines a plan needs, those not yet known in parallel. Each thread has its own
/// error scopes, which are per thread in wgpu.
pub(crate) fn build_all(gpu: &Gpu, wanted: &[Specialization]) -> Result<Vec<Arc<Pipeline>>> {
    let mut missing: Vec<&Specialization> = Vec::new();
    for special in wanted {
        let known = gpu.cached_pipeline(&PipelineKey(special.clone())).is_some();
        if !known && !missing.contains(&special) {
            missing.push(special);
        }
    }
    // wgpu panics where a thread waits for a GL context longer than a few seconds, less than a
    // compiler may hold it.
    let serial = gpu.info().backend == wgpu::Backend::Gl;
    let threads = if serial { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
    let threads = threads.min(missing.len());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let Some(special) = missing.get(index) else { return Ok(()) };
                        let pipeline = build(gpu, special)?;
                        gpu.keep_pipeline(PipelineKey((*special).clone()), Arc::new(pipeline));
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err(gpu.device_error("build pipelines", "a worker thread panicked")))
            })
            .collect()
    });
    results.into_iter().collect::<Result<Vec<()>>>()?;
    if let Some(cache) = gpu.pipeline_cache().filter(|_| !missing.is_empty())
        && let Err(error) = cache.save()
    {
        // Only the next start is slower for it.
        log::warn!("{error}");
    }
    wanted
        .iter()
        .map(|special| match gpu.cached_pipeline(&PipelineKey(special.clone())) {
            Some(pipeline) => Ok(pipeline),
            None => Ok(Arc::new(build(gpu, special)?)),
        })
        .collect()
}

fn build(gpu: &Gpu, special: &Specialization) -> Result<Pipeline> {
    let interface = reflect(special)?;
    let stem = special.source.stem();
    let operation = format!("pipeline `{stem}`");
    preflight(gpu, &operation, &interface)?;
    let entries: Vec<_> = layout_entries(&interface);
    let device = gpu.device();
    count(&gpu.counting().pipelines, 1);
    let checked = gpu.capabilities().checked || !special.source.is_trusted();
    let begun = Instant::now();
    let built = gpu.scoped(&operation, || {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(stem),
            source: wgpu::ShaderSource::Naga(std::borrow::Cow::Owned(interface.module.clone())),
        };
        // SAFETY: bounds checks stay on. The loop counter is left out for our own kernels alone,
        // whose loops have constant, override or uniform bounds (house rule 7 for shaders); a
        // user's kernel keeps it.
        let module = unsafe { device.create_shader_module_trusted(descriptor, runtime_checks(checked)) };
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(stem),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(stem),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(stem),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(stem),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: gpu.pipeline_cache().map(PipelineCache::cache),
        });
        Pipeline { pipeline, layout }
    });
    let defines = special.defines.iter().map(|define| format!("{}={}", define.name, define.value));
    let defines: Vec<_> = defines.collect();
    log::debug!("{operation} [{}]: {:.3} s", defines.join(" "), begun.elapsed().as_secs_f64());
    built
}

fn layout_entries(interface: &Interface) -> Vec<wgpu::BindGroupLayoutEntry> {
    let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty,
        count: None,
    };
    let tensors = interface.bindings.iter().map(|info| {
        let ty = match info.access {
            Access::Uniform => wgpu::BufferBindingType::Uniform,
            access => wgpu::BufferBindingType::Storage { read_only: access == Access::Read },
        };
        let ty = wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: std::num::NonZeroU64::new(info.min_bytes),
        };
        entry(info.binding, ty)
    });
    let uniforms = [&interface.params, &interface.knobs].into_iter().flatten().map(|info| {
        let ty = wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Uniform,
            has_dynamic_offset: true,
            min_binding_size: std::num::NonZeroU64::new(info.bytes),
        };
        entry(info.binding, ty)
    });
    tensors.chain(uniforms).collect()
}

/// Checks what wgpu does not (total workgroup memory, sizes behind overrides) and what it reports
/// late.
fn preflight(gpu: &Gpu, operation: &str, interface: &Interface) -> Result<()> {
    let limits = &gpu.capabilities().limits;
    let [x, y, z] = interface.workgroup_size.map(u64::from);
    let storage = interface.bindings.iter().filter(|info| info.access != Access::Uniform).count() as u64;
    let checks: [(&str, u64, u32); 6] = [
        ("workgroup size x", x, limits.max_compute_workgroup_size_x),
        ("workgroup size y", y, limits.max_compute_workgroup_size_y),
        ("workgroup size z", z, limits.max_compute_workgroup_size_z),
        ("invocations per workgroup", x * y * z, limits.max_compute_invocations_per_workgroup),
        ("workgroup memory in bytes", interface.workgroup_bytes, limits.max_compute_workgroup_storage_size),
        ("storage bindings", storage, limits.max_storage_buffers_per_shader_stage),
    ];
    for (what, asked, granted) in checks {
        if asked > u64::from(granted) {
            let hint = gpu.capabilities().limits_too_small().unwrap_or_else(|| {
                "make the kernel's needs smaller, or ask for more in the `required_limits` of the device"
                    .into()
            });
            return Err(gpu.limit_error(operation, what, asked, u64::from(granted), &hint));
        }
    }
    Ok(())
}
