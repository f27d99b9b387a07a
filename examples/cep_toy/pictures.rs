//! Pictures: data, exact target and samples of each method; learned energies beside the exact ones.

use std::collections::BTreeMap;
use std::path::Path;

use gibbs::tasks::toy::{Bins, Task};

use super::measure::{FIELD_TIMES, Measured, density};
use super::panels::{Outcome, Panel, Row, sheet};
use super::rows::Method;

/// Rows by temperature, task and method.
pub type Shown = BTreeMap<(String, &'static str, Method), Measured>;

/// One sheet of samples per temperature, and one of energies per task and temperature.
pub fn draw(folder: &Path, tasks: &[Task], methods: &[Method], shown: &Shown) -> Outcome {
    let mut betas: Vec<&String> = shown.keys().map(|(beta, ..)| beta).collect();
    betas.dedup();
    for beta in betas {
        let path = folder.join(format!("samples-beta-{beta}.png"));
        let mut rows = Vec::new();
        for &task in tasks {
            let of = |method: &Method| shown.get(&(beta.clone(), task.name(), *method));
            let Some(first) = methods.iter().find_map(of) else { continue };
            let mut panels =
                vec![Some(heat(&first.data, &first.data, "")), Some(heat(&first.target, &first.target, ""))];
            for method in methods {
                panels.push(of(method).map(|found| {
                    let note = format!("total variation {:.3}", found.row.tv);
                    heat(&density(task, &found.samples), &first.target, &note)
                }));
            }
            rows.push(Row { label: task.name().replace('_', "\n"), panels });
            let path = folder.join(format!("energy-{task}-beta-{beta}.png"));
            energies(&path, methods, &of)?;
        }
        let titles: Vec<&str> =
            ["data", "exact target"].into_iter().chain(methods.iter().map(|m| m.name())).collect();
        if !rows.is_empty() {
            sheet(&path, &titles, &rows)?;
            println!("picture: {}", path.display());
        }
    }
    Ok(())
}

/// The root of a density, against the scale of another.
fn heat(bins: &Bins, scale: &Bins, note: &str) -> Panel {
    let peak = scale.probabilities.iter().copied().fold(0.0, f64::max).max(1e-12);
    Panel { values: bins.probabilities.iter().map(|p| (p / peak).sqrt()).collect(), note: note.into() }
}

fn energies<'a>(path: &Path, methods: &[Method], of: &dyn Fn(&Method) -> Option<&'a Measured>) -> Outcome {
    let mut rows = Vec::new();
    for method in methods {
        let Some((found, field)) =
            of(method).and_then(|found| found.field.as_ref().map(|field| (found, field)))
        else {
            continue;
        };
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
            rows.push(Row { label: "exact".into(), panels });
        }
        let panels =
            field.learned.iter().zip(&field.exact).map(|(learned, exact)| panel(learned, exact)).collect();
        let error = found.row.energy_gradient_error.unwrap_or(f64::NAN);
        rows.push(Row { label: format!("{}\ngradient error\n{error:.3}", method.name()), panels });
    }
    if rows.is_empty() {
        return Ok(());
    }
    let titles = FIELD_TIMES.map(|time| format!("E_t, t = {time}"));
    sheet(path, &titles.iter().map(String::as_str).collect::<Vec<_>>(), &rows)?;
    println!("picture: {}", path.display());
    Ok(())
}
