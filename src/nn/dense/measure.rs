//! Measures the variants of a dense operation on the device, for [`crate::gpu::Tuning::Measure`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::dense_forward::{DenseForward, Start};
use super::dense_input_gradient::Epilogue;
use super::variant::{DenseOperation, DenseSize, Variant};
use super::{dense_forward, dense_input_gradient, dense_weight_gradient};
use crate::gpu::{
    Bindings, DType, DeviceClass, Gpu, Plan, Recording, Shape, Target, Tensor, TunedChoice, Value, pad4,
};
use crate::nn::Activation;
use crate::nn::network::layout::ParameterLayout;
use crate::{Error, Result};

/// Once so much has gone by, the compiler's work included, no further candidate begins.
const BUDGET: Duration = Duration::from_millis(1500);
/// Most rows that are measured.
const MAX_ROWS: usize = 1 << 16;
/// Rows come in multiples of this where the work limits them: whole workgroups of every variant.
const ROW_GROUP: usize = 256;
/// Repetitions, of which the fastest counts.
const REPETITIONS: usize = 3;
/// What takes so many milliseconds is repeated once only.
const LONG: f64 = 60.0;
/// Least share by which another variant must beat the table's choice.
const MARGIN: f32 = 0.03;

/// Measures the candidates for a shape class with its largest size, at fewer rows where that would
/// take long: forward with the bias, ReLU and its slope, the gradient to the inputs with a slope,
/// the gradient to the weights with the bias.
pub(in crate::nn) fn measure(
    gpu: &Gpu,
    target: &Target,
    operation: DenseOperation,
    size: DenseSize,
    class: &str,
) -> Result<TunedChoice> {
    let begun = Instant::now();
    let candidates = operation.candidates(target, size)?;
    if let [only] = &candidates[..] {
        log::info!("tuning {class}: `{}` is the only candidate", only.name());
        return Ok(TunedChoice { variant: only.name(), milliseconds: BTreeMap::new() });
    }
    gpu.wait()?;
    let trial = trial_of(size, target);
    let mut problem = Problem::new(gpu, operation, trial)?;
    let mut times: Vec<(String, f32)> = Vec::new();
    for candidate in &candidates {
        if begun.elapsed() > BUDGET {
            log::warn!("tuning {class}: no time left for `{}`", candidate.name());
            continue;
        }
        let plan = problem.plan(gpu, target, candidate)?;
        times.push((candidate.name(), milliseconds(&plan)?));
    }
    let table = times[0].clone();
    let best = times.iter().fold(&table, |best, other| if other.1 < best.1 { other } else { best });
    let chosen = if best.1 < table.1 * (1.0 - MARGIN) { best } else { &table };
    let figures: Vec<String> = times.iter().map(|(name, ms)| format!("{name}: {ms:.3} ms")).collect();
    log::info!(
        "tuning {class}: `{}` of {} at {} rows; took {:.2} s",
        chosen.0,
        figures.join(", "),
        trial.rows,
        begun.elapsed().as_secs_f64()
    );
    Ok(TunedChoice { variant: chosen.0.clone(), milliseconds: times.iter().cloned().collect() })
}

/// The size that stands for a shape class: its largest, as far as one binding holds it.
fn trial_of(size: DenseSize, target: &Target) -> DenseSize {
    let max = usize::try_from(target.max_binding_bytes / 4).unwrap_or(usize::MAX);
    let parameters =
        |inputs: usize, outputs: usize| pad4(inputs).saturating_add(1).saturating_mul(pad4(outputs));
    let [inputs, outputs] = [size.inputs, size.outputs].map(usize::next_power_of_two);
    let (inputs, outputs) = match parameters(inputs, outputs) <= max {
        true => (inputs, outputs),
        false => (size.inputs, size.outputs),
    };
    // Some 10 ms on either.
    let most_products: usize = match target.class {
        DeviceClass::Cpu => 1 << 25,
        DeviceClass::Gpu => 1 << 33,
    };
    let by_work = (most_products / inputs.saturating_mul(outputs)).next_multiple_of(ROW_GROUP).max(ROW_GROUP);
    let by_memory = (max / pad4(inputs.max(outputs))).max(1);
    let rows = size.rows.next_power_of_two().min(by_work).min(by_memory).min(MAX_ROWS);
    let splits = size.splits.min(rows.div_ceil(64)).min(max / parameters(inputs, outputs));
    DenseSize { rows, inputs, outputs, splits: splits.max(1) }
}

/// The fastest of a few timings of one replay.
fn milliseconds(plan: &Plan) -> Result<f32> {
    let time = |times: u64| -> Result<f64> {
        let timing = plan.run_timed(times)?;
        Ok(timing.gpu.unwrap_or(timing.wall).as_secs_f64() * 1e3 / times as f64)
    };
    // The first run also meets cold memory.
    let first = time(1)?;
    let times = (2.0 / first.max(1e-6)).clamp(1.0, 64.0) as u64;
    let mut fastest = f64::MAX;
    let repetitions = if first < LONG { REPETITIONS } else { 1 };
    for _ in 0..repetitions {
        fastest = fastest.min(time(times)?);
    }
    Ok(fastest as f32)
}

/// One dense operation on tensors of its own.
struct Problem {
    operation: DenseOperation,
    size: DenseSize,
    layout: ParameterLayout,
    bindings: Bindings,
}

impl Problem {
    fn new(gpu: &Gpu, operation: DenseOperation, size: DenseSize) -> Result<Self> {
        let mut layout = ParameterLayout { slices: Vec::new(), len: 0 };
        layout.push_weight("weight".into(), size.inputs, size.outputs, size.inputs);
        layout.push_bias("bias".into(), size.outputs, size.inputs);
        let mut problem = Self { operation, size, layout, bindings: Bindings::new() };
        for (name, shape) in problem.slots() {
            // Numbers of both signs without a pattern that a processor could use.
            let values: Vec<f32> =
                (0..shape.len()).map(|at| (at as f64 * 0.618_033_988_75).fract() as f32 - 0.5).collect();
            problem.bindings.insert(name, &Tensor::from_slice(gpu, name, shape, &values)?);
        }
        Ok(problem)
    }

    fn slots(&self) -> Vec<(&'static str, Shape)> {
        let DenseSize { rows, inputs, outputs, .. } = self.size;
        let (h, dz) = (("h", Shape::packed(rows, inputs)), ("dz", Shape::packed(rows, outputs)));
        let parameters = ("parameters", Shape::from([self.layout.len]));
        match self.operation {
            DenseOperation::Forward => vec![h, parameters],
            DenseOperation::InputGradient => vec![dz, parameters, ("slope", Shape::packed(rows, inputs))],
            DenseOperation::WeightGradient => vec![h, dz],
        }
    }

    /// The operation by one variant.
    fn plan(&mut self, gpu: &Gpu, target: &Target, variant: &Variant) -> Result<Plan> {
        let DenseSize { rows, outputs, splits, .. } = self.size;
        let target = Target { tuner: None, ..target.clone() };
        let mut recording = Recording::tuned(format!("gibbs/tuning {}", variant.name()), target);
        let mut values: BTreeMap<&str, Value> = BTreeMap::new();
        for (name, shape) in self.slots() {
            let slot = recording.slot(name, DType::F32, shape)?;
            recording.allow_uniform(slot)?;
            values.insert(name, slot);
        }
        let value = |name: &str| {
            values.get(name).copied().ok_or_else(|| Error::argument("tuning", name, "is no slot"))
        };
        let (weight, bias) = (&self.layout.slices[0], &self.layout.slices[1]);
        match self.operation {
            DenseOperation::Forward => {
                let layer = DenseForward {
                    parameters: value("parameters")?,
                    weight,
                    start: Start::Bias(bias),
                    activation: Activation::Relu,
                    keep_slope: true,
                };
                let output = recording.scratch("activations", DType::F32, Shape::packed(rows, outputs));
                dense_forward::record(&mut recording, variant, value("h")?, &layer, output)?;
            }
            DenseOperation::InputGradient => {
                let epilogue = Epilogue { slope: Some(value("slope")?), skip: None };
                let (dz, parameters) = (value("dz")?, value("parameters")?);
                dense_input_gradient::record(&mut recording, variant, dz, parameters, weight, epilogue)?;
            }
            DenseOperation::WeightGradient => {
                let partials = recording.scratch("partials", DType::F32, [splits, self.layout.len]);
                let (h, dz) = (value("h")?, value("dz")?);
                dense_weight_gradient::record(&mut recording, variant, h, dz, weight, Some(bias), partials)?;
            }
        }
        recording.compile(gpu, &self.bindings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_the_largest_of_its_class_that_fits() {
        let trial = |class: DeviceClass, [rows, inputs, outputs, splits]: [usize; 4]| {
            let trial = trial_of(DenseSize { rows, inputs, outputs, splits }, &class.into());
            [trial.rows, trial.inputs, trial.outputs, trial.splits]
        };
        use DeviceClass::{Cpu, Gpu};
        assert_eq!(trial(Cpu, [1, 1, 1, 1]), [1, 1, 1, 1]);
        assert_eq!(trial(Cpu, [2000, 33, 100, 8]), [2048, 64, 128, 8]);
        // Fewer rows where the work is long, and fewer splits with them.
        assert_eq!(trial(Cpu, [100_000, 1000, 1000, 64]), [256, 1024, 1024, 4]);
        assert_eq!(trial(Gpu, [100_000, 1000, 1000, 1]), [8192, 1024, 1024, 1]);
        // No tensor passes the largest binding.
        assert_eq!(trial(Gpu, [100_000, 1000, 1, 1])[0], 32768);
        assert_eq!(trial(Gpu, [100, 5000, 6000, 9]), [128, 5000, 6000, 1]);
    }
}
