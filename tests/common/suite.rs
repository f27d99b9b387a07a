//! Which test bodies run on which adapter in which configuration, and the table of what came of
//! them.
//!
//! The default configuration runs everything. Another one runs again what its kernels' choices can
//! change: the suites whose text expects a kernel with another choice, or names no kernel at all.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use gibbs::gpu::KernelChoice;
use gibbs::testing::{Adapter, Configuration, Expect, Failure, Verdict, judge};

use super::known::{Part, part};

/// A test of one adapter.
pub type Body = fn(&Adapter);

/// The test bodies of one file of `tests/kernels`, made by `every_adapter!`.
pub struct Suite {
    /// Path of its module.
    pub module: &'static str,
    /// The file.
    pub text: &'static str,
    /// Run on every adapter.
    pub each: &'static [(&'static str, Body)],
    /// Run once, whatever adapters there are.
    pub once: &'static [(&'static str, fn())],
    /// As `once`, but too long for every run: ignored unless asked for.
    pub long: &'static [(&'static str, fn())],
}

impl Suite {
    /// `sampler` for `kernels::suites::sampler`.
    pub fn name(&self) -> &'static str {
        self.module.rsplit("::").next().unwrap_or(self.module)
    }

    /// Stems of the kernels that its tests expect.
    pub fn kernels(&self) -> BTreeSet<&'static str> {
        let calls = self.text.split("_kernels(").skip(1).filter_map(|rest| rest.split(')').next());
        calls.flat_map(|call| call.split('"').skip(1).step_by(2)).collect()
    }

    fn depends_on(&self, changed: &BTreeSet<String>) -> bool {
        let kernels = self.kernels();
        !changed.is_empty() && (kernels.is_empty() || kernels.iter().any(|stem| changed.contains(*stem)))
    }
}

/// One adapter in one configuration, with what is to run there.
pub struct Run {
    pub adapter: Adapter,
    /// Kernels whose choice is another than by default.
    pub changed: usize,
    /// Kernels there are.
    pub kernels: usize,
    /// Names `module::test` and bodies.
    pub tests: Vec<(String, Body)>,
    /// How many more there are that do not run on this adapter, and why.
    pub left_out: (usize, &'static str),
}

/// Every configuration of an adapter that was opened by default; of one on which a part of the
/// tests runs, the default configuration alone.
pub fn runs(adapter: &Adapter, suites: &[Suite]) -> Result<Vec<Run>, Failure> {
    let default = gibbs::kernels_for(adapter.gpu.capabilities());
    let part = part(adapter);
    let is_in = |test: &str| part.as_ref().is_none_or(|part: &Part| !part.left_out.contains(&test));
    let reason = part.as_ref().map_or("", |part| part.reason);
    Configuration::all()
        .into_iter()
        .filter(|configuration| part.is_none() || *configuration == Configuration::Default)
        .map(|configuration| {
            let whole = configuration == Configuration::Default;
            let adapter = if whole { adapter.clone() } else { adapter.with(configuration)? };
            let changed = changed(&default, &gibbs::kernels_for(adapter.gpu.capabilities()));
            let chosen = suites.iter().filter(|suite| whole || suite.depends_on(&changed));
            let (tests, others): (Vec<_>, Vec<_>) =
                chosen.flat_map(bodies).partition(|(test, _)| is_in(test));
            let left_out = (others.len(), reason);
            Ok(Run { adapter, changed: changed.len(), kernels: default.len(), tests, left_out })
        })
        .collect()
}

/// Names `module::test` and bodies of a suite.
pub fn bodies(suite: &Suite) -> impl Iterator<Item = (String, Body)> {
    suite.each.iter().map(|&(test, body)| (format!("{}::{test}", suite.name()), body))
}

fn changed(default: &[KernelChoice], other: &[KernelChoice]) -> BTreeSet<String> {
    let differs = |choice: &&KernelChoice| !default.contains(choice);
    other.iter().filter(differs).map(|choice| choice.stem().to_owned()).collect()
}

/// Runs one body; a failure that is expected there counts as passed and is told.
pub fn execute(
    expectations: &[Expect],
    test: &str,
    adapter: &Adapter,
    body: Body,
) -> Result<Verdict, Failure> {
    let outcome = catch_unwind(AssertUnwindSafe(|| body(adapter))).map_err(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        Failure::new(adapter.gpu.adapter_name(), words.unwrap_or_else(|| "panicked without words".into()))
    });
    judge(expectations, test, adapter.gpu.info(), outcome)
}

/// A row of the table: an adapter in one configuration.
pub struct Row {
    pub adapter: &'static str,
    pub configuration: Configuration,
    pub changed: usize,
    pub kernels: usize,
    /// Tests that belong to it, those left out by a filter included.
    pub tests: usize,
    pub left_out: (usize, &'static str),
    pub passed: usize,
    pub expected_failures: usize,
    pub failed: usize,
    /// Time of all its tests together; tests run side by side.
    pub time: Duration,
}

impl Row {
    pub fn new(run: &Run) -> Self {
        Self {
            adapter: run.adapter.name,
            configuration: run.adapter.configuration(),
            changed: run.changed,
            kernels: run.kernels,
            tests: run.tests.len(),
            left_out: run.left_out,
            passed: 0,
            expected_failures: 0,
            failed: 0,
            time: Duration::ZERO,
        }
    }

    /// Counts one test that began at `begun`.
    pub fn count(&mut self, verdict: &Result<Verdict, Failure>, begun: Instant) {
        self.time += begun.elapsed();
        match verdict {
            Ok(Verdict::Passed) => self.passed += 1,
            Ok(Verdict::ExpectedFailure(_)) => self.expected_failures += 1,
            Err(_) => self.failed += 1,
        }
    }
}

/// The table; every row says what was not run, and why. `missing`: adapters that are not here.
pub fn table(rows: &[Row], missing: &[&str]) -> String {
    let mut text = format!(
        "{:<16} {:<16} {:>16} {:>7} {:>7} {:>7} {:>9}  {}\n",
        "adapter", "configuration", "kernels rerun", "tests", "passed", "failed", "seconds", "remarks"
    );
    for row in rows {
        let ran = row.passed + row.expected_failures + row.failed;
        let (again, mut remarks) = match row.configuration {
            Configuration::Default => ("all".into(), Vec::new()),
            _ if row.changed == 0 => ("0".into(), vec!["0 kernels change".into()]),
            Configuration::Checked => {
                (format!("{} of {}", row.changed, row.kernels), vec!["same bits as trusted".into()])
            }
            _ => (format!("{} of {}", row.changed, row.kernels), Vec::new()),
        };
        if ran < row.tests {
            remarks.push(format!("{} not selected", row.tests - ran));
        }
        if let (count @ 1.., reason) = row.left_out {
            remarks.push(format!("{count} left out: {reason}"));
        }
        if row.expected_failures > 0 {
            remarks.push(format!("{} failed as expected", row.expected_failures));
        }
        let _ = writeln!(
            text,
            "{:<16} {:<16} {again:>16} {:>7} {:>7} {:>7} {:>9.1}  {}",
            row.adapter,
            row.configuration.to_string(),
            row.tests,
            row.passed,
            row.failed,
            row.time.as_secs_f64(),
            remarks.join(", ")
        );
    }
    for name in missing {
        let _ = writeln!(text, "{name:<16} skipped: not on this machine, so that none of its tests ran");
    }
    text
}
