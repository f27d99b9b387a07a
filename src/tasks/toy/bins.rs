//! Probabilities on the cells of a square.

use crate::tasks::density::histogram;

/// Exact probabilities of the cells of a square `[-half_width, half_width]^2` and of all that lies
/// outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Bins {
    /// Half the side of the square.
    pub half_width: f64,
    /// Cells along each side.
    pub cells: usize,
    /// `[cells, cells]`, columns along `x[0]` and rows along `x[1]`, both ascending.
    pub probabilities: Vec<f64>,
    /// What is left of 1.
    pub outside: f64,
}

impl Bins {
    /// The mean density over each cell.
    pub fn densities(&self) -> Vec<f64> {
        let area = histogram::cell_area(self.half_width, self.cells);
        self.probabilities.iter().map(|probability| probability / area).collect()
    }

    /// The same of a sample: shares of all its points; points outside the square, NaN among them,
    /// count as outside.
    pub fn of_sample(sample: &[[f32; 2]], half_width: f64, cells: usize) -> Self {
        let area = histogram::cell_area(half_width, cells);
        let probabilities: Vec<f64> = histogram::histogram(sample, half_width, cells)
            .into_iter()
            .map(|density| density * area)
            .collect();
        let outside = (1.0 - probabilities.iter().sum::<f64>()).max(0.0);
        Self { half_width, cells, probabilities, outside }
    }
}
