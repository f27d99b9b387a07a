//! The density a guided sampler should reach: the tilted data, exactly.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::bins::Bins;
use super::interval;
use super::oracle::Oracle;
use super::variation;
use super::variation::Partition;
use crate::math::{log_sum_exp, normal_pair, uniform};

/// `p_0` proportional to `q_0 exp(-beta E)`, as a mixture of atoms whose weights the energies have
/// tilted.
#[derive(Clone, Debug)]
pub struct ExactTarget {
    atoms: Vec<TiltedAtom>,
    std: f64,
    side: f64,
    log_z: f64,
    partition: Partition,
}

#[derive(Clone, Copy, Debug)]
struct TiltedAtom {
    middle: [f64; 2],
    weight: f64,
    /// Weights of this and all earlier atoms.
    up_to: f64,
}

impl ExactTarget {
    /// The tilt of an oracle's data, to be compared over a partition.
    pub(super) fn new(oracle: &Oracle, partition: Partition) -> Self {
        let data = &oracle.atoms;
        let curvature = oracle.beta * data.curvature;
        // A Gaussian times exp(-curvature |x|^2 / 2): narrower or wider, moved, and heavier or
        // lighter.
        let stretch = 1.0 + curvature * data.variance;
        let log_weight = |atom: &super::oracle::Atom| {
            let [u, v] = atom.middle;
            let pulled = 0.5 * curvature * (u * u + v * v) / stretch;
            atom.log_weight - oracle.beta * atom.energy - stretch.ln() - pulled
        };
        let log_z = log_sum_exp(data.atoms.iter().map(log_weight));
        let mut up_to = 0.0;
        let atoms = data
            .atoms
            .iter()
            .map(|atom| {
                let weight = (log_weight(atom) - log_z).exp();
                up_to += weight;
                TiltedAtom { middle: atom.middle.map(|v| v / stretch), weight, up_to }
            })
            .collect();
        Self { atoms, std: (data.variance / stretch).sqrt(), side: data.side, log_z, partition }
    }

    /// `log Z = log E_q[exp(-beta E)]`, in nats.
    pub fn log_z(&self) -> f64 {
        self.log_z
    }

    /// What [`ExactTarget::total_variation`] is taken over.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// `count` independent draws, exact to the accuracy of the curves' quadrature (1e-6). Equal
    /// seeds give equal draws.
    pub fn draw(&self, count: usize, seed: u64) -> Vec<[f32; 2]> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let Some(last) = self.atoms.last() else { return Vec::new() };
        (0..count)
            .map(|_| {
                let place = uniform(&mut rng) * last.up_to;
                let index = self.atoms.partition_point(|atom| atom.up_to < place);
                let middle = self.atoms.get(index).unwrap_or(last).middle;
                let noise = normal_pair(&mut rng);
                let mut blurred = |i: usize| {
                    let spread = self.side * (uniform(&mut rng) - 0.5);
                    (middle[i] + spread + self.std * noise[i]) as f32
                };
                [blurred(0), blurred(1)]
            })
            .collect()
    }

    /// Probabilities of the cells of a square, exact: an atom's mass over a cell is a product of
    /// two differences of its distribution function.
    pub fn bins(&self, half_width: f64, cells: usize) -> Bins {
        let width = 2.0 * half_width / cells as f64;
        let mut probabilities = vec![0.0; cells * cells];
        for atom in &self.atoms {
            let masses = atom.middle.map(|middle| -> Vec<f64> {
                let edges: Vec<f64> = (0..=cells)
                    .map(|edge| self.cumulative(edge as f64 * width - half_width - middle))
                    .collect();
                // A difference of nearly equal numbers may be rounded below 0.
                edges.windows(2).map(|pair| (pair[1] - pair[0]).max(0.0)).collect()
            });
            let [columns, rows] = &masses;
            // Most atoms touch a few columns only.
            let first = columns.iter().position(|mass| *mass > NOTHING).unwrap_or(cells);
            let end = columns.iter().rposition(|mass| *mass > NOTHING).map_or(first, |last| last + 1);
            for (row, mass) in rows.iter().enumerate().filter(|(_, mass)| **mass > NOTHING) {
                let line = &mut probabilities[row * cells..][first..end];
                for (sum, column) in line.iter_mut().zip(&columns[first..end]) {
                    *sum += atom.weight * mass * column;
                }
            }
        }
        let outside = (1.0 - probabilities.iter().sum::<f64>()).max(0.0);
        Bins { half_width, cells, probabilities, outside }
    }

    /// Total variation between a sample and this density over [`ExactTarget::partition`]: 0 at
    /// best, 1 at worst. As many exact draws have one above 0, which is the floor to compare with.
    pub fn total_variation(&self, sample: &[[f32; 2]]) -> f64 {
        match &self.partition {
            Partition::Modes(centers) => {
                let weights: Vec<f64> = self.atoms.iter().map(|atom| atom.weight).collect();
                variation::mode_variation(sample, centers, &weights)
            }
            Partition::Bins { half_width, cells } => {
                variation::bin_variation(sample, &self.bins(*half_width, *cells))
            }
        }
    }

    /// The weights of the modes, in the order of their labels; none if the density has no separate
    /// modes.
    pub fn mode_weights(&self) -> Option<Vec<f64>> {
        match self.partition {
            Partition::Modes(_) => Some(self.atoms.iter().map(|atom| atom.weight).collect()),
            Partition::Bins { .. } => None,
        }
    }

    /// An atom's distribution function along an axis, at a distance from its middle.
    fn cumulative(&self, d: f64) -> f64 {
        let (std, half) = (self.std, 0.5 * self.side);
        match (std > 0.0, half > 0.0) {
            (true, false) => interval::cumulative(d / std),
            (false, true) => ((d + half) / self.side).clamp(0.0, 1.0),
            (false, false) => f64::from(u8::from(d >= 0.0)),
            (true, true) => {
                let [low, high] = [(d - half) / std, (d + half) / std].map(interval::cumulative_twice);
                std / self.side * (high - low)
            }
        }
    }
}

/// Masses along one axis that are left out.
const NOTHING: f64 = 1e-20;
