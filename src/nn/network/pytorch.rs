//! Weights of networks from and to PyTorch: a `state_dict` saved as safetensors,
//! `safetensors.torch.save_file(model.state_dict(), ..)`.
//!
//! | PyTorch | here |
//! |---|---|
//! | `Linear.weight` `[outputs, inputs]`, row per output | one matrix `[inputs, outputs]` per layer, row per input |
//! | `torch.cat([x, y], -1)` in front of the first `Linear` | one block `[width, outputs]` of rows per named input, in the network's order |
//! | modules that one input goes through before that `torch.cat` | the input's own layers ([`Input::embedded`]), whose widths are those of the blocks |
//! | `Linear.bias` `[outputs]` | the layer's bias |
//! | `LayerNorm.weight`, `LayerNorm.bias` `[width]` | gain and bias of the norm |
//! | `Sequential` counts modules: `0.weight`, `2.weight` when activations lie between | a dense layer and its activation are one layer |
//!
//! Frequencies of Fourier features, a buffer or a frozen parameter of some models, belong to the
//! [`Encoding`](crate::nn::Encoding) here: leave them out of the file, or outside the prefix.
//! Columns of features alternate here, cosine and sine of one frequency after the other; rows of
//! weights behind other orders want to be put into this one.
//!
//! Not in a `state_dict`, so for the caller to know: which activation lies between the layers, the
//! epsilon of norms, and how inputs are normalized. A network here maps each input by its own
//! [`Normalizer`](crate::nn::Normalizer) first; weights of a model without such a map want
//! [`Input::new`], which changes nothing.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::nn::{Activation, Dense, Input, Layer, Network, ParameterLayout, ParameterSlice};
use crate::{Error, Result};

/// How a `state_dict` names the modules of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    prefix: String,
    scheme: Scheme,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scheme {
    Sequential,
    Modules(Vec<String>),
}

impl Names {
    /// As `torch.nn.Sequential` counts: every layer and every activation is a module. Residual
    /// blocks are not modules of PyTorch's, and layers of inputs are no part of a `Sequential`;
    /// networks with them want [`Names::modules`]. `prefix` is what stands in front of the numbers,
    /// dot included (`"net."`); empty when the model is the `Sequential` itself. Tensors whose
    /// names do not begin with it belong to somebody else and are left alone.
    pub fn sequential(prefix: &str) -> Self {
        Self { prefix: prefix.into(), scheme: Scheme::Sequential }
    }

    /// One module name for each layer that has parameters, those of the inputs first, in the order
    /// of the inputs, then the network's own, always in order and with those in residual blocks,
    /// each behind `prefix` as in [`Names::sequential`]:
    /// `Names::modules("", ["fc1", "fc2", "head"])`.
    pub fn modules<S: Into<String>>(prefix: &str, names: impl IntoIterator<Item = S>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        Self { prefix: prefix.into(), scheme: Scheme::Modules(names) }
    }
}

/// One module with parameters: what it is called there and which slices it fills here.
struct Module {
    name: String,
    kind: Kind,
    bias: ParameterSlice,
}

enum Kind {
    /// The blocks of the weight matrix, one below the other.
    Linear(Vec<ParameterSlice>),
    /// The gain.
    LayerNorm(ParameterSlice),
}

impl Module {
    /// Names and shapes of its tensors: weight and bias.
    fn tensors(&self) -> [(String, Vec<usize>); 2] {
        let outputs = self.bias.columns;
        let weight = match &self.kind {
            Kind::Linear(blocks) => vec![outputs, blocks.iter().map(|block| block.rows).sum()],
            Kind::LayerNorm(_) => vec![outputs],
        };
        [(format!("{}.weight", self.name), weight), (format!("{}.bias", self.name), vec![outputs])]
    }
}

/// The modules of a network in order, under the names that `names` gives them.
fn modules(operation: &str, network: &Network, names: &Names) -> Result<Vec<Module>> {
    network.check()?;
    let mut found: Vec<Module> = Vec::new();
    let mut weights = Vec::new();
    for slice in network.layout().slices {
        // Each module's bias comes last. The names of inputs, which may be any, stand at the end of
        // the weights of the layer that joins them.
        let joins = |slice: &ParameterSlice| slice.name.starts_with("layers.0.weight.");
        if joins(&slice) || !slice.name.ends_with(".bias") {
            weights.push(slice);
            continue;
        }
        let is_gain = |slice: &ParameterSlice| slice.name.ends_with(".gain") && !joins(slice);
        let kind = match weights.iter().position(is_gain) {
            Some(gain) => Kind::LayerNorm(weights.swap_remove(gain)),
            None => Kind::Linear(std::mem::take(&mut weights)),
        };
        found.push(Module { name: String::new(), kind, bias: slice });
    }
    let own: Vec<String> = match &names.scheme {
        Scheme::Sequential => numbers_of(operation, network)?.iter().map(usize::to_string).collect(),
        Scheme::Modules(given) => given.clone(),
    };
    if own.len() != found.len() {
        let problem = format!("are {}; the network has {} layers with parameters", own.len(), found.len());
        return Err(Error::argument(operation, "the names of modules", problem));
    }
    for (at, (module, name)) in found.iter_mut().zip(&own).enumerate() {
        if own[..at].contains(name) {
            return Err(Error::argument(operation, format!("module `{name}`"), "is named twice"));
        }
        module.name = format!("{}{name}", names.prefix);
    }
    Ok(found)
}

/// The numbers that a `Sequential` gives to the modules with parameters.
fn numbers_of(operation: &str, network: &Network) -> Result<Vec<usize>> {
    let (mut numbers, mut next) = (Vec::new(), 0);
    if let Some(input) = network.inputs.iter().find(|input| !input.layers.is_empty()) {
        return Err(Error::Unsupported {
            operation: operation.into(),
            reason: format!(
                "input `{}` has layers of its own, which no one `nn.Sequential` numbers",
                input.name
            ),
            hint: NAME_THEM.into(),
        });
    }
    for (at, layer) in network.layers.iter().enumerate() {
        match layer {
            Layer::Dense(Dense { activation, .. }) => {
                numbers.push(next);
                next += if *activation == Activation::Identity { 1 } else { 2 };
            }
            Layer::Norm(_) => {
                numbers.push(next);
                next += 1;
            }
            Layer::Activate(_) => next += 1,
            Layer::Residual(_) => {
                return Err(Error::Unsupported {
                    operation: operation.into(),
                    reason: format!("`layers.{at}` is a residual block, which `nn.Sequential` cannot number"),
                    hint: NAME_THEM.into(),
                });
            }
        }
    }
    Ok(numbers)
}

const NAME_THEM: &str = "name the modules yourself, one per layer with parameters: `Names::modules`";
const READ: &str = "read a PyTorch state_dict";
const WRITE: &str = "write a PyTorch state_dict";

fn parse(bytes: &[u8]) -> Result<SafeTensors<'_>> {
    SafeTensors::deserialize(bytes).map_err(|error| {
        let problem = format!(
            "is no safetensors file ({error}); save with `safetensors.torch.save_file`, not `torch.save`"
        );
        Error::argument(READ, "the file", problem)
    })
}

/// Reads a `state_dict` (f32, or f64, f16, bf16 converted to f32) into a flat parameter buffer in
/// the layout of `network`, padding zero: what
/// [`Model::set_parameters`](crate::nn::Model::set_parameters) takes.
///
/// # Errors
/// [`Error::Shape`] with both shapes; [`Error::Argument`] for a damaged file, a tensor that is
/// missing, left over, of an integer type or not finite, always by name; that of
/// [`Network::check`].
pub fn read(bytes: &[u8], network: &Network, names: &Names) -> Result<Vec<f32>> {
    let modules = modules(READ, network, names)?;
    let file = parse(bytes)?;
    let expected: Vec<String> = modules.iter().flat_map(Module::tensors).map(|(name, _)| name).collect();
    // In the file's order it would depend on a hash map which of two problems is told.
    let mut present: Vec<&str> = file.names();
    present.sort_unstable();
    let extra = present
        .iter()
        .find(|name| name.starts_with(&names.prefix) && !expected.iter().any(|known| known == *name));
    if let Some(missing) = expected.iter().find(|name| present.binary_search(&name.as_str()).is_err()) {
        let instead = match extra {
            Some(extra) => format!("there is `{extra}`, which the network does not have"),
            None => format!("present: {}", present.join(", ")),
        };
        let problem = format!("is missing; {instead}");
        return Err(Error::argument(READ, format!("tensor `{missing}`"), shorten(problem)));
    }
    if let Some(extra) = extra {
        let problem = "is left over; the network has no such layer";
        return Err(Error::argument(READ, format!("tensor `{extra}`"), problem));
    }
    // Before memory is taken: the file must hold what the network wants.
    for (name, shape) in modules.iter().flat_map(Module::tensors) {
        check_shape(&file, &name, &shape)?;
    }
    let layout = network.layout();
    let mut flat = vec![0.0; layout.len];
    for module in &modules {
        let [weight, bias] = module.tensors();
        let values = numbers(&file, &weight.0)?;
        match &module.kind {
            Kind::LayerNorm(gain) => layout.insert(gain, &values, &mut flat),
            Kind::Linear(blocks) => {
                let inputs = weight.1[1];
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
        layout.insert(&module.bias, &numbers(&file, &bias.0)?, &mut flat);
    }
    Ok(flat)
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
    let mut layers: BTreeMap<u64, String> = BTreeMap::new();
    for name in file.names() {
        let number = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(".weight"));
        // `007` is not what a `Sequential` writes; as a number it would stand for `7`.
        let Some(number) = number.filter(|text| *text == "0" || !text.starts_with(['0', '+'])) else {
            continue;
        };
        if let Ok(at) = number.parse() {
            layers.insert(at, number.to_owned());
        }
    }
    if layers.is_empty() {
        let problem = format!("holds no tensor `{prefix}N.weight` with a number N");
        return Err(Error::argument(READ, "the file", problem));
    }
    let mut width = inputs.iter().map(Input::encoded_width).fold(0, usize::saturating_add);
    let mut outputs = Vec::new();
    for number in layers.values() {
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
    Ok((network, Names::modules(prefix, layers.into_values())))
}

fn check_shape(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<()> {
    let found = tensor(file, name)?.shape().to_vec();
    if found == shape {
        return Ok(());
    }
    let hint = "PyTorch keeps weights as [outputs, inputs]";
    Err(Error::shape(READ, name, format!("{found:?}"), format!("{shape:?}"), hint))
}

fn tensor<'a>(file: &SafeTensors<'a>, name: &str) -> Result<TensorView<'a>> {
    file.tensor(name).map_err(|error| Error::argument(READ, format!("tensor `{name}`"), error.to_string()))
}

/// The values of a tensor as f32.
fn numbers(file: &SafeTensors<'_>, name: &str) -> Result<Vec<f32>> {
    let argument = format!("tensor `{name}`");
    let view = tensor(file, name)?;
    let data = view.data();
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect(),
        Dtype::F64 => data.as_chunks().0.iter().map(|raw| f64::from_le_bytes(*raw) as f32).collect(),
        Dtype::F16 => data.as_chunks().0.iter().map(|raw| from_f16(u16::from_le_bytes(*raw))).collect(),
        Dtype::BF16 => {
            let wide = |raw: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*raw)) << 16);
            data.as_chunks().0.iter().map(wide).collect()
        }
        other => {
            let problem = format!("holds {other:?}; convert the model with `.float()` before saving");
            return Err(Error::argument(READ, argument, problem));
        }
    };
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Error::argument(READ, argument, format!("holds {} at element {at}", values[at]))),
        None => Ok(values),
    }
}

/// Half precision to single, exactly.
fn from_f16(half: u16) -> f32 {
    let sign = u32::from(half >> 15) << 31;
    let (exponent, fraction) = (u32::from(half >> 10 & 0x1f), u32::from(half & 0x3ff));
    let size = match exponent {
        // Zero and subnormals: multiples of 2^-24.
        0 => (fraction as f32 / f32::from(1u16 << 12) / f32::from(1u16 << 12)).to_bits(),
        0x1f => 0x7f80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | size)
}

/// A message, not a report: model files hold hundreds of names.
fn shorten(mut text: String) -> String {
    const MAX: usize = 400;
    if text.len() > MAX {
        let end = (0..=MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push_str(" ..");
    }
    text
}

impl ParameterLayout {
    /// Checks that a flat buffer has the layout's length and finite values.
    pub(crate) fn check_flat(&self, operation: &str, flat: &[f32]) -> Result<()> {
        if flat.len() != self.len {
            let hint = "give all parameters in the network's layout, padding included";
            return Err(Error::shape(
                operation,
                "parameters",
                format!("[{}]", flat.len()),
                format!("[{}]", self.len),
                hint,
            ));
        }
        match flat.iter().position(|value| !value.is_finite()) {
            Some(at) => {
                let problem = format!("hold {} at element {at}", flat[at]);
                Err(Error::argument(operation, "the parameters", problem))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_converted_exactly() {
        let cases = [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3c00, 1.0),
            (0xc100, -2.5),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (half, single) in cases {
            assert_eq!(from_f16(half).to_bits(), f32::to_bits(single), "{half:#06x}");
        }
        assert!(from_f16(0x7e00).is_nan());
    }
}
