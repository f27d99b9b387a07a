//! A whole ranking gradient of a narrow network in one dispatch
//! (`shaders/loss/ranking_network.wgsl`).

use super::RankingObjective;
use crate::gpu::{
    Column, DType, DeviceClass, KernelSource, KernelVariant, Recording, SharedConstant, StructLayout, Target,
    Value, embedded_kernel, pad4, shared_constant, shared_struct,
};
use crate::nn::passes::reduce_partials;
use crate::nn::{
    ACTION, Activation, CONTEXT, FlatGradient, FusableLayer, FusableMlp, GradientMode, Input,
    MAX_FUSABLE_DEPTH, Network, PackedLayer,
};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("loss/ranking_network.wgsl");

/// Widest layer or input.
const MAX_WIDTH: usize = 64;
/// Loop rounds of an invocation: half of the 65535 after which lavapipe ends loops.
const MAX_ROUNDS: usize = 30_000;
/// Most bytes of scratch memory, and of partial gradients.
const MAX_BYTES: u64 = 64 << 20;
/// Partial gradients that the optimizer's one workgroup adds up by itself; more are added up by
/// many workgroups first.
const MAX_PARTIALS: usize = 64;
/// Where a workgroup's scratch holds ranks, behind the context and what candidates share of the
/// first layer.
const RANKS4: usize = 2 * MAX_WIDTH / 4;

shared_struct! {
    /// A hidden layer with its matrices' places in the scratch of a workgroup, in `vec4`s.
    pub(crate) struct HiddenLayer in "loss/ranking_network.wgsl" {
        layer: PackedLayer,
        source: u32,
        output: u32,
        slope: u32,
    }
}

shared_struct! {
    /// The network as the kernel reads it.
    pub(crate) struct RankingNetwork in "loss/ranking_network.wgsl" {
        hidden: [HiddenLayer; MAX_FUSABLE_DEPTH],
        /// Bits of the inputs' shifts and scales.
        normalizer: [u32; 0],
    }
}

pub(crate) fn shared_structs() -> Vec<StructLayout> {
    vec![HiddenLayer::layout(), RankingNetwork::layout()]
}

pub(crate) fn shared_constants() -> Vec<SharedConstant> {
    let constant = |name, value: usize| shared_constant("loss/ranking_network.wgsl", name, value as f64);
    vec![
        constant("MAX_WIDTH4", MAX_WIDTH / 4),
        constant("MAX_HIDDEN", MAX_FUSABLE_DEPTH),
        constant("RANKS4", RANKS4),
    ]
}

/// Invocations per workgroup and the blocks of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    workgroup: usize,
    rows: usize,
    columns4: usize,
    /// Of inputs, in a weight gradient.
    inputs4: usize,
}

/// A software renderer runs 8 lanes at once and pays for loads, which large blocks share; a GPU
/// wants many invocations.
impl Block {
    const ALL: [(DeviceClass, Block); 3] = [
        (DeviceClass::Cpu, Block { workgroup: 8, rows: 4, columns4: 2, inputs4: 2 }),
        (DeviceClass::Cpu, Block { workgroup: 8, rows: 8, columns4: 2, inputs4: 2 }),
        (DeviceClass::Gpu, Block { workgroup: 64, rows: 4, columns4: 1, inputs4: 1 }),
    ];

    fn choose(class: DeviceClass, candidates: usize) -> Self {
        match (class, candidates) {
            (DeviceClass::Cpu, 0..=4) => Self::ALL[0].1,
            (DeviceClass::Cpu, _) => Self::ALL[1].1,
            (DeviceClass::Gpu, _) => Self::ALL[2].1,
        }
    }

    fn defines(self) -> [(&'static str, u32); 4] {
        [
            ("WORKGROUP", self.workgroup as u32),
            ("ROW_BLOCK", self.rows as u32),
            ("COLUMN_BLOCK4", self.columns4 as u32),
            ("INPUT_BLOCK4", self.inputs4 as u32),
        ]
    }
}

/// Workgroups that share the contexts, and the largest batch, in candidates, for which one dispatch
/// beats one per layer.
fn extent(class: DeviceClass) -> (usize, usize) {
    match class {
        DeviceClass::Cpu => (32, 1024),
        DeviceClass::Gpu => (128, 1 << 20),
    }
}

/// The kernel in every variant that can be recorded.
pub(crate) fn variants() -> Vec<KernelVariant> {
    let mut all = Vec::new();
    for (class, block) in Block::ALL {
        for activation in 0..Activation::COUNT {
            for correction in 0..2 {
                let choices = [("ACTIVATION", activation), ("CORRECTION", correction)];
                let defines = [&block.defines()[..], &choices].concat();
                all.push(KernelVariant::new(&KERNEL, &defines).for_class(class));
            }
        }
    }
    all
}

/// A hidden layer with its matrices' places in the scratch of a workgroup.
struct Hidden {
    layer: FusableLayer,
    inputs4: usize,
    outputs4: usize,
    source: usize,
    output: usize,
    slope: usize,
}

/// A network and a batch that the kernel holds.
struct Fit<'a> {
    block: Block,
    context: Option<(&'a Input, FusableLayer)>,
    action: &'a Input,
    activation: Activation,
    hidden: Vec<Hidden>,
    last: FusableLayer,
    per_group: usize,
    groups: usize,
    parameters4: usize,
    scratch4: usize,
}

/// Loop rounds of one invocation for one context.
fn rounds(block: &Block, x_width: usize, y_width: usize, hidden: &[Hidden], candidates: usize) -> usize {
    let each = |tasks: usize| tasks.div_ceil(block.workgroup);
    let (x4, y4) = (pad4(x_width) / 4, pad4(y_width) / 4);
    let row_blocks = candidates.div_ceil(block.rows);
    let epilogue = block.rows * (block.columns4 + 1) + 8;
    let mut sum = 5 * (each(x4) + each(candidates * y4)) + 2 * each(candidates);
    for (index, hidden) in hidden.iter().enumerate() {
        let column_blocks = hidden.outputs4.div_ceil(block.columns4);
        sum += each(row_blocks * column_blocks) * (hidden.inputs4 + epilogue);
        if index > 0 {
            let blocks = hidden.inputs4.div_ceil(block.columns4);
            sum += each(row_blocks * blocks) * (hidden.outputs4 + epilogue);
        } else {
            sum += each(hidden.outputs4) * (x4 + 1) + each(4 * x4 * hidden.outputs4);
        }
        let store = 4 * block.inputs4 * (block.columns4 + 1);
        sum += each(column_blocks * hidden.inputs4.div_ceil(block.inputs4)) * (candidates + store);
        sum += each(hidden.outputs4) * (candidates + 1);
    }
    let last4 = hidden.last().map_or(0, |hidden| hidden.outputs4);
    sum + each(candidates) * last4 + each(candidates * last4) + each(last4 + 1) * (candidates + 5)
}

impl<'a> Fit<'a> {
    /// How the kernel would run a batch of `contexts` with `candidates` each, if it can and should.
    fn new(network: &'a Network, target: Target, contexts: usize, candidates: usize) -> Option<Self> {
        let block = Block::choose(target.class, candidates);
        let (most_groups, max_rows) = extent(target.class);
        if contexts == 0 || candidates < 2 || contexts.checked_mul(candidates)? > max_rows {
            return None;
        }
        let FusableMlp { activation, inputs, rest } = network.fusable_mlp(MAX_WIDTH)?;
        let context = inputs.iter().find(|(input, _)| input.name == CONTEXT).copied();
        let (action, first) = inputs.iter().find(|(input, _)| input.name == ACTION).copied()?;
        let (last, middle) = rest.split_last()?;
        if last.outputs != 1 || inputs.len() != 1 + usize::from(context.is_some()) {
            return None;
        }
        let mut at = RANKS4 + candidates;
        let mut source = at;
        at += candidates * (pad4(action.width) / 4);
        let mut hidden = Vec::new();
        for &layer in std::iter::once(&first).chain(middle) {
            let (inputs4, outputs4) = (pad4(layer.inputs) / 4, pad4(layer.outputs) / 4);
            let (output, slope) = (at, at + candidates * outputs4);
            hidden.push(Hidden { layer, inputs4, outputs4, source, output, slope });
            source = output;
            at = slope + candidates * outputs4;
        }
        let x_width = context.map_or(0, |(input, _)| input.width);
        let rounds = rounds(&block, x_width, action.width, &hidden, candidates);
        let per_group = contexts.div_ceil(most_groups).min(MAX_ROUNDS / rounds);
        if per_group == 0 {
            return None;
        }
        let groups = contexts.div_ceil(per_group);
        let parameters4 = network.layout().len / 4;
        let max = MAX_BYTES.min(target.max_binding_bytes);
        let bytes = |vec4s: usize| 16 * vec4s as u64;
        let fits = bytes(contexts + groups * at) <= max && bytes(groups * parameters4) <= max;
        fits.then_some(Self {
            block,
            context,
            action,
            activation,
            hidden,
            last: *last,
            per_group,
            groups,
            parameters4,
            scratch4: at,
        })
    }

    fn words(&self) -> Vec<u32> {
        let mut network = RankingNetwork::default();
        for (packed, hidden) in network.hidden.iter_mut().zip(&self.hidden) {
            *packed = HiddenLayer {
                layer: hidden.layer.packed(),
                source: hidden.source as u32,
                output: hidden.output as u32,
                slope: hidden.slope as u32,
            };
        }
        let mut words = bytemuck::cast_slice(std::slice::from_ref(&network)).to_vec();
        let affines = self.context.iter().map(|(input, _)| *input).chain([self.action]);
        words.extend(affines.flat_map(|input| input.normalizer.flat()).map(f32::to_bits));
        words
    }
}

/// A gradient of the mean ranking loss on its way to the optimizer.
#[derive(Clone, Copy, Debug)]
pub struct RankingNceGradient {
    /// The loss of each context.
    pub loss: Column,
    /// The effective sample size of each context's candidates.
    pub ess: Column,
    /// The gradient in the energy network's layout.
    pub gradient: FlatGradient,
}

/// Records loss, effective sample size and the gradient to the parameters of a narrow energy
/// network, or nothing where the kernel does not hold the network and the batch, or one dispatch
/// per layer is faster. It holds plain networks ([`crate::nn::Network::mlp`]) with 1 to 8 hidden
/// layers, layers and inputs up to 64 wide and raw inputs; several hundred candidates of deep
/// networks pass what lavapipe's loops can do. One dispatch, two beyond 64 workgroups.
///
/// * `parameters`: flat, in the network's layout; its inputs are `action` and, for a conditional
///   energy, `context`.
/// * `context`: `[contexts, width]`; `y`: `[contexts, candidates, dims]`; `log_q`:
///   `[contexts, candidates]`, ignored by InfoNCE.
///
/// # Errors
/// [`Error::Argument`] if a context is missing, [`Error::Shape`] if shapes do not fit.
pub fn record(
    recording: &mut Recording,
    objective: RankingObjective,
    network: &Network,
    parameters: Value,
    (context, y): (Option<Value>, Value),
    log_q: Value,
) -> Result<Option<RankingNceGradient>> {
    let [contexts, candidates] = *recording.shape(log_q)?.dims() else { return Ok(None) };
    let Some(fit) = Fit::new(network, recording.target().clone(), contexts, candidates) else {
        return Ok(None);
    };
    let Fit { groups, parameters4, .. } = fit;
    recording.expect_shape("ranking network", parameters, [4 * parameters4])?;
    recording.expect_shape("ranking network", y, [contexts, candidates, fit.action.width])?;
    let x = match (fit.context, context) {
        (None, _) => y,
        (Some((input, _)), Some(x)) => {
            recording.plain_input("ranking network", x, [contexts, input.width])?
        }
        (Some(_), None) => return Err(Error::argument("ranking network", "the context", "is missing")),
    };
    let words = fit.words();
    let table = recording.constant("network", [words.len()], &words)?;
    let work = recording.scratch("ranks", DType::F32, [contexts + groups * fit.scratch4, 4]);
    let partials = recording.scratch("partials", DType::F32, [groups, 4 * parameters4]);
    let word = |value: usize| value as u32;
    let products = network.multiply_adds();
    recording
        .dispatch(&KERNEL, "ranking network")
        .defines(&fit.block.defines())
        .define("ACTIVATION", fit.activation.code())
        .define("CORRECTION", u32::from(objective == RankingObjective::Rnce))
        .bind("parameters", parameters)
        .bind("x", x)
        .bind("y", y)
        .bind("log_q", log_q)
        .bind("network", table)
        .bind("work", work)
        .bind("partials", partials)
        .set("contexts", word(contexts))
        .set("candidates", word(candidates))
        .set("per_group", word(fit.per_group))
        .set("x_width", word(fit.context.map_or(0, |(input, _)| input.width)))
        .set("y_width", word(fit.action.width))
        .set("layers", word(fit.hidden.len()))
        .set("context_weight4", word(fit.context.map_or(0, |(_, layer)| layer.weight4)))
        .set("last_weight4", word(fit.last.weight4))
        .set("last_bias4", word(fit.last.bias4))
        .set("parameters4", word(parameters4))
        .set("work_first4", word(contexts))
        .set("work_stride4", word(fit.scratch4))
        .flops(6 * (contexts * candidates * products) as u64)
        .workgroups_folded(groups)
        .finish()?;
    let gradient = match groups > MAX_PARTIALS {
        false => FlatGradient::Partials(partials),
        true => {
            let mode = GradientMode::Overwrite;
            FlatGradient::Whole(reduce_partials::record(recording, partials, mode)?)
        }
    };
    let column = |first| Column { value: work, first, stride: 4, count: contexts };
    Ok(Some(RankingNceGradient { loss: column(0), ess: column(1), gradient }))
}
