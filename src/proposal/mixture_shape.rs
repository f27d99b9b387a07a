//! The shape of a mixture.

use serde::{Deserialize, Serialize};

use crate::nn::Normalizer;
use crate::{Error, Result};

/// Largest product of components and dimensions: software renderers end a kernel's loops after
/// 65535 rounds in all, and the likelihood goes through the product three times.
const MAX_PRODUCT: usize = 16_000;

/// What a mixture is made of, besides its network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MixtureShape {
    /// Number of components; 1 is the diagonal Gaussian.
    pub components: usize,
    /// How `y` is normalized; means and standard deviations are in normalized units.
    pub normalizer: Normalizer,
    /// Lowest log standard deviation, in normalized units.
    pub low: f32,
    /// Highest log standard deviation, in normalized units.
    pub high: f32,
}

impl MixtureShape {
    /// A mixture with log standard deviations in [-4, 2].
    pub fn new(components: usize, normalizer: Normalizer) -> Self {
        Self { components, normalizer, low: -4.0, high: 2.0 }
    }

    /// Dimensions of `y`.
    pub fn dims(&self) -> usize {
        self.normalizer.width()
    }

    /// Outputs that the network must have: logits (none for one component), means, log standard
    /// deviations.
    pub fn outputs(&self) -> usize {
        let logits = if self.components == 1 { 0 } else { self.components };
        logits + 2 * self.components * self.dims()
    }

    pub(super) fn check(&self) -> Result<()> {
        self.normalizer.check("mixture", self.dims())?;
        let fail = |what: &str, problem: &str| Err(Error::argument("mixture", what, problem));
        let (components, dims) = (self.components, self.dims());
        if !(1..=256).contains(&components) {
            return fail("the number of components", &format!("is {components}, allowed are 1 to 256"));
        }
        if components * dims > MAX_PRODUCT {
            let way_out = match MAX_PRODUCT / dims.max(1) {
                0 => "take a uniform box".into(),
                most => format!("take at most {most}, or a uniform box"),
            };
            let problem =
                format!("are {components} over {dims} columns of actions; {way_out} as the proposal");
            return fail("the components", &problem);
        }
        if !(self.low.is_finite() && self.high.is_finite() && self.low < self.high && self.low >= -20.0) {
            return fail("the range of log standard deviations", "must be finite, low < high, low >= -20");
        }
        Ok(())
    }
}
