//! Data and exact targets of each task.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::labeled_point::LabeledPoint;
use super::mixture::Quadratic;
use super::oracle::Oracle;
use super::shapes;
use super::target::ExactTarget;
use super::task::Task;
use super::variation::Partition;
use crate::Result;
use crate::energy::{Gradient, ShaderEnergy, ShaderEnergyOptions};

impl Task {
    /// Bins along each side of the square that samples are compared on, except for eight Gaussians.
    /// For ten thousand exact draws the total variation is then 0.01 to 0.05.
    pub const BINS: usize = 16;

    /// Half the side of the square for bins and pictures. Borders of the checkerboard are borders
    /// of bins.
    pub fn half_width(self) -> f64 {
        match self {
            Task::EightGaussians => 5.0,
            Task::Checkerboard => 16.0 / 3.0,
            Task::SwissRoll | Task::Moons | Task::Rings | Task::TwoSpirals => 4.0,
        }
    }

    /// The constant that labels are scaled by: with `exp(-beta (E - lowest))` none is above 1. The
    /// roll's energy has no lower bound: there, fewer than one point in a thousand has a larger
    /// label.
    pub fn lowest_energy(self) -> f64 {
        match self {
            Task::SwissRoll => shapes::roll_lowest(),
            _ => -1.0,
        }
    }

    /// Whether the energy is a differentiable function of the place, so that it can be followed
    /// through a denoiser.
    pub fn has_gradient(self) -> bool {
        self.quadratic().is_some()
    }

    /// The energy as a function of the place, where it is a differentiable one: the swiss roll's
    /// `-|x|^2 / 9`.
    pub fn quadratic(self) -> Option<Quadratic> {
        let c = shapes::ROLL_CURVATURE;
        (self == Task::SwissRoll).then_some(Quadratic { matrix: [[c, 0.0], [0.0, c]], center: [0.0; 2] })
    }

    /// The same for the device, with its gradient. Beyond the square of half width
    /// [`Task::half_width`] it stays what it is at the border: it would fall for ever, and denoised
    /// points that leave the data would be led on.
    ///
    /// # Errors
    /// Those of [`ShaderEnergy::new`].
    pub fn shader_energy(self) -> Result<Option<ShaderEnergy>> {
        let Some(quadratic) = self.quadratic() else { return Ok(None) };
        let text = "
fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
    let a = clamp(y[0], -border, border);
    let b = clamp(y[1], -border, border);
    return 0.5 * curvature * (a * a + b * b);
}
fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {
    return array<f32, DIMS>(
        select(0.0, curvature * y[0], abs(y[0]) < border),
        select(0.0, curvature * y[1], abs(y[1]) < border),
    );
}
";
        let options = ShaderEnergyOptions::new(0, 2, Gradient::Written)
            .number("curvature", quadratic.matrix[0][0] as f32)
            .number("border", self.half_width() as f32);
        ShaderEnergy::new("quadratic", "quadratic.wgsl", text, options).map(Some)
    }

    /// `count` labeled points. Equal seeds give equal data.
    pub fn draw(self, count: usize, seed: u64) -> Vec<LabeledPoint> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        (0..count).map(|_| shapes::draw(self, &mut rng)).collect()
    }

    /// The exact intermediate energy at an inverse temperature, within 1e-6 of a much finer
    /// quadrature, relative, wherever samples or their noised relatives are.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] if `beta` is negative, not finite, or (from 112.5 on for the
    /// roll) makes the target's mass infinite.
    pub fn oracle(self, beta: f64) -> Result<Oracle> {
        Oracle::new(shapes::atoms(self, 1.0), beta)
    }

    /// The exact target at an inverse temperature.
    ///
    /// # Errors
    /// As [`Task::oracle`].
    pub fn target(self, beta: f64) -> Result<ExactTarget> {
        let partition = match self {
            Task::EightGaussians => Partition::Modes(shapes::gaussian_centers().to_vec()),
            _ => Partition::Bins { half_width: self.half_width(), cells: Self::BINS },
        };
        Ok(ExactTarget::new(&self.oracle(beta)?, partition))
    }
}
