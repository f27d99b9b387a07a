//! Which adapters there are, and which one is taken.

use super::environment;
use super::options::GpuOptions;
use crate::{Error, Result};

/// Every adapter present, best first.
pub(super) async fn adapters(backends: Option<wgpu::Backends>) -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    if let Some(backends) = backends {
        descriptor.backends = backends;
    }
    let mask = descriptor.backends;
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = instance.enumerate_adapters(mask).await;
    adapters.sort_by_key(|adapter| preference(&adapter.get_info()));
    adapters
}

/// The adapter that `Gpu::open` takes.
///
/// # Errors
/// [`Error::NoAdapter`] with the list of those present; [`Error::Argument`] if the environment
/// names a backend that there is not.
pub(super) async fn choose(options: &GpuOptions) -> Result<wgpu::Adapter> {
    if options.backends.is_none() {
        environment::check_backends()?;
    }
    let wanted = options.adapter.clone().or_else(|| std::env::var("GIBBS_ADAPTER").ok());
    let adapters = adapters(options.backends).await;
    let chosen = adapters.iter().find(|adapter| match &wanted {
        Some(part) => describe(&adapter.get_info()).to_lowercase().contains(&part.to_lowercase()),
        None => true,
    });
    let Some(adapter) = chosen else {
        let present: Vec<_> = adapters.iter().map(|a| describe(&a.get_info())).collect();
        let backends = environment::backends().filter(|_| options.backends.is_none());
        let mut asked = match (wanted, &options.adapter) {
            (Some(part), Some(_)) => format!("`{part}`"),
            (Some(part), None) => format!("GIBBS_ADAPTER=`{part}`"),
            (None, _) => "any adapter".into(),
        };
        if let Some(backends) = backends {
            asked += &format!(" among the backends of {backends}");
        }
        return Err(Error::NoAdapter {
            asked,
            present: if present.is_empty() { "none".into() } else { present.join("; ") },
        });
    };
    Ok(adapter.clone())
}

/// One line naming an adapter, its driver and backend.
pub fn describe(info: &wgpu::AdapterInfo) -> String {
    let driver = [info.driver.as_str(), info.driver_info.as_str()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    format!(
        "{} ({:?}, {})",
        info.name,
        info.backend,
        if driver.is_empty() { "no driver name" } else { &driver }
    )
}

fn preference(info: &wgpu::AdapterInfo) -> (u8, u8, u8, String, String) {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Cpu => 3,
        wgpu::DeviceType::Other => 4,
    };
    let backend = match info.backend {
        wgpu::Backend::Vulkan | wgpu::Backend::Metal | wgpu::Backend::Dx12 => 0,
        _ => 1,
    };
    // A GL adapter of a software renderer calls itself "other": never before its Vulkan twin.
    let software = u8::from(info.name.to_lowercase().contains("swiftshader"));
    // Two versions of one driver have one name; the loader's order is not to decide.
    (kind, backend, software, info.name.clone(), info.driver_info.clone())
}
