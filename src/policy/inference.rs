//! How a policy comes to its actions, as data.

use serde::{Deserialize, Serialize};

use crate::diffusion::SolverOptions;
use crate::math::{Bounds, Normalize, Scales};
use crate::mcmc::{Dynamics, Langevin, StepSchedule, USUAL_CHAINS};
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
        Self { chains: USUAL_CHAINS, dynamics: dynamics.into(), choose: Choose::Lowest }
    }

    /// What suits actions whose columns have these deviations: 40 Langevin steps at temperature 1,
    /// of sizes that fall from 0.006 to 0.00006 of each column's variance, the last one without
    /// noise, within a box.
    pub fn suited(deviations: Scales, bounds: Option<Bounds>) -> Self {
        Self::new(Langevin {
            steps: 40,
            step_sizes: StepSchedule::Geometric { first: 6e-3, last: 6e-5 },
            scales: Some(deviations),
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

/// The deviation of each column of the data's actions: that of the fitted normalizer of scales
/// `scale`, or of a uniform density over the column's range; for a column that does not vary, over
/// its side of the box.
pub(super) fn deviations(data: &DataDescription, normalize: Normalize, scale: &[f32]) -> Scales {
    let ranges = data.low.iter().zip(&data.high).map(|(low, high)| f64::from(*high) - f64::from(*low));
    let columns = ranges.zip(data.frame()).zip(scale);
    Scales::nearest(columns.map(|((range, [_, half]), scale)| match normalize {
        _ if range == 0.0 => half / 3f64.sqrt(),
        Normalize::Standard { deviation } | Normalize::Isotropic { deviation } => {
            deviation / f64::from(*scale)
        }
        Normalize::Identity => range / 12f64.sqrt(),
    }))
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
        // The column that does not vary keeps the scale 1, which says nothing; its side of the box
        // is 0.01.
        let side = (0.005 / 3f64.sqrt()) as f32;
        assert_eq!(deviations(&data, standard, &[0.5, 1.0]).values(), [4.0, side]);
        let uniform = (4.0 / 12f64.sqrt()) as f32;
        assert_eq!(deviations(&data, Normalize::Identity, &[1.0, 1.0]).values(), [uniform, side]);
    }

    #[test]
    fn inferences_read_what_they_write() {
        let all = [
            Inference::from(ChainInference::suited(Scales::new(&[0.3, 4.0]).unwrap(), None)),
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
