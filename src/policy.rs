//! Floor 8: a trained model packed to act.
//!
//! Any file that training writes can act, without its data set:
//!
//! ```no_run
//! use gibbs::policy::Policy;
//!
//! fn main() -> gibbs::Result<()> {
//!     let gpu = gibbs::Gpu::open(&gibbs::GpuOptions::default())?;
//!     let mut policy = Policy::load(&gpu, "model.safetensors")?;
//!     println!("{}", policy.describe());
//!     let observation = vec![0.5; policy.observation_width()];
//!     println!("{:?}", policy.act(&observation)?);
//!     Ok(())
//! }
//! ```
//!
//! [`Policy::act`] is for hosts that want numbers, [`Policy::encode`] for simulators that stay on
//! the device,
//! [`Policy::record`] for a recording of one's own. [`Policy::save`] packs what several runs
//! trained into one file.

mod acting;
mod agent_offsets;
mod agents;
pub mod choose_action;
mod files;
mod from_parts;
mod inference;
pub mod observe;
mod offsets;
mod options;
mod parts;
mod sizes;
mod tick;
mod words;

pub use acting::{Policy, PolicyStats, PolicyTensors};
pub use agents::{AgentLayout, AgentState, AgentValues};
pub use inference::{ChainInference, Choose, DiffusionInference, Inference};
pub use options::{ActionChunk, PolicyDescription, PolicyOptions};
pub use parts::ProposalPart;

use crate::gpu::{KernelVariant, StructLayout};

/// The structs that kernels of this room share with the host.
pub(crate) fn shared_structs() -> Vec<StructLayout> {
    vec![AgentState::layout()]
}

/// The kernels of this module.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    choose_action::variants().chain([KernelVariant::new(&observe::KERNEL, &[])]).collect()
}
