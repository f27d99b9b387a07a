//! Weights of networks from and to PyTorch: a `state_dict` saved as safetensors,
//! `safetensors.torch.save_file(model.state_dict(), ..)`.
//!
//! | PyTorch | here |
//! |---|---|
//! | `Linear.weight` `[outputs, inputs]`, row per output | one matrix `[inputs, outputs]` per layer, row per input |
//! | `torch.cat([x, y], -1)` in front of the first `Linear` | one block `[width, outputs]` of rows per named input, in the network's order |
//! | modules that one input goes through before that `torch.cat` | the input's own layers ([`Input::embedded`]), whose widths are those of the blocks |
//! | `Linear.bias` `[outputs]` | the layer's bias |
//! | `Linear(bias=False)`, which has no `bias` | a bias of 0 |
//! | `LayerNorm.weight`, `LayerNorm.bias` `[width]` | gain and bias of the norm |
//! | `LayerNorm(elementwise_affine=False)`, which has neither | gain 1 and bias 0 |
//! | `Sequential` counts modules: `0.weight`, `2.weight` when activations lie between | a dense layer and its activation are one layer |
//! | `Dropout`, `Identity`, `Flatten` between the layers, which only count | nothing |
//! | `GELU()`, `GELU(approximate="tanh")` | [`Activation::Gelu`], [`Activation::GeluTanh`] |
//! | `ELU()`, `LeakyReLU()` with their default parameters | [`Activation::Elu`], [`Activation::LeakyRelu`] |
//! | an activation behind the last `Linear` | the activation of the last layer |
//!
//! Frequencies of Fourier features, a buffer or a frozen parameter of some models, belong to the
//! [`Encoding`](crate::nn::Encoding) here: leave them out of the file, or outside the prefix.
//! Columns of features alternate here, cosine and sine of one frequency after the other; rows of
//! weights behind other orders want to be put into this one.
//!
//! Not in a `state_dict`, so for the caller to know: which activation lies between the layers (and
//! which GELU: the two differ by up to 5e-4), the epsilon of norms, and how inputs are normalized.
//! A network here maps each input by its own [`Normalizer`](crate::nn::Normalizer) first; weights
//! of a model without such a map want [`Input::new`], which changes nothing.

mod modules;
mod names;
mod state_dict;

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use self::modules::{Kind, Module, modules, numbers_of, renumber};
pub use self::names::Names;
use self::names::Scheme;
use self::state_dict::{READ, check_shape, numbered, numbers, parse, prefixes, shorten, tensor};
use crate::nn::{Activation, Input, Network};
use crate::{Error, Result};

const WRITE: &str = "write a PyTorch state_dict";

/// Reads a `state_dict` (f32, or f64, f16, bf16 converted to f32) into a flat parameter buffer in
/// the layout of `network`, padding zero: what
/// [`Model::set_parameters`](crate::nn::Model::set_parameters) takes. A bias that the file does not
/// have is 0, a norm without gain and bias has 1 and 0, unless something else is left over, which
/// may be what was meant.
///
/// # Errors
/// [`Error::Shape`] with both shapes; [`Error::Argument`] for a damaged file, a tensor that is
/// missing, left over, of an integer type or not finite, always by name, and with the prefixes
/// there are if none fits; that of [`Network::check`].
pub fn read(bytes: &[u8], network: &Network, names: &Names) -> Result<Vec<f32>> {
    let mut modules = modules(READ, network, names)?;
    let file = parse(bytes)?;
    if let (Scheme::Sequential, Err(_)) = (&names.scheme, check_names(&file, &modules, names)) {
        // What is refused is told by the numbers that the network itself would have.
        renumber(&mut modules, &numbers_of(READ, network)?, &file, &names.prefix);
    }
    check_names(&file, &modules, names)?;
    let present = |name: &str| file.tensor(name).is_ok();
    // Before memory is taken: the file must hold what the network wants.
    for (name, shape) in modules.iter().flat_map(Module::tensors).filter(|(name, _)| present(name)) {
        check_shape(&file, &name, &shape)?;
    }
    let layout = network.layout();
    let mut flat = vec![0.0; layout.len];
    for module in &modules {
        let [weight, bias] = module.tensors();
        match &module.kind {
            Kind::LayerNorm(gain) if !present(&weight.0) => {
                layout.insert(gain, &vec![1.0; gain.columns], &mut flat);
            }
            Kind::LayerNorm(gain) => layout.insert(gain, &numbers(&file, &weight.0)?, &mut flat),
            Kind::Linear(blocks) => {
                let (inputs, values) = (weight.1[1], numbers(&file, &weight.0)?);
                let mut first = 0;
                for block in blocks {
                    let rows = first..first + block.rows;
                    let ours: Vec<f32> =
                        rows.flat_map(|input| values.iter().skip(input).step_by(inputs)).copied().collect();
                    layout.insert(block, &ours, &mut flat);
                    first += block.rows;
                }
            }
        }
        if present(&bias.0) {
            layout.insert(&module.bias, &numbers(&file, &bias.0)?, &mut flat);
        } else {
            log::info!("{READ}: there is no `{}`; the bias is 0", bias.0);
        }
    }
    Ok(flat)
}

/// Checks that a file has what the modules need, and nothing that they do not know.
fn check_names(file: &SafeTensors<'_>, modules: &[Module], names: &Names) -> Result<()> {
    // In the file's order it would depend on a hash map which of two problems is told.
    let mut present: Vec<&str> = file.names();
    present.sort_unstable();
    let is_there = |name: &str| present.binary_search(&name).is_ok();
    let expected: Vec<String> = modules.iter().flat_map(Module::tensors).map(|(name, _)| name).collect();
    let extra =
        present.iter().find(|name| !names.ignores(name) && !expected.iter().any(|known| known == *name));
    let needed = |module: &&Module| {
        let [(weight, _), (bias, _)] = module.tensors();
        let optional = matches!(module.kind, Kind::LayerNorm(_)) && !is_there(&bias);
        !optional && !is_there(&weight)
    };
    let missing = match modules.iter().find(needed).map(|module| module.tensors()[0].0.clone()) {
        None if extra.is_some() => expected.iter().find(|name| !is_there(name)).cloned(),
        needed => needed,
    };
    if let Some(missing) = missing {
        let instead = match extra {
            _ if !expected.iter().any(|name| is_there(name)) => prefixes(file),
            Some(extra) => format!("there is `{extra}`, which the network does not have"),
            None => format!("present: {}", present.join(", ")),
        };
        let problem = format!("is missing; {instead}");
        return Err(Error::argument(READ, format!("tensor `{missing}`"), shorten(problem)));
    }
    let Some(extra) = extra else { return Ok(()) };
    let problem = if extra.contains(".running_") {
        "is left over: batch norms have no counterpart here; fold them into the layer in front of them"
    } else {
        "is left over; the network has no such layer, and `Names::ignoring` does not name it"
    };
    Err(Error::argument(READ, format!("tensor `{extra}`"), problem))
}

/// Writes a flat parameter buffer in the layout of `network` as a `state_dict` in f32: what
/// `load_state_dict` takes after `safetensors.torch.load_file`. Reading it back gives the same
/// bits.
///
/// # Errors
/// [`Error::Shape`] if `flat` is not of the layout's length; [`Error::Argument`] for names that do
/// not fit or values that are not finite; that of [`Network::check`].
pub fn write(network: &Network, flat: &[f32], names: &Names) -> Result<Vec<u8>> {
    let modules = modules(WRITE, network, names)?;
    let layout = network.layout();
    layout.check_flat(WRITE, flat)?;
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for module in &modules {
        let outputs = module.bias.columns;
        let weight: Vec<f32> = match &module.kind {
            Kind::LayerNorm(gain) => layout.extract(gain, flat),
            Kind::Linear(blocks) => {
                let blocks: Vec<Vec<f32>> = blocks.iter().map(|block| layout.extract(block, flat)).collect();
                let column =
                    |output: usize| blocks.iter().flat_map(move |b| b.iter().skip(output).step_by(outputs));
                (0..outputs).flat_map(column).copied().collect()
            }
        };
        let bias = layout.extract(&module.bias, flat);
        for ((name, shape), values) in module.tensors().into_iter().zip([weight, bias]) {
            tensors.push((name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect()));
        }
    }
    let fail = |error: String| Error::argument(WRITE, "the tensors", error);
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| fail(error.to_string()))?;
    // PyTorch's own writer leaves this mark.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize(views, Some(metadata)).map_err(|error| fail(error.to_string()))
}

/// The multilayer perceptron of a `state_dict`: every `<prefix>N.weight` is a layer, in the order
/// of the numbers `N`; all but the last have `activation` behind them. Norms and residual blocks do
/// not show in a file and are refused by their shapes. Returns the network and the names that
/// [`read()`] and [`write()`] want.
///
/// * `inputs`: in the order in which the model concatenates them, without layers of their own.
///
/// # Errors
/// [`Error::Shape`] if a layer does not take what the one before it gives; [`Error::Argument`]
/// without a layer, for a damaged file, or for widths that [`Network::check`] refuses;
/// [`Error::Unsupported`] for an input with layers of its own, whose modules no number tells.
pub fn infer(
    bytes: &[u8],
    prefix: &str,
    inputs: Vec<Input>,
    activation: Activation,
) -> Result<(Network, Names)> {
    if let Some(input) = inputs.iter().find(|input| !input.layers.is_empty()) {
        return Err(Error::Unsupported {
            operation: READ.into(),
            reason: format!(
                "input `{}` has layers of its own, which the file's numbers do not show",
                input.name
            ),
            hint: "describe the network yourself and read it with `Names::modules`".into(),
        });
    }
    let file = parse(bytes)?;
    let layers = numbered(&file, prefix);
    if layers.is_empty() {
        let problem = format!("holds no tensor `{prefix}N.weight` with a number N; {}", prefixes(&file));
        return Err(Error::argument(READ, "the file", shorten(problem)));
    }
    let mut width = inputs.iter().map(Input::encoded_width).fold(0, usize::saturating_add);
    let mut outputs = Vec::new();
    for (number, _) in &layers {
        let name = format!("{prefix}{number}.weight");
        match *tensor(&file, &name)?.shape() {
            [out, into] if into == width => {
                outputs.push(out);
                width = out;
            }
            ref other => {
                let hint = match outputs.is_empty() {
                    true => "the widths of the inputs must add up to what the first layer takes",
                    false => "each layer takes what the one before it gives",
                };
                return Err(Error::shape(READ, name, format!("{other:?}"), format!("[_, {width}]"), hint));
            }
        }
    }
    let last = outputs.pop().unwrap_or(0);
    let network = Network::mlp(inputs, &outputs, activation, last);
    network.check()?;
    let names = layers.iter().map(|(number, _)| number.to_string());
    Ok((network, Names::modules(prefix, names)))
}
