//! How kernel variants are chosen where several compute the same: by a table, by measuring, or as a
//! file says.
//!
//! Choices are made while recording, by **shape class**: an operation with its rows, inputs and
//! outputs, each rounded up to a power of two. They change the order of sums and so the last bits
//! of results, but no random number.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::whole_file::write_whole;
use crate::{Error, Result};

/// Version of the layout of tuning files.
const FORMAT: u32 = 1;
/// Longest tuning file that is read: some ten thousand shape classes.
const MAX_BYTES: u64 = 8 << 20;
/// What this library was built with.
const GIBBS: &str = env!("CARGO_PKG_VERSION");
const WGPU: &str = "30";

/// The variants that recordings took, by shape class.
pub type VariantChoices = BTreeMap<String, BTreeSet<String>>;

/// How kernel variants are chosen.
#[derive(Clone, Debug, Default)]
pub enum Tuning {
    /// By the shipped table of device classes and shapes: the same on every machine of a class.
    #[default]
    Table,
    /// By measuring the candidates when a shape class is first recorded, on the recording thread,
    /// before the plan is compiled: seconds per shape class on a software renderer, mostly for the
    /// compiler. Another run may choose otherwise: write a file, and restore it, where bits must
    /// repeat.
    Measure {
        /// Where to keep what was measured. A file that is there is read first, and only what it
        /// lacks is measured.
        file: Option<PathBuf>,
    },
    /// As a file says. Shape classes that it lacks take the table's choice, which the log tells
    /// once for each.
    Exactly(TuningFile),
}

impl FromStr for Tuning {
    type Err = Error;

    /// `table`; `measure`; `measure:PATH` to keep a file; anything else is the path of a file to
    /// restore.
    fn from_str(text: &str) -> Result<Self> {
        match (text, text.strip_prefix("measure:")) {
            ("table", _) => Ok(Self::Table),
            ("measure", _) => Ok(Self::Measure { file: None }),
            (_, Some(path)) => Ok(Self::Measure { file: Some(path.into()) }),
            (path, None) => Ok(Self::Exactly(TuningFile::read(Path::new(path))?)),
        }
    }
}

/// A choice for one shape class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunedChoice {
    /// Name of the variant.
    pub variant: String,
    /// What each candidate took on the device, in milliseconds; empty if nothing was measured.
    #[serde(default)]
    pub milliseconds: BTreeMap<String, f32>,
}

/// Choices of kernel variants for one adapter, and what they were measured with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuningFile {
    format: u32,
    adapter: String,
    backend: String,
    driver: String,
    gibbs: String,
    wgpu: String,
    choices: BTreeMap<String, TunedChoice>,
}

/// The shape class of an operation: `dense_forward 2048x256x256` for up to 2048 rows, 256 inputs
/// and 256 outputs.
///
/// * `shape`: rows, inputs, outputs; each is rounded up to a power of two.
pub fn shape_class(operation: &str, shape: [usize; 3]) -> String {
    let [rows, inputs, outputs] = shape.map(usize::next_power_of_two);
    format!("{operation} {rows}x{inputs}x{outputs}")
}

impl TuningFile {
    /// No choice yet, for a given adapter.
    pub fn new(info: &wgpu::AdapterInfo) -> Self {
        Self {
            format: FORMAT,
            adapter: info.name.clone(),
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().into(),
            gibbs: GIBBS.into(),
            wgpu: WGPU.into(),
            choices: BTreeMap::new(),
        }
    }

    /// The same with a choice for the shape class of an operation (see [`shape_class`]).
    pub fn with(mut self, operation: &str, shape: [usize; 3], variant: &str) -> Self {
        let choice = TunedChoice { variant: variant.into(), milliseconds: BTreeMap::new() };
        self.choices.insert(shape_class(operation, shape), choice);
        self
    }

    /// The choices by shape class.
    pub fn choices(&self) -> &BTreeMap<String, TunedChoice> {
        &self.choices
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Tuning`] for a file that is no tuning file, or one of another
    /// format.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let io = |source| Error::Io { operation: "read tuning", path: path.into(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(io)?;
        let fail = |problem: String| Error::Tuning { file: path.display().to_string(), problem };
        if file.metadata().map_err(io)?.len() > MAX_BYTES {
            return Err(fail(format!("is longer than {MAX_BYTES} bytes; it is no tuning file")));
        }
        if let Err(error) = file.take(MAX_BYTES).read_to_string(&mut text) {
            return Err(match error.kind() {
                std::io::ErrorKind::InvalidData => fail("is no text; it is no tuning file".into()),
                _ => io(error),
            });
        }
        let read: Self =
            serde_json::from_str(&text).map_err(|error| fail(format!("is no tuning file: {error}")))?;
        if read.format != FORMAT {
            return Err(fail(format!("has format {}, this version reads {FORMAT}", read.format)));
        }
        Ok(read)
    }

    /// Writes the file as a whole: beside its name, then renamed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let fail = |error: serde_json::Error| Error::Tuning {
            file: path.display().to_string(),
            problem: error.to_string(),
        };
        let mut text = serde_json::to_string_pretty(self).map_err(fail)?;
        text.push('\n');
        write_whole(path, text.as_bytes())
    }

    /// Fails for the choices of another adapter; tells the log of another driver or version.
    fn check(&self, info: &wgpu::AdapterInfo, file: &str) -> Result<()> {
        let here = Self::new(info);
        if (&self.adapter, &self.backend) != (&here.adapter, &here.backend) {
            return Err(Error::Tuning {
                file: file.into(),
                problem: format!(
                    "is for `{}` ({}), this device is `{}` ({}); measure here, or take the table",
                    self.adapter, self.backend, here.adapter, here.backend
                ),
            });
        }
        let versions = |of: &Self| format!("driver {}, gibbs {}, wgpu {}", of.driver, of.gibbs, of.wgpu);
        let (then, now) = (versions(self), versions(&here));
        if then != now {
            log::warn!(
                "tuning {file}: was made with {then}, this is {now}; other variants may be faster now"
            );
        }
        Ok(())
    }
}

enum Mode {
    Table,
    Measure(Option<PathBuf>),
    Exactly,
}

/// The tuning of a context, with what it has chosen so far.
pub(crate) struct Tuner {
    mode: Mode,
    chosen: Mutex<TuningFile>,
    /// Held while measuring, so that two threads do not disturb each other's figures.
    measuring: Mutex<()>,
    /// Of what the log has been told.
    told: Mutex<BTreeSet<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tuner {
    /// The table's choices.
    pub(in crate::gpu) fn table(info: &wgpu::AdapterInfo) -> Self {
        Self::of(Mode::Table, TuningFile::new(info))
    }

    fn of(mode: Mode, chosen: TuningFile) -> Self {
        Self { mode, chosen: Mutex::new(chosen), measuring: Mutex::default(), told: Mutex::default() }
    }

    pub(in crate::gpu) fn new(tuning: Tuning, info: &wgpu::AdapterInfo) -> Result<Self> {
        let (mode, chosen) = match tuning {
            Tuning::Table => (Mode::Table, TuningFile::new(info)),
            Tuning::Exactly(file) => {
                file.check(info, "to restore")?;
                (Mode::Exactly, file)
            }
            Tuning::Measure { file } => {
                let known = match &file {
                    Some(path) if path.exists() => {
                        let known = TuningFile::read(path)?;
                        known.check(info, &path.display().to_string())?;
                        TuningFile { choices: known.choices, ..TuningFile::new(info) }
                    }
                    _ => TuningFile::new(info),
                };
                (Mode::Measure(file), known)
            }
        };
        Ok(Self::of(mode, chosen))
    }

    /// Whether anything but the table chooses.
    pub(in crate::gpu) fn is_active(&self) -> bool {
        !matches!(self.mode, Mode::Table)
    }

    /// In a word, for checkpoints.
    pub(in crate::gpu) fn name(&self) -> &'static str {
        match self.mode {
            Mode::Table => "table",
            Mode::Measure(_) => "measured",
            Mode::Exactly => "restored",
        }
    }

    /// The choices so far.
    pub(in crate::gpu) fn file(&self) -> TuningFile {
        lock(&self.chosen).clone()
    }

    /// The name of the variant for a shape class; none: the table's. Measures it if this tuning
    /// does.
    pub(crate) fn choice(
        &self,
        class: &str,
        measure: impl FnOnce() -> Result<TunedChoice>,
    ) -> Result<Option<String>> {
        let _alone = lock(&self.measuring);
        if let Some(known) = lock(&self.chosen).choices.get(class) {
            return Ok(Some(known.variant.clone()));
        }
        let Mode::Measure(file) = &self.mode else {
            self.tell_once(&format!("tuning: no choice for {class} was given; the table chooses"));
            return Ok(None);
        };
        let choice = measure()?;
        let variant = choice.variant.clone();
        let mut chosen = lock(&self.chosen);
        chosen.choices.insert(class.into(), choice);
        if let Some(path) = file {
            chosen.write(path)?;
        }
        Ok(Some(variant))
    }

    /// A warning, the first time that it is given.
    pub(crate) fn tell_once(&self, message: &str) {
        if self.is_active() && lock(&self.told).insert(message.into()) {
            log::warn!("{message}");
        }
    }
}

impl std::fmt::Debug for Tuner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tuner").field("mode", &self.name()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_wgpu_is_that_of_the_manifest() {
        let manifest = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        assert!(manifest.contains(&format!("\nwgpu = {{ version = \"{WGPU}\"")));
    }

    #[test]
    fn shape_classes_end_at_powers_of_two() {
        assert_eq!(shape_class("product", [1, 2, 3]), "product 1x2x4");
        assert_eq!(shape_class("product", [513, 64, 65]), "product 1024x64x128");
    }

    #[test]
    fn words_name_a_tuning() {
        assert!(matches!("table".parse(), Ok(Tuning::Table)));
        assert!(matches!("measure".parse(), Ok(Tuning::Measure { file: None })));
        let Ok(Tuning::Measure { file: Some(path) }) = "measure:a/b.json".parse() else {
            panic!("a file to keep")
        };
        assert_eq!(path, Path::new("a/b.json"));
        let missing = "no such folder/tuning.json".parse::<Tuning>();
        assert!(matches!(missing, Err(Error::Io { .. })), "{missing:?}");
    }
}
