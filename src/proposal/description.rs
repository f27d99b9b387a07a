//! What a file says of a proposal.

use serde::{Deserialize, Serialize};

use super::mixture_shape::MixtureShape;
use super::uniform::UniformBox;
use crate::Result;
use crate::store::StoredFile;

/// What a file says of the proposal of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum ProposalDescription {
    /// A mixture that is learned.
    Mixture {
        /// Name of its model.
        model: String,
        /// What it is made of besides.
        shape: MixtureShape,
    },
    /// A uniform box.
    Uniform {
        /// The box.
        bounds: UniformBox,
    },
}

impl ProposalDescription {
    /// That of a file.
    pub(super) fn of(file: &StoredFile) -> Result<Self> {
        let description = file.description();
        description.expect_kind(&["ranking_nce"]).map_err(|problem| file.fail(problem))?;
        description.field("proposal").map_err(|problem| file.fail(problem))
    }
}
