//! The picture: a few states in rows; the behaviour, the best policy and each method's samples in columns.

use std::path::Path;

use gibbs::tasks::bandit::Bandit;
use gibbs::tasks::toy::{Bins, TiltedMixture};

use super::measure::Measured;
use super::panels::{Outcome, Panel, Row, sheet};

/// Which of the measured states are shown: the corners of their grid, and one near the middle.
const SHOWN: [usize; 5] = [0, 3, 5, 12, 15];
/// Cells along a side.
const CELLS: usize = 50;

/// Writes `bandit.png`.
pub fn draw(folder: &Path, beta: f64, shown: &[Measured]) -> Outcome {
    let Some(first) = shown.first() else { return Ok(()) };
    let path = folder.join("bandit.png");
    let mut rows = Vec::new();
    for index in SHOWN {
        let Some(&state) = first.row.states.get(index) else { continue };
        let exact = |beta: f64| -> gibbs::Result<Vec<f64>> {
            Ok(density(&Bandit.oracle(state.map(f64::from), beta)?.tilted()))
        };
        let (behaviour, best) = (exact(0.0)?, exact(beta)?);
        let (low, high) = (peak(&behaviour), peak(&best));
        let mut panels = vec![Some(heat(&behaviour, low, "")), Some(heat(&best, high, ""))];
        for found in shown {
            let bins = Bins::of_sample(&found.samples[index], Bandit::HALF_WIDTH, CELLS);
            let note = format!("KL {:.3}", found.row.kl_states[index]);
            panels.push(Some(heat(&bins.densities(), high, &note)));
        }
        rows.push(Row { label: format!("s = ({}, {})", state[0], state[1]), panels });
    }
    let best = format!("best, beta = {beta}");
    let mut titles = vec!["behaviour", best.as_str()];
    titles.extend(shown.iter().map(|found| found.row.method.name()));
    sheet(&path, &titles, &rows)?;
    println!("picture: {}", path.display());
    Ok(())
}

/// The density at the middles of the cells.
fn density(mixture: &TiltedMixture) -> Vec<f64> {
    let place = |index: usize| ((index as f64 + 0.5) / CELLS as f64 * 2.0 - 1.0) * Bandit::HALF_WIDTH;
    (0..CELLS * CELLS)
        .map(|cell| mixture.log_density([place(cell % CELLS), place(cell / CELLS)]).exp())
        .collect()
}

fn peak(values: &[f64]) -> f64 {
    values.iter().copied().fold(1e-12, f64::max)
}

/// The root of a density, against the scale of its column.
fn heat(values: &[f64], peak: f64, note: &str) -> Panel {
    Panel { values: values.iter().map(|p| (p / peak).sqrt()).collect(), note: note.into() }
}
