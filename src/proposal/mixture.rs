//! Conditional mixtures of diagonal Gaussians: mixture density networks, and with one component the
//! conditional Gaussian.

use std::path::Path;

use super::description::ProposalDescription;
use super::mixture_shape::MixtureShape;
use super::traits::{Draws, PreparedContexts, Proposal};
use super::{mixture_likelihood, mixture_log_density, mixture_propose, mixture_sample};
use crate::gpu::{Bindings, Gpu, Recording, RunState, Value};
use crate::nn::{Activation, CONTEXT, Fusion, Input, Keep, Model, Network, Normalizer};
use crate::store::{StoredFile, Weights, blame};
use crate::{Error, Result};

/// Name of the input of an unconditional mixture's network: a single number that is always 0.
pub const CONSTANT: &str = "constant";

/// A mixture of diagonal Gaussians, `q(y | x) = sum_c pi_c(x) N(y; mean_c(x), std_c(x)^2)`, or the
/// same without `x`: then its network's one input is [`CONSTANT`], which it gives itself.
#[derive(Clone, Debug)]
pub struct Mixture {
    model: Model,
    shape: MixtureShape,
}

impl Mixture {
    /// A mixture from a model whose one input is `context`, or [`CONSTANT`] if it is unconditional.
    ///
    /// # Errors
    /// [`Error::Argument`] if the network's outputs or inputs do not fit the shape.
    pub fn new(model: Model, shape: MixtureShape) -> Result<Self> {
        shape.check()?;
        let input = if model.input_width(CONSTANT) == Some(1) { CONSTANT } else { CONTEXT };
        model.check_inputs("proposal", &[input], shape.outputs())?;
        Ok(Self { model, shape })
    }

    /// A mixture with a fresh multilayer perceptron of SiLU layers.
    ///
    /// # Errors
    /// As [`Mixture::new`] and [`Model::new`].
    pub fn fresh(
        gpu: &Gpu,
        name: &str,
        context: Normalizer,
        hidden: &[usize],
        shape: MixtureShape,
        run: &RunState,
    ) -> Result<Self> {
        let network = Self::network(Some(context), hidden, &shape)?;
        Self::new(Model::new(gpu, name, network, run)?, shape)
    }

    /// As [`Mixture::fresh`] in a run that begins with this seed: the same bits as from
    /// `RunState::new(gpu, seed)`.
    ///
    /// # Errors
    /// As [`Mixture::fresh`].
    pub fn from_seed(
        gpu: &Gpu,
        name: &str,
        context: Normalizer,
        hidden: &[usize],
        shape: MixtureShape,
        seed: u64,
    ) -> Result<Self> {
        Self::fresh(gpu, name, context, hidden, shape, &RunState::new(gpu, seed)?)
    }

    /// The network of such a mixture: contexts with this normalizer, or none.
    ///
    /// # Errors
    /// [`Error::Argument`] for a shape or widths that make no sense.
    pub fn network(context: Option<Normalizer>, hidden: &[usize], shape: &MixtureShape) -> Result<Network> {
        shape.check()?;
        let input = match context {
            Some(normalizer) => Input::normalized(CONTEXT, normalizer),
            None => Input::new(CONSTANT, 1),
        };
        let network = Network::mlp(vec![input], hidden, Activation::Silu, shape.outputs());
        network.check()?;
        Ok(network)
    }

    /// Reads the proposal that a run of ranking NCE learned, with its averaged weights; neither
    /// data nor options are needed.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that is damaged, of another kind, or of a run whose
    /// proposal is a box; [`Error::Io`], [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn load(gpu: &Gpu, path: impl AsRef<Path>) -> Result<Self> {
        let file = StoredFile::read(path)?;
        match ProposalDescription::of(&file)? {
            ProposalDescription::Mixture { model, shape } => {
                Self::new(file.model(gpu, &model, Weights::Averaged)?, shape).map_err(blame(file.path()))
            }
            ProposalDescription::Uniform { .. } => {
                Err(file.fail("has a uniform box as its proposal, which is not learned; use `load_proposal`"))
            }
        }
    }

    /// The same mixture with its model under another name ([`Model::renamed`]).
    pub fn renamed(self, name: &str) -> Self {
        Self { model: self.model.renamed(name), ..self }
    }

    /// What its network takes for contexts, of which an unconditional mixture takes the number
    /// alone.
    fn input(&self, recording: &mut Recording, context: Value) -> Result<(&'static str, Value)> {
        if self.is_conditional() {
            return Ok((CONTEXT, recording.plain_rows(context)?));
        }
        let contexts = recording.shape(context)?.rows();
        Ok((CONSTANT, recording.constant("no context", [contexts, 1], &vec![0.0f32; contexts])?))
    }

    /// The network with its parameters.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What the mixture is made of.
    pub fn shape(&self) -> &MixtureShape {
        &self.shape
    }

    /// Records a maximum-likelihood step's gradient on a batch: `-mean_b log q(y_b | x_b)`.
    ///
    /// * `context`: `[contexts, width]`; `y`: `[contexts, dims]`.
    /// * returns the per-row losses `[contexts]` (in data units) and the flat parameter gradient.
    ///
    /// # Errors
    /// [`Error::Shape`] if shapes do not fit.
    pub fn record_likelihood(
        &self,
        recording: &mut Recording,
        context: Value,
        y: Value,
    ) -> Result<(Value, Value)> {
        let inputs = [self.input(recording, context)?];
        let forward = self.model.record_forward(recording, &inputs, Keep::Slopes)?;
        let likelihood = mixture_likelihood::record(recording, forward.packed_output, &self.shape, y)?;
        let gradient =
            self.model.record_parameter_gradient(recording, &forward, likelihood.output_gradient)?;
        Ok((likelihood.loss, gradient))
    }

    fn outputs(&self, prepared: &PreparedContexts) -> Result<Value> {
        prepared.outputs.ok_or_else(|| {
            Error::argument("mixture", "the prepared contexts", "come from a proposal without a network")
        })
    }
}

impl Proposal for Mixture {
    fn dims(&self) -> usize {
        self.shape.dims()
    }

    fn is_conditional(&self) -> bool {
        self.model.is_conditional()
    }

    fn record_prepare(&self, recording: &mut Recording, context: Value) -> Result<PreparedContexts> {
        let contexts = recording.shape(context)?.rows();
        let inputs = [self.input(recording, context)?];
        let outputs = self.model.record_packed_value(recording, &inputs)?;
        Ok(PreparedContexts { contexts, outputs: Some(outputs) })
    }

    fn record_sample(
        &self,
        recording: &mut Recording,
        prepared: &PreparedContexts,
        draws: &Draws<'_>,
    ) -> Result<()> {
        mixture_sample::record(recording, self.outputs(prepared)?, &self.shape, draws)
    }

    fn record_log_density(
        &self,
        recording: &mut Recording,
        prepared: &PreparedContexts,
        y: Value,
    ) -> Result<Value> {
        mixture_log_density::record(recording, self.outputs(prepared)?, &self.shape, y)
    }

    fn record_propose(
        &self,
        recording: &mut Recording,
        context: Value,
        draws: &Draws<'_>,
        fusion: Fusion,
    ) -> Result<Value> {
        let candidates = recording.shape(draws.candidates)?.dims().get(1).copied().unwrap_or(0);
        let fusable = match fusion {
            Fusion::Auto | Fusion::Always => {
                mixture_propose::fits((&self.model, &self.shape), recording.class(), candidates)
            }
            Fusion::Never => None,
        };
        if let Some(fusable) = fusable {
            let (_, input) = self.input(recording, context)?;
            return mixture_propose::record(recording, (&self.model, &self.shape), &fusable, input, draws);
        }
        let prepared = self.record_prepare(recording, context)?;
        self.record_sample(recording, &prepared, draws)?;
        self.record_log_density(recording, &prepared, draws.candidates)
    }

    fn bindings(&self) -> Bindings {
        self.model.bindings()
    }
}
