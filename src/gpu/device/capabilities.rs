//! What the device offers, read once, with a switch for each optional path.

use std::fmt;

use super::environment::Switches;
use super::needs;
use super::optional::{OptionalPath, OptionalPaths, PathChoice, PathState};

/// What a device wants of a kernel: the choice of variants goes by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceClass {
    /// A software renderer: few cores, no cost for large register blocks, dear loads.
    Cpu,
    /// Anything else.
    Gpu,
}

/// Limits and optional features of one device.
///
/// Each optional path can be switched off by an environment variable or the options, so that the
/// baseline is testable on every machine: `GIBBS_NO_TIMESTAMPS=1`, `GIBBS_NO_SUBGROUPS=1`,
/// `GIBBS_NO_PIPELINE_CACHE=1`; `true`, `yes` and `on` are 1, and `0`, `false`, `no` and `off`
/// leave it on. `GIBBS_CHECKED=1` compiles shaders with every runtime check on (slow); the default
/// leaves only the loop counter out, because each loop of ours has a bound that is constant or
/// uniform.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// The device's limits.
    pub limits: wgpu::Limits,
    /// The device's features.
    pub features: wgpu::Features,
    /// Which kernel variants are taken.
    pub class: DeviceClass,
    /// Every optional path: whether the device has it, whether it is on, and why not.
    pub paths: Vec<PathState>,
    /// Whether shaders are compiled with every runtime check, the loop counter included.
    pub checked: bool,
    /// The size of every subgroup, where the device has subgroup operations, one size only, and no
    /// shader is compiled with every check.
    pub subgroup_size: Option<u32>,
}

impl Capabilities {
    /// The features of the optional paths that are wanted: what gibbs asks for when it opens a
    /// device itself.
    pub(super) fn wanted(without: OptionalPaths, switches: Switches) -> wgpu::Features {
        let all = OptionalPath::ALL.iter();
        let wanted = all.filter(|path| !without.contains(**path) && !switches.off.contains(**path));
        wanted.fold(wgpu::Features::empty(), |sum, path| sum | path.features())
    }

    /// `offered`: the features that the device could have been opened with.
    pub(super) fn of(
        device: &wgpu::Device,
        offered: wgpu::Features,
        without: OptionalPaths,
        checked: Option<bool>,
        switches: Switches,
    ) -> Self {
        let features = device.features();
        let info = device.adapter_info();
        let one_size = info.subgroup_min_size == info.subgroup_max_size;
        let checked = checked.unwrap_or(switches.checked);
        // With a counter in every loop nothing is unrolled: lavapipe then compiles for minutes what
        // subgroups share.
        let subgroups = features.contains(wgpu::Features::SUBGROUP) && one_size && !checked;
        let class = match info.device_type {
            wgpu::DeviceType::Cpu => DeviceClass::Cpu,
            _ => DeviceClass::Gpu,
        };
        Self {
            limits: device.limits(),
            features,
            class,
            paths: OptionalPath::ALL
                .iter()
                .map(|path| path.state(features, offered | features, without, switches.off))
                .collect(),
            checked,
            subgroup_size: subgroups.then_some(info.subgroup_min_size),
        }
    }

    /// The optional paths that are taken.
    pub fn on(&self) -> OptionalPaths {
        self.paths.iter().filter(|state| state.choice == PathChoice::On).map(|state| state.path).collect()
    }

    /// Every limit that is too small for some kernel of ours, in one message with what still works
    /// and what to ask of the device; nothing where all suffice, as wgpu's defaults do.
    pub fn limits_too_small(&self) -> Option<String> {
        needs::too_small(&self.limits)
    }

    /// Largest tensor, in bytes. A dispatch may see less of it at a time:
    /// [`Capabilities::max_binding_bytes`].
    pub fn max_tensor_bytes(&self) -> u64 {
        self.limits.max_buffer_size
    }

    /// Most bytes of a tensor that one dispatch can bind.
    pub fn max_binding_bytes(&self) -> u64 {
        self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size)
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = &self.limits;
        writeln!(f, "kernel variants      {:?}", self.class)?;
        writeln!(f, "largest tensor       {} MiB", self.max_tensor_bytes() >> 20)?;
        writeln!(f, "largest binding      {} MiB", self.max_binding_bytes() >> 20)?;
        writeln!(f, "storage bindings     {}", limits.max_storage_buffers_per_shader_stage)?;
        writeln!(f, "invocations          {}", limits.max_compute_invocations_per_workgroup)?;
        writeln!(f, "workgroup memory     {} KiB", limits.max_compute_workgroup_storage_size >> 10)?;
        for state in &self.paths {
            writeln!(f, "{:<20} {state}", state.path.name())?;
        }
        write!(f, "shader checks        {}", if self.checked { "all" } else { "all but loop counters" })?;
        match self.limits_too_small() {
            Some(words) => write!(f, "\n{words}"),
            None => Ok(()),
        }
    }
}
