//! The table of a comparison: one row per task, method, temperature and seed, kept as it grows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use gibbs::Gpu;
use gibbs::diffusion::SolverOptions;
use gibbs::tasks::toy::Task;
use serde::{Deserialize, Serialize};

use super::networks::Preset;
use super::{Arguments, LabelKind};

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

/// One object of `metrics.json`; `null` where a method has no such figure.
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
    pub samples: usize,
    /// What the total variation is taken over.
    pub tv_over: String,
    /// Total variation between the samples and the exact target.
    pub tv: f64,
    /// The same for as many draws from the exact target.
    pub tv_exact_samples: f64,
    /// Sliced Wasserstein distance of order 2 to as many draws from the exact target.
    pub sliced_w2: f64,
    /// The same between two sets of such draws.
    pub sliced_w2_exact_samples: f64,
    /// Relative root mean square of the guiding gradient's error, over samples and times of the data's process.
    pub energy_gradient_error: Option<f64>,
    /// Relative root mean square of the predicted noise's error, over the same.
    pub score_error: f64,
    /// For guidance through the denoiser: whether the energy is the exact one or a regressed one.
    pub denoised_energy: Option<String>,
    /// For everything but the score: training, sampling, measuring.
    pub seconds: f64,
    /// Of training the score, which all methods of a task and seed share.
    pub score_seconds: f64,
    /// Of the network that guides, or of the score where none does.
    pub steps_per_second: f64,
    pub samples_per_second: f64,
}

impl Row {
    /// A row with everything but its figures.
    pub fn describe(
        arguments: &Arguments,
        gpu: &Gpu,
        (task, method): (Task, Method),
        (beta, seed): (f64, u64),
        solver: &SolverOptions,
    ) -> Self {
        let labels = match arguments.labels {
            LabelKind::Normalised => "normalised",
            LabelKind::Unnormalised => "unnormalised",
        };
        let bins = Task::BINS;
        Self {
            task: task.name().into(),
            method,
            labels: (method == Method::Cep).then(|| labels.into()),
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
        }
    }

    /// What tells it from other rows of the same settings.
    fn key(&self) -> String {
        let Self { task, beta, seed, steps, .. } = self;
        format!("{task} {} {beta} {seed} {steps} | {}", self.method.name(), self.settings())
    }

    /// Whether two rows are of the same kind: one takes the place of the other.
    pub fn same(&self, other: &Row) -> bool {
        self.key() == other.key() && self.labels == other.labels
    }

    /// What rows must share to stand in one table. The labels are those of the contrast, the only method that has some.
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

    /// Whether two rows may stand in one table.
    fn belongs(&self, other: &Row) -> bool {
        let labels = [&self.labels, &other.labels];
        self.settings() == other.settings() && (labels[0] == labels[1] || labels.iter().any(|l| l.is_none()))
    }

    /// A name for files, without what all rows of a table share.
    pub fn stem(&self) -> String {
        let labels = self.labels.as_deref().map_or(String::new(), |labels| format!("-{labels}"));
        format!("{}-{}{labels}-beta-{}-seed-{}", self.task, self.method.name(), self.beta, self.seed)
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

impl Table {
    /// The rows that a folder holds. Lines that are no rows, as of a run that was killed, are left out.
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        let path = folder.join("rows.jsonl");
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let mut table = Self { path, rows: Vec::new() };
        for row in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
            table.put(row);
        }
        Ok(table)
    }

    /// The rows of the same settings as `row`.
    pub fn like(&self, row: &Row) -> Vec<&Row> {
        self.rows.iter().filter(|known| known.belongs(row)).collect()
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
        // Beside the file first: a run that is killed leaves the old table or the new one.
        let beside = self.path.with_extension("part");
        std::fs::write(&beside, text)?;
        std::fs::rename(beside, &self.path)
    }

    fn put(&mut self, row: Row) {
        self.rows.retain(|known| !known.same(&row));
        self.rows.push(row);
    }
}

/// Total variation by task and temperature against method: the mean over seeds, with its standard error where there are
/// several.
pub fn markdown(rows: &[&Row]) -> String {
    let mut groups: BTreeMap<(String, u64), BTreeMap<Method, Vec<f64>>> = BTreeMap::new();
    let mut floors: BTreeMap<(String, u64), Vec<f64>> = BTreeMap::new();
    for row in rows {
        let key = (row.task.clone(), row.beta.to_bits());
        groups.entry(key.clone()).or_default().entry(row.method).or_default().push(row.tv);
        floors.entry(key).or_default().push(row.tv_exact_samples);
    }
    let methods: Vec<Method> = Method::value_variants()
        .iter()
        .copied()
        .filter(|method| rows.iter().any(|row| row.method == *method))
        .collect();
    let mut text = String::from("| task | beta |");
    for method in &methods {
        let _ = write!(text, " {} |", method.name());
    }
    let _ = write!(text, " exact draws |\n|---|---|{}", "---|".repeat(methods.len() + 1));
    for ((task, beta), found) in &groups {
        let _ = write!(text, "\n| {task} | {} |", f64::from_bits(*beta));
        for method in &methods {
            let _ = write!(text, " {} |", found.get(method).map_or(String::new(), |values| spread(values)));
        }
        let floor = floors.get(&(task.clone(), *beta)).map_or(String::new(), |values| {
            format!("{:.4}", values.iter().sum::<f64>() / values.len() as f64)
        });
        let _ = write!(text, " {floor} |");
    }
    text.push('\n');
    text
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
