//! The modules of a network as PyTorch counts and names them.

use safetensors::SafeTensors;

use super::names::{Names, Scheme};
use super::state_dict::numbered;
use crate::nn::{Activation, Dense, Layer, Network, ParameterSlice};
use crate::{Error, Result};

/// One module with parameters: what it is called there and which slices it fills here.
pub(super) struct Module {
    name: String,
    pub kind: Kind,
    pub bias: ParameterSlice,
}

pub(super) enum Kind {
    /// The blocks of the weight matrix, one below the other.
    Linear(Vec<ParameterSlice>),
    /// The gain.
    LayerNorm(ParameterSlice),
}

impl Module {
    /// Names and shapes of its tensors: weight and bias.
    pub fn tensors(&self) -> [(String, Vec<usize>); 2] {
        let outputs = self.bias.columns;
        let weight = match &self.kind {
            Kind::Linear(blocks) => vec![outputs, blocks.iter().map(|block| block.rows).sum()],
            Kind::LayerNorm(_) => vec![outputs],
        };
        [(format!("{}.weight", self.name), weight), (format!("{}.bias", self.name), vec![outputs])]
    }
}

/// The modules of a network in order, under the names that `names` gives them.
pub(super) fn modules(operation: &str, network: &Network, names: &Names) -> Result<Vec<Module>> {
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

/// The numbers that a `Sequential` of the network's layers alone gives to the modules with
/// parameters.
pub(super) fn numbers_of(operation: &str, network: &Network) -> Result<Vec<usize>> {
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

/// Renames the modules by the numbers of a file whose `Sequential` has modules without parameters
/// between them that the network does not know: dropout, or norms without gain and bias. False, and
/// nothing is renamed, where the file's numbers do not fit the network.
pub(super) fn renumber(
    modules: &mut [Module],
    expected: &[usize],
    file: &SafeTensors<'_>,
    prefix: &str,
) -> bool {
    let found = numbered(file, prefix);
    let mut found = found.iter().copied().peekable();
    let (mut names, mut last) = (Vec::new(), None);
    for (module, &expected) in modules.iter().zip(expected) {
        let dimensions = if matches!(module.kind, Kind::Linear(_)) { 2 } else { 1 };
        let next = found.next_if(|(_, found)| *found == dimensions);
        match (next, &module.kind) {
            (Some((number, _)), _) => {
                // As far apart as the modules in between want at least.
                let least = last.map_or(expected, |(before, at)| at + expected - before);
                if number < least {
                    return false;
                }
                last = Some((expected, number));
                names.push(format!("{prefix}{number}"));
            }
            // No tensor can have this name.
            (None, Kind::LayerNorm(_)) => names.push(format!("{prefix}(norm without gain)")),
            (None, Kind::Linear(_)) => return false,
        }
    }
    if found.next().is_some() {
        return false;
    }
    for (module, name) in modules.iter_mut().zip(names) {
        module.name = name;
    }
    true
}

const NAME_THEM: &str = "name the modules yourself, one per layer with parameters: `Names::modules`";
