//! What of a run concerns every objective.

use serde::{Deserialize, Serialize};

/// How the rows of batches are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Draw {
    /// Independently, each row with the same probability, or by weight if the data have weights.
    #[default]
    Replacement,
    /// Every row once per epoch, in a new order each time. Each update of a step goes through
    /// epochs of its own, counted from step 0; batches run on across their borders.
    Epochs,
}

crate::error::named!("draw of a batch", Draw { Replacement => "replacement", Epochs => "epochs" });

/// The part of a run's options that objectives go by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Rows of the data per step.
    pub batch: usize,
    /// How they are chosen.
    pub draw: Draw,
    /// Steps of the run.
    pub steps: u64,
}
