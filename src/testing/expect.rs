//! Known failures as data: on which adapters, with which words, why, and where it is reported.

use super::failure::Failure;
use crate::gpu::describe;

/// A failure that is expected on some adapters. One that does not occur is itself a failure, so
/// that the list shrinks when a driver is mended; one with other words is not covered.
///
/// ```
/// use gibbs::testing::{Expect, Match};
/// let known = Expect::fails("sampler::draws")
///     .on(Match::adapter("llvmpipe").backend(gibbs::wgpu::Backend::Gl))
///     .saying("bits differ")
///     .because("the driver folds the low word of a product")
///     .see("https://example.org/issue/1");
/// ```
#[derive(Clone, Debug)]
pub struct Expect {
    case: String,
    on: Vec<Match>,
    saying: Option<String>,
    reason: String,
    link: String,
}

/// Adapters by what is given; what is not given fits all.
#[derive(Clone, Debug, Default)]
pub struct Match {
    backend: Option<wgpu::Backend>,
    vendor: Option<u32>,
    name: Option<String>,
    version: Option<String>,
}

impl Match {
    /// Every adapter.
    pub fn any() -> Self {
        Self::default()
    }

    /// Adapters with this in their name, driver or backend, in any case.
    pub fn adapter(part: impl Into<String>) -> Self {
        Self { name: Some(part.into().to_lowercase()), ..Self::default() }
    }

    /// Of these, the ones of a backend.
    pub fn backend(mut self, backend: wgpu::Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Of these, the ones with this PCI number of their vendor.
    pub fn vendor(mut self, vendor: u32) -> Self {
        self.vendor = Some(vendor);
        self
    }

    /// Of these, the ones of which the driver's own words begin like this, `Mesa 25` for instance:
    /// versions of one driver share the adapter's name.
    pub fn version(mut self, begin: impl Into<String>) -> Self {
        self.version = Some(begin.into());
        self
    }

    pub(super) fn fits(&self, info: &wgpu::AdapterInfo) -> bool {
        self.backend.is_none_or(|backend| backend == info.backend)
            && self.vendor.is_none_or(|vendor| vendor == info.vendor)
            && self.version.as_ref().is_none_or(|begin| info.driver_info.starts_with(begin))
            && self.name.as_ref().is_none_or(|part| describe(info).to_lowercase().contains(part))
    }
}

impl Expect {
    /// A case that fails, by its name. Add where ([`Expect::on`]) and why ([`Expect::because`]).
    pub fn fails(case: impl Into<String>) -> Self {
        let nothing = String::new();
        Self { case: case.into(), on: Vec::new(), saying: None, reason: nothing.clone(), link: nothing }
    }

    /// Adapters it fails on; given several times, any of them.
    pub fn on(mut self, adapters: Match) -> Self {
        self.on.push(adapters);
        self
    }

    /// What the failure's words contain; without it, any failure of the case is covered.
    pub fn saying(mut self, part: impl Into<String>) -> Self {
        self.saying = Some(part.into());
        self
    }

    /// Why it fails.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Where it is reported or explained.
    pub fn see(mut self, link: impl Into<String>) -> Self {
        self.link = link.into();
        self
    }

    /// The case's name.
    pub fn case(&self) -> &str {
        &self.case
    }

    fn words(&self) -> String {
        let link = if self.link.is_empty() { String::new() } else { format!(" ({})", self.link) };
        format!("{}{link}", if self.reason.is_empty() { "no reason given" } else { &self.reason })
    }
}

/// What a case came to that does not fail the test run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It failed as expected, for this reason.
    ExpectedFailure(String),
}

/// Weighs the outcome of one case on one adapter against the expectations.
///
/// # Errors
/// The outcome's own failure where no expectation covers it; a message that asks to remove the
/// expectation where the case passed, or failed with other words.
pub fn judge(
    expectations: &[Expect],
    case: &str,
    info: &wgpu::AdapterInfo,
    outcome: Result<(), Failure>,
) -> Result<Verdict, Failure> {
    let known: Vec<&Expect> = expectations
        .iter()
        .filter(|known| known.case == case && known.on.iter().any(|adapters| adapters.fits(info)))
        .collect();
    let failure = match (outcome, known.first()) {
        (Ok(()), None) => return Ok(Verdict::Passed),
        (Ok(()), Some(known)) => {
            let problem =
                format!("passes although a failure is expected: remove it from the list. {}", known.words());
            return Err(Failure::new(case, problem));
        }
        (Err(failure), _) => failure,
    };
    let text = failure.to_string();
    let covers = |known: &&&Expect| known.saying.as_ref().is_none_or(|part| text.contains(part));
    match (known.iter().find(covers), known.first()) {
        (Some(known), _) => Ok(Verdict::ExpectedFailure(known.words())),
        (None, Some(known)) => {
            let problem = format!("fails otherwise than expected ({}): {text}", known.words());
            Err(Failure::new(case, problem))
        }
        (None, None) => Err(failure),
    }
}

/// Expectations that can never be met: of cases that do not exist, or on no adapter.
pub fn stale<'a>(expectations: &'a [Expect], cases: &[&str]) -> Vec<&'a str> {
    let useless = |known: &&Expect| known.on.is_empty() || !cases.contains(&known.case.as_str());
    expectations.iter().filter(useless).map(Expect::case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, backend: wgpu::Backend, vendor: u32) -> wgpu::AdapterInfo {
        let mut info = wgpu::AdapterInfo::new(wgpu::DeviceType::Cpu, backend);
        info.name = name.into();
        info.vendor = vendor;
        info.driver = "Mesa 25".into();
        info
    }

    fn wrong(words: &str) -> Result<(), Failure> {
        Err(Failure::new("lavapipe: case", words))
    }

    fn known() -> Vec<Expect> {
        vec![
            Expect::fails("draws")
                .on(Match::adapter("LLVMpipe").backend(wgpu::Backend::Gl))
                .on(Match::any().vendor(0x8086))
                .saying("bits differ")
                .because("a driver's fault")
                .see("issue 7"),
            Expect::fails("sums").on(Match::adapter("mesa")),
        ]
    }

    #[test]
    fn an_expected_failure_is_covered_and_says_why() {
        let gl = adapter("llvmpipe", wgpu::Backend::Gl, 0);
        let verdict = judge(&known(), "draws", &gl, wrong("3 bits differ")).unwrap();
        assert_eq!(verdict, Verdict::ExpectedFailure("a driver's fault (issue 7)".into()));
        let vendor = adapter("a card", wgpu::Backend::Vulkan, 0x8086);
        assert!(judge(&known(), "draws", &vendor, wrong("bits differ")).is_ok());
        // By the driver's name, with any words.
        assert!(judge(&known(), "sums", &vendor, wrong("whatever")).is_ok());
    }

    #[test]
    fn an_expected_failure_that_is_missing_fails() {
        let gl = adapter("llvmpipe", wgpu::Backend::Gl, 0);
        let failure = judge(&known(), "draws", &gl, Ok(())).unwrap_err().to_string();
        assert!(failure.contains("remove it") && failure.contains("a driver's fault"), "{failure}");
    }

    #[test]
    fn other_failures_are_not_covered() {
        let gl = adapter("llvmpipe", wgpu::Backend::Gl, 0);
        let other_words = judge(&known(), "draws", &gl, wrong("device lost")).unwrap_err().to_string();
        assert!(other_words.contains("otherwise than expected") && other_words.contains("device lost"));
        let other_case = judge(&known(), "norms", &gl, wrong("bits differ")).unwrap_err().to_string();
        assert_eq!(other_case, "lavapipe: case: bits differ");
        for other_adapter in
            [adapter("llvmpipe", wgpu::Backend::Vulkan, 0), adapter("softpipe", wgpu::Backend::Gl, 0)]
        {
            assert!(judge(&known(), "draws", &other_adapter, wrong("bits differ")).is_err());
            assert_eq!(judge(&known(), "draws", &other_adapter, Ok(())).unwrap(), Verdict::Passed);
        }
    }

    #[test]
    fn expectations_that_can_never_be_met_are_found() {
        assert_eq!(stale(&known(), &["draws", "sums"]), [""; 0]);
        assert_eq!(stale(&known(), &["draws"]), ["sums"]);
        assert_eq!(stale(&[Expect::fails("draws")], &["draws"]), ["draws"]);
    }
}
