//! Paths that not every device has, each with a switch: a new one is a line in each `match` here.

use std::fmt;

/// A path that not every device has. The library works without any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum OptionalPath {
    /// Timing of plans on the device, by timestamps at the borders of passes.
    Timestamps,
    /// Kernels that share what they load within a subgroup; each also says which subgroup size it
    /// takes.
    Subgroups,
    /// Compiled pipelines kept in a file between runs, where the options name a folder.
    PipelineCache,
}

impl OptionalPath {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Timestamps, Self::Subgroups, Self::PipelineCache];

    /// Its name in tables and test names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timestamps => "timestamps",
            Self::Subgroups => "subgroups",
            Self::PipelineCache => "pipeline-cache",
        }
    }

    /// The environment variable that switches it off.
    pub const fn switch(self) -> &'static str {
        match self {
            Self::Timestamps => "GIBBS_NO_TIMESTAMPS",
            Self::Subgroups => "GIBBS_NO_SUBGROUPS",
            Self::PipelineCache => "GIBBS_NO_PIPELINE_CACHE",
        }
    }

    /// Features that a device must have for it.
    pub const fn features(self) -> wgpu::Features {
        match self {
            Self::Timestamps => wgpu::Features::TIMESTAMP_QUERY,
            Self::Subgroups => wgpu::Features::SUBGROUP,
            Self::PipelineCache => wgpu::Features::PIPELINE_CACHE,
        }
    }

    /// Where it stands. `offered`: features that the device has, or could have been opened with;
    /// `off`: paths whose switch is set.
    pub(in crate::gpu) fn state(
        self,
        enabled: wgpu::Features,
        offered: wgpu::Features,
        without: OptionalPaths,
        off: OptionalPaths,
    ) -> PathState {
        let choice = match () {
            () if off.contains(self) => PathChoice::SwitchedOff,
            () if without.contains(self) => PathChoice::LeftOut,
            () if !enabled.contains(self.features()) => PathChoice::Missing(self.features() - enabled),
            () => PathChoice::On,
        };
        PathState { path: self, available: offered.contains(self.features()), choice }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of optional paths.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct OptionalPaths(u32);

impl OptionalPaths {
    /// No path.
    pub const NONE: Self = Self(0);

    /// All paths.
    pub fn all() -> Self {
        OptionalPath::ALL.iter().copied().collect()
    }

    /// This set and `path`.
    pub const fn with(self, path: OptionalPath) -> Self {
        Self(self.0 | path.bit())
    }

    /// Whether `path` is in the set.
    pub const fn contains(self, path: OptionalPath) -> bool {
        self.0 & path.bit() != 0
    }

    /// Whether all of this set is in `other`.
    pub const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The paths of the set.
    pub fn iter(self) -> impl Iterator<Item = OptionalPath> {
        OptionalPath::ALL.iter().copied().filter(move |path| self.contains(*path))
    }
}

impl FromIterator<OptionalPath> for OptionalPaths {
    fn from_iter<T: IntoIterator<Item = OptionalPath>>(paths: T) -> Self {
        paths.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for OptionalPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Where an optional path stands on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathState {
    /// The path.
    pub path: OptionalPath,
    /// Whether the device has it, or could have been opened with it.
    pub available: bool,
    /// Whether it is on, and why not.
    pub choice: PathChoice,
}

/// Whether an optional path is on, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathChoice {
    /// It is taken.
    On,
    /// Its environment variable says so.
    SwitchedOff,
    /// The options leave it out.
    LeftOut,
    /// The device lacks these features.
    Missing(wgpu::Features),
}

impl fmt::Display for PathState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.choice {
            PathChoice::On => write!(f, "on")?,
            PathChoice::SwitchedOff => write!(f, "off: {} is set", self.path.switch())?,
            PathChoice::LeftOut => write!(f, "off: left out by the options")?,
            PathChoice::Missing(features) => write!(f, "off: the device lacks {features:?}")?,
        }
        match (self.choice, self.available) {
            (PathChoice::SwitchedOff | PathChoice::LeftOut, false) => write!(f, " (and the device lacks it)"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_on_where_the_device_has_it_and_nobody_switched_it_off() {
        let (path, none) = (OptionalPath::Timestamps, wgpu::Features::empty());
        let (all, nothing) = (path.features(), OptionalPaths::NONE);
        let off = path.state(all, all, nothing, nothing.with(path));
        assert_eq!((off.available, off.choice), (true, PathChoice::SwitchedOff));
        assert!(off.to_string().contains(path.switch()), "{off}");
        assert_eq!(path.state(all, all, nothing, nothing).to_string(), "on");
        let missing = path.state(none, none, nothing, nothing);
        assert_eq!((missing.available, missing.choice), (false, PathChoice::Missing(all)));
        assert!(missing.to_string().contains("TIMESTAMP_QUERY"), "{missing}");
        let left_out = path.state(none, all, OptionalPaths::all(), nothing);
        assert_eq!((left_out.available, left_out.choice), (true, PathChoice::LeftOut));
        assert!(!left_out.to_string().contains("lacks"), "{left_out}");
        assert!(path.state(none, none, OptionalPaths::all(), nothing).to_string().contains("lacks"));
    }

    #[test]
    fn paths_have_names_and_switches_of_their_own() {
        for (at, path) in OptionalPath::ALL.iter().enumerate() {
            assert_eq!(path.bit(), 1 << at, "{path:?} is missing from ALL, or out of order");
            assert_eq!(path.switch(), format!("GIBBS_NO_{}", path.name().to_uppercase().replace('-', "_")));
            assert!(OptionalPaths::NONE.with(*path).contains(*path) && !OptionalPaths::NONE.contains(*path));
        }
        assert_eq!(OptionalPaths::all().iter().count(), OptionalPath::ALL.len());
        assert!(OptionalPaths::NONE.is_within(OptionalPaths::NONE));
        assert!(!OptionalPaths::all().is_within(OptionalPaths::NONE));
    }
}
