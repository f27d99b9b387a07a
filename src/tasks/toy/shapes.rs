//! The tasks' densities as atoms: exact components, or quadrature nodes along a curve.

use std::f64::consts::{PI, TAU};

use rand::Rng;

use super::labeled_point::LabeledPoint;
use super::oracle::{Atom, Atoms};
use super::task::Task;
use crate::math::{normal_pair, uniform};
use crate::tasks::density::curve::Panel;
use crate::tasks::density::{Checkerboard, Density, EightGaussians, Rings};
use crate::tasks::density::{moons, rings, two_spirals};

/// Gauss-Legendre panels of 8 nodes along a curve, the same along an arm that squares smooth, and
/// evenly spaced nodes round a ring, per noise width.
const PANELS: f64 = 0.75;
const ARM_PANELS: f64 = 0.4;
const RING_NODES: f64 = 1.5;

/// The swiss roll: what the generator divides by, and the angles it runs over.
const ROLL_SCALE: f64 = 5.0;
const ROLL: [f64; 2] = [1.5 * PI, 4.5 * PI];
/// Its noise, 1 before the division.
const ROLL_STD: f64 = 1.0 / ROLL_SCALE;
/// `E(x) = ROLL_CURVATURE |x|^2 / 2`.
pub(super) const ROLL_CURVATURE: f64 = -2.0 / 9.0;

/// Energies of the rings, from the outside in.
const RING_ENERGIES: [f64; 4] = [-0.667, -0.333, -1.0, 0.0];
/// Half the side of the checkerboard.
const BOARD: f64 = 4.0;
/// The two spirals' parameter runs from 0 to this.
const ARM_END: f64 = 3.0 * PI;

/// One point of a task with the energy it has by its making.
pub(super) fn draw(task: Task, rng: &mut impl Rng) -> LabeledPoint {
    let standard = |family: Density| f64::from(family.standard_context());
    let (place, energy) = match task {
        Task::SwissRoll => {
            let middle = roll(ROLL[0] + (ROLL[1] - ROLL[0]) * uniform(rng));
            let noise = normal_pair(rng);
            let x = [0, 1].map(|i| middle[i] + ROLL_STD * noise[i]);
            (x, roll_energy(x))
        }
        Task::EightGaussians => {
            let (index, x) = EightGaussians::at(standard(Density::EightGaussians)).draw_labeled(rng);
            (x, gaussian_energy(index))
        }
        Task::Moons => {
            let (second, x) = moons::draw_labeled(0.0, rng);
            (x, moon_energy(second))
        }
        Task::Rings => {
            let (ring, x) = Rings::at(standard(Density::Rings)).draw_labeled(rng);
            (x, RING_ENERGIES[ring])
        }
        Task::Checkerboard => {
            let x = Checkerboard::at(standard(Density::Checkerboard)).draw(rng);
            (x, column_energy(x[0]))
        }
        Task::TwoSpirals => {
            let (n, x) = two_spirals::draw_labeled(1.0, rng);
            (x, arm_energy(n))
        }
    };
    LabeledPoint { x: place.map(|v| v as f32), energy: energy as f32 }
}

/// A task's density; curves have `fineness` times as many nodes as 1e-6 needs.
pub(super) fn atoms(task: Task, fineness: f64) -> Atoms {
    let (atoms, std, side, curvature) = match task {
        Task::SwissRoll => {
            // |dc/da| = sqrt(1 + a^2) / 5
            let stride = |a: f64| ROLL_SCALE * ROLL_STD / (PANELS * fineness) / f64::hypot(1.0, a);
            let share = 1.0 / (ROLL[1] - ROLL[0]);
            let atoms = along(ROLL, stride, roll, |_, width| share * width, |_| 0.0);
            (atoms, ROLL_STD, 0.0, ROLL_CURVATURE)
        }
        Task::EightGaussians => {
            let shape = EightGaussians::at(0.0);
            let centers = gaussian_centers();
            let atoms = (0..8).map(|k| Atom {
                middle: centers[k],
                log_weight: -8.0f64.ln(),
                energy: -(k as f64) / 7.0,
            });
            (atoms.collect(), shape.std(), 0.0, 0.0)
        }
        Task::Moons => {
            let stride = |_| moons::NOISE_STD / (moons::SCALE * PANELS * fineness);
            let atoms = [false, true].into_iter().flat_map(|second| {
                let place = move |a| moons::moon(second, 0.0, a);
                along([0.0, PI], stride, place, |_, width| width / TAU, move |_| moon_energy(second))
            });
            (atoms.collect(), moons::NOISE_STD, 0.0, 0.0)
        }
        Task::Rings => {
            let atoms = rings::RADII.into_iter().zip(RING_ENERGIES).flat_map(|(radius, energy)| {
                let count = (TAU * radius / rings::NOISE_STD * RING_NODES * fineness).ceil();
                let log_weight = -(rings::RADII.len() as f64 * count).ln();
                (0..count as usize).map(move |index| {
                    let (sin, cos) = (TAU * index as f64 / count).sin_cos();
                    Atom { middle: [radius * cos, radius * sin], log_weight, energy }
                })
            });
            (atoms.collect(), rings::NOISE_STD, 0.0, 0.0)
        }
        Task::Checkerboard => {
            let side = 0.5 * BOARD;
            let places = [-3.0, -1.0, 1.0, 3.0];
            let atoms = (0..16).filter(|cell| (cell % 4 + cell / 4) % 2 == 0).map(|cell| {
                let middle = [places[cell % 4], places[cell / 4]];
                Atom { middle, log_weight: -8.0f64.ln(), energy: column_energy(middle[0]) }
            });
            (atoms.collect(), 0.0, side, 0.0)
        }
        Task::TwoSpirals => {
            let stride = |n: f64| 3.0 * two_spirals::NOISE_STD / (ARM_PANELS * fineness) / f64::hypot(1.0, n);
            let atoms = [1.0, -1.0].into_iter().flat_map(|sign| {
                let place = move |n| two_spirals::arm(n).map(|v| sign * (v + 0.5 * two_spirals::JITTER));
                along([0.0, ARM_END], stride, place, |n, width| width * n / (ARM_END * ARM_END), arm_energy)
            });
            (atoms.collect(), two_spirals::NOISE_STD, two_spirals::JITTER, 0.0)
        }
    };
    Atoms { atoms, variance: std * std, side, curvature }
}

/// The nodes of a curve over `range`, in panels as long as `stride` says at their beginning.
fn along(
    [from, to]: [f64; 2],
    stride: impl Fn(f64) -> f64,
    place: impl Fn(f64) -> [f64; 2],
    mass: impl Fn(f64, f64) -> f64,
    energy: impl Fn(f64) -> f64,
) -> Vec<Atom> {
    let mut atoms = Vec::new();
    let mut start = from;
    while start < to {
        let end = f64::min(start + stride(start), to);
        // The parameter rides in the place of a point, so that energies come from the same nodes.
        let panel = Panel::new(start, end, |n| [n, 0.0], &mass);
        atoms.extend(panel.nodes.iter().map(|node| {
            let n = node.point[0];
            Atom { middle: place(n), log_weight: node.weight.ln(), energy: energy(n) }
        }));
        start = end;
    }
    atoms
}

/// The centers in the order of their labels: anticlockwise from the top.
pub(super) fn gaussian_centers() -> [[f64; 2]; 8] {
    let mut centers = [[0.0; 2]; 8];
    for (index, center) in EightGaussians::at(0.0).centers().into_iter().enumerate() {
        centers[gaussian_label(index)] = center;
    }
    centers
}

/// The label of the Gaussian at the angle `index pi / 4`.
fn gaussian_label(index: usize) -> usize {
    (index + 6) % 8
}

fn gaussian_energy(index: usize) -> f64 {
    -(gaussian_label(index) as f64) / 7.0
}

fn moon_energy(second: bool) -> f64 {
    if second { -1.0 } else { 0.0 }
}

fn column_energy(x: f64) -> f64 {
    if x <= -0.5 * BOARD || (x > 0.0 && x <= 0.5 * BOARD) { -1.0 } else { 0.0 }
}

fn arm_energy(n: f64) -> f64 {
    -(1.0 - 0.1 * n).clamp(0.0, 1.0)
}

fn roll(angle: f64) -> [f64; 2] {
    let (sin, cos) = angle.sin_cos();
    [angle * cos / ROLL_SCALE, angle * sin / ROLL_SCALE]
}

fn roll_energy([u, v]: [f64; 2]) -> f64 {
    0.5 * ROLL_CURVATURE * (u * u + v * v)
}

/// The energy three noise widths beyond the roll's end.
pub(super) fn roll_lowest() -> f64 {
    roll_energy([ROLL[1] / ROLL_SCALE + 3.0 * ROLL_STD, 0.0])
}
