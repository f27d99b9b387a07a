//! Energies that need no network: what they refuse, and chains on them.

use crate::common::{self, Adapter, data, lavapipe, wide};
use gibbs::energy::{
    Energy, Gradient, MixtureEnergy, QuadraticEnergy, ShaderEnergy, ShaderEnergyOptions, evaluate_energy,
    evaluate_gradient,
};
use gibbs::gpu::Points;
use gibbs::gpu::run::random;
use gibbs::gpu::run::random::Distribution;
use gibbs::gpu::{DType, Recording, RunState, Tensor};
use gibbs::mcmc::{ChainOptions, ChainSampler, Langevin, Return, StepSchedule};
use gibbs::proposal::UniformBox;
use gibbs::{Error, Gpu};

// -------------------------------------------------------------------------------------------------
// Errors
// -------------------------------------------------------------------------------------------------

/// The message of an error of the expected kind, which holds all the words.
#[track_caller]
fn expect<T>(result: gibbs::Result<T>, kind: &str, words: &[&str]) {
    let Err(error) = result else { panic!("expected an error of kind {kind} with {words:?}") };
    let text = error.to_string();
    assert!(format!("{error:?}").starts_with(kind), "expected {kind}, got {error:?}");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in: {text}");
    }
    assert!(text.len() < 1000, "one message, not a report: {text}");
}

const BOWL: &str = "fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
    return y[0] * y[0];
}
";
const SLOPE: &str = "fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {
    var slopes = y;
    slopes[0] *= 2.0;
    return slopes;
}
";

fn plain() -> ShaderEnergyOptions {
    ShaderEnergyOptions::new(0, 2, Gradient::CentralDifferences { step: 0.01 })
}

fn shader(text: &str, options: ShaderEnergyOptions) -> gibbs::Result<ShaderEnergy> {
    ShaderEnergy::new("cost", "my/cost.wgsl", text, options)
}

#[test]
fn a_users_mistake_is_named_by_the_users_file_line_and_column() {
    shader(BOWL, plain()).expect("a good text");
    let place = |text: &str, line: u32, column: u32| {
        // Names declared on the host do not count as lines.
        for options in [plain(), plain().number("a", 1.0f32).knob("b", 2.0).slot::<f32>("c", [1])] {
            match shader(text, options) {
                Err(Error::Shader { file, line: found, column: at, .. }) => {
                    assert_eq!((file.as_str(), found, at), ("my/cost.wgsl", line, column), "{text}");
                }
                other => panic!("expected a shader error, got {other:?}"),
            }
        }
    };
    place(&format!("// one\n{BOWL}fn more() -> f32 {{ return 1.0 +* 2.0; }}\n"), 5, 32);
    place(&format!("//#include \"lib/philox.wgsl\"\n// two\n{}", BOWL.replace("y[0];", "nothing;")), 4, 19);
    place(&BOWL.replace("return y[0] * y[0];", "return 1u;"), 2, 12);
    place("// one\n//#include \"lib/none.wgsl\"\n", 2, 1);
    place(&format!("{BOWL}\n{BOWL}"), 5, 4);
    place(&format!("{BOWL}const y_rows: f32 = 1.0;"), 4, 7);
    place(&format!("{BOWL}var<workgroup> tile: f32;"), 4, 1);
    let taken = format!("{BOWL}fn context_of_row(row: u32) -> f32 {{ return 1.0; }}");
    expect(
        shader(&taken, plain()),
        "Shader",
        &["my/cost.wgsl:4:4", "redefinition of `context_of_row`", "y_rows"],
    );
    // A name declared on the host and in the text.
    let clash = format!("{BOWL}const a: f32 = 1.0;");
    let declared = plain().number("a", 2.0f32);
    expect(shader(&clash, declared), "Shader", &["my/cost.wgsl:4:7", "redefinition of `a`"]);
    // A fragment that the kernel includes already may be included again.
    shader(&format!("//#include \"lib/finite.wgsl\"\n{BOWL}"), plain()).expect("a good include");
}

#[test]
fn a_missing_or_different_function_is_told_its_signature() {
    let signature = "fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32";
    let sizes = "with CONTEXT = 3 and DIMS = 2";
    let options = || ShaderEnergyOptions::new(3, 2, Gradient::Written);
    expect(shader("", options()), "Shader", &["my/cost.wgsl:1:1", "no function `energy`", signature, sizes]);
    for text in [
        "fn energy(y: array<f32, DIMS>) -> f32 { return y[0]; }",
        "fn energy(x: array<f32, DIMS>, y: array<f32, DIMS>) -> f32 { return y[0]; }",
        "fn energy(x: array<f32, CONTEXT>, y: array<u32, DIMS>) -> f32 { return 1.0; }",
        "fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> u32 { return 1u; }",
        "fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) { }",
        "fn energy(x: vec3<f32>, y: vec2<f32>) -> f32 { return y.x; }",
    ] {
        let found = shader(&format!("// one\n{text}\n{SLOPE}"), options());
        expect(found, "Shader", &["my/cost.wgsl:2:1", "`energy` has another signature", signature, sizes]);
    }
    let words = ["no function `energy_gradient`", "-> array<f32, DIMS>", "central differences"];
    expect(shader(BOWL, options()), "Shader", &words);
    let other = SLOPE.replace("-> array<f32, DIMS>", "-> f32").replace("return slopes", "return slopes[0]");
    let words = ["my/cost.wgsl:4:1", "`energy_gradient` has another signature", "-> array<f32, DIMS>"];
    expect(shader(&format!("{BOWL}{other}"), options()), "Shader", &words);
    shader(&format!("{BOWL}{SLOPE}"), options()).expect("a good text");
    // With differences asked for, a written gradient is a function like any other.
    shader(&format!("{BOWL}{SLOPE}"), plain()).expect("a good text");
}

#[test]
fn what_a_users_text_must_not_hold_is_named() {
    let with = |text: &str| shader(&format!("{BOWL}{text}"), plain());
    let entry = "@compute @workgroup_size(1) fn mine() { }";
    expect(with(entry), "Shader", &["my/cost.wgsl", "entry point, `mine`"]);
    let bound = "@group(0) @binding(9) var<storage, read> mine: array<f32>;";
    expect(with(bound), "Shader", &["my/cost.wgsl:4", "`mine`", "declare tensors and knobs in the options"]);
    expect(with("override mine: f32 = 1.0;"), "Shader", &["my/cost.wgsl:4", "override"]);
    with("var<private> mine: f32; const pi: f32 = 3.14; struct Mine { a: f32 }").expect("a good text");
}

#[test]
fn bad_options_of_a_users_energy_are_named() {
    let gpu = &lavapipe().gpu;
    let differences = |step| Gradient::CentralDifferences { step };
    let sized = |context, dims| ShaderEnergyOptions::new(context, dims, differences(0.01));
    expect(shader(BOWL, sized(0, 0)), "Argument", &["energy `cost`", "dimensions are 0", "1 to 64"]);
    expect(shader(BOWL, sized(0, 65)), "Argument", &["dimensions are 65", "1 to 64"]);
    expect(shader(BOWL, sized(65, 2)), "Argument", &["context's width is 65", "as a tensor"]);
    for step in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-60] {
        let options = ShaderEnergyOptions::new(0, 2, differences(step));
        expect(shader(BOWL, options), "Argument", &["step of central differences", "positive"]);
    }
    for name in ["", "1a", "a b", "_a", "a;b", "ä"] {
        let words = [&format!("the name `{name}`")[..], "letters"];
        expect(shader(BOWL, plain().number(name, 1.0f32)), "Argument", &words);
    }
    let twice = plain().number("a", 1.0f32).knob("a", 1.0);
    expect(shader(BOWL, twice), "Argument", &["the name `a`", "twice"]);
    let keyword = plain().number("while", 1.0f32);
    expect(shader(BOWL, keyword), "Shader", &["declarations of `cost`:1"]);
    expect(shader(BOWL, plain().number("a", f32::NAN)), "Argument", &["the number `a`", "NaN", "finite"]);
    expect(shader(BOWL, plain().knob("a", f32::INFINITY)), "Argument", &["the knob `a`", "inf", "finite"]);
    let crowd = ["a", "b", "c", "d"].iter().fold(plain(), |all, name| all.slot::<f32>(name, [1]));
    expect(shader(BOWL, crowd), "Argument", &["the tensors are 4", "at most 3"]);
    let mut recording = Recording::new("run");
    let energy = shader(BOWL, plain().knob("a", 1.0)).unwrap();
    expect(energy.knob(&mut recording, "b"), "Argument", &["energy `cost`", "knob `b`"]);
    assert!(energy.knob(&mut recording, "a").is_ok());
    // A tensor of another shape than the one declared.
    let energy = shader(BOWL, plain().slot::<f32>("map", [3])).unwrap();
    let tensor = Tensor::zeros(gpu, "map", DType::F32, [4]).unwrap();
    let y = recording.slot("y", DType::F32, [1, 2, 2]).unwrap();
    let value = energy.record_value(&mut recording, None, y).unwrap();
    recording.expose(value, "energy").unwrap();
    let bound = recording.compile(gpu, &gibbs::gpu::Bindings::new().with("cost/map", &tensor));
    expect(bound, "Shape", &["cost/map", "[4] f32", "[3] f32"]);
}

#[test]
fn wrong_inputs_of_an_energy_are_named() {
    let quadratic = QuadraticEnergy::isotropic(&[0.0; 2], 1.0).unwrap().following(&[1.0; 6]).unwrap();
    let options = ShaderEnergyOptions::new(3, 2, Gradient::CentralDifferences { step: 0.01 });
    let cost = shader(BOWL, options).unwrap();
    let mixture = MixtureEnergy::isotropic(&[1.0], &[0.0; 2], &[1.0]).unwrap();
    let mut recording = Recording::new("run");
    let mut slot = |name: &str, shape: &[usize]| {
        recording.slot(name, DType::F32, gibbs::gpu::Shape::new(shape.to_vec())).unwrap()
    };
    let (x, fusable, y) = (slot("x", &[4, 3]), slot("narrow", &[4, 2]), slot("y", &[4, 5, 2]));
    let (flat, other, wide, none) = (
        slot("flat", &[20, 2]),
        slot("other", &[5, 4, 2]),
        slot("wide", &[4, 5, 3]),
        slot("none", &[4, 0, 2]),
    );
    let all: [(&dyn Energy, &str); 2] = [(&quadratic, "quadratic energy"), (&cost, "energy `cost`")];
    for (energy, name) in all {
        assert!(energy.record_value(&mut recording, Some(x), y).is_ok());
        expect(energy.record_value(&mut recording, None, y), "Argument", &[name, "context", "missing", "3]"]);
        expect(
            energy.record_value(&mut recording, Some(fusable), y),
            "Shape",
            &[name, "[4, 2]", "[contexts, 3]"],
        );
        for (y, found) in [(flat, "[20, 2]"), (other, "[5, 4, 2]")] {
            let gradient = energy.record_gradient(&mut recording, Some(x), y);
            expect(gradient, "Shape", &[name, found, "[4, chains, 2]"]);
        }
    }
    let all: [(&dyn Energy, &str); 3] = [all[0], all[1], (&mixture, "mixture energy")];
    for (energy, name) in all {
        for (y, found) in [(wide, "[4, 5, 3]"), (none, "[4, 0, 2]")] {
            let both = energy.record_value_and_gradient(&mut recording, Some(x), y);
            expect(both, "Shape", &[name, found, "[contexts, chains, 2]"]);
        }
    }
    // An energy that takes no context ignores one.
    assert!(mixture.record_value(&mut recording, Some(fusable), flat).is_ok());
}

#[test]
fn numbers_that_are_no_gaussian_are_refused() {
    let quadratic = "quadratic energy";
    let full = |matrix: &[f64]| QuadraticEnergy::full(&[0.0, 1.0], matrix);
    expect(full(&[1.0, 0.5, 0.25, 1.0]), "Argument", &[quadratic, "not symmetric", "row 1, column 0"]);
    for matrix in [[1.0, 2.0, 2.0, 1.0], [0.0; 4], [1.0, f64::NAN, f64::NAN, 1.0], [1.0, 0.0, 0.0, 1e-60]] {
        expect(full(&matrix), "Argument", &[quadratic, "not positive definite"]);
    }
    // Positive definite in f64, singular in f32.
    expect(full(&[1.0, 1.0 - 1e-12, 1.0 - 1e-12, 1.0]), "Argument", &["not positive definite in f32"]);
    expect(full(&[1.0; 3]), "Argument", &["3 elements", "2 x 2"]);
    expect(QuadraticEnergy::full(&[0.0; 129], &[1.0; 129 * 129]), "Argument", &["129", "at most 128"]);
    expect(QuadraticEnergy::full(&[], &[]), "Argument", &[quadratic, "is 0"]);
    expect(QuadraticEnergy::diagonal(&[0.0; 2], &[1.0, -1.0]), "Argument", &["-1 at 1", "positive"]);
    expect(QuadraticEnergy::diagonal(&[0.0; 2], &[1.0]), "Argument", &["1 number, not 2"]);
    expect(QuadraticEnergy::isotropic(&[f64::INFINITY], 1.0), "Argument", &["mean", "inf at 0"]);
    expect(QuadraticEnergy::isotropic(&[0.0], 1e60), "Argument", &["matrix", "finite f32"]);
    let good = QuadraticEnergy::isotropic(&[0.0; 2], 1.0).unwrap();
    expect(good.clone().following(&[1.0; 3]), "Argument", &["slope", "3 numbers", "2 rows"]);
    expect(good.clone().following(&[]), "Argument", &["slope", "0 numbers"]);
    expect(good.clone().following(&vec![1.0; 40000]), "Argument", &["context width", "32768"]);
    expect(good.mean(&[1.0]), "Argument", &["context", "1 number, not 0"]);

    let mixture = "Gaussian mixture";
    let make = MixtureEnergy::diagonal;
    expect(make(&[], &[], &[]), "Argument", &[mixture, "0 components"]);
    expect(make(&[1.0, 1.0], &[0.0; 3], &[1.0; 3]), "Argument", &[mixture, "3 numbers"]);
    expect(make(&[1.0, 1.0], &[0.0; 2], &[1.0; 3]), "Argument", &["standard deviations", "3 numbers"]);
    expect(make(&[1.0, 0.0], &[0.0; 2], &[1.0; 2]), "Argument", &["weights", "0 at 1", "positive"]);
    expect(make(&[1.0], &[f64::NAN], &[1.0]), "Argument", &["means", "NaN at 0"]);
    expect(make(&[1.0], &[0.0], &[-1.0]), "Argument", &["standard deviations", "-1 at 0"]);
    expect(make(&[1.0], &[0.0], &[1e-45]), "Argument", &["standard deviations", "1 / it"]);
    expect(make(&[1.0], &[0.0; 129], &[1.0; 129]), "Argument", &["129", "128 dimensions"]);
    expect(make(&[1.0; 16385], &[0.0; 16385], &[1.0; 16385]), "Argument", &["16385", "16384"]);
    expect(MixtureEnergy::isotropic(&[1.0], &[0.0; 2], &[1.0; 2]), "Argument", &["2 numbers for 1"]);
    let one = MixtureEnergy::isotropic(&[1.0], &[0.0; 2], &[1.0]).unwrap();
    expect(one.log_density(&[0.0]), "Argument", &["the point has 1 number, the mixture has 2 dimensions"]);
}

// -------------------------------------------------------------------------------------------------
// Chains
// -------------------------------------------------------------------------------------------------

const CONTEXTS: [[f32; 2]; 3] = [[0.0, 0.0], [1.0, -0.5], [-2.0, 3.0]];
const MEAN: [f64; 2] = [0.5, -1.0];
const MATRIX: [f64; 4] = [2.0, 0.75, 0.75, 1.25];
const FOLLOWING: [f64; 4] = [1.0, 0.25, -0.5, 2.0];

fn gaussian() -> QuadraticEnergy {
    QuadraticEnergy::full(&MEAN, &MATRIX).unwrap().following(&FOLLOWING).unwrap()
}

fn written() -> ShaderEnergy {
    let text = "
        fn distance_to_mean(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> vec2<f32> {
            return vec2(y[0] - 0.5 - x[0] - 0.25 * x[1], y[1] + 1.0 + 0.5 * x[0] - 2.0 * x[1]);
        }
        fn slope(d: vec2<f32>) -> vec2<f32> { return mat2x2(2.0, off, off, 1.25) * d; }
        fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
            let d = distance_to_mean(x, y);
            return 0.5 * dot(d, slope(d));
        }
        fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {
            let g = slope(distance_to_mean(x, y));
            return array<f32, DIMS>(g.x, g.y);
        }";
    let options = ShaderEnergyOptions::new(2, 2, Gradient::Written).number("off", 0.75f32);
    ShaderEnergy::new("written", "test/written.wgsl", text, options).unwrap()
}

/// The ends of Langevin chains that start from standard normals.
fn chains(
    gpu: &Gpu,
    energy: &dyn Energy,
    contexts: &[[f32; 2]],
    chains: usize,
    (steps, eta): (usize, f64),
) -> Vec<f32> {
    let (count, dims) = (contexts.len(), energy.dims());
    let mut recording = Recording::tuned("chains", gpu.capabilities().class);
    let flat = contexts.as_flattened();
    let context = recording.constant("context", [count, 2], flat).unwrap();
    let y = recording.scratch("y", DType::F32, [count, chains, dims]);
    let stream = recording.stream("energies/start").unwrap();
    random::record(&mut recording, Distribution::Normal, stream, 0, y).unwrap();
    let langevin =
        Langevin::default().with_steps(steps).with_step_sizes(StepSchedule::Constant { value: eta });
    langevin.record(&mut recording, energy, Some(context), y, "energies/langevin").unwrap();
    // Where there are walls, the starts and every move are settled, and the refused are told.
    let settling = if energy.has_walls() { 2 + steps + 1 } else { 0 };
    assert_eq!(recording.len(), 1 + 2 * steps + settling, "a step is two dispatches, of walls three");
    recording.expose(y, "chains").unwrap();
    let ends = common::poisoned(gpu, "chains", DType::F32, [count, chains, dims]);
    let bindings = RunState::new(gpu, 71).unwrap().bindings().merge(&energy.bindings()).with("chains", &ends);
    recording.compile(gpu, &bindings).unwrap().run(1).unwrap();
    gpu.read(&ends).unwrap()
}

/// Unadjusted Langevin has the stationary covariance `(A (1 - eta A / 2))^-1`: with it,
/// `C A (1 - eta A / 2) = 1`.
#[test]
fn chains_on_a_quadratic_have_the_mean_of_their_context_and_the_covariance_of_the_step_size() {
    let gpu = &lavapipe().gpu;
    let (energy, count, eta) = (gaussian(), 1 << 16, 0.2);
    // The slowest direction has a = 0.78: (1 - eta a)^2 ^ 40 is 1e-6.
    let ends = wide(&chains(gpu, &energy, &CONTEXTS, count, (40, eta)));
    let squared = [
        MATRIX[0] * MATRIX[0] + MATRIX[1] * MATRIX[2],
        MATRIX[1] * (MATRIX[0] + MATRIX[3]),
        MATRIX[2] * (MATRIX[0] + MATRIX[3]),
        MATRIX[1] * MATRIX[2] + MATRIX[3] * MATRIX[3],
    ];
    let inverse: Vec<f64> = MATRIX.iter().zip(squared).map(|(a, a2)| a - 0.5 * eta * a2).collect();
    let determinant = inverse[0] * inverse[3] - inverse[1] * inverse[2];
    let expected = [inverse[3] / determinant, -inverse[1] / determinant, inverse[0] / determinant];
    // Not that of the Gaussian itself, which is what a step size of 0 would give.
    assert!((expected[0] / (MATRIX[3] / (MATRIX[0] * MATRIX[3] - MATRIX[1] * MATRIX[2])) - 1.0).abs() > 0.05);
    for (context, ends) in CONTEXTS.iter().zip(ends.chunks_exact(2 * count)) {
        let mean = energy.mean(&context.map(f64::from)).unwrap();
        let n = count as f64;
        let average = |f: &dyn Fn(&[f64]) -> f64| ends.chunks_exact(2).map(f).sum::<f64>() / n;
        for j in 0..2 {
            let found = average(&|y| y[j]);
            let bound = 4.0 * (expected[2 * j] / n).sqrt();
            assert!((found - mean[j]).abs() < bound, "{context:?}: mean[{j}] {found}, expected {}", mean[j]);
        }
        for (at, (i, j)) in [(0, 0), (0, 1), (1, 1)].into_iter().enumerate() {
            let found = average(&|y| (y[i] - mean[i]) * (y[j] - mean[j]));
            let variance = expected[2 * i] * expected[2 * j] + expected[at] * expected[at];
            let bound = 4.0 * (variance / n).sqrt();
            eprintln!(
                "{context:?}: covariance[{i}, {j}] {found:.4}, expected {:.4} +- {bound:.4}",
                expected[at]
            );
            assert!((found - expected[at]).abs() < bound, "{context:?}: covariance[{i}, {j}] {found}");
        }
    }
}

/// The same density as a quadratic, a mixture of one component and a user's text: the same chains
/// up to rounding.
#[test]
fn chains_on_equal_energies_are_equal() {
    common::adapters().iter().for_each(equal_energies_have_equal_chains);
}

fn equal_energies_have_equal_chains(adapter: &Adapter) {
    let (gpu, run) = (&adapter.gpu, (25, 0.1));
    let expected = chains(gpu, &gaussian(), &CONTEXTS, 65, run);
    let agree = |what: &str, found: &[f32], expected: &[f32], bound: f32| {
        assert_eq!(found.len(), expected.len());
        let worst = found.iter().zip(expected).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
        assert!(
            found.iter().all(|v| v.is_finite()) && worst < bound,
            "{}: {what}: off by {worst}",
            adapter.name
        );
    };
    agree("written", &chains(gpu, &written(), &CONTEXTS, 65, run), &expected, 1e-5);
    let text = "
        fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
            let d = vec2(y[0] - 0.5 - x[0] - 0.25 * x[1], y[1] + 1.0 + 0.5 * x[0] - 2.0 * x[1]);
            return 0.5 * dot(d, matrix_of_pulls() * d);
        }
        fn matrix_of_pulls() -> mat2x2<f32> { return mat2x2(pulls[0], pulls[1], pulls[2], pulls[3]); }";
    let pulls = Tensor::from_slice(gpu, "pulls", [2, 2], &MATRIX.map(|v| v as f32)).unwrap();
    let options =
        ShaderEnergyOptions::new(2, 2, Gradient::CentralDifferences { step: 0.01 }).tensor("pulls", &pulls);
    let differences = ShaderEnergy::new("differences", "test/differences.wgsl", text, options).unwrap();
    // Energies below 100 are rounded to 4e-6, over 2 h = 0.02; pulls towards the mean forget such
    // errors.
    agree("differences", &chains(gpu, &differences, &CONTEXTS, 65, run), &expected, 5e-3);

    let diagonal = QuadraticEnergy::diagonal(&MEAN, &[4.0, 0.25]).unwrap();
    let expected = chains(gpu, &diagonal, &CONTEXTS, 65, run);
    let mixture = MixtureEnergy::diagonal(&[3.0], &MEAN, &[0.5, 2.0]).unwrap();
    agree("mixture", &chains(gpu, &mixture, &CONTEXTS, 65, run), &expected, 1e-5);
    // The mixture is normalized, the quadratic is not.
    let y = data(72, 6);
    let points = Points { context: &[], contexts: 1, y: &y, dims: 2 };
    let value = |energy: &dyn Energy| evaluate_energy(gpu, energy, &points).unwrap();
    let shifted: Vec<f32> = value(&diagonal).iter().map(|e| e + diagonal.log_partition() as f32).collect();
    agree("log-partition", &value(&mixture), &shifted, 1e-5);
    let slopes = |energy: &dyn Energy| evaluate_gradient(gpu, energy, &points).unwrap();
    agree("gradient", &slopes(&mixture), &slopes(&diagonal), 1e-5);
}

/// The sampler with its proposal takes them like any network; its best chain is near the lowest
/// point.
#[test]
fn the_chain_sampler_takes_analytic_and_written_energies() {
    let gpu = &lavapipe().gpu;
    let proposal = UniformBox::new(&[-8.0; 2], &[8.0; 2]).unwrap();
    let langevin = Langevin::default()
        .with_steps(60)
        .with_step_sizes(StepSchedule::Geometric { first: 0.2, last: 1e-3 })
        .with_quiet_last(true);
    let options = ChainOptions::default()
        .with_contexts(3)
        .with_context_width(2)
        .with_chains(256)
        .with_dynamics(langevin)
        .with_returns(Return::Lowest)
        .with_seed(5);
    let (gaussian, written) = (gaussian(), written());
    for energy in [&gaussian as &dyn Energy, &written] {
        let mut sampler = ChainSampler::new(gpu, energy, &proposal, &options).unwrap();
        let best = sampler.sample(CONTEXTS.as_flattened()).unwrap();
        for (context, best) in CONTEXTS.iter().zip(best.chunks_exact(2)) {
            let mean = gaussian.mean(&context.map(f64::from)).unwrap();
            for (y, mean) in best.iter().zip(mean) {
                assert!((f64::from(*y) - mean).abs() < 0.3, "{context:?}: {best:?}");
            }
        }
    }
}
