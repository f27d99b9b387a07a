//! Forward and backward passes of whole networks.

use super::dense_forward::{DenseForward, Start};
use super::encode::{decode_into, encode, encode_all, input_ranges};
use super::row_range::{PerRow, RowRange, cut};
use super::sum_candidates::{CandidateRange, Carry};
use super::{
    Activation, GradientMode, Network, ParameterLayout, Slice, dense_forward, dense_input_gradient,
    dense_weight_gradient, reduce_partials, sum_candidates,
};
use crate::gpu::{DType, Recording, Shape, Target, Value};
use crate::{Error, Result};

/// Whether a forward pass keeps what a backward pass needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Only the output.
    Output,
    /// The slopes of all activations too.
    Slopes,
}

/// A recorded forward pass: of all rows at once or, where a tensor would pass the largest binding of the recording's target, of
/// one range of rows after the other.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Packed `[rows, outputs]`.
    pub output: Value,
    /// For each input: its caller's shape and, if its rows are shared, all of them, encoded and packed.
    inputs: Vec<(Shape, Option<Value>)>,
    passes: Vec<Pass>,
    rows: usize,
}

/// A range of rows on its way through the network.
#[derive(Clone, Debug)]
struct Pass {
    range: RowRange,
    /// For each input: which of its rows serve these, and those rows, encoded and packed.
    inputs: Vec<(RowRange, Value)>,
    /// Outputs of the layers but the last.
    hidden: Vec<Value>,
    slopes: Vec<Option<Value>>,
}

/// Bytes of partial gradients that a backward pass may take.
const PARTIAL_BYTES: u64 = 64 << 20;
/// Rows per partial sum, about: fewer cost more memory traffic, more leave cores idle.
const ROWS_PER_SPLIT: usize = 256;
/// Most rows of one partial sum: lavapipe ends an invocation's loops after 65535 rounds in all, silently.
const MAX_ROWS_PER_SPLIT: usize = 32_768;
/// Partial sums wanted at most.
const MAX_SPLITS: usize = 32;

fn slice<'a>(layout: &'a ParameterLayout, name: &str) -> Result<&'a Slice> {
    layout.slice(name).ok_or_else(|| {
        Error::argument("network", format!("slice `{name}`"), "is not in the parameter layout")
    })
}

impl Forward {
    /// Records `work` for each pass, under the name of its rows if there are several.
    fn each(
        &self,
        recording: &mut Recording,
        mut work: impl FnMut(&mut Recording, &Pass) -> Result<()>,
    ) -> Result<()> {
        for pass in &self.passes {
            match self.passes.len() {
                1 => work(recording, pass)?,
                _ => recording.scoped(&pass.range.name(), |recording| work(recording, pass))?,
            }
        }
        Ok(())
    }

    /// Indices of the inputs, those with the fewest rows first.
    fn input_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.inputs.len()).collect();
        order.sort_by_key(|&index| self.inputs[index].0.rows());
        order
    }

    /// For each input the rows that serve a range of the batch: each range covers the candidates of the next.
    fn served(&self, range: RowRange) -> Vec<RowRange> {
        let mut served = vec![range; self.inputs.len()];
        let (mut next, mut own) = (range, 1);
        for index in self.input_order().into_iter().rev() {
            let candidates = self.candidates(index);
            next = next.contexts(candidates / own);
            own = candidates;
            served[index] = next;
        }
        served
    }

    /// Rows of the batch for each row of an input.
    fn candidates(&self, input: usize) -> usize {
        self.rows / self.inputs[input].0.rows()
    }
}

impl Network {
    /// Records the forward pass. Inputs come in any order by name, each `[.., width]` in data units; an input with fewer
    /// rows than the others is shared by equal runs of their rows (a context by its candidates) and multiplied once.
    ///
    /// Where a tensor would pass the largest binding of the recording's target, rows go through in ranges, the same ones for the
    /// same shapes. The parameters themselves must fit one binding.
    ///
    /// # Errors
    /// [`Error::Argument`] for a missing or unknown input; [`Error::Shape`] if rows or widths do not fit.
    pub fn record_forward(
        &self,
        recording: &mut Recording,
        parameters: Value,
        inputs: &[(&str, Value)],
        keep: Keep,
    ) -> Result<Forward> {
        self.check()?;
        for (name, _) in inputs {
            if !self.inputs.iter().any(|input| input.name == *name) {
                return Err(Error::argument(
                    "forward",
                    format!("input `{name}`"),
                    "is not one of the network's",
                ));
            }
        }
        let mut given = Vec::new();
        for input in &self.inputs {
            let Some((_, value)) = inputs.iter().find(|(name, _)| *name == input.name) else {
                return Err(Error::argument("forward", format!("input `{}`", input.name), "was not given"));
            };
            given.push((*value, recording.shape(*value)?.clone()));
        }
        let rows = given.iter().map(|(_, shape)| shape.rows()).max().unwrap_or(0);
        for ((_, shape), input) in given.iter().zip(&self.inputs) {
            if shape.rows() == 0 || rows % shape.rows() != 0 {
                let expected = format!("a divisor of {rows} rows, at least 1");
                let hint = "each shared row serves the same number of rows";
                return Err(Error::shape("forward", &input.name, shape, expected, hint));
            }
        }
        let mut by_rows: Vec<usize> = given.iter().map(|(_, shape)| shape.rows()).collect();
        by_rows.sort_unstable();
        if let Some(pair) = by_rows.windows(2).find(|pair| pair[1] % pair[0] != 0) {
            let found = format!("{} rows", pair[0]);
            let expected = format!("a divisor of the {} rows of the next", pair[1]);
            let hint = "each shared row serves the same number of rows";
            return Err(Error::shape("forward", "the inputs", found, expected, hint));
        }
        let ranges = self.row_ranges(recording.target(), &given, rows);
        let whole = ranges.len() == 1;
        // What all ranges share; of the other inputs all rows, if they go through at once.
        let mut all = Vec::new();
        for ((value, shape), input) in given.iter().zip(&self.inputs) {
            let at_once = whole || shape.rows() < rows;
            all.push(if at_once { Some(encode_all(recording, *value, input)?) } else { None });
        }
        let outputs = match whole {
            true => None,
            false => {
                let shape = Shape::packed(rows, self.outputs());
                Some(recording.scratch("outputs", DType::F32, shape))
            }
        };
        let shapes: Vec<Shape> = given.iter().map(|(_, shape)| shape.clone()).collect();
        let mut forward = Forward {
            output: parameters,
            inputs: shapes.into_iter().zip(all).collect(),
            passes: Vec::new(),
            rows,
        };
        for range in ranges {
            let work = |recording: &mut Recording| {
                let mut own = Vec::new();
                for (index, served) in forward.served(range).into_iter().enumerate() {
                    let packed = match forward.inputs[index].1 {
                        Some(packed) => served.of(recording, packed)?,
                        None => {
                            let part = served.of(recording, given[index].0)?;
                            encode(recording, part, &self.inputs[index])?
                        }
                    };
                    own.push((served, packed));
                }
                let into = match outputs {
                    Some(outputs) => Some(range.of(recording, outputs)?),
                    None => None,
                };
                self.record_pass(recording, parameters, &forward, range, own, keep, into)
            };
            let (pass, output) = match whole {
                true => work(recording)?,
                false => recording.scoped(&range.name(), work)?,
            };
            forward.output = outputs.unwrap_or(output);
            forward.passes.push(pass);
        }
        Ok(forward)
    }

    /// The ranges of rows that go through the network one after the other.
    fn row_ranges(&self, target: Target, given: &[(Value, Shape)], rows: usize) -> Vec<RowRange> {
        let per_row =
            |width: usize, candidates| PerRow { stride: Shape::packed(1, width).stride(), candidates };
        let mut tensors: Vec<PerRow> = self.layers.iter().map(|layer| per_row(layer.outputs, 1)).collect();
        for (input, (_, shape)) in self.inputs.iter().zip(given) {
            tensors.push(per_row(input.encoded_width(), rows / shape.rows()));
            if shape.rows() == rows {
                tensors.push(PerRow { stride: input.width, candidates: 1 });
            }
        }
        cut(target, rows, &tensors)
    }

    /// Records the forward pass of one range of rows, into `into` if there is one.
    #[allow(clippy::too_many_arguments, reason = "one caller")]
    fn record_pass(
        &self,
        recording: &mut Recording,
        parameters: Value,
        forward: &Forward,
        range: RowRange,
        inputs: Vec<(RowRange, Value)>,
        keep: Keep,
        into: Option<Value>,
    ) -> Result<(Pass, Value)> {
        let layout = self.layout();
        let last = self.layers.len() - 1;
        let dense = |recording: &mut Recording, h: Value, layer: &DenseForward<'_>, index: usize| match into {
            Some(output) if index == last => dense_forward::record_into(recording, h, layer, output),
            _ => dense_forward::record(recording, h, layer),
        };
        let keep_slope = |index: usize| keep == Keep::Slopes && index < last;
        // Shared inputs first: each later input starts from the sums of the one before.
        let order = forward.input_order();
        let mut start = Start::Bias(slice(&layout, "layers.0.bias")?);
        for (at, &index) in order[..order.len() - 1].iter().enumerate() {
            let weight = slice(&layout, &format!("layers.0.weight.{}", self.inputs[index].name))?;
            let activation = Activation::Identity;
            let layer = DenseForward { parameters, weight, start, activation, keep_slope: false };
            let context = dense_forward::record(recording, inputs[index].1, &layer)?.output;
            let next = order[at + 1];
            let candidates = forward.candidates(index) / forward.candidates(next);
            let first_row = inputs[next].0.first_among(inputs[index].0, candidates);
            start = Start::ContextRange { context, candidates, first_row };
        }
        let index = order[order.len() - 1];
        let weight = slice(&layout, &format!("layers.0.weight.{}", self.inputs[index].name))?;
        let activation = self.layers[0].activation;
        let layer = DenseForward { parameters, weight, start, activation, keep_slope: keep_slope(0) };
        let mut current = dense(recording, inputs[index].1, &layer, 0)?;
        let (mut hidden, mut slopes) = (Vec::new(), Vec::new());
        for (index, layer) in self.layers.iter().enumerate().skip(1) {
            hidden.push(current.output);
            slopes.push(current.slope);
            let spec = DenseForward {
                parameters,
                weight: slice(&layout, &format!("layers.{index}.weight"))?,
                start: Start::Bias(slice(&layout, &format!("layers.{index}.bias"))?),
                activation: layer.activation,
                keep_slope: keep_slope(index),
            };
            current = dense(recording, current.output, &spec, index)?;
        }
        Ok((Pass { range, inputs, hidden, slopes }, current.output))
    }

    /// Records the chain of input gradients of a pass from the output down to the pre-activations of the first layer; entry
    /// `l` is the gradient at layer `l`'s pre-activations.
    fn record_chain(
        &self,
        recording: &mut Recording,
        parameters: Value,
        pass: &Pass,
        seed: Value,
    ) -> Result<Vec<Value>> {
        let layout = self.layout();
        let seed = pass.range.of(recording, seed)?;
        let mut chain = vec![seed];
        let mut dz = seed;
        for index in (1..self.layers.len()).rev() {
            let weight = slice(&layout, &format!("layers.{index}.weight"))?;
            let Some(slope) = pass.slopes[index - 1] else {
                return Err(Error::argument("backward", "the forward pass", "was recorded without slopes"));
            };
            dz = dense_input_gradient::record(recording, dz, parameters, weight, Some(slope))?;
            chain.push(dz);
        }
        chain.reverse();
        Ok(chain)
    }

    /// Records the backward pass to the parameters: `[parameters]` in the network's layout, overwritten or added to.
    ///
    /// * `seed`: packed `[rows, outputs]`, the gradient at the network's output.
    ///
    /// # Errors
    /// [`Error::Argument`] if the forward pass kept no slopes; [`Error::Shape`].
    pub fn record_parameter_gradient(
        &self,
        recording: &mut Recording,
        parameters: Value,
        forward: &Forward,
        seed: Value,
    ) -> Result<Value> {
        recording.expect_shape("backward", seed, Shape::packed(forward.rows, self.outputs()))?;
        let mut mode = GradientMode::Overwrite;
        let mut gradient = seed;
        forward.each(recording, |recording, pass| {
            gradient = self.record_pass_gradient(recording, parameters, forward, pass, seed, mode)?;
            mode = GradientMode::Accumulate(gradient);
            Ok(())
        })?;
        Ok(gradient)
    }

    /// The parameter gradient of one pass.
    fn record_pass_gradient(
        &self,
        recording: &mut Recording,
        parameters: Value,
        forward: &Forward,
        pass: &Pass,
        seed: Value,
        mode: GradientMode,
    ) -> Result<Value> {
        let layout = self.layout();
        let chain = self.record_chain(recording, parameters, pass, seed)?;
        let most_bytes = PARTIAL_BYTES.min(recording.target().max_binding_bytes);
        let by_memory = ((most_bytes / (4 * layout.len as u64)) as usize).max(1);
        let rows = pass.range.count;
        let wanted = rows.div_ceil(ROWS_PER_SPLIT).min(MAX_SPLITS);
        let splits = wanted.min(by_memory).max(rows.div_ceil(MAX_ROWS_PER_SPLIT));
        let partials = recording.scratch("partials", DType::F32, [splits, layout.len]);
        for index in (1..self.layers.len()).rev() {
            let weight = slice(&layout, &format!("layers.{index}.weight"))?;
            let bias = slice(&layout, &format!("layers.{index}.bias"))?;
            let h = pass.hidden[index - 1];
            dense_weight_gradient::record(recording, h, chain[index], weight, Some(bias), partials)?;
        }
        // The input with the fewest rows takes the bias along: its sums over candidates are already there.
        let bias = slice(&layout, "layers.0.bias")?;
        for (at, index) in forward.input_order().into_iter().enumerate() {
            let weight = slice(&layout, &format!("layers.0.weight.{}", self.inputs[index].name))?;
            let (own, packed) = pass.inputs[index];
            let dz = match forward.candidates(index) {
                1 => chain[0],
                candidates => {
                    let shape = Shape::packed(own.count, recording.shape(chain[0])?.width());
                    let sums = recording.scratch("context sum", DType::F32, shape);
                    let first_row = pass.range.first_among(own, candidates);
                    let range = CandidateRange { candidates, first_row, carry: Carry::Fresh };
                    sum_candidates::record_range(recording, chain[0], &range, sums)?;
                    sums
                }
            };
            let bias = (at == 0).then_some(bias);
            dense_weight_gradient::record(recording, packed, dz, weight, bias, partials)?;
        }
        reduce_partials::record(recording, partials, mode)
    }

    /// Records the backward pass to one input alone: the gradient in 1 / data units, in the shape the input was given.
    ///
    /// * `seed`: packed `[rows, outputs]`, the gradient at the network's output.
    ///
    /// # Errors
    /// [`Error::Argument`] for an unknown input or if the forward pass kept no slopes; [`Error::Shape`].
    pub fn record_input_gradient(
        &self,
        recording: &mut Recording,
        parameters: Value,
        forward: &Forward,
        seed: Value,
        input: &str,
    ) -> Result<Value> {
        let Some(index) = self.inputs.iter().position(|known| known.name == input) else {
            return Err(Error::argument(
                "backward",
                format!("input `{input}`"),
                "is not one of the network's",
            ));
        };
        recording.expect_shape("backward", seed, Shape::packed(forward.rows, self.outputs()))?;
        let (layout, description) = (self.layout(), &self.inputs[index]);
        let weight = slice(&layout, &format!("layers.0.weight.{input}"))?;
        let (shape, all) = forward.inputs[index].clone();
        let candidates = forward.candidates(index);
        let contexts = shape.rows();
        let out = recording.scratch("input gradient", DType::F32, shape);
        let finish = |recording: &mut Recording, range: RowRange, dz: Value, packed: Value| {
            let gradient = dense_input_gradient::record(recording, dz, parameters, weight, None)?;
            let written = range.of(recording, out)?;
            decode_into(recording, gradient, packed, description, written)
        };
        let Some(packed) = all.filter(|_| candidates > 1) else {
            forward.each(recording, |recording, pass| {
                let dz = self.record_chain(recording, parameters, pass, seed)?[0];
                finish(recording, pass.range, dz, pass.inputs[index].1)
            })?;
            return Ok(out);
        };
        // Sums of one pass after the other, then the gradient of all contexts.
        let sums = recording.scratch("context sum", DType::F32, Shape::packed(contexts, weight.columns));
        forward.each(recording, |recording, pass| {
            let dz = self.record_chain(recording, parameters, pass, seed)?[0];
            let own = pass.inputs[index].0;
            let first_row = pass.range.first_among(own, candidates);
            let carry = if pass.range.first == 0 { Carry::Fresh } else { Carry::Continue };
            let part = own.of(recording, sums)?;
            sum_candidates::record_range(
                recording,
                dz,
                &CandidateRange { candidates, first_row, carry },
                part,
            )
        })?;
        let ranges = input_ranges(recording, contexts, description, weight.columns);
        for range in ranges {
            let (dz, packed) = (range.of(recording, sums)?, range.of(recording, packed)?);
            finish(recording, range, dz, packed)?;
        }
        Ok(out)
    }
}
