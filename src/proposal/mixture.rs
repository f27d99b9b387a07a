//! Conditional mixtures of diagonal Gaussians: mixture density networks, and with one component the conditional Gaussian.

use serde::{Deserialize, Serialize};

use super::{
    Draws, Prepared, Proposal, mixture_likelihood, mixture_log_density, mixture_propose, mixture_sample,
};
use crate::gpu::{Bindings, Gpu, Recording, RunState, Value};
use crate::nn::{Activation, Affine, CONTEXT, Fusion, GradientMode, Input, Keep, Model, Network};
use crate::{Error, Result};

/// What a mixture is made of, besides its network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MixtureShape {
    /// Number of components; 1 is the diagonal Gaussian.
    pub components: usize,
    /// How `y` is normalised; means and standard deviations are in normalised units.
    pub affine: Affine,
    /// Lowest log standard deviation, in normalised units.
    pub low: f32,
    /// Highest log standard deviation, in normalised units.
    pub high: f32,
}

impl MixtureShape {
    /// A mixture with log standard deviations in [-4, 2].
    pub fn new(components: usize, affine: Affine) -> Self {
        Self { components, affine, low: -4.0, high: 2.0 }
    }

    /// Dimensions of `y`.
    pub fn dims(&self) -> usize {
        self.affine.width()
    }

    /// Outputs that the network must have: logits (none for one component), means, log standard deviations.
    pub fn outputs(&self) -> usize {
        let logits = if self.components == 1 { 0 } else { self.components };
        logits + 2 * self.components * self.dims()
    }

    fn check(&self) -> Result<()> {
        self.affine.check("mixture", self.dims())?;
        let fail = |what: &str, problem: &str| Err(Error::argument("mixture", what, problem));
        if !(1..=256).contains(&self.components) {
            return fail("components", "must be 1 to 256");
        }
        if self.components * self.dims() > 8192 {
            return fail("components times dimensions", "must be at most 8192");
        }
        if !(self.low.is_finite() && self.high.is_finite() && self.low < self.high && self.low >= -20.0) {
            return fail("the range of log standard deviations", "must be finite, low < high, low >= -20");
        }
        Ok(())
    }
}

/// A conditional mixture of diagonal Gaussians, `q(y | x) = sum_c pi_c(x) N(y; mean_c(x), std_c(x)^2)`.
#[derive(Clone, Debug)]
pub struct Mixture {
    model: Model,
    shape: MixtureShape,
}

impl Mixture {
    /// A mixture from a model whose one input is `context`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the network's outputs or inputs do not fit the shape.
    pub fn new(model: Model, shape: MixtureShape) -> Result<Self> {
        shape.check()?;
        let network = model.network();
        let inputs_fit = network.inputs.len() == 1 && network.inputs[0].name == CONTEXT;
        if !inputs_fit || network.outputs() != shape.outputs() {
            return Err(Error::argument(
                format!("proposal `{}`", model.name()),
                "the network",
                format!("needs the one input `context` and {} outputs", shape.outputs()),
            ));
        }
        Ok(Self { model, shape })
    }

    /// A mixture with a fresh multilayer perceptron of SiLU layers.
    ///
    /// # Errors
    /// As [`Mixture::new`] and [`Model::new`].
    pub fn fresh(
        gpu: &Gpu,
        name: &str,
        context: Affine,
        hidden: &[usize],
        shape: MixtureShape,
        run: &RunState,
    ) -> Result<Self> {
        shape.check()?;
        let input = Input::normalised(CONTEXT, context);
        let network = Network::mlp(vec![input], hidden, Activation::Silu, shape.outputs());
        Self::new(Model::new(gpu, name, network, run)?, shape)
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
        let parameters = self.model.value(recording)?;
        let network = self.model.network();
        let forward = network.record_forward(recording, parameters, &[(CONTEXT, context)], Keep::Slopes)?;
        let likelihood = mixture_likelihood::record(recording, forward.output, &self.shape, y)?;
        let (seed, mode) = (likelihood.seed, GradientMode::Overwrite);
        let gradient = network.record_parameter_gradient(recording, parameters, &forward, seed, mode)?;
        Ok((likelihood.loss, gradient))
    }

    fn outputs(&self, prepared: &Prepared) -> Result<Value> {
        prepared.outputs.ok_or_else(|| {
            Error::argument("mixture", "the prepared contexts", "come from a proposal without a network")
        })
    }
}

impl Proposal for Mixture {
    fn dims(&self) -> usize {
        self.shape.dims()
    }

    fn record_prepare(&self, recording: &mut Recording, context: Value) -> Result<Prepared> {
        let parameters = self.model.value(recording)?;
        let contexts = recording.shape(context)?.rows();
        let inputs = [(CONTEXT, context)];
        let forward = self.model.network().record_forward(recording, parameters, &inputs, Keep::Output)?;
        Ok(Prepared { contexts, outputs: Some(forward.output) })
    }

    fn record_sample(&self, recording: &mut Recording, prepared: &Prepared, draws: &Draws<'_>) -> Result<()> {
        mixture_sample::record(recording, self.outputs(prepared)?, &self.shape, draws)
    }

    fn record_log_density(&self, recording: &mut Recording, prepared: &Prepared, y: Value) -> Result<Value> {
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
        let narrow = match fusion {
            Fusion::Auto | Fusion::Always => mixture_propose::fits(self, recording.class(), candidates),
            Fusion::Never => None,
        };
        if let Some(narrow) = narrow {
            return mixture_propose::record(recording, self, &narrow, context, draws);
        }
        let prepared = self.record_prepare(recording, context)?;
        self.record_sample(recording, &prepared, draws)?;
        self.record_log_density(recording, &prepared, draws.candidates)
    }

    fn bindings(&self) -> Bindings {
        self.model.bindings()
    }
}
