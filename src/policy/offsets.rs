//! Policies of data with offsets: hosts give and get 64-bit numbers.

use super::acting::Policy;
use super::agent_offsets;
use super::inference::Inference;
use super::options::{PolicyDescription, PolicyOptions};
use crate::math::{Bounds, Offsets};
use crate::train::DataDescription;
use crate::{Error, Result};

fn fail<T>(what: &str, problem: String) -> Result<T> {
    Err(Error::argument("policy", what, problem))
}

impl Policy {
    /// What its 32-bit numbers are relative to, per column of an observation and of an action:
    /// those of the data it learned from, 0 for most.
    pub fn offsets(&self) -> &Offsets {
        &self.description().offsets
    }

    /// As [`Policy::act`], in 64 bits and absolute, whatever the offsets are.
    ///
    /// # Errors
    /// As [`Policy::act`]; [`Error::Argument`] for a number so far from its offset that 32 bits do
    /// not hold it.
    pub fn act_f64(&mut self, observations: &[f64]) -> Result<Vec<f64>> {
        let relative = match self.observation_width() {
            // Refused below, by its own words.
            0 => observations.iter().map(|value| *value as f32).collect(),
            _ => self.offsets().relative_contexts(observations)?,
        };
        let actions = self.act_relative(&relative)?;
        self.offsets().absolute_actions(&actions)
    }

    /// As [`Policy::act_for`], in 64 bits and absolute.
    ///
    /// # Errors
    /// As [`Policy::act_for`].
    pub fn act_for_f64(&mut self, agents: usize) -> Result<Vec<f64>> {
        let actions = self.act_for_relative(agents)?;
        self.offsets().absolute_actions(&actions)
    }

    /// Refuses 32-bit numbers that would have to be absolute.
    pub(super) fn check_no_offsets(&self, instead: &str) -> Result<()> {
        if self.offsets().are_zero() {
            return Ok(());
        }
        let problem = format!(
            "do not resolve its data, which are relative to offsets: {}; act by `{instead}`, or on the device relative \
             to them (`Policy::offsets`)",
            self.offsets().words()
        );
        fail("32-bit numbers", problem)
    }
}

/// Refuses the files of two runs whose data are relative to different offsets.
pub(super) fn check_alike(score: &DataDescription, energy: &DataDescription) -> Result<()> {
    let alike = score.offsets.action() == energy.offsets.action()
        && (energy.context_width != score.context_width
            || score.offsets.context() == energy.offsets.context());
    if alike {
        return Ok(());
    }
    let problem = format!(
        "has data relative to other offsets than the score's: {} against {}; read both with the same \
         (`Rows64::with_offsets`)",
        energy.offsets.words(),
        score.offsets.words()
    );
    fail("the intermediate energy", problem)
}

/// Refuses decisions that were made in absolute numbers about a file of relative ones.
///
/// * `widths`: of a context and a prediction of the networks.
pub(super) fn check_overrides(
    description: &PolicyDescription,
    widths: [usize; 2],
    options: &PolicyOptions,
) -> Result<()> {
    let own = &description.offsets;
    if own.are_zero() {
        return Ok(());
    }
    if let Some(given) = &options.offsets {
        let decided = description.clone().overridden(options);
        // A history or chunk that divides nothing is refused with the layout.
        let Some(single) = decided.single_widths(widths) else { return Ok(()) };
        let [own, given] = [own, given].map(|offsets| agent_offsets::of_agents(offsets, widths, single));
        let (own, given) = (own?, given?);
        if given != own {
            let problem = format!("are {}, the file has {}; leave them out", given.words(), own.words());
            return fail("the offsets", problem);
        }
    }
    let of_chains = match &options.inference {
        Some(Inference::Chains(chains)) => chains.dynamics.bounds(),
        _ => None,
    };
    for (what, given) in [("the box", options.bounds.as_ref()), ("the box of the chains", of_chains)] {
        if let (Some(given), Some(of_data)) = (given, &description.bounds)
            && let Some(column) = first_apart(given, of_data)
        {
            let problem = format!(
                "does not meet that of the data in dimension {column}; it is relative to the offsets: {}",
                own.words()
            );
            return fail(what, problem);
        }
    }
    let borders = options.bounds.as_ref().or(description.bounds.as_ref());
    if let (Some(resting), Some(bounds)) = (&options.resting, borders) {
        let sides = bounds.low().iter().zip(bounds.high());
        let outside = |(value, (low, high)): (&f32, (&f32, &f32))| !(low..=high).contains(&value);
        if let Some(column) = resting.iter().zip(sides).position(outside) {
            let problem = format!(
                "is {} in dimension {column}, outside the box; it is relative to the offsets: {}",
                resting[column],
                own.words()
            );
            return fail("the resting action", problem);
        }
    }
    Ok(())
}

/// The first dimension in which two boxes have no number in common.
fn first_apart(one: &Bounds, other: &Bounds) -> Option<usize> {
    let sides = |bounds: &Bounds| -> Vec<[f32; 2]> {
        bounds.low().iter().zip(bounds.high()).map(|(low, high)| [*low, *high]).collect()
    };
    let apart = |(one, other): ([f32; 2], [f32; 2])| one[0] > other[1] || other[0] > one[1];
    sides(one).into_iter().zip(sides(other)).position(apart)
}
