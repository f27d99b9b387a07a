//! What environment variables say. One that says nothing we know is refused by its name: to pass
//! over it would run something else than was asked for.

use super::fault::Fault;
use super::optional::{OptionalPath, OptionalPaths};
use crate::{Error, Result};

/// The variable that compiles shaders with every check.
const CHECKED: &str = "GIBBS_CHECKED";
/// The variable of wgpu that says which backends are looked at.
const BACKENDS: &str = "WGPU_BACKEND";
/// What wgpu knows by that variable.
const BACKEND_NAMES: [&str; 10] =
    ["vulkan", "vk", "metal", "mtl", "dx12", "d3d12", "gl", "gles", "opengl", "webgpu"];

/// A variable that says nothing we know.
#[derive(Clone, Debug)]
pub(super) struct Unreadable {
    argument: String,
    problem: String,
}

impl From<Unreadable> for Error {
    fn from(Unreadable { argument, problem }: Unreadable) -> Self {
        Self::argument("open a device", argument, problem)
    }
}

/// The switches as they are set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Switches {
    /// Optional paths that are switched off.
    pub off: OptionalPaths,
    /// Whether shaders are compiled with every check.
    pub checked: bool,
}

impl Switches {
    /// Reads all of them.
    ///
    /// # Errors
    /// The first variable that is neither on nor off.
    pub fn read() -> Result<Self, Unreadable> {
        let mut switches =
            Self { off: OptionalPaths::NONE, checked: read(CHECKED, switch)?.unwrap_or(false) };
        for &path in OptionalPath::ALL {
            if read(path.switch(), switch)?.unwrap_or(false) {
                switches.off = switches.off.with(path);
            }
        }
        Ok(switches)
    }
}

/// The fault of `GIBBS_FAULT`, if there is one.
///
/// # Errors
/// The variable if it names none.
pub(super) fn fault() -> Result<Option<Fault>, Unreadable> {
    read("GIBBS_FAULT", |value| {
        value.parse().map_err(|_| "is no fault; write `submit:200` or `map:3`".to_owned())
    })
}

/// Checks the backends that wgpu takes from the environment: it passes over names that it does not
/// know.
///
/// # Errors
/// The variable if it names others.
pub(super) fn check_backends() -> Result<(), Unreadable> {
    read(BACKENDS, known_backends).map(|_| ())
}

/// The variable that says which backends are looked at, with its value, if it is set.
pub(super) fn backends() -> Option<String> {
    std::env::var(BACKENDS).ok().map(|value| format!("{BACKENDS}=`{value}`"))
}

fn known_backends(list: &str) -> Result<(), String> {
    let unknown = |name: &&str| !BACKEND_NAMES.contains(&name.to_lowercase().as_str()) && *name != "noop";
    match list.split(',').map(str::trim).find(unknown) {
        Some(name) => Err(format!(
            "names the backend `{name}`; known are {}, several with commas",
            BACKEND_NAMES.join(", ")
        )),
        None => Ok(()),
    }
}

/// Whether a switch is on.
fn switch(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("is neither on nor off; write 1, true, yes or on, or else 0, false, no or off".into()),
    }
}

/// What a variable says; nothing where it is not set, or to nothing but spaces.
fn read<T>(name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, Unreadable> {
    let Some(value) = std::env::var_os(name) else { return Ok(None) };
    let value = value.to_string_lossy();
    if value.trim().is_empty() {
        return Ok(None);
    }
    parse(value.trim()).map(Some).map_err(|problem| Unreadable {
        argument: format!("the environment variable {name}=`{value}`"),
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_or_off_in_many_words_and_nothing_else() {
        for on in ["1", "true", "TRUE", "yes", "Yes", "on", "ON"] {
            assert_eq!(switch(on), Ok(true), "{on}");
        }
        for off in ["0", "false", "False", "no", "NO", "off"] {
            assert_eq!(switch(off), Ok(false), "{off}");
        }
        for neither in ["2", "-1", "maybe", "disable", "perhaps"] {
            assert!(switch(neither).unwrap_err().contains("neither on nor off"), "{neither}");
        }
    }

    #[test]
    fn backends_are_those_that_wgpu_knows() {
        for list in BACKEND_NAMES {
            assert_eq!(known_backends(list), Ok(()));
            assert!(!wgpu::Backends::from_comma_list(list).is_empty(), "{list}");
        }
        assert_eq!(known_backends("Vulkan, GL"), Ok(()));
        for (list, named) in [("vulcan", "`vulcan`"), ("vk,cuda", "`cuda`"), ("vk,,gl", "``")] {
            let problem = known_backends(list).unwrap_err();
            assert!(problem.contains(named) && problem.contains("vulkan"), "{problem}");
        }
    }
}
