//! Rows are padded within networks and nowhere else: whoever hands in plain rows or packed ones
//! gets the same bits, and what comes out is plain.

use gibbs::diffusion::{
    DiffusionSampler, Guidance, MixtureScore, NoiseLevel, NoiseSchedule, SamplingOptions, Score,
    ScoreNetwork, SolverOptions,
};
use gibbs::energy::{
    Energy, Gradient, MixtureEnergy, NetworkEnergy, QuadraticEnergy, ShaderEnergy, ShaderEnergyOptions,
};
use gibbs::gpu::run::copy_rows;
use gibbs::gpu::{Bindings, DType, Gpu, Recording, Shape, Tensor, Value};
use gibbs::loss::denoising_loss;
use gibbs::mcmc::{
    ChainOptions, ChainSampler, DerivativeFreeOptimizer, Dynamics, Hamiltonian, Langevin, Mala,
};
use gibbs::nn::{ACTION, Activation, CONTEXT, Fusion, Input, Keep, Model, Network, TIME};
use gibbs::policy::{Policy, PolicyOptions};
use gibbs::{Result, wgpu};
use gibbs_reference::gpu::copy_rows as reference;

use super::SHAPES;
use crate::common::{Adapter, Case, data, every_adapter, pack, wide};

every_adapter!(
    rows_are_copied_as_they_are,
    long_values_are_copied_in_ranges,
    a_controller_takes_and_gives_plain_tensors,
    outputs_of_networks_are_plain,
    gradients_at_outputs_come_plain_or_packed,
    padded_inputs_enter_networks_and_energies,
    chains_take_gradients_and_energies_of_either_kind,
    predictions_and_targets_come_plain_or_packed,
    scores_and_directions_come_plain_or_packed,
    policies_take_and_give_plain_tensors,
);

fn rows_are_copied_as_they_are(adapter: &Adapter) {
    for (rows, width) in SHAPES {
        let mut values = data(1, rows * width);
        values[0] = -0.0;
        let (plain, packed) = (Shape::new([rows, width]), Shape::packed(rows, width));
        let mut case = Case::new(adapter, format!("copy of {rows}x{width}"));
        let own = case.input("plain", plain.clone(), &values);
        let padded = case.packed("packed", rows, width, &values);
        let stripped = case.poisoned("stripped", DType::F32, plain);
        let filled = case.poisoned("filled", DType::F32, packed.clone());
        copy_rows::record_into(&mut case.recording, "strip", padded, stripped).unwrap();
        copy_rows::record_into(&mut case.recording, "fill", own, filled).unwrap();
        case.expect_kernels(&["copy_rows", "copy_rows"]);
        let results = case.run();
        let stride = packed.stride();
        let expected = reference(&wide(&pack(&values, rows, width)), width, stride, width);
        results.expect("stripped", &results.get("stripped"), &expected, |_: usize| 0.0);
        let expected = reference(&wide(&values), width, width, stride);
        results.expect("filled", &results.get("filled"), &expected, |_: usize| 0.0);
        assert_eq!(results.bits("stripped")[0], (-0.0f32).to_bits());
    }
}

fn long_values_are_copied_in_ranges(adapter: &Adapter) {
    let (gpu, rows) = (adapter.narrow(1 << 16), 10_001);
    for width in [1, 3] {
        let values = data(2, rows * width);
        let mut case = Case::on(adapter, &gpu, gpu.capabilities().class, format!("ranges of {width}"));
        let model = model(&gpu, width, 3);
        case.bind("controller/parameters", model.parameters());
        let x = case.input("x", [rows, width], &values);
        let recording = &mut case.recording;
        let forward = model.record_forward(recording, &[("observation", x)], Keep::Output).unwrap();
        let before = recording.len();
        let plain = forward.output(recording).unwrap();
        assert!(recording.len() > before + 1, "{}", recording.describe());
        case.output("packed", forward.packed_output);
        case.output("plain", plain);
        let results = case.run();
        assert_eq!(results.get::<f32>("plain"), results.packed("packed"));
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    assert!(!values.is_empty() && values.iter().all(|value| value.is_finite()), "{values:?}");
    assert!(values.iter().any(|value| *value != 0.0));
    values.iter().map(|value| value.to_bits()).collect()
}

fn model(gpu: &Gpu, width: usize, outputs: usize) -> Model {
    let network = Network::mlp(vec![Input::new("observation", width)], &[8], Activation::Tanh, outputs);
    Model::from_seed(gpu, "controller", network, 5).unwrap()
}

/// What a model puts out, read with its padding and stripped by the host.
fn outputs(gpu: &Gpu, model: &Model, x: &[f32], rows: usize) -> Vec<f32> {
    let mut recording = gpu.record("packed");
    let value = recording.constant("x", [rows, x.len() / rows], x).unwrap();
    let packed = model.record_packed_value(&mut recording, &[("observation", value)]).unwrap();
    let shape = recording.shape(packed).unwrap().clone();
    recording.expose_packed(packed, "packed").unwrap();
    let tensor = Tensor::zeros(gpu, "packed", DType::F32, shape.clone()).unwrap();
    let plan = recording.compile(gpu, &model.bindings().with("packed", &tensor)).unwrap();
    plan.run(1).unwrap();
    let flat: Vec<f32> = gpu.read(&tensor).unwrap();
    flat.chunks_exact(shape.stride()).flat_map(|row| &row[..shape.width()]).copied().collect()
}

/// The README's controller, with the host's own tensors in each frame.
fn a_controller_takes_and_gives_plain_tensors(adapter: &Adapter) {
    let gpu = &adapter.gpu;
    for (rows, observed, acted) in [(256, 10, 4), (256, 4, 3), (7, 3, 1), (7, 1, 4)] {
        let model = model(gpu, observed, acted);
        let x = data(4, rows * observed);
        let expected = outputs(gpu, &model, &x, rows);
        let mut recording = gpu.record("act");
        let (observations, value) = recording.input::<f32>(gpu, "observations", [rows, observed]).unwrap();
        let forward = model.record_forward(&mut recording, &[("observation", value)], Keep::Output).unwrap();
        let layers = recording.len();
        let actions = recording.output(gpu, forward.packed_output, "actions").unwrap();
        assert_eq!(recording.len() - layers, usize::from(acted % 4 != 0), "one dispatch, if any");
        assert_eq!((actions.shape(), actions.shape().is_padded()), (&Shape::new([rows, acted]), false));
        let plan = recording.compile_bound(gpu).unwrap();
        observations.write(gpu, &x).unwrap();
        plan.run(1).unwrap();
        assert_eq!(bits(&gpu.read::<f32>(&actions).unwrap()), bits(&expected));
        // Packed tensors of widths without padding are plain ones.
        let mut shapes = vec![(Shape::new([rows, observed]), Shape::new([rows, acted]))];
        if acted == 4 {
            shapes.push((Shape::new([rows, observed]), Shape::packed(rows, acted)));
        }
        for (seen, done) in shapes {
            let seen = Tensor::from_slice(gpu, "seen", seen, &x).unwrap();
            let done = Tensor::zeros(gpu, "done", DType::F32, done).unwrap();
            let bindings = Bindings::new().with("observations", &seen).with("actions", &done);
            encode(gpu, |encoder| plan.encode(encoder, &bindings));
            assert_eq!(bits(&gpu.read::<f32>(&done).unwrap()), bits(&expected));
        }
        // Others are refused by the shapes that a user knows.
        let long = Tensor::zeros(gpu, "long", DType::F32, [rows, acted + 1]).unwrap();
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let refused = plan.encode(&mut encoder, &Bindings::new().with("actions", &long)).unwrap_err();
        let words = [format!("[{rows}, {}]", acted + 1), format!("[{rows}, {acted}]")];
        let text = refused.to_string();
        assert!(words.iter().all(|word| text.contains(word)) && !text.contains("packed"), "{text}");
    }
}

fn encode(gpu: &Gpu, work: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<()>) {
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    work(&mut encoder).unwrap();
    gpu.queue().submit([encoder.finish()]);
}

fn outputs_of_networks_are_plain(adapter: &Adapter) {
    let gpu = &adapter.gpu;
    for (rows, width) in [(7, 1), (3, 3), (5, 4), (9, 6)] {
        let model = model(gpu, 2, width);
        let x = data(6, 2 * rows);
        let expected = outputs(gpu, &model, &x, rows);
        let mut recording = gpu.record("outputs");
        let value = recording.constant("x", [rows, 2], &x).unwrap();
        let inputs = [("observation", value)];
        let plain = model.record_value(&mut recording, &inputs).unwrap();
        let (both, gradient) =
            model.record_value_and_input_gradient(&mut recording, &inputs, "observation").unwrap();
        let exposed = model.record_packed_value(&mut recording, &inputs).unwrap();
        let all = [plain, both, gradient, exposed];
        for value in [plain, both] {
            assert_eq!(recording.shape(value).unwrap(), &Shape::new([rows, width]));
        }
        let names = ["plain", "both", "gradient", "exposed"];
        let tensors = [0, 1, 2, 3].map(|at| recording.output(gpu, all[at], names[at]).unwrap());
        recording.compile_bound(gpu).unwrap().run(1).unwrap();
        for at in [0, 1, 3] {
            assert_eq!(bits(&gpu.read::<f32>(&tensors[at]).unwrap()), bits(&expected), "{}", names[at]);
        }
        assert_eq!(tensors[2].shape(), &Shape::new([rows, 2]));
    }
}

fn gradients_at_outputs_come_plain_or_packed(adapter: &Adapter) {
    for width in [3, 4] {
        let (rows, model) = (6, model(&adapter.gpu, 2, width));
        let (x, seed) = (data(8, 2 * rows), data(9, rows * width));
        let mut found = Vec::new();
        for kind in 0..3 {
            let mut case = Case::new(adapter, format!("gradient {kind} of width {width}"));
            case.bind("controller/parameters", model.parameters());
            let input = case.input("x", [rows, 2], &x);
            let given = match kind {
                0 => case.packed("seed", rows, width, &seed),
                1 => case.input("seed", [rows, width], &seed),
                _ => case.input("seed", [2, 3, width], &seed),
            };
            let recording = &mut case.recording;
            let inputs = [("observation", input)];
            let forward = model.record_forward(recording, &inputs, Keep::Slopes).unwrap();
            let own = model.record_parameter_gradient(recording, &forward, given).unwrap();
            let back = model.record_input_gradient(recording, &forward, given, "observation");
            case.output("own", own);
            case.output("back", back.unwrap());
            let results = case.run();
            found.push((bits(&results.get("own")), bits(&results.get("back"))));
        }
        assert!(found[0] == found[1] && found[0] == found[2], "{}: width {width}", adapter.name);
    }
}

const USERS: &str = "
fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
    return x[0] * y[0] + y[1] * y[DIMS - 1u];
}
fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {
    var slopes: array<f32, DIMS>;
    slopes[0] = x[0];
    slopes[1] = y[DIMS - 1u];
    slopes[DIMS - 1u] = y[1];
    return slopes;
}
";

fn padded_inputs_enter_networks_and_energies(adapter: &Adapter) {
    let gpu = &adapter.gpu;
    for (width, dims) in [(3, 3), (4, 4), (1, 3)] {
        let inputs = vec![Input::new(CONTEXT, width), Input::new(ACTION, dims)];
        let network = Network::mlp(inputs, &[5, 6], Activation::Silu, 1);
        let energy = NetworkEnergy::new(Model::from_seed(gpu, "energy", network, 3).unwrap()).unwrap();
        let quadratic = QuadraticEnergy::isotropic(&vec![0.3; dims], 1.5).unwrap();
        let following = quadratic
            .clone()
            .following(&data(10, dims * width).iter().map(|&v| v.into()).collect::<Vec<f64>>())
            .unwrap();
        let options = ShaderEnergyOptions::new(width, dims, Gradient::Written);
        let users = ShaderEnergy::new("users", "users.wgsl", USERS, options).unwrap();
        let mixture = MixtureEnergy::isotropic(&[1.0, 2.0], &wide(&data(11, 2 * dims)), &[0.8, 1.2]).unwrap();
        let (layered, fused) =
            (energy.clone().with_fusion(Fusion::Never), energy.with_fusion(Fusion::Always));
        let all: [(&str, &dyn Energy, bool); 6] = [
            ("layers", &layered, true),
            ("fused", &fused, true),
            ("quadratic", &quadratic, false),
            ("following", &following, true),
            ("users", &users, true),
            ("mixture", &mixture, false),
        ];
        let (x, y) = (data(12, 2 * width), data(13, 2 * dims));
        for (name, energy, conditional) in all {
            let ask = |packed: bool| {
                let mut recording = gpu.record(name);
                recording.provide_all(&energy.bindings());
                let mut give = |label: &str, shape: Shape, values: &[f32]| {
                    let flat = match shape.is_padded() {
                        true => pack(values, shape.rows(), shape.width()),
                        false => values.to_vec(),
                    };
                    let tensor = Tensor::from_slice(gpu, label, shape, &flat).unwrap();
                    recording.tensor(&tensor).unwrap()
                };
                // Points of contexts are blocks, which nobody can make padded.
                let (context, points) = match (packed, conditional) {
                    (true, true) => (Shape::packed(2, width), [2, 1, dims].into()),
                    (true, false) => (Shape::packed(2, width), Shape::packed(2, dims)),
                    (false, _) => ([2, width].into(), [2, 1, dims].into()),
                };
                let (context, points) = (give("x", context, &x), give("y", points, &y));
                let context = conditional.then_some(context);
                let found = energy.record_value_and_gradient(&mut recording, context, points).unwrap();
                let value = recording.output(gpu, found.0, "value").unwrap();
                let gradient = recording.output(gpu, found.1, "gradient").unwrap();
                assert_eq!(value.shape().len(), 2);
                recording.compile_bound(gpu).unwrap().run(1).unwrap();
                [value, gradient].map(|tensor| bits(&gpu.read::<f32>(&tensor).unwrap()))
            };
            assert_eq!(ask(true), ask(false), "{}: {name} of {width} and {dims}", adapter.name);
        }
    }
}

/// An energy whose author pads whatever it gives, or nothing.
struct Author {
    energy: QuadraticEnergy,
    pads: bool,
}

impl Author {
    fn give(&self, recording: &mut Recording, value: Value) -> Result<Value> {
        if self.pads { recording.packed_rows(value) } else { Ok(value) }
    }
}

impl Energy for Author {
    fn dims(&self) -> usize {
        self.energy.dims()
    }

    fn record_value(&self, recording: &mut Recording, context: Option<Value>, y: Value) -> Result<Value> {
        let value = self.energy.record_value(recording, context, y)?;
        self.give(recording, value)
    }

    fn record_gradient(&self, recording: &mut Recording, context: Option<Value>, y: Value) -> Result<Value> {
        let gradient = self.energy.record_gradient(recording, context, y)?;
        self.give(recording, gradient)
    }

    fn bindings(&self) -> Bindings {
        self.energy.bindings()
    }
}

fn chains_take_gradients_and_energies_of_either_kind(adapter: &Adapter) {
    for dims in [3, 4] {
        let bounds = gibbs::math::Bounds::new(&vec![-2.0; dims], &vec![2.0; dims]).unwrap();
        let all: [Dynamics; 4] = [
            Langevin::default().with_steps(3).into(),
            Mala::default().with_steps(2).with_warmup(2).into(),
            Hamiltonian::default().with_steps(2).with_warmup(0).with_leapfrogs(2).into(),
            DerivativeFreeOptimizer::new(bounds).with_steps(2).into(),
        ];
        for dynamics in all {
            let ends = [false, true].map(|pads| {
                let energy = QuadraticEnergy::isotropic(&vec![0.4; dims], 0.5).unwrap();
                let options =
                    ChainOptions::default().with_chains(5).with_seed(3).with_dynamics(dynamics.clone());
                let author = Author { energy, pads };
                let mut sampler = ChainSampler::from_points(&adapter.gpu, &author, &options).unwrap();
                assert!(!sampler.result().shape().is_padded());
                sampler.sample_from(&[], &data(14, 5 * dims)).unwrap()
            });
            assert_eq!(bits(&ends[0]), bits(&ends[1]), "{}: {dims}, {dynamics:?}", adapter.name);
        }
    }
}

fn predictions_and_targets_come_plain_or_packed(adapter: &Adapter) {
    for dims in [3, 4] {
        let (rows, values) = (5, [data(15, 5 * dims), data(16, 5 * dims)]);
        let ask = |packed: bool| {
            let mut case = Case::new(adapter, format!("denoising of {dims}, packed {packed}"));
            let [prediction, target] = [0, 1].map(|at| match packed {
                true => case.packed(["prediction", "target"][at], rows, dims, &values[at]),
                false => case.input(["prediction", "target"][at], [rows, dims], &values[at]),
            });
            let loss = denoising_loss::record(&mut case.recording, prediction, target).unwrap();
            case.output("loss", loss.loss);
            case.output("gradient", loss.output_gradient);
            let results = case.run();
            (bits(&results.get("loss")), bits(&results.packed("gradient")))
        };
        assert_eq!(ask(true), ask(false), "{}: {dims}", adapter.name);
    }
}

/// A score whose author takes the padding off, or pads.
struct Predictor {
    score: MixtureScore,
    pads: bool,
}

impl Score for Predictor {
    fn dims(&self) -> usize {
        self.score.dims()
    }

    fn record_noise(
        &self,
        recording: &mut Recording,
        context: Option<Value>,
        x: Value,
        level: &NoiseLevel,
    ) -> Result<Value> {
        let noise = self.score.record_noise(recording, context, x, level)?;
        if self.pads { recording.packed_rows(noise) } else { recording.plain_rows(noise) }
    }

    fn bindings(&self) -> Bindings {
        self.score.bindings()
    }
}

fn scores_and_directions_come_plain_or_packed(adapter: &Adapter) {
    let gpu = &adapter.gpu;
    for dims in [3, 4] {
        let mixture = MixtureScore::isotropic(&[1.0, 2.0], &wide(&data(18, 2 * dims)), &[0.5, 0.9]).unwrap();
        let solver = SolverOptions::default().with_evaluations(3);
        let options = SamplingOptions::default().with_samples(5).with_solver(solver);
        let samples = [false, true].map(|pads| {
            let score = Predictor { score: mixture.clone(), pads };
            let mut sampler = DiffusionSampler::new(gpu, &score, Guidance::None, &options).unwrap();
            assert_eq!(sampler.result().shape(), &Shape::new([1, 5, dims]));
            sampler.sample(&[]).unwrap()
        });
        assert_eq!(bits(&samples[0]), bits(&samples[1]), "{}: {dims}", adapter.name);

        let inputs = vec![Input::new(ACTION, dims), Input::new(TIME, 1)];
        let network = Network::mlp(inputs, &[6], Activation::Silu, dims);
        let network = ScoreNetwork::new(Model::from_seed(gpu, "score", network, 7).unwrap()).unwrap();
        let level = NoiseSchedule::default().at(0.4);
        let (points, direction) = (data(19, 5 * dims), data(20, 5 * dims));
        for score in [&mixture as &dyn Score, &network] {
            let products = [false, true].map(|packed| {
                let mut recording = gpu.record("products");
                recording.provide_all(&score.bindings());
                let x = recording.constant("x", [1, 5, dims], &points).unwrap();
                let mut choose = |recording: &mut Recording, _: Value| {
                    let plain = recording.constant("direction", [5, dims], &direction)?;
                    Ok(vec![if packed { recording.packed_rows(plain)? } else { plain }])
                };
                let (_, products) =
                    score.record_noise_and_vjps(&mut recording, None, x, &level, &mut choose).unwrap();
                let product = recording.output(gpu, products[0], "product").unwrap();
                assert_eq!(product.shape().len(), 5 * dims);
                recording.compile_bound(gpu).unwrap().run(1).unwrap();
                bits(&gpu.read::<f32>(&product).unwrap())
            });
            assert_eq!(products[0], products[1], "{}: {dims}", adapter.name);
        }
    }
}

fn policies_take_and_give_plain_tensors(adapter: &Adapter) {
    let gpu = &adapter.gpu;
    for (agents, observed, acted) in [(256, 4, 4), (7, 3, 1), (7, 4, 3)] {
        let x = data(17, agents * observed);
        let policy = || {
            let options = PolicyOptions::new().with_agents(agents);
            Policy::network(gpu, model(gpu, observed, acted), &options).unwrap()
        };
        let expected = bits(&policy().act(&x).unwrap());
        let shapes = |width: usize| match width {
            4 => vec![Shape::new([agents, width]), Shape::packed(agents, width)],
            _ => vec![Shape::new([agents, width])],
        };
        for seen in shapes(observed) {
            for done in shapes(acted) {
                let seen = Tensor::from_slice(gpu, "seen", seen.clone(), &x).unwrap();
                let done = Tensor::zeros(gpu, "done", DType::F32, done).unwrap();
                let mut policy = policy();
                encode(gpu, |encoder| policy.encode(encoder, &seen, &done));
                assert_eq!(bits(&gpu.read::<f32>(&done).unwrap()), expected);
            }
        }
        for shape in [Shape::new([agents, observed]), Shape::packed(agents, observed)] {
            let values = if shape.is_padded() { pack(&x, agents, observed) } else { x.clone() };
            let mut policy = policy();
            let mut recording = gpu.record("tick");
            let seen = Tensor::from_slice(gpu, "seen", shape, &values).unwrap();
            let seen = recording.tensor(&seen).unwrap();
            let action = policy.record(&mut recording, Some(seen)).unwrap();
            let action = recording.output(gpu, action, "action").unwrap();
            assert_eq!(action.shape(), &Shape::new([agents, acted]));
            recording.provide_all(&policy.bindings());
            recording.compile_bound(gpu).unwrap().run(1).unwrap();
            assert_eq!(bits(&gpu.read::<f32>(&action).unwrap()), expected);
        }
    }
}
