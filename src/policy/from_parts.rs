//! Policies from networks that somebody holds already.

use super::acting::Policy;
use super::inference::{ChainInference, DiffusionInference, Inference};
use super::options::{PolicyDescription, PolicyOptions};
use super::parts::{Parts, ProposalPart};
use crate::Result;
use crate::diffusion::{IntermediateEnergyNetwork, ScoreNetwork};
use crate::energy::NetworkEnergy;
use crate::gpu::Gpu;
use crate::math::Bounds;
use crate::nn::Model;

impl Policy {
    /// Chains on an energy, from draws of a proposal. A box of the chains' dynamics becomes that of
    /// the actions.
    ///
    /// The networks share their memory with whoever else holds them.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for parts or options that do not fit each other;
    /// [`crate::Error::Limit`], [`crate::Error::OutOfMemory`],
    /// [`crate::Error::Device`].
    pub fn energy(
        gpu: &Gpu,
        energy: NetworkEnergy,
        proposal: impl Into<ProposalPart>,
        inference: ChainInference,
        options: &PolicyOptions,
    ) -> Result<Self> {
        let bounds = inference.dynamics.bounds().cloned();
        Self::of_parts(gpu, Parts::energy(energy, proposal.into())?, inference.into(), bounds, options)
    }

    /// A diffusion model, guided by an intermediate energy if there is one.
    ///
    /// # Errors
    /// As [`Policy::energy`].
    pub fn diffusion(
        gpu: &Gpu,
        score: ScoreNetwork,
        energy: Option<IntermediateEnergyNetwork>,
        inference: DiffusionInference,
        options: &PolicyOptions,
    ) -> Result<Self> {
        Self::of_parts(gpu, Parts::diffusion(score, energy)?, inference.into(), None, options)
    }

    /// A network whose output is the action. It has one input, of any name.
    ///
    /// # Errors
    /// As [`Policy::energy`].
    pub fn network(gpu: &Gpu, model: Model, options: &PolicyOptions) -> Result<Self> {
        Self::of_parts(gpu, Parts::network(model)?, Inference::Network, None, options)
    }

    /// Draws of a proposal.
    ///
    /// # Errors
    /// As [`Policy::energy`].
    pub fn proposal(gpu: &Gpu, proposal: impl Into<ProposalPart>, options: &PolicyOptions) -> Result<Self> {
        Self::of_parts(gpu, Parts::proposal(proposal.into()), Inference::Proposal, None, options)
    }

    fn of_parts(
        gpu: &Gpu,
        parts: Parts,
        inference: Inference,
        bounds: Option<Bounds>,
        options: &PolicyOptions,
    ) -> Result<Self> {
        let description = PolicyDescription::new(inference, bounds, "parts".into()).overridden(options);
        Self::assemble(gpu, parts, description)
    }
}
