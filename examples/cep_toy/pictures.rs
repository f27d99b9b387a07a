//! Pictures: data, exact target and samples of each method; learned energies beside the exact ones.

use std::path::{Path, PathBuf};

use gibbs::tasks::toy::Task;

use super::common::arguments::{Outcome, name_of};
use super::common::files::{make_folder, write_whole};
use super::common::pictures::{Panel, Row, peak, sheet};
use super::measure::{FIELD_TIMES, Measured};
use super::rows::{Method, Row as Asked, name, number, stem, word};

/// Pixels along the side of a panel.
const SIZE: u32 = 200;

/// Where what a row's pictures need is kept, so that a run that goes on draws all of them.
fn place(folder: &Path, asked: &Asked) -> serde_json::Result<PathBuf> {
    Ok(folder.join("panels").join(format!("{}.json", stem(asked)?)))
}

/// Keeps what a row's pictures need.
pub fn keep(folder: &Path, asked: &Asked, found: &Measured) -> Outcome {
    make_folder(&folder.join("panels"))?;
    Ok(write_whole(&place(folder, asked)?, &serde_json::to_string(found)?)?)
}

/// One sheet of samples per temperature, and one of energies per task and temperature: of the rows
/// of the first seed, which for each task and temperature stand in the order of the methods.
pub fn draw(folder: &Path, (tasks, betas, methods): (&[Task], &[f64], &[Method]), rows: &[Asked]) -> Outcome {
    let load = |asked: &Asked| -> Option<Measured> {
        let path = place(folder, asked).ok()?;
        let text = std::fs::read_to_string(&path).ok();
        let found: Option<Measured> = text.and_then(|text| serde_json::from_str(&text).ok());
        if found.is_none() {
            eprintln!("{} is not in the pictures: {} is missing", name(asked), path.display());
        }
        found
    };
    for (index, beta) in betas.iter().enumerate() {
        let mut lines = Vec::new();
        let of_beta = rows.chunks(methods.len()).skip(index).step_by(betas.len());
        for (task, rows) in tasks.iter().zip(of_beta) {
            let found: Vec<Option<Measured>> = rows.iter().map(load).collect();
            let Some(known) = found.iter().flatten().next() else { continue };
            let target = peak(&known.target);
            let heat = |values: &[f64], peak| Some(Panel::heat(values, peak));
            let mut panels = vec![heat(&known.data, peak(&known.data)), heat(&known.target, target)];
            panels.extend(found.iter().map(|found| {
                let found = found.as_ref()?;
                let note = format!("total variation {:.3}", number(&found.row, "tv"));
                Some(Panel { note, ..Panel::heat(&found.samples, target) })
            }));
            lines.push(Row { label: task.name().replace('_', "\n"), panels });
            energies(&folder.join(format!("energy-{task}-beta-{beta}.png")), &found)?;
        }
        if !lines.is_empty() {
            let mut titles = vec!["data".into(), "exact target".into()];
            titles.extend(methods.iter().map(|method| name_of(*method)));
            sheet(&folder.join(format!("samples-beta-{beta}.png")), SIZE, &titles, &lines)?;
        }
    }
    Ok(())
}

fn energies(path: &Path, found: &[Option<Measured>]) -> Outcome {
    let mut rows = Vec::new();
    for found in found.iter().flatten() {
        let Some(field) = &found.field else { continue };
        // Energies are known up to a constant per time: both start at their least; low, the wanted,
        // is bright.
        let panel = |(values, exact): (&Vec<f64>, &Vec<f64>)| {
            let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
            let range = (exact.iter().copied().fold(f64::NEG_INFINITY, f64::max) - least(exact)).max(1e-9);
            let low = least(values);
            Some(Panel::field(values.iter().map(|v| 1.0 - (v - low) / range)))
        };
        let row = |label: String, values: &[Vec<f64>]| Row {
            label,
            panels: values.iter().zip(&field.exact).map(panel).collect(),
        };
        if rows.is_empty() {
            rows.push(row("exact".into(), &field.exact));
        }
        let error = number(&found.row, "energy_gradient_error");
        let name = word(&found.row, "method");
        rows.push(row(format!("{name}\ngradient error\n{error:.3}"), &field.learned));
    }
    if rows.is_empty() {
        return Ok(());
    }
    sheet(path, SIZE, &FIELD_TIMES.map(|time| format!("E_t, t = {time}")), &rows)
}
