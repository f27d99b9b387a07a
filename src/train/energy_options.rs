//! The energy network of a run, as data.

use serde::{Deserialize, Serialize};

use crate::nn::{
    ACTION, Activation, AdamOptions, CONTEXT, Encoding, Input, Network, Normalizer, Norms, Schedule,
};
use crate::{Error, Result};

/// How the hidden layers of a network are put together. In JSON: `"plain"`, `{"residual":
/// {"blocks": 3}}`, `{"preactivation": {"blocks": 8}}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkShape {
    /// One dense layer per width, each with its activation ([`Network::mlp`]).
    #[default]
    Plain,
    /// Blocks of two dense layers behind a dense layer with its activation, all of one width
    /// ([`Network::residual`]).
    Residual {
        /// Number of blocks.
        blocks: usize,
    },
    /// Blocks of two dense layers with the activations in front, behind an affine layer, all of one
    /// width ([`Network::preactivation`]).
    Preactivation {
        /// Number of blocks.
        blocks: usize,
    },
}

/// The energy network of a run, over context and action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct EnergyOptions {
    /// How the hidden layers are put together.
    pub shape: NetworkShape,
    /// Widths of the hidden layers; of a network of blocks the one width that they share.
    pub hidden: Vec<usize>,
    /// Their activation.
    pub activation: Activation,
    /// Where the network has norms.
    pub norms: Norms,
    /// How normalized contexts enter the first layer.
    pub context_encoding: Encoding,
    /// How normalized actions enter the first layer.
    pub action_encoding: Encoding,
    /// How it is trained; `steps` is set by the run.
    pub optimizer: AdamOptions,
}

crate::error::setters!(EnergyOptions {
    with_shape => shape: NetworkShape,
    with_hidden => hidden: Vec<usize>,
    with_activation => activation: Activation,
    with_norms => norms: Norms,
    with_context_encoding => context_encoding: Encoding,
    with_action_encoding => action_encoding: Encoding,
    with_optimizer => optimizer: AdamOptions,
});

impl Default for EnergyOptions {
    /// Three plain layers of 128 with SiLU, no norms, raw inputs.
    fn default() -> Self {
        let schedule = Schedule::Cosine { rate: 3e-3, warmup: 100, floor: 0.0 };
        Self {
            shape: NetworkShape::Plain,
            hidden: vec![128; 3],
            activation: Activation::Silu,
            norms: Norms::None,
            context_encoding: Encoding::Raw,
            action_encoding: Encoding::Raw,
            optimizer: AdamOptions { schedule, average_decay: 0.995, ..AdamOptions::default() },
        }
    }
}

/// More blocks than any network may have layers.
const MAX_BLOCKS: usize = 256;

impl EnergyOptions {
    /// The network of these options, over the inputs `context`, unless it is none, and `action`
    /// with these normalizers, with one output.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the option, or what [`Network::check`] finds: a network of blocks
    /// with no block or with other than one width, layers too wide or too many, an encoding that
    /// does not fit its input.
    pub fn network(&self, context: Option<Normalizer>, action: Normalizer) -> Result<Network> {
        let context = context
            .map(|normalizer| Input::normalized(CONTEXT, normalizer).encoded(self.context_encoding.clone()));
        let action = Input::normalized(ACTION, action).encoded(self.action_encoding.clone());
        let inputs = context.into_iter().chain([action]).collect();
        let network = match self.shape {
            NetworkShape::Plain => Network::mlp(inputs, &self.hidden, self.activation, 1),
            NetworkShape::Residual { blocks } => {
                let width = self.block_width(blocks)?;
                Network::residual(inputs, width, blocks, self.activation, 1)
            }
            NetworkShape::Preactivation { blocks } => {
                let width = self.block_width(blocks)?;
                Network::preactivation(inputs, width, blocks, self.activation, 1)
            }
        };
        let network = network.with_norms(self.norms);
        network.check()?;
        Ok(network)
    }

    /// The width of a network of blocks.
    fn block_width(&self, blocks: usize) -> Result<usize> {
        let fail = |what: &str, problem| Err(Error::argument("energy network", what, problem));
        if blocks == 0 || blocks > MAX_BLOCKS {
            let problem =
                format!("are {blocks}, allowed are 1 to {MAX_BLOCKS}; without blocks it is a plain one");
            return fail("the blocks", problem);
        }
        if self.activation == Activation::Identity {
            let problem = "is the identity: blocks without one add up to an affine map".into();
            return fail("the activation", problem);
        }
        match self.hidden[..] {
            [width] => Ok(width),
            _ => {
                let problem = format!("are {:?}; blocks share one width, give it alone", self.hidden);
                fail("the hidden widths", problem)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Fourier, LayerNorm};

    fn network(options: &EnergyOptions) -> Result<Network> {
        options.network(Some(Normalizer::identity(3)), Normalizer::identity(2))
    }

    #[test]
    fn options_of_older_files_name_a_plain_network() {
        let old = r#"{"hidden": [12, 9], "activation": "relu", "optimizer": {"beta1": 0.8}}"#;
        let options: EnergyOptions = serde_json::from_str(old).unwrap();
        let inputs = vec![Input::new(CONTEXT, 3), Input::new(ACTION, 2)];
        assert_eq!(network(&options).unwrap(), Network::mlp(inputs, &[12, 9], Activation::Relu, 1));
        assert_eq!(options.optimizer.beta1, 0.8);
    }

    #[test]
    fn options_read_what_they_write_and_build_what_they_say() {
        let norms = Norms::BeforeActivations(LayerNorm::default());
        let fourier = Encoding::Fourier(Fourier::gaussian(2, 5, 0.5, 1));
        let options = EnergyOptions {
            shape: NetworkShape::Preactivation { blocks: 3 },
            hidden: vec![16],
            activation: Activation::Gelu,
            norms,
            action_encoding: fourier.clone(),
            ..EnergyOptions::default()
        };
        let text = serde_json::to_string(&options).unwrap();
        assert!(text.contains(r#""shape":{"preactivation":{"blocks":3}}"#), "{text}");
        assert_eq!(serde_json::from_str::<EnergyOptions>(&text).unwrap(), options);
        let inputs = vec![Input::new(CONTEXT, 3), Input::new(ACTION, 2).encoded(fourier)];
        let expected = Network::preactivation(inputs, 16, 3, Activation::Gelu, 1).with_norms(norms);
        assert_eq!(network(&options).unwrap(), expected);
        let residual = EnergyOptions { shape: NetworkShape::Residual { blocks: 2 }, ..options };
        assert_eq!(network(&residual).unwrap().multiply_adds(), (3 + 10) * 16 + 4 * 16 * 16 + 16);
    }

    #[test]
    fn networks_that_make_no_sense_are_refused() {
        let blocks = |blocks| NetworkShape::Residual { blocks };
        let good = EnergyOptions { shape: blocks(2), hidden: vec![16], ..EnergyOptions::default() };
        network(&good).unwrap();
        let fourier = |width| Encoding::Fourier(Fourier::gaussian(width, 5, 1.0, 1));
        let bad = [
            (EnergyOptions { hidden: vec![16; 2], ..good.clone() }, "share one width"),
            (EnergyOptions { hidden: Vec::new(), ..good.clone() }, "share one width"),
            (EnergyOptions { hidden: vec![0], ..good.clone() }, "width 0"),
            (EnergyOptions { hidden: vec![5000], ..good.clone() }, "width 5000"),
            (EnergyOptions { shape: blocks(0), ..good.clone() }, "blocks"),
            (EnergyOptions { shape: blocks(usize::MAX), ..good.clone() }, "blocks"),
            (EnergyOptions { shape: blocks(200), ..good.clone() }, "at most 256 layers"),
            (EnergyOptions { activation: Activation::Identity, ..good.clone() }, "activation"),
            (EnergyOptions { context_encoding: fourier(2), ..good.clone() }, "frequencies"),
            (EnergyOptions { action_encoding: fourier(3), ..good }, "frequencies"),
        ];
        for (options, expected) in bad {
            let error = network(&options).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
