//! The table of a comparison: one row per task, method, temperature and seed, kept as it grows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use gibbs::diffusion::LastSteps;
use gibbs::math::Normalize;
use gibbs::tasks::toy::Task;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Arguments;
use super::common::arguments::{Outcome, name_of};
use super::common::files::{read_if_there, write_whole};
use super::common::training::machine;
use super::networks::{Networks, energy_steps, fingerprint};

/// Where guidance comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
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

/// One object of `metrics.json`: what was asked for and what was measured; `null` where a method
/// has no such figure, or one that is not finite.
pub type Row = Map<String, Value>;

/// What rows must share to stand in one table.
const SETTINGS: [&str; 11] = [
    "normalize",
    "adapter",
    "backend",
    "solver",
    "grid",
    "last_steps",
    "guidance",
    "nfe",
    "preset",
    "samples",
    "group",
];

/// The part of a row that tells it from others: one takes the place of another that was asked for
/// in the same words.
pub fn asked(networks: &Networks<'_>, method: Method, beta: f64) -> serde_json::Result<Row> {
    let Networks { arguments, task, seed, .. } = *networks;
    let (solver, bins) = (arguments.sampling.solver(), Task::BINS);
    let [adapter, backend] = machine(networks.gpu);
    let mut asked: Row = serde_json::from_value(json!({
        "task": task,
        "method": method,
        "labels": (method == Method::Cep).then_some(&arguments.labels),
        "beta": beta,
        "seed": seed,
        // Of training the energy.
        "steps": arguments.steps.unwrap_or(energy_steps(arguments.preset, task)),
        // Fingerprint of the networks and of how they are trained.
        "recipe": networks.recipe(method, beta)?,
        // What the total variation is taken over.
        "tv_over": match task {
            Task::EightGaussians => "the weights of the 8 modes".into(),
            _ => format!("{bins} x {bins} bins of the square of half width {}", task.half_width()),
        },
        "adapter": adapter,
        "backend": backend,
        "solver": solver.solver,
        "grid": solver.grid,
        "guidance": arguments.sampling.guidance,
        "nfe": solver.evaluations,
        "preset": arguments.preset,
        "samples": arguments.samples,
        // Samples that share a time in training.
        "group": arguments.group(),
    }))?;
    // Rows in data units say nothing of units.
    if let Normalize::Isotropic { deviation } = arguments.normalize() {
        asked.insert("normalize".into(), deviation.into());
    }
    // Rows of solvers in full order say nothing of it.
    if solver.lowers_last_steps() {
        asked.insert("last_steps".into(), LastSteps::Lowered.name().into());
    }
    Ok(asked)
}

/// A number of a row.
pub fn number(row: &Row, key: &str) -> f64 {
    row.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// A word of a row.
pub fn word<'a>(row: &'a Row, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A row in words.
pub fn name(row: &Row) -> String {
    let (beta, seed) = (number(row, "beta"), number(row, "seed"));
    format!("{}, {}, beta {beta}, seed {seed}", word(row, "task"), word(row, "method"))
}

/// A name for the files of what was asked for, no other's.
pub fn stem(asked: &Row) -> serde_json::Result<String> {
    let name = name(asked).replace(", ", "-").replace(' ', "-");
    Ok(format!("{name}-{}", fingerprint(asked)?))
}

/// Figures in a line.
pub fn figures(row: &Row) -> String {
    let gradient = number(row, "energy_gradient_error");
    let gradient = if gradient.is_nan() { "none".into() } else { format!("{gradient:.3}") };
    let keys = ["tv", "tv_exact_samples", "sliced_w2", "score_error", "seconds", "score_seconds"];
    let [tv, exact, w2, score, seconds, training] = keys.map(|key| number(row, key));
    format!(
        "total variation {tv:.4} (exact draws {exact:.4}), sliced W2 {w2:.3}, gradient error {gradient}, \
         score error {score:.3}, {seconds:.0} s and {training:.0} s for the score"
    )
}

/// Whether a row is what was asked for.
pub fn answers(row: &Row, asked: &Row) -> bool {
    asked.iter().all(|(key, value)| row.get(key) == Some(value))
}

/// The rows of a folder.
pub struct Table {
    path: PathBuf,
    pub rows: Vec<Row>,
}

impl Table {
    /// The rows that a folder holds.
    pub fn open(folder: &Path) -> Outcome<Self> {
        let path = folder.join("rows.jsonl");
        let text = read_if_there(&path)?.unwrap_or_default();
        let read = |(index, line)| {
            serde_json::from_str(line).map_err(|error| {
                let place = format!("{}, line {}", path.display(), index + 1);
                format!("{place}: is no row ({error}); move the file away or give another --out")
            })
        };
        let rows = text.lines().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { path, rows })
    }

    /// The rows of the settings of `asked`; those of the contrast with these labels.
    pub fn like(&self, asked: &Row, arguments: &Arguments) -> Vec<&Row> {
        let belongs = |row: &&Row| {
            let usual = word(row, "task").parse().ok().map(|task| energy_steps(arguments.preset, task));
            SETTINGS.iter().all(|key| row.get(*key) == asked.get(*key))
                && row.get("steps").and_then(Value::as_u64) == arguments.steps.or(usual)
                && row.get("labels").and_then(Value::as_str).is_none_or(|labels| labels == arguments.labels)
        };
        self.rows.iter().filter(belongs).collect()
    }

    /// Adds a row at once, so that nothing measured is lost. It takes the place of an older one.
    pub fn add(&mut self, asked: &Row, row: Row) -> Outcome {
        self.rows.retain(|known| !answers(known, asked));
        self.rows.push(row);
        let lines = self.rows.iter().map(|row| Ok(serde_json::to_string(row)? + "\n"));
        Ok(write_whole(&self.path, &lines.collect::<serde_json::Result<String>>()?)?)
    }
}

/// Total variation by task and temperature against method: the mean over seeds, with its standard
/// error where there are several. Below it, how much farther from the target than contrastive
/// energy prediction each other method ends: means over the seeds that both have, which share data,
/// score and noise; nothing unless several seeds have both.
pub fn markdown(rows: &[&Row]) -> String {
    let all = Method::value_variants().iter().map(|method| name_of(*method));
    let methods: Vec<String> =
        all.filter(|method| rows.iter().any(|row| word(row, "method") == method)).collect();
    let mut cells: BTreeMap<(&str, u64), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        // Positive numbers are ordered as their bits.
        cells.entry((word(row, "task"), number(row, "beta").to_bits())).or_default().push(row);
    }
    let (mut variations, mut gaps) = (Vec::new(), Vec::new());
    for ((task, beta), rows) in &cells {
        let of = |method: &str| -> BTreeMap<u64, f64> {
            let rows = rows.iter().filter(|row| word(row, "method") == method);
            rows.map(|row| (number(row, "seed") as u64, number(row, "tv"))).collect()
        };
        let cep = of("cep");
        let mut values = vec![(*task).to_owned(), f64::from_bits(*beta).to_string()];
        let mut differences = values.clone();
        for method in &methods {
            let (found, mut same) = (of(method), rows.iter().filter(|row| word(row, "method") == method));
            let kind = same.find_map(|row| row.get("denoised_energy")?.as_str());
            let kind = kind.map_or(String::new(), |kind| format!(" ({kind})"));
            values.push(spread(found.values().copied(), 1) + &kind);
            let gap = |(seed, tv): (&u64, &f64)| Some(tv - cep.get(seed)?);
            differences.extend((method != "cep").then(|| spread(found.iter().filter_map(gap), 2)));
        }
        let floor = rows.iter().map(|row| number(row, "tv_exact_samples")).sum::<f64>();
        values.push(format!("{:.4}", floor / rows.len() as f64));
        variations.push(values);
        gaps.extend((cep.len() > 1).then_some(differences));
    }
    let names = methods.iter().cloned().chain(["exact draws".into()]);
    let others = methods.iter().filter(|method| *method != "cep").map(|method| format!("{method} - cep"));
    let text = table(names.collect(), &variations);
    if gaps.is_empty() { text } else { text + "\n" + &table(others.collect(), &gaps) }
}

/// A table with columns behind task and temperature.
fn table(columns: Vec<String>, rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head = [vec!["task".into(), "beta".into()], columns].concat();
    let rule = "|---".repeat(head.len()) + "|\n";
    line(&head) + &rule + &rows.iter().map(|row| line(row)).collect::<String>()
}

/// Mean and standard error; nothing of fewer values than `least`.
fn spread(values: impl Iterator<Item = f64>, least: usize) -> String {
    let values: Vec<f64> = values.collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0);
    match values.len() {
        few if few < least => String::new(),
        1 => format!("{mean:.4}"),
        _ => format!("{mean:.4} ± {:.4}", (variance / count).sqrt()),
    }
}
