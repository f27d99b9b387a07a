//! What came of a sampler's run: chains that are lost, moves that were refused, the step size that
//! was learned.

use super::begin_chains::StepAdaptation;
use super::{RoundedDecisions, adapt_step, rounding};
use crate::error::counted;
use crate::{Error, Result};

/// Share of refused moves above which a run is warned of: the steps are large for the room that
/// there is.
const LARGEST_REFUSED_SHARE: f64 = 0.5;

/// Share of a chain's refused moves, of this many at least, above which it stands still: it lies in
/// a corner, or diverged to where no step comes back from.
const STANDING_SHARE: f64 = 0.9;
const STANDING_STEPS: usize = 50;

/// What went wrong in a sampler's runs since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SamplerStats {
    /// Runs.
    pub runs: u64,
    /// Chains of all runs.
    pub chains: u64,
    /// Chains that were lost ([`super::ChainSampler::lost_chains`]).
    pub lost_chains: u64,
    /// Moves of the chains that were not lost; 0 where none are ever refused.
    pub moves: u64,
    /// Moves that were refused ([`super::ChainSampler::refused_moves`]).
    pub refused_moves: u64,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Findings<'a> {
    /// Lost chains of each context.
    pub lost: &'a [f32],
    /// Refused moves of each chain, if any may be.
    pub refused: Option<&'a [f32]>,
    /// What a warm-up learned.
    pub adaptation: Option<StepAdaptation>,
    /// Of each chain the decisions that rounding may have turned, and the largest energy of those.
    pub rounded: Option<&'a [f32]>,
    /// The lowest energy of each context, if one was chosen by it.
    pub lowest: Option<&'a [f32]>,
    /// That of the last step.
    pub temperature: f64,
    pub chains: usize,
    pub steps: usize,
}

/// A fault of a run, to be told with the sampler's adapter.
pub(super) struct Fault {
    pub problem: String,
    pub hint: &'static str,
}

impl Fault {
    pub fn error(self, adapter: String) -> Error {
        Error::Chains { operation: "sampler".into(), adapter, problem: self.problem, hint: self.hint.into() }
    }
}

impl Findings<'_> {
    fn lost_chains(&self) -> u64 {
        self.lost.iter().map(|&count| count as u64).sum()
    }

    fn all_chains(&self) -> u64 {
        (self.lost.len() * self.chains) as u64
    }

    /// Moves of chains that live, and how many of them were refused.
    fn moves(&self) -> (u64, u64) {
        let Some(refused) = self.refused else { return (0, 0) };
        let living = self.all_chains() - self.lost_chains().min(self.all_chains());
        (living * self.steps as u64, refused.iter().map(|&count| count as u64).sum())
    }

    /// Adds this run.
    pub fn add_to(&self, stats: &mut SamplerStats) {
        let (moves, refused) = self.moves();
        stats.runs += 1;
        stats.chains += self.all_chains();
        stats.lost_chains += self.lost_chains();
        stats.moves += moves;
        stats.refused_moves += refused;
    }

    /// What makes a run's result useless.
    pub fn check(&self) -> Result<(), Fault> {
        let full = |count: &f32| *count as usize >= self.chains;
        if let Some(context) = self.lost.iter().position(full) {
            let dead = self.lost.iter().filter(|count| full(count)).count();
            let problem = format!(
                "{} of {} are lost, and {dead} of {} without a living chain, the first is {context}",
                self.lost_chains(),
                counted(self.all_chains() as usize, "chain"),
                counted(self.lost.len(), "context")
            );
            return Err(Fault { problem, hint: "start more chains where energy and gradient are finite" });
        }
        match self.adaptation {
            Some(found) if found.factor <= adapt_step::SMALLEST_FACTOR => {
                let problem = format!(
                    "the warm-up cut the step size to {:.0e} of the one given and accepts {:.3} of the steps even so",
                    found.factor, found.acceptance
                );
                let hint = "check that the gradient is that of the energy, and start with a step size nearer to \
                            the scale of the data";
                Err(Fault { problem, hint })
            }
            _ => Ok(()),
        }
    }

    /// What to know about a result that is of use.
    pub fn warnings(&self) -> Vec<String> {
        let mut all = Vec::new();
        let lost = self.lost_chains();
        if lost > 0 {
            all.push(format!(
                "{lost} of {} are lost: energy or gradient is not finite where they started or came to; they are \
                 not finite in the result, and the others are not affected",
                counted(self.all_chains() as usize, "chain")
            ));
        }
        let (moves, refused) = self.moves();
        let share = refused as f64 / moves.max(1) as f64;
        let still = |count: &&f32| {
            self.steps >= STANDING_STEPS && f64::from(**count) > STANDING_SHARE * self.steps as f64
        };
        let standing = self.refused.map_or(0, |refused| refused.iter().filter(still).count());
        if share > LARGEST_REFUSED_SHARE || standing > 0 {
            all.push(format!(
                "{:.1} % of the moves were refused, and {} stood still (more than {:.0} % refused): they led to \
                 where energy or gradient is not finite. Take smaller steps, or `Mala` or `Hamiltonian`, which \
                 learn theirs",
                100.0 * share,
                counted(standing, "chain"),
                100.0 * STANDING_SHARE
            ));
        }
        let decisions = self.rounded.map(|pairs| RoundedDecisions::of(pairs, self.steps));
        all.extend(decisions.and_then(|decisions| decisions.warning()));
        all.extend(self.lowest.and_then(|lowest| rounding::of_lowest(lowest, self.temperature)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings<'a>(lost: &'a [f32], refused: Option<&'a [f32]>) -> Findings<'a> {
        let nothing = Findings {
            lost: &[],
            refused: None,
            adaptation: None,
            rounded: None,
            lowest: None,
            temperature: 1.0,
            chains: 4,
            steps: 10,
        };
        Findings { lost, refused, ..nothing }
    }

    #[test]
    fn runs_add_up() {
        let mut stats = SamplerStats::default();
        findings(&[1.0, 0.0], Some(&[0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0])).add_to(&mut stats);
        findings(&[0.0, 4.0], None).add_to(&mut stats);
        let expected = SamplerStats { runs: 2, chains: 16, lost_chains: 5, moves: 70, refused_moves: 6 };
        assert_eq!(stats, expected);
    }

    #[test]
    fn what_goes_unnoticed_is_warned_of() {
        let half = [5.0; 8];
        assert!(findings(&[0.0, 0.0], Some(&half)).warnings().is_empty());
        assert!(findings(&[0.0, 0.0], None).warnings().is_empty());
        let warned = findings(&[1.0, 2.0], Some(&[4.0; 8])).warnings();
        assert!(warned[0].starts_with("3 of 8 chains are lost"), "{warned:?}");
        assert!(warned[1].starts_with("64.0 % of the moves were refused, and 0 chains"), "{warned:?}");
        // One that stands still among others is seen at any share, if there are steps to tell by.
        let mut one = [0.0; 8];
        one[5] = 10.0;
        assert!(findings(&[0.0, 0.0], Some(&one)).warnings().is_empty());
        one[5] = 92.0;
        let warned = Findings { steps: 100, ..findings(&[0.0, 0.0], Some(&one)) }.warnings();
        assert!(warned[0].starts_with("11.5 % of the moves were refused, and 1 chain stood"), "{warned:?}");
        assert!(findings(&[4.0, 0.0], None).check().is_err() && findings(&[3.0, 3.0], None).check().is_ok());
    }
}
