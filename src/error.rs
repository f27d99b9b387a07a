//! The one error type of the crate.

mod macros;

use std::path::PathBuf;

pub(crate) use macros::{named, setters};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in which operation, on which adapter, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter fits the request.
    #[error(
        "no adapter fits {asked}; present: {present}. Install a Vulkan driver (Debian, Ubuntu: `mesa-vulkan-drivers`) or choose one of the names listed"
    )]
    NoAdapter {
        /// The request in words.
        asked: String,
        /// Every adapter that was found, or "none".
        present: String,
    },

    /// The adapter refused to open a device.
    #[error("adapter `{adapter}` did not open a device: {cause}")]
    Open {
        /// Name of the adapter.
        adapter: String,
        /// The driver's words.
        cause: String,
    },

    /// Two shapes that must agree do not.
    #[error("{operation}: `{tensor}` has shape {found}, expected {expected}; {hint}")]
    Shape {
        /// The operation that was being recorded.
        operation: String,
        /// The tensor or binding at fault.
        tensor: String,
        /// The shape it has.
        found: String,
        /// The shape it should have.
        expected: String,
        /// What to do.
        hint: String,
    },

    /// A binding or parameter of a kernel is missing, extra, mistyped, aliased or too small.
    #[error("{operation}: kernel `{kernel}`, `{name}`: {problem}")]
    Binding {
        /// The operation that was being recorded.
        operation: String,
        /// The kernel.
        kernel: String,
        /// The binding, parameter or define.
        name: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },

    /// A shader does not link, parse or validate.
    #[error("{file}:{line}:{column}: {message} (kernel `{kernel}`)")]
    Shader {
        /// The kernel that was being built.
        kernel: String,
        /// The file a person wrote, relative to `shaders/`.
        file: String,
        /// Line in that file, counted from 1.
        line: u32,
        /// Column in that line, counted from 1.
        column: u32,
        /// The compiler's words.
        message: String,
    },

    /// The adapter refused something after our own checks passed.
    #[error("{operation} failed on `{adapter}`: {cause}")]
    Device {
        /// What was being done.
        operation: String,
        /// Name of the adapter.
        adapter: String,
        /// The driver's or wgpu's words.
        cause: String,
    },

    /// A limit of the device is too small.
    #[error("{operation}: {what} is {asked}, `{adapter}` allows {granted}; {hint}")]
    Limit {
        /// What was being recorded or built.
        operation: String,
        /// The quantity, with its unit.
        what: String,
        /// The value needed.
        asked: u64,
        /// The value the device grants.
        granted: u64,
        /// Name of the adapter.
        adapter: String,
        /// What to do.
        hint: String,
    },

    /// The device has no memory left.
    #[error("{operation}: out of memory on `{adapter}` ({cause}); use fewer rows, candidates or chains")]
    OutOfMemory {
        /// What was being allocated.
        operation: String,
        /// Name of the adapter.
        adapter: String,
        /// The driver's words.
        cause: String,
    },

    /// Something that is not possible, and the way out.
    #[error("{operation}: {reason}; {hint}")]
    Unsupported {
        /// What was asked.
        operation: String,
        /// Why it cannot be done.
        reason: String,
        /// What to do instead.
        hint: String,
    },

    /// An argument outside its domain.
    #[error("{operation}: {argument} {problem}")]
    Argument {
        /// The operation asked for.
        operation: String,
        /// The argument.
        argument: String,
        /// What is wrong with it and what is allowed.
        problem: String,
    },

    /// The device was lost. The first cause is kept, later messages are not.
    #[error("device `{adapter}` was lost: {cause}; last submitted: {last}")]
    DeviceLost {
        /// Name of the adapter.
        adapter: String,
        /// The first cause that was seen.
        cause: String,
        /// Labels of the last plans and dispatches that were submitted.
        last: String,
    },

    /// The device did not answer in time.
    #[error("{operation}: no answer from `{adapter}` within {seconds:.1} s; last submitted: {last}")]
    Timeout {
        /// What was waited for.
        operation: String,
        /// The limit.
        seconds: f64,
        /// Name of the adapter.
        adapter: String,
        /// Labels of the last plans and dispatches that were submitted.
        last: String,
    },

    /// A monitored value turned NaN or infinite; optimizers have stood still since, the last good
    /// weights are kept.
    #[error(
        "`{metric}` turned non-finite at step {step}; the weights are those of the last good update. Lower the learning rate, or check the data and the proposal's support"
    )]
    NonFinite {
        /// The metric that was seen first.
        metric: String,
        /// The step, counted from 0.
        step: u64,
    },

    /// Markov chains came to nothing that could be used.
    #[error("{operation} on `{adapter}`: {problem}; {hint}")]
    Chains {
        /// The sampler.
        operation: String,
        /// Name of the adapter.
        adapter: String,
        /// What happened to them, with the number.
        problem: String,
        /// What to do.
        hint: String,
    },

    /// A run was asked to stop before its end, and did.
    #[error("training was stopped at step {step}, as was asked; save the run, and resume it to go on")]
    Stopped {
        /// Steps that are done.
        step: u64,
    },

    /// A checkpoint that cannot be trusted.
    #[error("checkpoint {path}: {problem}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },

    /// A tuning file that cannot be used.
    #[error("tuning {file}: {problem}")]
    Tuning {
        /// The file, or what stands for it.
        file: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },

    /// A data file that cannot be used.
    #[error("data {file}: {problem}")]
    Data {
        /// The file, or what stands for it.
        file: String,
        /// What is wrong with it, and where: line and column, or the tensor.
        problem: String,
    },

    /// A file operation failed.
    #[error("{operation} {path}: {source}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
}

/// A number of things in words: `1 dimension`, `2 dimensions`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A number in four digits at most: `0.006`, `1.7e9`, `-1e-30`.
pub(crate) fn few_digits(value: f64) -> String {
    let rounded = format!("{value:.3e}").parse().unwrap_or(value);
    match (1e-4..1e6).contains(&value.abs()) || value == 0.0 || !value.is_finite() {
        true => rounded.to_string(),
        false => format!("{rounded:e}"),
    }
}

impl Error {
    /// A name that is none of those known; `kind` says of what.
    pub(crate) fn unknown_name(kind: &str, given: &str, known: &[&str]) -> Self {
        let problem = format!("is unknown; known are {}", known.join(", "));
        Self::argument(kind, format!("the name `{given}`"), problem)
    }

    /// Adds to the last submitted labels how far a run had come.
    pub(crate) fn at_step(mut self, step: u64) -> Self {
        if let Self::DeviceLost { last, .. } | Self::Timeout { last, .. } = &mut self {
            *last = format!("{last} (steps before {step} were submitted)");
        }
        self
    }

    /// Says of a limit on sizes what a person chose that it depends on, and what to make smaller.
    pub(crate) fn sized(mut self, words: impl FnOnce() -> String) -> Self {
        // What a pipeline needs does not depend on sizes.
        if let Self::Limit { operation, hint, .. } = &mut self
            && !operation.starts_with("pipeline ")
        {
            *hint = format!("{hint}: {}", words());
        }
        self
    }

    /// Refuses the first of an argument's numbers that does not fit.
    pub(crate) fn check_each(
        operation: &str,
        what: &str,
        values: &[f64],
        fits: impl Fn(f64) -> bool,
        words: &str,
    ) -> Result<()> {
        match values.iter().position(|&value| !fits(value)) {
            Some(at) => Err(Self::argument(
                operation,
                what,
                format!("have {} at {at}; they {words}", few_digits(values[at])),
            )),
            None => Ok(()),
        }
    }

    pub(crate) fn argument(
        operation: impl Into<String>,
        argument: impl Into<String>,
        problem: impl Into<String>,
    ) -> Self {
        Self::Argument { operation: operation.into(), argument: argument.into(), problem: problem.into() }
    }

    pub(crate) fn shape(
        operation: impl Into<String>,
        tensor: impl Into<String>,
        found: impl ToString,
        expected: impl ToString,
        hint: impl Into<String>,
    ) -> Self {
        Self::Shape {
            operation: operation.into(),
            tensor: tensor.into(),
            found: found.to_string(),
            expected: expected.to_string(),
            hint: hint.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_messages_are_short() {
        for (value, words) in [
            (0.006, "0.006"),
            (0.1 + 0.2, "0.3"),
            (6e-5 * 1.1, "6.6e-5"),
            (1.0 / 3.0, "0.3333"),
            (f64::from(0.1f32), "0.1"),
            (-1234.567, "-1235"),
            (1_699_999_999.5, "1.7e9"),
            (-1e-30, "-1e-30"),
            (6e-63, "6e-63"),
            (0.0, "0"),
            (999_999.9, "1000000"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(few_digits(value), words);
        }
    }
}
