//! Proposals from files of training.

use std::path::Path;

use super::description::ProposalDescription;
use super::mixture::Mixture;
use super::traits::Proposal;
use crate::Result;
use crate::gpu::Gpu;
use crate::store::StoredFile;

/// Reads the proposal of a run of ranking NCE, with its averaged weights if it was learned; neither
/// data nor options are needed.
///
/// # Errors
/// [`crate::Error::Checkpoint`] for a file that is damaged or of another kind;
/// [`crate::Error::Io`], [`crate::Error::OutOfMemory`], [`crate::Error::DeviceLost`].
pub fn load_proposal(gpu: &Gpu, path: impl AsRef<Path>) -> Result<Box<dyn Proposal>> {
    let path = path.as_ref();
    match ProposalDescription::of(&StoredFile::read(path)?)? {
        ProposalDescription::Mixture { .. } => Ok(Box::new(Mixture::load(gpu, path)?)),
        ProposalDescription::Uniform { bounds } => Ok(Box::new(bounds)),
    }
}
