//! Networks as data: named inputs, dense layers, and the places of their parameters in one flat buffer.

use serde::{Deserialize, Serialize};

use super::{Affine, Encoding};
use crate::gpu::pad4;
use crate::{Error, Result};

/// The function between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// None.
    Identity,
    /// `max(x, 0)`, with slope 0 at 0.
    Relu,
    /// `x / (1 + exp(-x))`.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// The code in `shaders/lib/activation.wgsl`.
    pub(crate) fn code(self) -> u32 {
        match self {
            Activation::Identity => 0,
            Activation::Relu => 1,
            Activation::Silu => 2,
            Activation::Tanh => 3,
        }
    }
}

/// A named input of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Numbers per row.
    pub width: usize,
    /// How rows are normalised before the first layer.
    pub affine: Affine,
    /// How normalised rows enter the first layer.
    #[serde(default)]
    pub encoding: Encoding,
}

impl Input {
    /// An input that is taken as it is.
    pub fn new(name: &str, width: usize) -> Self {
        Self::normalised(name, Affine::identity(width))
    }

    /// An input with a normaliser.
    pub fn normalised(name: &str, affine: Affine) -> Self {
        Self { name: name.into(), width: affine.width(), affine, encoding: Encoding::Raw }
    }

    /// The same input with another encoding.
    pub fn encoded(self, encoding: Encoding) -> Self {
        Self { encoding, ..self }
    }

    /// Numbers per row after the encoding: rows of the input's weight block.
    pub fn encoded_width(&self) -> usize {
        self.encoding.encoded_width(self.width)
    }
}

/// A dense layer: `act(h W + b)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dense {
    /// Numbers per row that it writes.
    pub outputs: usize,
    /// What comes after the affine map.
    pub activation: Activation,
}

/// A multilayer perceptron over the concatenation of its inputs. Plain data: it serialises, and says by itself how many
/// parameters it has and where they lie.
///
/// The first layer holds one weight block per input, `W [x; y] = Wx x + Wy y`, so that an input shared by many rows (a
/// context with its candidates) is multiplied once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// The inputs, in the order of the concatenation.
    pub inputs: Vec<Input>,
    /// The layers; the last one has no activation.
    pub layers: Vec<Dense>,
}

/// Largest width of a layer or input.
const MAX_WIDTH: usize = 4096;
/// Largest number of layers.
const MAX_LAYERS: usize = 64;

impl Network {
    /// `hidden` layers of one width with an activation, then an affine output layer.
    pub fn mlp(inputs: Vec<Input>, hidden: &[usize], activation: Activation, outputs: usize) -> Self {
        let mut layers: Vec<_> = hidden.iter().map(|&outputs| Dense { outputs, activation }).collect();
        layers.push(Dense { outputs, activation: Activation::Identity });
        Self { inputs, layers }
    }

    /// Numbers per row that the last layer writes.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.outputs)
    }

    /// Width of the concatenated inputs, encoded.
    pub fn input_width(&self) -> usize {
        self.inputs.iter().map(Input::encoded_width).fold(0, usize::saturating_add)
    }

    /// Weights and biases, padding not counted.
    pub fn parameter_count(&self) -> usize {
        let mut inputs = self.input_width();
        let mut count = 0;
        for layer in &self.layers {
            count += (inputs + 1) * layer.outputs;
            inputs = layer.outputs;
        }
        count
    }

    /// Multiply-adds of one row, nominal: no discount for shared inputs.
    pub fn multiply_adds(&self) -> usize {
        let mut inputs = self.input_width();
        let mut count = 0;
        for layer in &self.layers {
            count += inputs * layer.outputs;
            inputs = layer.outputs;
        }
        count
    }

    /// Checks the description: at least one input and one layer, widths of 1 to 4096, encoded ones too, distinct names, finite
    /// normalisers and frequencies, no activation behind the last layer.
    ///
    /// # Errors
    /// [`Error::Argument`] naming what is wrong.
    pub fn check(&self) -> Result<()> {
        let fail = |what: &str, problem: String| Err(Error::argument("network", what, problem));
        if self.inputs.is_empty() || self.layers.is_empty() || self.layers.len() > MAX_LAYERS {
            let problem = format!(
                "has {} inputs and {} layers; it needs at least one of each and at most {MAX_LAYERS} layers",
                self.inputs.len(),
                self.layers.len()
            );
            return fail("the description", problem);
        }
        let widths = self
            .inputs
            .iter()
            .map(|input| (format!("input `{}`", input.name), input.width))
            .chain(self.layers.iter().enumerate().map(|(l, d)| (format!("layer {l}"), d.outputs)));
        for (what, width) in widths {
            if !(1..=MAX_WIDTH).contains(&width) {
                return fail(&what, format!("has width {width}, allowed are 1 to {MAX_WIDTH}"));
            }
        }
        for (at, input) in self.inputs.iter().enumerate() {
            if self.inputs[..at].iter().any(|other| other.name == input.name) {
                return fail(&format!("input `{}`", input.name), "appears twice".into());
            }
            let owner = format!("input `{}`", input.name);
            input.affine.check(&owner, input.width)?;
            input.encoding.check(&owner, input.width)?;
            if input.encoded_width() > MAX_WIDTH {
                let width = input.encoded_width();
                return fail(&owner, format!("has {width} encoded columns, allowed are 1 to {MAX_WIDTH}"));
            }
        }
        match self.layers.last() {
            Some(last) if last.activation != Activation::Identity => {
                fail("the last layer", "has an activation; add an affine layer behind it".into())
            }
            _ => Ok(()),
        }
    }

    /// Where each parameter lies.
    pub fn layout(&self) -> ParameterLayout {
        let mut layout = ParameterLayout { slices: Vec::new(), len: 0 };
        let fan_in = self.input_width();
        for (index, layer) in self.layers.iter().enumerate() {
            let columns = layer.outputs;
            if index == 0 {
                for input in &self.inputs {
                    let name = format!("layers.0.weight.{}", input.name);
                    layout.push(name, input.encoded_width(), columns, fan_in);
                }
                layout.push("layers.0.bias".into(), 1, columns, fan_in);
            } else {
                let rows = self.layers[index - 1].outputs;
                layout.push(format!("layers.{index}.weight"), rows, columns, rows);
                layout.push(format!("layers.{index}.bias"), 1, columns, rows);
            }
        }
        layout
    }
}

/// One weight matrix or bias within a flat parameter buffer: `rows` x `columns`, rows `stride` elements apart, padded with
/// zeros to whole `vec4`s in both directions (a bias only along its row).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Its name, as in checkpoints: `layers.1.weight`.
    pub name: String,
    /// First element in the flat buffer, a multiple of 4.
    pub offset: usize,
    /// Inputs of a weight matrix; 1 for a bias.
    pub rows: usize,
    /// Outputs of the layer.
    pub columns: usize,
    /// Elements from one row to the next.
    pub stride: usize,
    /// Inputs of the layer, for the scale of initial values.
    pub fan_in: usize,
}

/// Where the parameters of a network lie in its flat buffers: values, gradient, moments and average all share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterLayout {
    /// The slices in order.
    pub slices: Vec<Slice>,
    /// Elements of the flat buffer, padding included; a multiple of 4.
    pub len: usize,
}

impl ParameterLayout {
    fn push(&mut self, name: String, rows: usize, columns: usize, fan_in: usize) {
        let stride = pad4(columns);
        let bias = name.ends_with("bias");
        self.slices.push(Slice { name, offset: self.len, rows, columns, stride, fan_in });
        self.len += stride * if bias { 1 } else { pad4(rows) };
    }

    /// The slice of a name.
    pub fn slice(&self, name: &str) -> Option<&Slice> {
        self.slices.iter().find(|slice| slice.name == name)
    }

    /// Copies a slice's matrix out of a flat buffer, without padding, row by row.
    pub fn extract(&self, slice: &Slice, flat: &[f32]) -> Vec<f32> {
        (0..slice.rows)
            .flat_map(|row| &flat[slice.offset + row * slice.stride..][..slice.columns])
            .copied()
            .collect()
    }

    /// Copies an unpadded matrix into a flat buffer.
    pub fn insert(&self, slice: &Slice, matrix: &[f32], flat: &mut [f32]) {
        for (row, values) in matrix.chunks_exact(slice.columns).enumerate() {
            flat[slice.offset + row * slice.stride..][..slice.columns].copy_from_slice(values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r18_parameter_count_of_the_push_t_energy() {
        let inputs = vec![Input::new("context", 40), Input::new("action", 32)];
        let network = Network::mlp(inputs, &[1024; 4], Activation::Relu, 1);
        assert_eq!(network.parameter_count(), 3_224_577);
    }

    #[test]
    fn slices_are_disjoint_and_aligned() {
        let inputs = vec![Input::new("x", 3), Input::new("y", 5)];
        let network = Network::mlp(inputs, &[7, 9], Activation::Silu, 1);
        let layout = network.layout();
        let mut counted = 0;
        for pair in layout.slices.windows(2) {
            assert_eq!(pair[0].offset % 4, 0);
            assert!(pair[0].offset + pair[0].rows * pair[0].stride <= pair[1].offset);
        }
        for slice in &layout.slices {
            counted += slice.rows * slice.columns;
        }
        assert_eq!(counted, network.parameter_count());
        assert_eq!(layout.len % 4, 0);
    }

    #[test]
    fn bad_descriptions_are_refused() {
        let good = Network::mlp(vec![Input::new("x", 2)], &[4], Activation::Tanh, 1);
        assert!(good.check().is_ok());
        let mut none = good.clone();
        none.layers.clear();
        let mut wide = good.clone();
        wide.layers[0].outputs = 5000;
        let mut twice = good.clone();
        twice.inputs.push(Input::new("x", 1));
        let mut active = good.clone();
        active.layers[1].activation = Activation::Relu;
        let mut flat = good.clone();
        flat.inputs[0].affine.scale[1] = 0.0;
        for bad in [none, wide, twice, active, flat] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
