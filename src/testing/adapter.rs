//! The adapters that tests run on, opened once per process.

use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::Duration;

use super::expect::{Expect, Verdict, judge};
use super::failure::{Failure, fail};
use crate::gpu::{AdoptOptions, Gpu, GpuOptions, OptionalPath, OptionalPaths, describe};

/// An adapter, opened for tests: scratch memory is poisoned.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// `lavapipe`, `lavapipe-25` for Mesa 25 beside another version, `swiftshader`, or the
    /// adapter's own name.
    pub name: &'static str,
    /// The context on it.
    pub gpu: Gpu,
    /// A second context that each [`super::Case`] must agree with bit for bit.
    pub(super) twin: Option<Gpu>,
    source: wgpu::Adapter,
    configuration: Configuration,
}

/// How an adapter is opened: what the device has, less what is switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Configuration {
    /// As a user gets it: every optional path that the device has.
    #[default]
    Default,
    /// One optional path left out.
    Without(OptionalPath),
    /// Every optional path left out.
    Baseline,
    /// Shaders with every runtime check; each case must give the same bits as without.
    Checked,
}

impl Configuration {
    /// All of them, the default first.
    pub fn all() -> Vec<Self> {
        let without = OptionalPath::ALL.iter().map(|&path| Self::Without(path));
        let mut all = vec![Self::Default];
        all.extend(without.chain([Self::Baseline, Self::Checked]));
        all
    }

    fn options(self) -> GpuOptions {
        let without = match self {
            Self::Default | Self::Checked => OptionalPaths::NONE,
            Self::Without(path) => OptionalPaths::NONE.with(path),
            Self::Baseline => OptionalPaths::all(),
        };
        let checked = (self == Self::Checked).then_some(true);
        GpuOptions {
            poison: Some(true),
            checked,
            without,
            timeout: Some(Duration::from_secs(120)),
            ..GpuOptions::default()
        }
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Without(path) => write!(f, "no-{}", path.name()),
            Self::Baseline => f.write_str("baseline"),
            Self::Checked => f.write_str("checked"),
        }
    }
}

impl Adapter {
    /// Opens an adapter.
    ///
    /// # Errors
    /// [`Failure`] if the driver refuses.
    pub fn open(source: &wgpu::Adapter, configuration: Configuration) -> Result<Self, Failure> {
        let info = source.get_info();
        let open = |options: &GpuOptions| {
            Gpu::open_adapter(source, options).map_err(|error| Failure::gpu(describe(&info), error))
        };
        let options = configuration.options();
        let adapter = Self {
            name: known_name(&info).unwrap_or_else(|| kept(info.name.clone())),
            gpu: open(&options)?,
            twin: None,
            source: source.clone(),
            configuration,
        };
        match configuration {
            Configuration::Checked => {
                Ok(adapter.against(open(&GpuOptions { checked: Some(false), ..options })?))
            }
            _ => Ok(adapter),
        }
    }

    /// The same adapter, opened otherwise. Checked shaders are held against those of this one, if
    /// it is not checked itself.
    ///
    /// # Errors
    /// As [`Adapter::open`].
    pub fn with(&self, configuration: Configuration) -> Result<Self, Failure> {
        if configuration != Configuration::Checked || self.gpu.capabilities().checked {
            return Ok(Self { name: self.name, ..Self::open(&self.source, configuration)? });
        }
        // This one's pipelines are built already.
        let gpu = Gpu::open_adapter(&self.source, &configuration.options())
            .map_err(|error| Failure::gpu(self.name, error))?;
        Ok(Self { gpu, configuration, ..self.clone() }.against(self.gpu.clone()))
    }

    /// Another device on the same adapter, its shaders checked or trusted.
    ///
    /// # Panics
    /// If the driver refuses.
    #[track_caller]
    pub fn reopen(&self, checked: bool) -> Gpu {
        Gpu::open_adapter(
            &self.source,
            &GpuOptions { checked: Some(checked), ..self.configuration.options() },
        )
        .unwrap_or_else(|error| fail(Failure::gpu(self.name, error)))
    }

    /// A device of the same adapter that binds no more than so many bytes of a buffer at a time, as
    /// on machines with small limits.
    ///
    /// # Panics
    /// If the driver refuses.
    #[track_caller]
    pub fn narrow(&self, max_binding_bytes: u64) -> Gpu {
        let required_limits = wgpu::Limits {
            max_storage_buffer_binding_size: max_binding_bytes,
            max_uniform_buffer_binding_size: 16 << 10,
            ..self.source.limits()
        };
        let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
        let (device, queue) = pollster::block_on(self.source.request_device(&descriptor))
            .unwrap_or_else(|error| fail(Failure::new(self.name, error.to_string())));
        let GpuOptions { poison, timeout, checked, without, .. } = self.configuration.options();
        Gpu::adopt(&device, &queue, AdoptOptions { poison, timeout, checked, without })
    }

    /// The same adapter, each [`super::Case`] on it running on a second device as well: all tensors
    /// must hold the same bits afterwards.
    pub fn against(self, twin: Gpu) -> Self {
        Self { twin: Some(twin), ..self }
    }

    /// How it was opened.
    pub fn configuration(&self) -> Configuration {
        self.configuration
    }
}

/// Software renderers for Vulkan by the names that tests know them by, with a part of their
/// adapters' names.
const SOFTWARE: [(&str, &str); 2] = [("lavapipe", "llvmpipe"), ("swiftshader", "swiftshader")];
/// Lavapipe of another generation of Mesa than Debian 12 has.
const RECENT_LAVAPIPE: &str = "lavapipe-25";

/// Once per adapter and configuration: nothing that grows.
fn kept(name: String) -> &'static str {
    Box::leak(name.into_boxed_str())
}

/// The version of Mesa, if a driver is of Mesa: `25` for `Mesa 25.0.7-2~bpo12+1 (LLVM 15.0.6)`.
fn mesa(info: &wgpu::AdapterInfo) -> Option<&str> {
    info.driver_info.strip_prefix("Mesa ")?.split('.').next()
}

fn known_name(info: &wgpu::AdapterInfo) -> Option<&'static str> {
    let name = info.name.to_lowercase();
    let known = SOFTWARE.iter().find(|(_, part)| name.contains(part));
    known.filter(|_| info.backend == wgpu::Backend::Vulkan).map(|(name, _)| *name)
}

/// Written past the test runner's capture, so that it shows although the test passes.
pub fn say(text: &str) {
    // A closed stderr must not fail a test.
    let _ = std::io::stderr().write_all(format!("gibbs tests: {text}\n").as_bytes());
}

/// Names that must be present: those in `GIBBS_REQUIRED_ADAPTERS` (separated by commas), by default
/// both software renderers where `CI=true` and none elsewhere.
fn required() -> Vec<String> {
    let names = |list: &str| list.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>();
    match std::env::var("GIBBS_REQUIRED_ADAPTERS") {
        Ok(list) => names(&list).into_iter().filter(|name| !name.is_empty()).collect(),
        Err(_) if std::env::var("CI").as_deref() == Ok("true") => names("lavapipe,swiftshader"),
        Err(_) => Vec::new(),
    }
}

/// Every adapter of this machine that tests run on, opened once per process: Vulkan, Metal and
/// DX12, one of each software renderer. Says on stderr which were taken, left out and missed.
///
/// # Errors
/// [`Failure`] if there is none, one does not open, or one is absent that is required: under
/// `CI=true` lavapipe and SwiftShader, otherwise those listed in the environment variable
/// `GIBBS_REQUIRED_ADAPTERS`.
pub fn try_adapters() -> Result<&'static [Adapter], Failure> {
    static ADAPTERS: OnceLock<Result<Vec<Adapter>, String>> = OnceLock::new();
    let opened = ADAPTERS.get_or_init(|| open_all().map_err(|failure| failure.to_string()));
    opened.as_deref().map_err(|words| Failure::new("adapters", words))
}

/// As [`try_adapters`].
///
/// # Panics
/// Where that fails.
#[track_caller]
pub fn adapters() -> &'static [Adapter] {
    try_adapters().unwrap_or_else(|failure| fail(failure))
}

fn open_all() -> Result<Vec<Adapter>, Failure> {
    let mut opened: Vec<Adapter> = Vec::new();
    for source in Gpu::adapters(None) {
        let info = source.get_info();
        if info.backend == wgpu::Backend::Gl {
            say(&format!("left out: {}", describe(&info)));
            continue;
        }
        let of_kind = |adapter: &&Adapter| known_name(adapter.gpu.info()) == known_name(&info);
        let others: Vec<&Adapter> = match known_name(&info) {
            Some(_) => opened.iter().filter(of_kind).collect(),
            None => Vec::new(),
        };
        if others.iter().any(|other| mesa(other.gpu.info()) == mesa(&info)) {
            say(&format!("left out, a second one of its kind: {}", describe(&info)));
            continue;
        }
        let second = !others.is_empty();
        let mut adapter = Adapter::open(&source, Configuration::default())?;
        if let Some(version) = mesa(&info).filter(|_| second) {
            adapter.name = kept(format!("{}-{version}", adapter.name));
        }
        say(&format!("testing on {}: {}", adapter.name, describe(&info)));
        opened.push(adapter);
    }
    let present: Vec<(&str, String)> =
        opened.iter().map(|adapter| (adapter.name, adapter.gpu.adapter_name())).collect();
    let required = required();
    let absent = absent(&required, &present);
    if !absent.is_empty() {
        let problem = "is required and absent (see `GIBBS_REQUIRED_ADAPTERS` and `CI`)";
        return Err(Failure::new(absent.join(", "), problem));
    }
    for name in missing(opened.iter().map(|adapter| (adapter.name, adapter.gpu.info()))) {
        say(&format!("no {name} here: nothing is tested on it"));
    }
    if opened.is_empty() {
        return Err(Failure::new(
            "adapters",
            "no Vulkan, Metal or DX12 adapter; install a driver, such as Mesa's",
        ));
    }
    Ok(opened)
}

/// The software renderers that are not among adapters, by their names: lavapipe of Mesa 25 may go
/// by the plain name where there is no other.
fn missing<'a>(
    present: impl Iterator<Item = (&'a str, &'a wgpu::AdapterInfo)> + Clone,
) -> impl Iterator<Item = &'static str> {
    let is_there = move |known: &str| {
        let recent = |info| mesa(info).is_some_and(|version| version.parse().is_ok_and(|v: u32| v >= 25));
        present.clone().any(|(name, info)| {
            name == known || known == RECENT_LAVAPIPE && known_name(info) == Some("lavapipe") && recent(info)
        })
    };
    let all = SOFTWARE.map(|(name, _)| name).into_iter().chain([RECENT_LAVAPIPE]);
    all.filter(move |known| !is_there(known))
}

/// As [`try_adapters`], the names of the software renderers that tests know and that are not here.
///
/// # Errors
/// As [`try_adapters`].
pub fn missing_adapters() -> Result<Vec<&'static str>, Failure> {
    let all = try_adapters()?;
    Ok(missing(all.iter().map(|adapter| (adapter.name, adapter.gpu.info()))).collect())
}

/// The required names that no adapter answers to.
fn absent<'a>(required: &'a [String], present: &[(&str, String)]) -> Vec<&'a str> {
    let answers = |wanted: &str| {
        let wanted = wanted.to_lowercase();
        present.iter().any(|(name, words)| *name == wanted || words.to_lowercase().contains(&wanted))
    };
    required.iter().map(String::as_str).filter(|name| !answers(name)).collect()
}

/// For tests that need one adapter only: lavapipe, or the first one there is.
///
/// # Panics
/// As [`adapters`].
#[track_caller]
pub fn first_adapter() -> &'static Adapter {
    let all = adapters();
    all.iter().find(|adapter| adapter.name == "lavapipe").unwrap_or_else(|| {
        say(&format!("a test meant for lavapipe runs on {}", all[0].name));
        &all[0]
    })
}

/// Runs a test on every adapter of [`try_adapters`]. A panic counts as a failure; `expectations`
/// whose case is `case` say where it must fail.
///
/// # Errors
/// The failures of all adapters together, and expected failures that did not occur.
pub fn on_every_adapter(
    case: &str,
    expectations: &[Expect],
    test: impl Fn(&Adapter) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for adapter in try_adapters()? {
        let outcome = outcome_of(|| test(adapter));
        match judge(expectations, case, adapter.gpu.info(), outcome) {
            Ok(Verdict::Passed) => {}
            Ok(Verdict::ExpectedFailure(words)) => say(&format!("{}: {case}: {words}", adapter.name)),
            Err(failure) => failures.push(failure.within(adapter.name).to_string()),
        }
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(case, failures.join("\n"))),
    }
}

/// What a test came to; a panic is a failure with its words.
fn outcome_of(test: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(test)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Failure::new("", text.unwrap_or_else(|| "panicked without words".into())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_adapter_is_noticed() {
        let present =
            [("lavapipe", "llvmpipe (Vulkan)".to_owned()), ("Big Card", "Big Card (Vulkan)".to_owned())];
        let required = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(absent(&required(&["lavapipe", "big"]), &present), [""; 0]);
        assert_eq!(absent(&required(&["swiftshader", "lavapipe"]), &present), ["swiftshader"]);
        assert_eq!(absent(&required(&["lavapipe"]), &[]), ["lavapipe"]);
    }

    #[test]
    fn versions_of_lavapipe_are_told_apart() {
        let adapter = |name: &str, driver_info: &str| {
            let mut info = wgpu::AdapterInfo::new(wgpu::DeviceType::Cpu, wgpu::Backend::Vulkan);
            (info.name, info.driver_info) = (name.into(), driver_info.into());
            info
        };
        let old = adapter("llvmpipe (LLVM 15.0.6, 256 bits)", "Mesa 22.3.6 (LLVM 15.0.6)");
        let new = adapter("llvmpipe (LLVM 15.0.6, 256 bits)", "Mesa 25.0.7-2~bpo12+1 (LLVM 15.0.6)");
        let other = adapter("SwiftShader Device (LLVM 10.0.0)", "SwiftShader driver-5.0.0");
        assert_eq!([mesa(&old), mesa(&new), mesa(&other)], [Some("22"), Some("25"), None]);
        let absent = |present: &[(&'static str, &wgpu::AdapterInfo)]| -> Vec<&str> {
            missing(present.iter().copied()).collect()
        };
        assert_eq!(absent(&[("lavapipe", &old)]), ["swiftshader", "lavapipe-25"]);
        assert_eq!(absent(&[("lavapipe", &old), ("lavapipe-25", &new)]), ["swiftshader"]);
        assert_eq!(absent(&[("lavapipe", &new), ("swiftshader", &other)]), [""; 0]);
        let recent = crate::testing::Match::adapter("llvmpipe").version("Mesa 25");
        assert!(recent.fits(&new) && !recent.fits(&old));
    }

    #[test]
    fn panics_are_failures_with_their_words() {
        assert!(outcome_of(|| Ok(())).is_ok());
        let words = |test: fn() -> Result<(), Failure>| outcome_of(test).unwrap_err().to_string();
        assert_eq!(words(|| Err(Failure::new("here", "wrong"))), "here: wrong");
        assert_eq!(words(|| panic!("value {}", 3)), "value 3");
        assert_eq!(words(|| panic!("plain")), "plain");
    }
}
