//! The table of a comparison: one row per task, method, temperature and seed, kept as it grows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use gibbs::Gpu;
use gibbs::tasks::toy::Task;
use serde::{Deserialize, Deserializer, Serialize};

use super::Arguments;
use super::choices::LabelKind;
use super::files::write_whole;
use super::networks::{self, Preset};

/// Where guidance comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Contrastive energy prediction.
    Cep,
    /// Regression on the energies.
    Mse,
    /// Regression on their exponentials.
    Emse,
    /// The energy of the denoised point.
    Dps,
    /// No guidance.
    None,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Cep => "cep",
            Method::Mse => "mse",
            Method::Emse => "emse",
            Method::Dps => "dps",
            Method::None => "none",
        }
    }

    /// Whether what it learns is proportional to the inverse temperature.
    pub fn is_linear(self) -> bool {
        matches!(self, Method::Mse | Method::Dps)
    }
}

/// One object of `metrics.json`; `null` where a method has no such figure, or one that is not finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub task: String,
    pub method: Method,
    pub labels: Option<String>,
    /// Samples that share a time in training.
    pub group: usize,
    pub beta: f64,
    pub seed: u64,
    pub adapter: String,
    pub backend: String,
    pub solver: gibbs::diffusion::Solver,
    pub grid: gibbs::diffusion::TimeGrid,
    pub guidance: f64,
    pub nfe: usize,
    pub preset: String,
    /// Of training the energy.
    pub steps: u64,
    /// Fingerprint of the networks and of how they are trained.
    pub recipe: String,
    pub samples: usize,
    /// What the total variation is taken over.
    pub tv_over: String,
    /// Total variation between the samples and the exact target.
    pub tv: f64,
    /// The same for as many draws from the exact target.
    pub tv_exact_samples: f64,
    /// Sliced Wasserstein distance of order 2 to as many draws from the exact target.
    #[serde(deserialize_with = "nan_for_null")]
    pub sliced_w2: f64,
    /// The same between two sets of such draws.
    pub sliced_w2_exact_samples: f64,
    /// Relative root mean square of the guiding gradient's error, over samples and times of the data's process.
    pub energy_gradient_error: Option<f64>,
    /// Relative root mean square of the predicted noise's error, over the same.
    #[serde(deserialize_with = "nan_for_null")]
    pub score_error: f64,
    /// For guidance through the denoiser: whether the energy is the exact one or a regressed one.
    pub denoised_energy: Option<String>,
    /// For everything but the score: training the energy, also where it serves several rows, sampling and measuring.
    pub seconds: f64,
    /// Of training the score, which all methods of a task and seed share.
    pub score_seconds: f64,
    /// Of the network that guides, or of the score where none does.
    pub steps_per_second: f64,
    /// In the sampler's first run.
    pub samples_per_second: f64,
}

/// JSON has no NaN: it is written as `null`.
fn nan_for_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl Row {
    /// A row with everything but its figures.
    pub fn describe(
        arguments: &Arguments,
        gpu: &Gpu,
        (task, method): (Task, Method),
        (beta, seed): (f64, u64),
    ) -> serde_json::Result<Self> {
        let solver = arguments.solver();
        let bins = Task::BINS;
        Ok(Self {
            task: task.name().into(),
            method,
            labels: (method == Method::Cep).then(|| arguments.labels.name().into()),
            group: arguments.group.unwrap_or(arguments.preset.group()),
            beta,
            seed,
            adapter: gpu.info().name.clone(),
            backend: format!("{:?}", gpu.info().backend).to_lowercase(),
            solver: solver.solver,
            grid: solver.grid,
            guidance: arguments.guidance,
            nfe: solver.evaluations,
            preset: arguments.preset.name().into(),
            steps: arguments.steps.unwrap_or(arguments.preset.steps(task)),
            recipe: networks::recipe(arguments, task, seed, (method, beta))?,
            samples: arguments.samples,
            tv_over: match task {
                Task::EightGaussians => "the weights of the 8 modes".into(),
                _ => format!("{bins} x {bins} bins of the square of half width {}", task.half_width()),
            },
            tv: f64::NAN,
            tv_exact_samples: f64::NAN,
            sliced_w2: f64::NAN,
            sliced_w2_exact_samples: f64::NAN,
            energy_gradient_error: None,
            score_error: f64::NAN,
            denoised_energy: None,
            seconds: 0.0,
            score_seconds: 0.0,
            steps_per_second: 0.0,
            samples_per_second: 0.0,
        })
    }

    /// All that tells it from other rows.
    fn key(&self) -> String {
        let Self { task, beta, seed, labels, recipe, .. } = self;
        format!("{task} {} {labels:?} {beta} {seed} {recipe} | {}", self.method.name(), self.settings())
    }

    /// Whether two rows are of the same kind: one takes the place of the other.
    pub fn same(&self, other: &Row) -> bool {
        self.key() == other.key()
    }

    /// What rows must share to stand in one table.
    fn settings(&self) -> String {
        format!(
            "{} {} {:?} {:?} {} {} {} {:?} {} {}",
            self.adapter,
            self.backend,
            self.solver,
            self.grid,
            self.guidance,
            self.nfe,
            self.preset,
            self.unusual_steps(),
            self.samples,
            self.group
        )
    }

    /// Steps other than the preset's own for the task.
    fn unusual_steps(&self) -> Option<u64> {
        let usual = Preset::from_str(&self.preset, false).ok().zip(self.task.parse().ok());
        Some(self.steps).filter(|steps| usual.map(|(preset, task)| preset.steps(task)) != Some(*steps))
    }

    /// A name for files, no other row's.
    pub fn stem(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.key().hash(&mut hasher);
        let Self { task, beta, seed, .. } = self;
        format!("{task}-{}-beta-{beta}-seed-{seed}-{:016x}", self.method.name(), hasher.finish())
    }

    /// Words for messages.
    pub fn name(&self) -> String {
        format!("{}, {}, beta {}, seed {}", self.task, self.method.name(), self.beta, self.seed)
    }

    /// Its figures in a line.
    pub fn figures(&self) -> String {
        let gradient = self.energy_gradient_error.map_or("none".into(), |error| format!("{error:.3}"));
        format!(
            "total variation {:.4} (exact draws {:.4}), sliced W2 {:.3}, gradient error {gradient}, score error {:.3}, {:.0} s and {:.0} s for the score",
            self.tv,
            self.tv_exact_samples,
            self.sliced_w2,
            self.score_error,
            self.seconds,
            self.score_seconds
        )
    }
}

/// The rows of a folder.
pub struct Table {
    path: PathBuf,
    /// All that the folder holds, the newest of each kind.
    rows: Vec<Row>,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

impl Table {
    /// The rows that a folder holds.
    pub fn open(folder: &Path) -> Outcome<Self> {
        let path = folder.join("rows.jsonl");
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let mut table = Self { path, rows: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            let row = serde_json::from_str(line).map_err(|error| {
                let place = format!("{}, line {}", table.path.display(), index + 1);
                format!(
                    "{place}: is no row of this version ({error}); move the file away or give another --out"
                )
            })?;
            table.put(row);
        }
        Ok(table)
    }

    /// The rows of the same settings as `row`; those of the contrast with these labels.
    pub fn like(&self, row: &Row, labels: LabelKind) -> Vec<&Row> {
        let settings = row.settings();
        let belongs = |known: &&Row| {
            known.settings() == settings && known.labels.as_deref().is_none_or(|l| l == labels.name())
        };
        self.rows.iter().filter(belongs).collect()
    }

    pub fn holds(&self, row: &Row) -> bool {
        self.rows.iter().any(|known| known.same(row))
    }

    /// Adds a row at once, so that nothing measured is lost. It takes the place of an older one of its kind.
    pub fn add(&mut self, row: &Row) -> std::io::Result<()> {
        self.put(row.clone());
        let mut text = String::new();
        for row in &self.rows {
            text += &serde_json::to_string(row).map_err(std::io::Error::other)?;
            text.push('\n');
        }
        write_whole(&self.path, &text)
    }

    fn put(&mut self, row: Row) {
        self.rows.retain(|known| !known.same(&row));
        self.rows.push(row);
    }
}

/// Rows of one task and temperature.
#[derive(Default)]
struct Cell<'a> {
    /// By seed.
    methods: BTreeMap<Method, BTreeMap<u64, &'a Row>>,
    floors: Vec<f64>,
}

/// Total variation by task and temperature against method: the mean over seeds, with its standard error where there are
/// several. Below it, how much farther from the target than contrastive energy prediction each other method ends: means over the
/// seeds that both have, which share data, score and noise.
pub fn markdown(rows: &[&Row]) -> String {
    let mut cells: BTreeMap<(&str, u64), Cell<'_>> = BTreeMap::new();
    for row in rows {
        // Positive numbers are ordered as their bits.
        let cell = cells.entry((&row.task, row.beta.to_bits())).or_default();
        cell.methods.entry(row.method).or_default().insert(row.seed, row);
        cell.floors.push(row.tv_exact_samples);
    }
    let all = Method::value_variants().iter().copied();
    let methods: Vec<Method> = all.filter(|method| rows.iter().any(|row| row.method == *method)).collect();
    let mut text = String::from("| task | beta |");
    for method in &methods {
        let _ = write!(text, " {} |", method.name());
    }
    let _ = write!(text, " exact draws |\n|---|---|{}", "---|".repeat(methods.len() + 1));
    for ((task, beta), cell) in &cells {
        let _ = write!(text, "\n| {task} | {} |", f64::from_bits(*beta));
        for method in &methods {
            let of_method = cell.methods.get(method).map_or(String::new(), |seeds| {
                let values: Vec<f64> = seeds.values().map(|row| row.tv).collect();
                let kind = seeds.values().find_map(|row| row.denoised_energy.as_deref());
                spread(&values) + &kind.map_or(String::new(), |kind| format!(" ({kind})"))
            });
            let _ = write!(text, " {of_method} |");
        }
        let _ = write!(text, " {:.4} |", cell.floors.iter().sum::<f64>() / cell.floors.len() as f64);
    }
    text.push('\n');
    text + &differences(&cells, &methods)
}

/// The table of differences; empty unless several seeds have both methods.
fn differences(cells: &BTreeMap<(&str, u64), Cell<'_>>, methods: &[Method]) -> String {
    let others: Vec<Method> = methods.iter().copied().filter(|method| *method != Method::Cep).collect();
    let mut text = String::new();
    for ((task, beta), cell) in cells {
        let Some(cep) = cell.methods.get(&Method::Cep).filter(|seeds| seeds.len() > 1) else { continue };
        let _ = write!(text, "\n| {task} | {} |", f64::from_bits(*beta));
        for method in &others {
            let gaps: Vec<f64> = cell.methods.get(method).map_or(Vec::new(), |seeds| {
                seeds.iter().filter_map(|(seed, row)| Some(row.tv - cep.get(seed)?.tv)).collect()
            });
            let _ = write!(text, " {} |", if gaps.len() > 1 { spread(&gaps) } else { String::new() });
        }
    }
    if text.is_empty() {
        return text;
    }
    let names: Vec<String> = others.iter().map(|method| format!(" {} - cep |", method.name())).collect();
    format!("\n| task | beta |{}\n|---|---|{}{text}\n", names.concat(), "---|".repeat(names.len()))
}

/// Mean and standard error.
fn spread(values: &[f64]) -> String {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    if values.len() < 2 {
        return format!("{mean:.4}");
    }
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0);
    format!("{mean:.4} ± {:.4}", (variance / count).sqrt())
}
