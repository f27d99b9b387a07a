//! Pictures: data, exact target and samples of each method; learned energies beside the exact ones.

use std::path::{Path, PathBuf};

use gibbs::tasks::toy::Task;

use super::files::write_whole;
use super::measure::{FIELD_TIMES, Measured};
use super::panels::{Outcome, Panel, Row as Line, sheet};
use super::rows::{Method, Row};

/// Where what a row's pictures need is kept, so that a run that goes on draws all of them.
fn place(folder: &Path, row: &Row) -> PathBuf {
    folder.join("panels").join(format!("{}.json", row.stem()))
}

/// Keeps what a row's pictures need.
pub fn keep(folder: &Path, found: &Measured) -> Outcome {
    std::fs::create_dir_all(folder.join("panels"))?;
    Ok(write_whole(&place(folder, &found.row), &serde_json::to_string(found)?)?)
}

/// One sheet of samples per temperature, and one of energies per task and temperature, of the first seed among `rows`.
pub fn draw(folder: &Path, tasks: &[Task], methods: &[Method], rows: &[Row]) -> Outcome {
    let Some(first) = rows.first() else { return Ok(()) };
    let mut betas: Vec<f64> = rows.iter().map(|row| row.beta).collect();
    betas.sort_by(f64::total_cmp);
    betas.dedup();
    let load = |task: Task, method: Method, beta: f64| -> Option<Measured> {
        let of = |row: &&Row| {
            row.task == task.name() && row.method == method && row.beta == beta && row.seed == first.seed
        };
        let row = rows.iter().find(of)?;
        let text = std::fs::read_to_string(place(folder, row)).ok();
        let found: Option<Measured> = text.and_then(|text| serde_json::from_str(&text).ok());
        if found.is_none() {
            eprintln!("{} is not in the pictures: {} is missing", row.name(), place(folder, row).display());
        }
        found
    };
    for beta in betas {
        let mut lines = Vec::new();
        for &task in tasks {
            let found: Vec<Option<Measured>> =
                methods.iter().map(|&method| load(task, method, beta)).collect();
            let Some(known) = found.iter().flatten().next() else { continue };
            let mut panels = vec![heat(&known.data, &known.data, ""), heat(&known.target, &known.target, "")];
            panels.extend(found.iter().map(|found| {
                let found = found.as_ref()?;
                heat(&found.samples, &known.target, &format!("total variation {:.3}", found.row.tv))
            }));
            lines.push(Line { label: task.name().replace('_', "\n"), panels });
            energies(&folder.join(format!("energy-{task}-beta-{beta}.png")), &found)?;
        }
        if !lines.is_empty() {
            let titles = ["data", "exact target"].into_iter().chain(methods.iter().map(|m| m.name()));
            let path = folder.join(format!("samples-beta-{beta}.png"));
            sheet(&path, &titles.collect::<Vec<_>>(), &lines)?;
            println!("picture: {}", path.display());
        }
    }
    Ok(())
}

/// The root of a density, against the scale of another.
fn heat(values: &[f64], scale: &[f64], note: &str) -> Option<Panel> {
    let peak = scale.iter().copied().fold(0.0, f64::max).max(1e-12);
    Some(Panel { values: values.iter().map(|p| (p / peak).sqrt()).collect(), note: note.into() })
}

fn energies(path: &Path, found: &[Option<Measured>]) -> Outcome {
    let mut rows = Vec::new();
    for found in found.iter().flatten() {
        let Some(field) = &found.field else { continue };
        // Energies are known up to a constant per time: both start at their least; low, the wanted, is bright.
        let panel = |values: &[f64], exact: &[f64]| {
            let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
            let range = (exact.iter().copied().fold(f64::NEG_INFINITY, f64::max) - least(exact)).max(1e-9);
            let low = least(values);
            let values = values.iter().map(|v| 1.0 - (v - low) / range).collect();
            Some(Panel { values, note: String::new() })
        };
        if rows.is_empty() {
            let panels = field.exact.iter().map(|exact| panel(exact, exact)).collect();
            rows.push(Line { label: "exact".into(), panels });
        }
        let panels =
            field.learned.iter().zip(&field.exact).map(|(learned, exact)| panel(learned, exact)).collect();
        let error = found.row.energy_gradient_error.unwrap_or(f64::NAN);
        let name = found.row.method.name();
        rows.push(Line {
            label: format!(
                "{name}
gradient error
{error:.3}"
            ),
            panels,
        });
    }
    if rows.is_empty() {
        return Ok(());
    }
    let titles = FIELD_TIMES.map(|time| format!("E_t, t = {time}"));
    sheet(path, &titles.iter().map(String::as_str).collect::<Vec<_>>(), &rows)?;
    println!("picture: {}", path.display());
    Ok(())
}
