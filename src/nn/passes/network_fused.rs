//! Whole narrow networks in one dispatch (`shaders/nn/passes/network_fused.wgsl`): one to eight
//! hidden dense layers at most 128 wide, without norms or residual blocks, over an input of at most
//! 128 numbers that enters as it is; other inputs may be encoded, none may have layers of its own.

use super::encode::encode;
use super::forward_node::slice;
use super::fused_block::FusedBlock;
use super::transpose_weights;
use crate::error::counted;
use crate::gpu::{
    DeviceClass, DispatchBuilder, KernelSource, KernelVariant, Recording, Shape, SharedConstant,
    StructLayout, Value, embedded_kernel, pad4, shared_constant, shared_struct,
};
use crate::nn::dense;
use crate::nn::dense::dense_forward::{DenseForward, Start};
use crate::nn::mode::room;
use crate::nn::network::graph::Node;
use crate::nn::{Activation, Encoding, Input, Mode, Network, Outputs, ParameterSlice};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/passes/network_fused.wgsl");

/// Widest layer.
const MAX_WIDTH: usize = 128;
/// Most layers before the last.
const MAX_HIDDEN: usize = 8;
/// Forward passes, and backward ones of all layers but the first.
const MAX_PASSES: usize = 2 * MAX_HIDDEN;
/// The code of networks whose layers differ in their activation.
const MIXED: u32 = Activation::COUNT;

shared_struct! {
    /// The product of a pass over a whole network, in `vec4`s, and what happens to its sums.
    pub(in crate::nn) struct FusedPass in "lib/fused_network.wgsl" {
        weight: u32,
        /// Of forward passes.
        bias: u32,
        inputs4: u32,
        outputs4: u32,
        /// Columns of the layers before the one whose slopes the pass leaves or meets.
        slopes_before: u32,
        /// Of the layer, in forward passes.
        activation: u32,
    }
}

shared_struct! {
    /// What the kernels read beside the rows.
    pub(in crate::nn) struct FusedDescription in "lib/fused_network.wgsl" {
        passes: [FusedPass; MAX_PASSES],
        /// Bits of what else a kernel wants.
        numbers: [[u32; 4]; 0],
    }
}

pub(in crate::nn) fn shared_structs() -> Vec<StructLayout> {
    vec![FusedPass::layout(), FusedDescription::layout()]
}

pub(in crate::nn) fn shared_constants() -> Vec<SharedConstant> {
    vec![
        shared_constant("lib/fused_network.wgsl", "MAX_PASSES", MAX_PASSES as f64),
        shared_constant("lib/fused_network.wgsl", "ACTIVATION_MIXED", MIXED.into()),
    ]
}

/// What a dispatch is asked for, as the kernel's defines.
fn defines(mode: Mode) -> [(&'static str, u32); 2] {
    [("VALUE", u32::from(mode.has_value())), ("GRADIENT", u32::from(mode.has_gradient()))]
}

/// A narrow network made ready for rows of one input: what its other inputs add to the first layer
/// is recorded already.
#[derive(Clone, Debug)]
pub struct FusedNetwork {
    block: FusedBlock,
    class: DeviceClass,
    activation: u32,
    /// For each hidden layer its weight, its bias's place in `vec4`s and its activation.
    hidden: Vec<(ParameterSlice, usize, Activation)>,
    /// Bits of the input's shift and scale.
    normalizer: Vec<u32>,
    /// Elements of the parameters.
    len: usize,
    widths4: Vec<usize>,
    parameters: Value,
    start: Value,
    start_offset: usize,
    candidates: usize,
    rows: usize,
    dims: usize,
    output: [ParameterSlice; 2],
    multiply_adds: usize,
}

/// What the kernels read beside the rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FusedEvaluation {
    parameters: Value,
    description: Value,
    passes: usize,
}

/// A range of whole slabs that one dispatch takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slabs {
    pub first: usize,
    pub count: usize,
}

impl Network {
    /// Records what the whole-network kernels need beside the rows of the input `own`, or nothing
    /// if the network, the rows or the recording's target are not fit for them: then
    /// [`Network::record_forward`] says what is wrong, if anything is.
    ///
    /// * `inputs`: as there, by name; `own` has the most rows. At most one dispatch for its
    ///   encoding and one for its product with the first layer are recorded for another input.
    ///
    /// # Errors
    /// [`Error::Argument`] for a value of another recording.
    pub fn record_fused(
        &self,
        recording: &mut Recording,
        parameters: Value,
        inputs: &[(&str, Value)],
        own: &str,
    ) -> Result<Option<FusedNetwork>> {
        let find = |name: &str| inputs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let others: Vec<&Input> = self.inputs.iter().filter(|input| input.name != own).collect();
        let (Some(input), Some(y)) = (self.inputs.iter().find(|input| input.name == own), find(own)) else {
            return Ok(None);
        };
        let Some(nodes) = self.plain_nodes(MAX_WIDTH).filter(|nodes| qualifies(nodes, input)) else {
            return Ok(None);
        };
        if self.check().is_err() || inputs.len() != self.inputs.len() {
            return Ok(None);
        }
        let shape = recording.shape(y)?;
        let (rows, dims, target) = (shape.rows(), input.width, recording.target().clone());
        if shape.width() != dims || rows == 0 {
            return Ok(None);
        }
        let hidden = &nodes[..nodes.len() - 1];
        let widths4: Vec<usize> = hidden.iter().map(|node| pad4(node.width) / 4).collect();
        let widest = hidden.iter().map(|node| node.width).fold(dims, usize::max);
        let block = FusedBlock::choose(target.class, widest);
        let scratch = 16 * (widths4.iter().sum::<usize>() + dims.div_ceil(4)).max(nodes[hidden.len()].width);
        let padded = rows.next_multiple_of(block.slab_rows());
        if padded.saturating_mul(scratch) as u64 > target.max_binding_bytes {
            return Ok(None);
        }
        let layout = self.layout();
        let bias = slice(&layout, &nodes[0].path, "bias")?;
        let (start, start_offset, candidates) = match others[..] {
            [] => (parameters, bias.offset / 4, rows),
            [other] => {
                let Some(context) = find(&other.name) else { return Ok(None) };
                let shape = recording.shape(context)?;
                let contexts = shape.rows();
                let widest = other.width.max(pad4(other.encoded_width())).max(4 * widths4[0]);
                let fits = (4 * widest).saturating_mul(contexts) as u64 <= target.max_binding_bytes;
                let whole = contexts > 0 && rows.is_multiple_of(contexts) && shape.width() == other.width;
                if !fits || !whole {
                    return Ok(None);
                }
                let context = recording.plain_rows(context)?;
                let packed = encode(recording, context, other)?;
                let layer = DenseForward {
                    parameters,
                    weight: slice(&layout, &nodes[0].path, &format!("weight.{}", other.name))?,
                    start: Start::Bias(bias),
                    activation: Activation::Identity,
                    keep_slope: false,
                };
                (dense::record_forward(recording, packed, &layer)?.output, 0, rows / contexts)
            }
            _ => return Ok(None),
        };
        let of = |(index, node): (usize, &Node)| -> Result<(ParameterSlice, usize, Activation)> {
            let name = if index == 0 { format!("weight.{own}") } else { "weight".into() };
            let bias = slice(&layout, &node.path, "bias")?.offset / 4;
            Ok((slice(&layout, &node.path, &name)?.clone(), bias, node.activation))
        };
        let layers: Result<Vec<_>> = hidden.iter().enumerate().map(of).collect();
        let normalizer =
            padded_bits(&input.normalizer.shift).chain(padded_bits(&input.normalizer.scale)).collect();
        let last = &nodes[hidden.len()];
        let first = hidden[0].activation;
        let same = hidden.iter().all(|node| node.activation == first);
        Ok(Some(FusedNetwork {
            block,
            class: target.class,
            activation: if same { first.code() } else { MIXED },
            hidden: layers?,
            normalizer,
            len: layout.len,
            widths4,
            parameters,
            start,
            start_offset,
            candidates,
            rows,
            dims,
            output: [
                slice(&layout, &last.path, "weight")?.clone(),
                slice(&layout, &last.path, "bias")?.clone(),
            ],
            multiply_adds: self.multiply_adds(),
        }))
    }
}

fn qualifies(nodes: &[Node], own: &Input) -> bool {
    // The kernel's output layer is affine.
    let affine = nodes.last().is_some_and(|last| last.activation == Activation::Identity);
    let deep = (2..=MAX_HIDDEN + 1).contains(&nodes.len());
    affine && deep && own.encoding == Encoding::Raw && own.width <= MAX_WIDTH
}

/// Bits of numbers padded with zeros to whole `vec4`s.
pub(crate) fn padded_bits(values: &[f32]) -> impl Iterator<Item = u32> + '_ {
    values
        .iter()
        .map(|value| value.to_bits())
        .chain(std::iter::repeat_n(0, pad4(values.len()) - values.len()))
}

impl FusedNetwork {
    /// Rows that it was made for.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Records the outputs for `y`, of the shape it was made for: plain `[rows, outputs]`. One
    /// dispatch for all layers, or several for ranges of rows where one would take long.
    ///
    /// # Errors
    /// [`Error::Shape`] if `y` has another shape.
    pub fn record_value(&self, recording: &mut Recording, y: Value) -> Result<Value> {
        Ok(self.record(recording, y, Mode::Value)?.0)
    }

    /// Records the gradient of the one output, of the shape of `y`, in 1 / data units.
    ///
    /// # Errors
    /// As [`FusedNetwork::record_value`], and if the network has several outputs.
    pub fn record_gradient(&self, recording: &mut Recording, y: Value) -> Result<Value> {
        Ok(self.record(recording, y, Mode::Gradient)?.1)
    }

    /// Records both.
    ///
    /// # Errors
    /// As [`FusedNetwork::record_gradient`].
    pub fn record_value_and_gradient(&self, recording: &mut Recording, y: Value) -> Result<(Value, Value)> {
        self.record(recording, y, Mode::Both)
    }

    fn record(&self, recording: &mut Recording, y: Value, mode: Mode) -> Result<(Value, Value)> {
        let y = recording.plain_rows(y)?;
        let shape = self.check(recording, y)?;
        if mode != Mode::Value {
            self.check_one_output("network fused")?;
        }
        let outputs = self.output[0].columns;
        let value = Shape::new([self.rows, outputs]);
        let Outputs { value, gradient } = mode.outputs(recording, ("outputs", value), ("gradient", shape));
        let slopes = room(recording, mode.has_gradient(), "slopes", self.slopes_shape(0));
        let prepared = match mode {
            Mode::Value => self.prepare_value(recording, &[])?,
            _ => self.prepare_gradient(recording, &[])?,
        };
        let passes = if mode == Mode::Value { 2 } else { 4 };
        for slabs in self.ranges(1) {
            self.begin(recording, &KERNEL, "network fused", prepared, slabs)
                .defines(&defines(mode))
                .bind("y", y)
                .bind("slopes", slopes)
                .bind("value", value)
                .bind("gradient", gradient)
                .set("outputs", outputs as u32)
                .flops(self.flops(slabs, passes))
                .finish()?;
        }
        Ok((value, gradient))
    }

    /// Fails unless `y` has the rows this was made for.
    pub(crate) fn check(&self, recording: &Recording, y: Value) -> Result<Shape> {
        let shape = recording.shape(y)?.clone();
        if shape.rows() == self.rows && shape.width() == self.dims && !shape.is_padded() {
            return Ok(shape);
        }
        let expected = format!("{} rows of {}", self.rows, self.dims);
        Err(Error::shape("network fused", "y", shape, expected, "prepare it for the rows it is used with"))
    }

    /// Fails unless there is one output to differentiate.
    pub(crate) fn check_one_output(&self, operation: &str) -> Result<()> {
        match self.output[0].columns {
            1 => Ok(()),
            outputs => {
                let problem = format!("has {}; a gradient is of one", counted(outputs, "output"));
                Err(Error::argument(operation, "the network", problem))
            }
        }
    }

    /// Columns of all hidden layers, in `vec4`s.
    pub(crate) fn total4(&self) -> usize {
        self.widths4.iter().sum()
    }

    /// The shape of the scratch memory for slopes, with room for `behind` further `vec4`s per row.
    pub(crate) fn slopes_shape(&self, behind: usize) -> Shape {
        let rows = self.rows.next_multiple_of(self.block.slab_rows());
        Shape::new([self.total4() + behind, rows, 4])
    }

    /// What forward passes read beside the rows; `more` follows the description of the network.
    fn prepare_value(&self, recording: &mut Recording, more: &[u32]) -> Result<FusedEvaluation> {
        self.prepare(recording, self.parameters, &self.forward_passes(), more)
    }

    /// What forward and backward passes read beside the rows, as above. Records a transposed copy
    /// of the weights.
    pub(crate) fn prepare_gradient(
        &self,
        recording: &mut Recording,
        more: &[u32],
    ) -> Result<FusedEvaluation> {
        let inner: Vec<&ParameterSlice> = self.hidden.iter().skip(1).map(|(weight, ..)| weight).collect();
        let parameters = match inner[..] {
            [] => self.parameters,
            _ => transpose_weights::record(recording, self.parameters, &inner)?,
        };
        let places = transpose_weights::destinations(self.len, &inner);
        let mut passes = self.forward_passes();
        for layer in (1..self.hidden.len()).rev() {
            passes.push(FusedPass {
                weight: places[layer - 1] as u32,
                inputs4: self.widths4[layer] as u32,
                outputs4: self.widths4[layer - 1] as u32,
                slopes_before: passes[layer - 1].slopes_before,
                ..FusedPass::default()
            });
        }
        self.prepare(recording, parameters, &passes, more)
    }

    fn forward_passes(&self) -> Vec<FusedPass> {
        let mut before = 0;
        let layers = self.hidden.iter().zip(&self.widths4);
        let of = |((weight, bias, activation), &outputs4): (&(ParameterSlice, usize, Activation), &usize)| {
            let own = FusedPass {
                weight: (weight.offset / 4) as u32,
                bias: *bias as u32,
                inputs4: weight.rows.div_ceil(4) as u32,
                outputs4: outputs4 as u32,
                slopes_before: before,
                activation: activation.code(),
            };
            before += outputs4 as u32;
            own
        };
        layers.map(of).collect()
    }

    fn prepare(
        &self,
        recording: &mut Recording,
        parameters: Value,
        passes: &[FusedPass],
        more: &[u32],
    ) -> Result<FusedEvaluation> {
        let mut head = FusedDescription::default();
        head.passes[..passes.len()].copy_from_slice(passes);
        let head: &[u32] = bytemuck::cast_slice(std::slice::from_ref(&head));
        let all = [head, &self.normalizer, more].concat();
        let description = recording.constant("description", [all.len() / 4, 4], &all)?;
        Ok(FusedEvaluation { parameters, description, passes: passes.len() })
    }

    /// Begins a dispatch of a kernel on `lib/fused_network.wgsl`.
    pub(crate) fn begin<'a>(
        &self,
        recording: &'a mut Recording,
        kernel: &KernelSource,
        operation: &str,
        prepared: FusedEvaluation,
        slabs: Slabs,
    ) -> DispatchBuilder<'a> {
        let [weight, bias] = &self.output;
        let rows = self.rows.next_multiple_of(self.block.slab_rows());
        recording
            .dispatch(kernel, operation)
            .defines(&self.block.defines())
            .define("ACTIVATION", self.activation)
            .bind("parameters", prepared.parameters)
            .bind("start", self.start)
            .bind("description", prepared.description)
            .set("rows", self.rows as u32)
            .set("dims", self.dims as u32)
            .set("inputs4", self.dims.div_ceil(4) as u32)
            .set("hidden", self.widths4.len() as u32)
            .set("passes", prepared.passes as u32)
            .set("start_offset", self.start_offset as u32)
            .set("candidates", self.candidates as u32)
            .set("output_weight", (weight.offset / 4) as u32)
            .set("output_bias", (bias.offset / 4) as u32)
            .set("output4", (pad4(weight.columns) / 4) as u32)
            .set("first_group", slabs.first as u32)
            .set("padded_rows", rows as u32)
            .workgroups([slabs.count, 1, 1])
    }

    /// Nominal operations of a range, `passes` per multiply-add of a row.
    pub(crate) fn flops(&self, slabs: Slabs, passes: usize) -> u64 {
        let first = slabs.first * self.block.slab_rows();
        let rows = (self.rows - first).min(slabs.count * self.block.slab_rows());
        (passes * rows * self.multiply_adds) as u64
    }

    /// Ranges of slabs, each for a dispatch of so many steps that is predicted to stay below
    /// [`Self::budget`].
    pub(crate) fn ranges(&self, steps: usize) -> Vec<Slabs> {
        let slabs = self.rows.div_ceil(self.block.slab_rows());
        let per_slab = (4 * self.block.slab_rows() * self.multiply_adds * steps) as u64;
        let max = (self.budget() / per_slab.max(1)).clamp(1, 65535) as usize;
        (0..slabs).step_by(max).map(|first| Slabs { first, count: max.min(slabs - first) }).collect()
    }

    /// Most steps of gradient and update in one dispatch: what the time and the loop rounds of an
    /// invocation allow.
    pub(crate) fn most_steps(&self) -> usize {
        let per_step = (4 * self.rows * self.multiply_adds) as u64;
        let by_time = (self.budget() / per_step.max(1)).max(1) as usize;
        by_time.min((MAX_ROUNDS / self.rounds()).max(1))
    }

    /// Operations of one dispatch: 30 ms at a rate that the slowest devices of the class reach.
    fn budget(&self) -> u64 {
        match self.class {
            DeviceClass::Cpu => 300_000_000,
            DeviceClass::Gpu => 15_000_000_000,
        }
    }

    /// Loop rounds of an invocation in one step, as long as the loops over a register block are
    /// unrolled.
    fn rounds(&self) -> usize {
        let epilogue = self.block.columns4 as usize * (self.block.rows as usize + 1);
        let inputs4 = self.dims.div_ceil(4);
        let forward: usize = std::iter::once(&inputs4)
            .chain(&self.widths4)
            .zip(&self.widths4)
            .map(|(inputs4, _)| inputs4 + 1 + epilogue)
            .sum();
        let backward: usize = self.widths4.iter().skip(1).map(|outputs4| outputs4 + 1 + epilogue).sum();
        let items = (self.block.slab_rows() * inputs4).div_ceil(self.block.workgroup as usize);
        // Ten rounds of Philox and four dimensions for each item.
        forward + backward + items * (self.widths4[0] + 17)
    }
}

/// Some renderers end all loops of an invocation after 65535 rounds; half of them, for what the
/// count leaves out.
const MAX_ROUNDS: usize = 32768;

/// Every block and activation, with the defines of the kernel that takes them.
pub(crate) fn variants_of(source: &KernelSource, choices: &[(&'static str, u32)]) -> Vec<KernelVariant> {
    let of = |block: FusedBlock, activation: u32| {
        let defines = [&block.defines()[..], &[("ACTIVATION", activation)], choices].concat();
        KernelVariant::new(source, &defines).for_class(block.class())
    };
    let blocks = FusedBlock::ALL.into_iter();
    blocks
        .flat_map(|block| (0..=MIXED).map(move |activation| (block, activation)))
        .map(|(b, a)| of(b, a))
        .collect()
}

/// The kernel in every variant that can be recorded.
pub(crate) fn variants() -> Vec<KernelVariant> {
    Mode::ALL.iter().flat_map(|mode| variants_of(&KERNEL, &defines(*mode))).collect()
}
