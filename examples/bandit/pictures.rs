//! The picture: a few states in rows; the behavior, the best policy and each method's samples in
//! columns.

use std::path::Path;

use gibbs::tasks::bandit::Bandit;
use gibbs::tasks::toy::{Bins, TiltedMixture};

use super::common::arguments::{Outcome, name_of};
use super::common::pictures::{Panel, Row, peak, sheet};
use super::measure::Measured;

/// Which of the measured states are shown: the corners of their grid, and one near the middle.
const SHOWN: [usize; 5] = [0, 3, 5, 12, 15];
/// Pixels along the side of a panel.
const SIZE: u32 = 200;
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
        let (behavior, best) = (exact(0.0)?, exact(beta)?);
        let (low, high) = (peak(&behavior), peak(&best));
        let mut panels = vec![Some(Panel::heat(&behavior, low)), Some(Panel::heat(&best, high))];
        for found in shown {
            let bins = Bins::of_sample(&found.samples[index], Bandit::HALF_WIDTH, CELLS);
            let note = format!("KL {:.3}", found.row.kl_states[index]);
            panels.push(Some(Panel { note, ..Panel::heat(&bins.densities(), high) }));
        }
        rows.push(Row { label: format!("s = ({}, {})", state[0], state[1]), panels });
    }
    let mut titles = vec!["behavior".into(), format!("best, beta = {beta}")];
    titles.extend(shown.iter().map(|found| name_of(found.row.method)));
    sheet(&path, SIZE, &titles, &rows)
}

/// The density at the middles of the cells.
fn density(mixture: &TiltedMixture) -> Vec<f64> {
    let place = |index: usize| ((index as f64 + 0.5) / CELLS as f64 * 2.0 - 1.0) * Bandit::HALF_WIDTH;
    (0..CELLS * CELLS)
        .map(|cell| mixture.log_density([place(cell % CELLS), place(cell / CELLS)]).exp())
        .collect()
}
