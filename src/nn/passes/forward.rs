//! Forward passes of whole networks.

use super::encode::{encode, encode_all};
use super::forward_node::{NodeIo, NodeOutputs, record_dense, record_node, slice};
use super::keep::Keep;
use crate::gpu::record::row_range::{PerRow, RowRange, cut};
use crate::gpu::{DType, Recording, Shape, Target, Value};
use crate::nn::dense::dense_forward::{DenseForward, DenseOutput, Start};
use crate::nn::network::graph::{Node, Op};
use crate::nn::{Activation, Network};
use crate::{Error, Result};

/// A recorded forward pass: of all rows at once or, where a tensor would pass the largest binding
/// of the recording's target, of one range of rows after the other.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Packed `[rows, outputs]`: what losses and the next network read; [`Forward::output`] has
    /// plain rows.
    pub packed_output: Value,
    pub(in crate::nn) keep: Keep,
    /// For each input: its caller's shape and, if all ranges share them, all of its rows, encoded
    /// and packed.
    pub(in crate::nn) inputs: Vec<(Shape, Option<Value>)>,
    /// What each node of the network did.
    pub(in crate::nn) nodes: Vec<Node>,
    pub(in crate::nn) passes: Vec<Pass>,
    pub(in crate::nn) rows: usize,
}

/// A range of rows on its way through the network.
#[derive(Clone, Debug)]
pub(in crate::nn) struct Pass {
    pub range: RowRange,
    /// For each input the rows of it that serve these.
    pub inputs: Vec<EncodedInput>,
    /// What each node left.
    pub node_outputs: Vec<NodeOutputs>,
}

/// Rows of an input on their way into the first layer.
#[derive(Clone, Debug)]
pub(in crate::nn) struct EncodedInput {
    pub range: RowRange,
    /// Encoded and packed.
    pub encoded: Value,
    /// What each node of the input's own layers left.
    pub node_outputs: Vec<NodeOutputs>,
}

impl EncodedInput {
    /// What the first layer reads.
    pub(in crate::nn) fn embedded(&self) -> Value {
        self.node_outputs.last().map_or(self.encoded, |node_outputs| node_outputs.output)
    }
}

/// Most rows of a batch: what is made per range of rows stays small.
const MAX_ROWS: usize = 1 << 24;

impl Forward {
    /// The outputs, plain `[rows, outputs]`. One dispatch where the width is not a multiple of 4,
    /// otherwise none.
    ///
    /// # Errors
    /// [`Error::Argument`] for a recording that the pass does not belong to.
    pub fn output(&self, recording: &mut Recording) -> Result<Value> {
        recording.plain_rows(self.packed_output)
    }

    /// Records `work` for each pass, under the name of its rows if there are several.
    pub(in crate::nn) fn each(
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
    pub(in crate::nn) fn input_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.inputs.len()).collect();
        order.sort_by_key(|&index| self.inputs[index].0.rows());
        order
    }

    /// For each input the rows that serve a range of the batch: each range covers the candidates of
    /// the next.
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
    pub(in crate::nn) fn candidates(&self, input: usize) -> usize {
        self.rows / self.inputs[input].0.rows()
    }
}

impl Network {
    /// Records the forward pass. Inputs come in any order by name, each `[.., width]` in data
    /// units; an input with fewer rows than the others is shared by equal runs of their rows (a
    /// context by its candidates) and goes through its own layers, and is multiplied, once.
    ///
    /// Where a tensor would pass the largest binding of the recording's target, rows go through in
    /// ranges, the same ones for the same shapes. The parameters themselves must fit one binding.
    ///
    /// # Errors
    /// [`Error::Argument`] for a missing or unknown input; [`Error::Shape`] if rows or widths do
    /// not fit; [`Error::Limit`] beyond 2^24 rows.
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
            let value = recording.plain_rows(*value)?;
            given.push((value, recording.shape(value)?.clone()));
        }
        let rows = given.iter().map(|(_, shape)| shape.rows()).max().unwrap_or(0);
        for ((_, shape), input) in given.iter().zip(&self.inputs) {
            if shape.rows() == 0 || rows % shape.rows() != 0 {
                let expected = format!("a divisor of {rows} rows, at least 1");
                let hint = "each shared row serves the same number of rows";
                return Err(Error::shape("forward", &input.name, shape, expected, hint));
            }
        }
        if rows > MAX_ROWS {
            return Err(Error::Limit {
                operation: format!("{}/forward", recording.label()),
                what: "the rows of a batch".into(),
                asked: rows as u64,
                granted: MAX_ROWS as u64,
                adapter: "any adapter".into(),
                hint: "use fewer rows, candidates or chains".into(),
            });
        }
        let mut by_rows: Vec<usize> = given.iter().map(|(_, shape)| shape.rows()).collect();
        by_rows.sort_unstable();
        if let Some(pair) = by_rows.windows(2).find(|pair| pair[1] % pair[0] != 0) {
            let found = format!("{} rows", pair[0]);
            let expected = format!("a divisor of the {} rows of the next", pair[1]);
            let hint = "each shared row serves the same number of rows";
            return Err(Error::shape("forward", "the inputs", found, expected, hint));
        }
        let nodes = self.nodes();
        let ranges = self.row_ranges(recording.target(), &nodes, &given, rows);
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
            packed_output: parameters,
            keep,
            inputs: shapes.into_iter().zip(all).collect(),
            nodes,
            passes: Vec::new(),
            rows,
        };
        for range in ranges {
            let work = |recording: &mut Recording| {
                let mut own = Vec::new();
                for (index, range) in forward.served(range).into_iter().enumerate() {
                    let encoded = match forward.inputs[index].1 {
                        Some(packed) => range.of(recording, packed)?,
                        None => {
                            let part = range.of(recording, given[index].0)?;
                            encode(recording, part, &self.inputs[index])?
                        }
                    };
                    let node_outputs =
                        self.record_embedding(recording, parameters, &self.inputs[index], encoded, keep)?;
                    own.push(EncodedInput { range, encoded, node_outputs });
                }
                let into = match outputs {
                    Some(outputs) => Some(range.of(recording, outputs)?),
                    None => None,
                };
                self.record_pass(
                    recording,
                    parameters,
                    &forward,
                    Pass { range, inputs: own, node_outputs: Vec::new() },
                    into,
                )
            };
            let pass = match whole {
                true => work(recording)?,
                false => recording.scoped(&range.name(), work)?,
            };
            let Some(last) = pass.node_outputs.last() else {
                return Err(Error::argument("forward", "the network", "has no layer"));
            };
            forward.packed_output = outputs.unwrap_or(last.output);
            forward.passes.push(pass);
        }
        Ok(forward)
    }

    /// The ranges of rows that go through the network one after the other.
    fn row_ranges(
        &self,
        target: &Target,
        nodes: &[Node],
        given: &[(Value, Shape)],
        rows: usize,
    ) -> Vec<RowRange> {
        let per_row =
            |width: usize, candidates| PerRow { stride: Shape::packed(1, width).stride(), candidates };
        let mut tensors: Vec<PerRow> = nodes.iter().map(|node| per_row(node.width, 1)).collect();
        for (input, (_, shape)) in self.inputs.iter().zip(given) {
            let candidates = rows / shape.rows();
            tensors.push(per_row(input.encoded_width(), candidates));
            tensors.extend(input.nodes().iter().map(|node| per_row(node.width, candidates)));
            if shape.rows() == rows {
                tensors.push(PerRow { stride: input.width, candidates: 1 });
            }
        }
        cut(target, rows, &tensors)
    }

    /// Records the forward pass of one range of rows, its last layer into `into` if there is one.
    fn record_pass(
        &self,
        recording: &mut Recording,
        parameters: Value,
        forward: &Forward,
        mut pass: Pass,
        into: Option<Value>,
    ) -> Result<Pass> {
        let layout = self.layout();
        for (index, node) in forward.nodes.iter().enumerate() {
            let into = into.filter(|_| index + 1 == forward.nodes.len());
            let slope = forward.keep == Keep::Slopes && node.activation != Activation::Identity;
            let next = match (node.op, pass.node_outputs.last().map(|node_outputs| node_outputs.output)) {
                (Op::Dense, None) => {
                    self.record_first(recording, parameters, forward, &pass, slope, into)?.into()
                }
                (_, None) => {
                    return Err(Error::argument("forward", format!("node {index}"), "has no input"));
                }
                (_, Some(h)) => {
                    let skip = match node.skip {
                        // What goes into the first layer is several tensors.
                        Some(0) => {
                            return Err(Error::argument("forward", "the first layer", "has no rows to add"));
                        }
                        from => from.map(|from| pass.node_outputs[from - 1].output),
                    };
                    let io = NodeIo { parameters, h, skip, slope, into };
                    record_node(recording, &layout, node, &io)?
                }
            };
            pass.node_outputs.push(next);
        }
        Ok(pass)
    }

    /// The first layer: shared inputs come first, and each later input starts from the sums of the
    /// one before.
    fn record_first(
        &self,
        recording: &mut Recording,
        parameters: Value,
        forward: &Forward,
        pass: &Pass,
        slope: bool,
        into: Option<Value>,
    ) -> Result<DenseOutput> {
        let layout = self.layout();
        let (order, node) = (forward.input_order(), &forward.nodes[0]);
        let mut start = Start::Bias(slice(&layout, &node.path, "bias")?);
        let mut last = None;
        for (at, &index) in order.iter().enumerate() {
            let weight = slice(&layout, &node.path, &format!("weight.{}", self.inputs[index].name))?;
            let next = order.get(at + 1);
            let activation = next.map_or(node.activation, |_| Activation::Identity);
            let keep_slope = next.is_none() && slope;
            let layer = DenseForward { parameters, weight, start, activation, keep_slope };
            let own = &pass.inputs[index];
            let written = record_dense(recording, own.embedded(), &layer, into.filter(|_| next.is_none()))?;
            if let Some(&next) = next {
                let candidates = forward.candidates(index) / forward.candidates(next);
                let first_row = pass.inputs[next].range.first_among(own.range, candidates);
                start = Start::ContextRange { context: written.output, candidates, first_row };
            }
            last = Some(written);
        }
        last.ok_or_else(|| Error::argument("forward", "the network", "has no input"))
    }
}
