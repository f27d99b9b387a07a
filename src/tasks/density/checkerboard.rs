use rand::Rng;

use crate::math::uniform;

/// Half the side of the board.
const HALF: f64 = 4.0;
/// Cells along a side, by their number in the family.
const CELLS: [u32; 4] = [2, 4, 6, 8];

/// A board of equal cells over `[-4, 4]^2`, uniform on every second one and zero elsewhere.
///
/// Cell `(column, row)`, counted from the lower left, is filled if `column + row` is even; half the
/// area is, so the density is 1/32 there. Outside the filled cells `log p` is `-inf`: what a model
/// places there earns nothing in a Bhattacharyya coefficient, and a smooth energy, whose mass
/// always leaks over the borders, stays below 1 by about the share that leaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkerboard {
    cells: u32,
}

impl Checkerboard {
    /// The board at a context: 2, 4, 6 or 8 cells a side, `cells = 3 x + 5`, the nearest of them.
    pub fn at(context: f64) -> Self {
        let index = (1.5 * context + 1.5).round().clamp(0.0, 3.0) as usize;
        Self { cells: CELLS[index] }
    }

    /// A uniformly drawn member of the family.
    pub(super) fn random(rng: &mut impl Rng) -> Self {
        Self { cells: CELLS[(4.0 * uniform(rng)) as usize] }
    }

    /// The number of cells along a side.
    pub fn cells(&self) -> u32 {
        self.cells
    }

    /// `x = (cells - 5) / 3`.
    pub fn context(&self) -> f64 {
        (f64::from(self.cells) - 5.0) / 3.0
    }

    fn side(&self) -> f64 {
        2.0 * HALF / f64::from(self.cells)
    }

    /// One draw of `y`.
    pub fn draw(&self, rng: &mut impl Rng) -> [f64; 2] {
        let across = uniform(rng) * f64::from(self.cells);
        let column = across.floor();
        let row = 2.0 * (uniform(rng) * f64::from(self.cells / 2)).floor() + column.rem_euclid(2.0);
        [across * self.side() - HALF, (row + uniform(rng)) * self.side() - HALF]
    }

    /// `log p(y)` in nats, exact; `-inf` outside the filled cells.
    pub fn log_density(&self, y: [f64; 2]) -> f64 {
        let [column, row] = y.map(|v| ((v + HALF) / self.side()).floor());
        let inside = 0.0..f64::from(self.cells);
        if inside.contains(&column) && inside.contains(&row) && (column + row).rem_euclid(2.0) == 0.0 {
            -(2.0 * HALF * HALF).ln()
        } else {
            f64::NEG_INFINITY
        }
    }
}
