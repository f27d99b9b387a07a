//! What the 32 bits of energies did to decisions between them, in words.
//!
//! An energy with a large constant in it has lost, before a sampler sees it, what tells
//! neighboring points apart; nothing brings that back but an energy without the constant.

use crate::error::few_digits;

/// The share of a number that its 32-bit neighbors are apart at most.
const SPACING: f64 = 1.0 / (1 << 23) as f64;
/// The share of a temperature that is too much of a difference.
const NOTABLE: f64 = 0.1;
/// The share of decisions that may turn before it is said.
const NOTABLE_SHARE: f64 = 0.01;

/// What to do about it.
const HINT: &str = "take the constant out of the energy, where it is computed (a network's is the bias of its last \
                    layer)";

/// Decisions of Metropolis chains that the rounding of energies to 32 bits may have turned: where
/// it changes densities by more than a tenth, and by more than the decision was clear by.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RoundedDecisions {
    /// Their share of all decisions after the warm-up.
    pub share: f64,
    /// The largest energy of those, without its sign; 0 if there is none.
    pub magnitude: f64,
}

impl RoundedDecisions {
    /// From pairs of a chain's count and magnitude, of chains of so many steps.
    pub(super) fn of(pairs: &[f32], steps: usize) -> Self {
        let decisions = (pairs.len() / 2 * steps).max(1) as f64;
        let count: f64 = pairs.iter().step_by(2).map(|&count| f64::from(count)).sum();
        let magnitude = pairs.iter().skip(1).step_by(2).fold(0.0, |most: f32, &next| most.max(next));
        Self { share: count / decisions, magnitude: magnitude.into() }
    }

    /// A warning, if they are many.
    pub(super) fn warning(&self) -> Option<String> {
        (self.share > NOTABLE_SHARE).then(|| {
            format!(
                "energies are as large as {}, where 32-bit numbers are up to {} apart, and {:.0} % of the steps were \
                 accepted or rejected by that difference: the samples are not those of the energy; {HINT}",
                few_digits(self.magnitude),
                few_digits(self.magnitude * SPACING),
                100.0 * self.share
            )
        })
    }
}

/// A warning, if the lowest energies of contexts are too large to tell chains apart by them at a
/// temperature. Contexts without a living chain do not count.
pub(super) fn of_lowest(lowest: &[f32], temperature: f64) -> Option<String> {
    let living = lowest.iter().filter(|energy| energy.abs() < 3.4e38);
    let magnitude = f64::from(living.fold(0.0, |most: f32, energy| most.max(energy.abs())));
    // At temperature 0 nothing says which difference is small.
    let notable = temperature > 0.0 && magnitude * SPACING > NOTABLE * temperature;
    notable.then(|| {
        format!(
            "the lowest energies are as large as {}, where 32-bit numbers are up to {} apart: chains whose energies \
             differ by less, at temperature {}, look alike to whatever chooses by energy; {HINT}",
            few_digits(magnitude),
            few_digits(magnitude * SPACING),
            few_digits(temperature)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_give_magnitude_and_difference() {
        let many = RoundedDecisions::of(&[5.0, 1e8, 0.0, 0.0, 1.0, 2e7], 10);
        assert_eq!(many, RoundedDecisions { share: 0.2, magnitude: 1e8 });
        let words = many.warning().unwrap();
        for part in
            ["as large as 1e8", "up to 11.92 apart", "20 % of the steps", "constant out of the energy"]
        {
            assert!(words.contains(part), "{words}");
        }
        assert_eq!(RoundedDecisions::of(&[1.0, 9e5, 0.0, 0.0], 500).warning(), None);
        assert_eq!(RoundedDecisions::of(&[], 500).warning(), None);
    }

    #[test]
    fn a_choice_by_energy_warns_as_the_temperature_says() {
        let words = of_lowest(&[3.4e38, -1e8, 2.0], 1.0).unwrap();
        assert!(words.contains("as large as 1e8") && words.contains("at temperature 1,"), "{words}");
        assert_eq!(of_lowest(&[1e3, -1e5], 1.0), None);
        assert!(of_lowest(&[1e3], 1e-4).is_some());
        for (lowest, temperature) in [(1e8, 0.0), (1e8, 1e4), (3.4e38, 1.0)] {
            assert_eq!(of_lowest(&[lowest], temperature), None, "{lowest} at {temperature}");
        }
    }
}
