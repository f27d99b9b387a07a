//! The offsets of one observation and one action.

use crate::math::Offsets;
use crate::{Error, Result};

fn fail<T>(problem: String) -> Result<T> {
    Err(Error::argument("policy", "the offsets", problem))
}

/// The offsets of single observations and actions from those of a network's contexts and
/// predictions, or from those that a policy's file has.
///
/// # Errors
/// [`Error::Argument`] if they are of other widths, or if a column's offset differs within the
/// history or the chunk.
pub(super) fn of_agents(
    offsets: &Offsets,
    [context, prediction]: [usize; 2],
    [observation, action]: [usize; 2],
) -> Result<Offsets> {
    let parts = [
        ("observations of the history", offsets.context(), context, observation),
        ("actions of a chunk", offsets.action(), prediction, action),
    ];
    let [of_observation, of_action] = parts.map(|(what, given, width, single)| {
        // A network need not take the contexts that its data have.
        if given.is_empty() || width == 0 {
            return Ok(vec![0.0; single]);
        }
        if given.len() != width && given.len() != single {
            let problem = format!("are {} for rows of {width} numbers", given.len());
            return fail(problem);
        }
        let first = &given[..single];
        match given.chunks_exact(single.max(1)).find(|other| *other != first) {
            None => Ok(first.to_vec()),
            Some(other) => {
                let problem = format!(
                    "of the {what} differ, {first:?} and {other:?}; give the data one offset for each column of all of \
                     them (`Rows64::with_offsets`)"
                );
                fail(problem)
            }
        }
    });
    Offsets::new(of_observation?, of_action?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_histories_and_chunks_are_those_of_one() {
        let offsets =
            |context: &[f64], action: &[f64]| Offsets::new(context.to_vec(), action.to_vec()).unwrap();
        let found = of_agents(&offsets(&[1.0, 2.0, 1.0, 2.0], &[5.0, 5.0]), [4, 2], [2, 1]).unwrap();
        assert_eq!(found, offsets(&[1.0, 2.0], &[5.0]));
        assert_eq!(of_agents(&found, [4, 2], [2, 1]).unwrap(), found, "as a policy's file has them");
        assert_eq!(of_agents(&Offsets::default(), [4, 2], [2, 1]).unwrap(), Offsets::zeros(2, 1));
        assert_eq!(of_agents(&Offsets::zeros(3, 2), [0, 2], [0, 2]).unwrap(), Offsets::zeros(0, 2));
        for (given, part) in [
            (offsets(&[1.0, 2.0, 1.0, 3.0], &[]), "history differ"),
            (offsets(&[], &[1.0, 2.0]), "chunk differ"),
            (offsets(&[1.0], &[]), "are 1 for rows of 4"),
        ] {
            let error = of_agents(&given, [4, 2], [2, 1]).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
