//! How a policy comes to its actions, as data.

use serde::{Deserialize, Serialize};

use crate::diffusion::SolverOptions;
use crate::math::Bounds;
use crate::math::Normalize;
use crate::mcmc::{Dynamics, Langevin, StepSchedule};
use crate::train::DataDescription;

/// Which of several samples of an agent becomes its prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choose {
    /// The one of lowest energy, the first on ties: best of N.
    #[default]
    Lowest,
    /// The first: a sample.
    First,
}

/// Chains on an energy that start at draws from a proposal: what a [`crate::mcmc::ChainSampler`]
/// does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChainInference {
    /// Chains per agent.
    pub chains: usize,
    /// How they move.
    pub dynamics: Dynamics,
    /// Which of their ends is taken.
    pub choose: Choose,
}

impl ChainInference {
    /// 256 chains, of which the end of lowest energy is taken.
    pub fn new(dynamics: impl Into<Dynamics>) -> Self {
        Self { chains: 256, dynamics: dynamics.into(), choose: Choose::Lowest }
    }

    /// What suits actions whose smallest column variance is `variance`: 40 Langevin steps at
    /// temperature 1, of sizes that fall from 0.006 to 0.00006 of that variance, the last one
    /// without noise, within a box.
    pub fn suited(variance: f64, bounds: Option<Bounds>) -> Self {
        Self::new(Langevin {
            steps: 40,
            step_sizes: StepSchedule::Geometric { first: 6e-3 * variance, last: 6e-5 * variance },
            bounds,
            quiet_last: true,
            ..Langevin::default()
        })
    }
}

crate::error::setters!(ChainInference {
    with_chains => chains: usize,
    with_dynamics => dynamics: Dynamics,
    with_choose => choose: Choose,
});

/// The reverse process of a diffusion model: what a [`crate::diffusion::DiffusionSampler`] does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DiffusionInference {
    /// The solver with its grid, number of evaluations and schedule.
    pub solver: SolverOptions,
    /// Factor of the intermediate energy's gradient; without effect where there is none.
    pub guidance_scale: f64,
    /// Samples per agent.
    pub samples: usize,
    /// Which of them is taken; the lowest is that of the intermediate energy at the solver's last
    /// time.
    pub choose: Choose,
}

impl DiffusionInference {
    /// One sample, guided at scale 1 where there is an intermediate energy.
    pub fn new(solver: SolverOptions) -> Self {
        Self { solver, guidance_scale: 1.0, samples: 1, choose: Choose::First }
    }
}

crate::error::setters!(DiffusionInference {
    with_solver => solver: SolverOptions,
    with_guidance_scale => guidance_scale: f64,
    with_samples => samples: usize,
    with_choose => choose: Choose,
});

/// How a policy comes to its actions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Inference {
    /// Chains on an energy.
    Chains(ChainInference),
    /// The reverse process of a diffusion model, guided or not.
    Diffusion(DiffusionInference),
    /// A draw of the proposal.
    Proposal,
    /// The output of a network.
    Network,
}

impl From<ChainInference> for Inference {
    fn from(chains: ChainInference) -> Self {
        Self::Chains(chains)
    }
}

impl From<DiffusionInference> for Inference {
    fn from(diffusion: DiffusionInference) -> Self {
        Self::Diffusion(diffusion)
    }
}

/// The smallest variance of a column of the data's actions that varies: that of the fitted
/// normalizer of scales `scale`, or of a uniform density over the column's range; 1 if none varies.
pub(super) fn smallest_variance(data: &DataDescription, normalize: Normalize, scale: &[f32]) -> f64 {
    let columns = data.low.iter().zip(&data.high).zip(scale).filter(|((low, high), _)| low < high);
    let variance = |((low, high), scale): ((&f32, &f32), &f32)| match normalize {
        Normalize::Standard { deviation } => (deviation / f64::from(*scale)).powi(2),
        Normalize::Identity => (f64::from(*high) - f64::from(*low)).powi(2) / 12.0,
    };
    let least = columns.map(variance).fold(f64::INFINITY, f64::min);
    if least.is_finite() && least > 0.0 { least } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Dataset;

    #[test]
    fn boxes_and_spreads_follow_the_data() {
        let data = Dataset::unconditional(vec![-1.0, 5.0, 3.0, 5.0], 2).unwrap().description();
        let bounds = data.bounds().unwrap();
        assert_eq!(bounds.low(), [-1.2, 4.995]);
        assert_eq!(bounds.high(), [3.2, 5.005]);
        let standard = Normalize::Standard { deviation: 2.0 };
        // The column that does not vary keeps the scale 1, which says nothing.
        assert_eq!(smallest_variance(&data, standard, &[0.5, 1.0]), 16.0);
        assert_eq!(smallest_variance(&data, Normalize::Identity, &[1.0, 1.0]), 16.0 / 12.0);
        let still = Dataset::unconditional(vec![5.0, 5.0], 1).unwrap().description();
        assert_eq!(smallest_variance(&still, standard, &[1.0]), 1.0);
    }

    #[test]
    fn inferences_read_what_they_write() {
        let all = [
            Inference::from(ChainInference::suited(0.3, None)),
            DiffusionInference::new(SolverOptions::default()).into(),
            Inference::Proposal,
            Inference::Network,
        ];
        for inference in all {
            let text = serde_json::to_string(&inference).unwrap();
            assert_eq!(serde_json::from_str::<Inference>(&text).unwrap(), inference, "{text}");
        }
    }
}
