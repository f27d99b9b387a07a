//! Choices of the command line that several examples offer.
#![allow(dead_code, reason = "each example uses its own part of this module")]

use clap::ValueEnum;
use gibbs::diffusion::Solver;
use gibbs::energy::Labels;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SolverKind {
    /// Ancestral sampling.
    Ddpm,
    /// First order.
    Ddim,
    /// DPM-Solver++ of second order, multistep.
    Multistep2,
    /// DPM-Solver++ of third order, multistep.
    Multistep3,
    /// DPM-Solver++ of second order, two evaluations a step (the paper's policies, with 15 evaluations equally spaced in time).
    Singlestep2,
    /// DPM-Solver of second order, multistep (the paper's toys, with 15 evaluations equally spaced in time).
    NoiseMultistep2,
}

impl SolverKind {
    pub fn solver(self) -> Solver {
        match self {
            SolverKind::Ddpm => Solver::Ddpm,
            SolverKind::Ddim => Solver::Ddim,
            SolverKind::Multistep2 => Solver::Multistep2,
            SolverKind::Multistep3 => Solver::Multistep3,
            SolverKind::Singlestep2 => Solver::Singlestep2,
            SolverKind::NoiseMultistep2 => Solver::NoiseMultistep2,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LabelKind {
    /// Softmax of the group's energies, as in the paper's code; biased for small groups.
    Normalised,
    /// Exponentials on one fixed scale: exact for any size of group.
    Unnormalised,
}

impl LabelKind {
    pub fn name(self) -> &'static str {
        match self {
            LabelKind::Normalised => "normalised",
            LabelKind::Unnormalised => "unnormalised",
        }
    }

    /// The labels of energies of which none is below `lowest`.
    pub fn labels(self, lowest: f64) -> Labels {
        match self {
            LabelKind::Normalised => Labels::Normalised,
            LabelKind::Unnormalised => Labels::Unnormalised { reference: lowest },
        }
    }
}
