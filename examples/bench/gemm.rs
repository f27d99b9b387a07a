//! Single matrix products: one dense layer forward, its gradient to the inputs, its gradient to the
//! weights.

use gibbs::Gpu;
use gibbs::gpu::{Bindings, DType, Plan, Recording, Shape, Tensor, Value};
use gibbs::nn::dense;
use gibbs::nn::dense::dense_forward::{DenseForward, Start};
use gibbs::nn::dense::dense_input_gradient::Epilogue;
use gibbs::nn::dense::dense_weight_gradient;
use gibbs::nn::passes::reduce_partials;
use gibbs::nn::{Activation, GradientMode, Input, Network, ParameterLayout, ParameterSlice};
use gibbs::testing::data;

use crate::Failure;

/// Which of a dense layer's three products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// `h W + b`.
    Forward,
    /// `dz W^T`.
    Inputs,
    /// `h^T dz`, sums over rows split as a backward pass splits them and added.
    Weights,
}

/// A product by its extents.
#[derive(Clone, Copy, Debug)]
pub struct Gemm {
    pub rows: usize,
    pub outputs: usize,
    pub inputs: usize,
    pub product: Product,
}

/// Elements that are compared with f64.
const SAMPLES: usize = 48;

impl Gemm {
    /// 2 operations per multiply-add.
    pub fn nominal_flops(&self) -> f64 {
        2.0 * self.rows as f64 * self.outputs as f64 * self.inputs as f64
    }

    /// Compiles the product, runs it once and compares some of its elements with sums in f64.
    ///
    /// # Errors
    /// An element that differs; what the device refuses.
    pub fn build(&self, gpu: &Gpu) -> Result<(Plan, String), Failure> {
        let Self { rows, outputs, inputs, product } = *self;
        let network = Network::mlp(vec![Input::new("x", inputs)], &[], Activation::Identity, outputs);
        let layout = network.layout();
        let slice = |name: &str| -> Result<&ParameterSlice, Failure> {
            layout.slice(name).ok_or_else(|| format!("a dense layer has no slice `{name}`").into())
        };
        let (weight, bias) = (slice("layers.0.weight.x")?, slice("layers.0.bias")?);
        let mut flat = vec![0.0; layout.len];
        layout.insert(weight, &data(1, inputs * outputs), &mut flat);
        layout.insert(bias, &data(2, outputs), &mut flat);

        let mut recording = Recording::tuned("gemm", gpu.target());
        let mut bindings = Bindings::new();
        let mut slot =
            |recording: &mut Recording, name: &str, shape: Shape, values: &[f32]| -> gibbs::Result<Value> {
                bindings.insert(name, &Tensor::from_slice(gpu, name, shape.clone(), values)?);
                let value = recording.slot(name, DType::F32, shape)?;
                recording.allow_uniform(value)?;
                Ok(value)
            };
        let rows_of = |seed: u32, width: usize| -> (Shape, Vec<f32>) {
            let shape = Shape::packed(rows, width);
            let mut padded = vec![0.0; shape.len()];
            for (to, from) in padded.chunks_mut(shape.stride()).zip(data(seed, rows * width).chunks(width)) {
                to[..width].copy_from_slice(from);
            }
            (shape, padded)
        };
        let h = rows_of(3, inputs);
        let dz = rows_of(4, outputs);
        let output = match product {
            Product::Forward => {
                let parameters = slot(&mut recording, "parameters", [layout.len].into(), &flat)?;
                let h = slot(&mut recording, "h", h.0.clone(), &h.1)?;
                let layer = DenseForward {
                    parameters,
                    weight,
                    start: Start::Bias(bias),
                    activation: Activation::Identity,
                    keep_slope: false,
                };
                dense::record_forward(&mut recording, h, &layer)?.output
            }
            Product::Inputs => {
                let parameters = slot(&mut recording, "parameters", [layout.len].into(), &flat)?;
                let dz = slot(&mut recording, "dz", dz.0.clone(), &dz.1)?;
                dense::record_input_gradient(&mut recording, dz, parameters, weight, Epilogue::default())?
            }
            Product::Weights => {
                let h = slot(&mut recording, "h", h.0.clone(), &h.1)?;
                let dz = slot(&mut recording, "dz", dz.0.clone(), &dz.1)?;
                let splits = dense_weight_gradient::splits(recording.target(), rows, layout.len);
                let partials = recording.scratch("partials", DType::F32, [splits, layout.len]);
                dense::record_weight_gradient(&mut recording, h, dz, weight, Some(bias), partials)?;
                reduce_partials::record(&mut recording, partials, GradientMode::Overwrite)?
            }
        };
        recording.expose_packed(output, "output")?;
        let shape = recording.shape(output)?.clone();
        let result = Tensor::zeros(gpu, "output", DType::F32, shape.clone())?;
        let plan = recording.compile(gpu, &bindings.with("output", &result))?;
        plan.run(1)?;
        let found: Vec<f32> = gpu.read(&result)?;
        let operands = Operands { gemm: *self, layout: &layout, flat: &flat, h: &h, dz: &dz };
        operands.check(&found, &shape)?;
        Ok((plan, recording.describe()))
    }
}

/// What a product multiplied.
struct Operands<'a> {
    gemm: Gemm,
    layout: &'a ParameterLayout,
    flat: &'a [f32],
    h: &'a (Shape, Vec<f32>),
    dz: &'a (Shape, Vec<f32>),
}

impl Operands<'_> {
    fn weight(&self, input: usize, output: usize) -> f64 {
        let slice = &self.layout.slices[0];
        self.flat[slice.offset + input * slice.stride + output].into()
    }

    /// The terms of one element of the result, by its row and column.
    fn terms(&self, row: usize, column: usize) -> Vec<f64> {
        let Gemm { rows, outputs, inputs, product } = self.gemm;
        let at = |(shape, values): &(Shape, Vec<f32>), row: usize, column: usize| {
            f64::from(values[row * shape.stride() + column])
        };
        match product {
            Product::Forward => {
                let bias = f64::from(self.flat[self.layout.slices[1].offset + column]);
                let products = (0..inputs).map(|k| at(self.h, row, k) * self.weight(k, column));
                products.chain([bias]).collect()
            }
            Product::Inputs => (0..outputs).map(|k| at(self.dz, row, k) * self.weight(column, k)).collect(),
            Product::Weights => (0..rows).map(|k| at(self.h, k, row) * at(self.dz, k, column)).collect(),
        }
    }

    /// Compares elements all over the result, its first and last among them.
    fn check(&self, found: &[f32], shape: &Shape) -> Result<(), Failure> {
        let Gemm { rows, outputs, inputs, product } = self.gemm;
        let (height, width, offset, stride) = match product {
            Product::Forward => (rows, outputs, 0, shape.stride()),
            Product::Inputs => (rows, inputs, 0, shape.stride()),
            Product::Weights => {
                let slice = &self.layout.slices[0];
                (inputs, outputs, slice.offset, slice.stride)
            }
        };
        for sample in 0..SAMPLES {
            let share = |count: usize| (count - 1) * sample / (SAMPLES - 1);
            // Rows ascend; columns jump about, and end at the last.
            let (row, column) = (share(height), (share(width) + (SAMPLES - 1 - sample) * 37) % width);
            let terms = self.terms(row, column);
            let (expected, size): (f64, f64) =
                (terms.iter().sum(), terms.iter().map(|term| term.abs()).sum());
            let value = f64::from(found[offset + row * stride + column]);
            // Sums in f32, in any order that splits them: some 1e-7 of the terms' sizes, per level
            // of sums.
            if (value - expected).abs() > 2e-5 * size {
                return Err(format!(
                    "element [{row}, {column}] is {value} where {expected} is right; a wrong product gets no figure"
                )
                .into());
            }
        }
        Ok(())
    }
}

/// `gemm-ROWSxOUTPUTSxINPUTS` with a suffix, as a product.
pub fn parse(name: &str) -> Option<Gemm> {
    let rest = name.strip_prefix("gemm-")?;
    let (extents, product) = match rest.split_once('/') {
        None => (rest, Product::Forward),
        Some((extents, "inputs")) => (extents, Product::Inputs),
        Some((extents, "weights")) => (extents, Product::Weights),
        Some(_) => return None,
    };
    let numbers: Vec<usize> = extents.split('x').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    match numbers[..] {
        [rows, outputs, inputs] => Some(Gemm { rows, outputs, inputs, product }),
        _ => None,
    }
}
