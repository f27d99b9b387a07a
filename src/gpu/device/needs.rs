//! Limits that kernels need of a device: all that are too small are named at once, with what still
//! works.

use std::fmt::Write;

/// A limit by the name of its field in [`wgpu::Limits`].
type Limit = (&'static str, u64, fn(&wgpu::Limits) -> u64);

/// The most that a kernel of ours needs of a limit, as a device with wgpu's default limits has it.
const NEEDS: [Limit; 6] = [
    ("max_storage_buffers_per_shader_stage", 7, |limits| limits.max_storage_buffers_per_shader_stage.into()),
    ("max_compute_invocations_per_workgroup", 256, |limits| {
        limits.max_compute_invocations_per_workgroup.into()
    }),
    ("max_compute_workgroup_size_x", 256, |limits| limits.max_compute_workgroup_size_x.into()),
    ("max_compute_workgroup_storage_size", 16384, |limits| limits.max_compute_workgroup_storage_size.into()),
    ("max_dynamic_uniform_buffers_per_pipeline_layout", 2, |limits| {
        limits.max_dynamic_uniform_buffers_per_pipeline_layout.into()
    }),
    ("max_bindings_per_bind_group", 9, |limits| limits.max_bindings_per_bind_group.into()),
];

/// What takes how many storage buffers.
const STORAGE_USES: [(u32, &str); 3] = [
    (
        4,
        "Langevin chains, all of them, the lowest or a trace, and draws, on Gaussian-mixture and your own WGSL \
         energies",
    ),
    (5, "networks, their gradients, the losses, and derivative-free search"),
    (
        7,
        "training, quadratic energies, Metropolis-adjusted and Hamiltonian chains, diffusion sampling, policies",
    ),
];

/// Every limit that is too small, in one message with what still works; none if all suffice.
pub(super) fn too_small(limits: &wgpu::Limits) -> Option<String> {
    let short = NEEDS.iter().filter(|(_, needed, granted)| granted(limits) < *needed);
    let named: Vec<String> = short
        .clone()
        .map(|(name, needed, granted)| format!("{name} is {}, kernels need up to {needed}", granted(limits)))
        .collect();
    if named.is_empty() {
        return None;
    }
    let mut text = format!("limits of the device are too small: {}. ", named.join("; "));
    let storage = limits.max_storage_buffers_per_shader_stage;
    let (works, fails): (Vec<_>, Vec<_>) = STORAGE_USES.iter().partition(|(needed, _)| *needed <= storage);
    let list = |uses: &[&(u32, &str)]| {
        uses.iter().map(|(needed, words)| format!("{words} ({needed})")).collect::<Vec<_>>().join("; ")
    };
    if !fails.is_empty() {
        let works = if works.is_empty() { "none".into() } else { list(&works) };
        let _ = write!(
            text,
            "With {storage} storage buffers these still work, besides kernels of your own: {works}. These do \
             not: {}. ",
            list(&fails)
        );
    } else {
        text += "Kernels within the limits still work, others are refused when they are compiled. ";
    }
    text +=
        "Request `wgpu::Limits::default()` or the adapter's own limits as `required_limits` of the device";
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_limits_that_are_too_small_are_named_at_once() {
        assert_eq!(too_small(&wgpu::Limits::default()), None);
        let small = wgpu::Limits {
            max_storage_buffers_per_shader_stage: 4,
            max_compute_invocations_per_workgroup: 128,
            ..wgpu::Limits::default()
        };
        let text = too_small(&small).unwrap();
        for part in [
            "max_storage_buffers_per_shader_stage is 4, kernels need up to 7",
            "max_compute_invocations_per_workgroup is 128, kernels need up to 256",
            "still work, besides kernels of your own: Langevin chains",
            "do not: networks",
            "required_limits",
        ] {
            assert!(text.contains(part), "{text}: {part}");
        }
        let memory = wgpu::Limits { max_compute_workgroup_storage_size: 8192, ..wgpu::Limits::default() };
        let text = too_small(&memory).unwrap();
        assert!(text.contains("_storage_size is 8192") && !text.contains("storage buffers"), "{text}");
        let nothing = wgpu::Limits { max_storage_buffers_per_shader_stage: 2, ..wgpu::Limits::default() };
        assert!(too_small(&nothing).unwrap().contains("of your own: none. "));
    }
}
