//! Moves of unadjusted Langevin dynamics settled (`shaders/mcmc/settle_move.wgsl`).

/// What chains remember between steps.
#[derive(Clone, Debug, PartialEq)]
pub struct SettledChains {
    /// Where the chains are, `[rows, dims]`; NaN for the dead.
    pub y: Vec<f64>,
    /// The gradient there, `[rows, dims]`; NaN for the dead.
    pub gradient: Vec<f64>,
    /// Refused moves, `[rows]`.
    pub refused: Vec<f64>,
}

/// Settles starts (`before` is none) or moves: a point is good where `energy` and all of `gradient`
/// and `y` are finite; a start that is not good makes a dead chain, a move to such a point is
/// refused.
///
/// * `energy`: `[rows]`; `gradient`, `y`: `[rows, dims]`.
pub fn settle_move(
    before: Option<&SettledChains>,
    energy: &[f64],
    gradient: &[f64],
    y: &[f64],
) -> SettledChains {
    assert!(gradient.len().is_multiple_of(energy.len()), "`gradient` is [rows, dims]");
    assert_eq!(gradient.len(), y.len(), "`y` has the shape of `gradient`");
    let dims = gradient.len() / energy.len();
    let mut after = before.cloned().unwrap_or_else(|| SettledChains {
        y: vec![f64::NAN; y.len()],
        gradient: vec![f64::NAN; y.len()],
        refused: vec![0.0; energy.len()],
    });
    for (row, energy) in energy.iter().enumerate() {
        let at = row * dims..(row + 1) * dims;
        let good =
            energy.is_finite() && gradient[at.clone()].iter().chain(&y[at.clone()]).all(|v| v.is_finite());
        let dead = before.is_some_and(|before| before.y[row * dims].is_nan());
        if good && !dead {
            after.y[at.clone()].copy_from_slice(&y[at.clone()]);
            after.gradient[at.clone()].copy_from_slice(&gradient[at]);
        } else if before.is_some() && !dead {
            after.refused[row] += 1.0;
        }
    }
    after
}
