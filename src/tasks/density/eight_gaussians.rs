use std::f64::consts::{FRAC_PI_8, TAU};

use rand::Rng;

use crate::math::{log_sum_exp, normal_pair, uniform};

/// What the generator divides by: a rounded square root of 2.
const SCALE: f64 = 1.414;
const RADIUS: f64 = 4.0 / SCALE;
const STD: f64 = 0.5 / SCALE;

/// Eight round Gaussians on a circle of radius 2.83, each of deviation 0.354, turned by an angle.
///
/// In closed form `p(y) = sum_k N(y; c_k, std^2 I) / 8`, `c_k` at the angles `k pi / 4` before the
/// turn.
#[derive(Clone, Debug)]
pub struct EightGaussians {
    angle: f64,
    centers: [[f64; 2]; 8],
}

impl EightGaussians {
    /// The shape at a context, turned by `x pi / 8` within an eighth of a circle, `x` kept within
    /// -1 to 1.
    pub fn at(context: f64) -> Self {
        let angle = FRAC_PI_8 * context.clamp(-1.0, 1.0);
        let centers = std::array::from_fn(|k| {
            let (sin, cos) = (angle + TAU * k as f64 / 8.0).sin_cos();
            [RADIUS * cos, RADIUS * sin]
        });
        Self { angle, centers }
    }

    /// The angle it is turned by, in radians, anticlockwise.
    pub fn angle(&self) -> f64 {
        self.angle
    }

    /// One draw of `y`.
    pub fn draw(&self, rng: &mut impl Rng) -> [f64; 2] {
        self.draw_labeled(rng).1
    }

    /// One draw of the Gaussian, by its place in [`EightGaussians::centers`], and of `y`.
    pub(in crate::tasks) fn draw_labeled(&self, rng: &mut impl Rng) -> (usize, [f64; 2]) {
        let index = (8.0 * uniform(rng)) as usize;
        let center = self.centers[index];
        let noise = normal_pair(rng);
        (index, [center[0] + STD * noise[0], center[1] + STD * noise[1]])
    }

    /// The centers, anticlockwise from the angle of the turn.
    pub fn centers(&self) -> [[f64; 2]; 8] {
        self.centers
    }

    /// The deviation of each Gaussian along each axis.
    pub fn std(&self) -> f64 {
        STD
    }

    /// `log p(y)` in nats, exact to rounding.
    pub fn log_density(&self, y: [f64; 2]) -> f64 {
        let terms = self.centers.map(|center| {
            let (a, b) = ((y[0] - center[0]) / STD, (y[1] - center[1]) / STD);
            -0.5 * (a * a + b * b)
        });
        log_sum_exp(terms) - (8.0 * TAU * STD * STD).ln()
    }
}
