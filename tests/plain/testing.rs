//! The public harness on devices: what must pass passes, and every planted fault is caught.

use gibbs::gpu::{DType, Gpu, KernelSource, Recording, Shape, Value};
use gibbs::testing;
use gibbs::testing::{
    Adapter, Bound, Case, Configuration, Expect, Failure, GradientCheck, Match, POISON, check_gradient,
    check_gradient_on_device, data, on_every_adapter, wide,
};

/// `y[r] = sum_j x[r, j]^2`, or its backward pass `dx[r, j] = 2 x[r, j] seed[r]`.
const SQUARES: &str = "
struct Params {
    rows: u32,
    width: u32,
    stride: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn squares(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.rows) {
        return;
    }
    var sum = 0.0;
    for (var j = 0u; j < params.width; j++) {
        let value = x[id.x * params.stride + j];
        sum += value * value;
    }
    y[id.x] = sum;
}
";

const BACKWARD: &str = "
struct Params {
    rows: u32,
    width: u32,
    stride: u32,
    drop_seed: u32,
    factor: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> seed: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;
@compute @workgroup_size(64)
fn squares_backward(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.rows * params.stride) {
        return;
    }
    let row = id.x / params.stride;
    let inside = id.x - row * params.stride < params.width;
    let incoming = select(seed[row], 1.0, params.drop_seed == 1u);
    dx[id.x] = select(0.0, params.factor * x[id.x] * incoming, inside);
}
";

fn forward(recording: &mut Recording, x: Value) -> gibbs::Result<Value> {
    let shape = recording.shape(x)?.clone();
    let y = recording.scratch("y", DType::F32, [shape.rows()]);
    recording
        .dispatch(&KernelSource::new("test/squares.wgsl", SQUARES), "squares")
        .bind("x", x)
        .bind("y", y)
        .set("rows", shape.rows() as u32)
        .set("width", shape.width() as u32)
        .set("stride", shape.stride() as u32)
        .invocations(shape.rows())
        .finish()?;
    Ok(y)
}

fn backward(
    recording: &mut Recording,
    x: Value,
    seed: Value,
    factor: f32,
    drop: u32,
) -> gibbs::Result<Value> {
    let shape = recording.shape(x)?.clone();
    let dx = recording.scratch("dx", DType::F32, shape.clone());
    recording
        .dispatch(&KernelSource::new("test/squares_backward.wgsl", BACKWARD), "squares backward")
        .bind("x", x)
        .bind("seed", seed)
        .bind("dx", dx)
        .set("rows", shape.rows() as u32)
        .set("width", shape.width() as u32)
        .set("stride", shape.stride() as u32)
        .set("drop_seed", drop)
        .set("factor", factor)
        .invocations(shape.len())
        .finish()?;
    Ok(dx)
}

fn gradient_check(rows: usize, width: usize, packed: bool) -> GradientCheck {
    GradientCheck {
        label: format!("squares {rows}x{width}, {packed}"),
        x: data(5, rows * width),
        shape: if packed { Shape::packed(rows, width) } else { Shape::new([rows, width]) },
        outputs: Shape::new([rows]),
        rounding: 2.0,
    }
}

/// The check against f64 and the one without, of a backward pass with a factor and perhaps without
/// its incoming gradient.
fn checks(
    adapter: &Adapter,
    shape: (usize, usize, bool),
    factor: f32,
    drop: u32,
) -> [Result<(), Failure>; 2] {
    let check = gradient_check(shape.0, shape.1, shape.2);
    let squares = |x: &[f64]| x.chunks(shape.1).map(|row| row.iter().map(|v| v * v).sum()).collect();
    let record =
        |case: &mut Case, x: Value, seed: Value| backward(&mut case.recording, x, seed, factor, drop);
    [
        check_gradient(adapter, &check, record, squares),
        check_gradient_on_device(adapter, &check, |case, x| forward(&mut case.recording, x), record),
    ]
}

#[test]
fn gradient_checks_tell_right_from_wrong() {
    on_every_adapter("gradients", &[], |adapter| {
        for shape in [(1, 1, false), (7, 3, false), (5, 7, true), (65, 2, true)] {
            for result in checks(adapter, shape, 2.0, 0) {
                result?;
            }
            for (what, factor, drop, needs_f64) in [
                ("the incoming gradient dropped", 2.0, 1, false),
                ("a factor of two missing", 1.0, 0, false),
                ("a sign wrong", -2.0, 0, false),
                ("a tenth too much", 2.2, 0, false),
                ("a hundredth of a percent too much", 2.0002, 0, true),
            ] {
                let [by_closure, by_device] = checks(adapter, shape, factor, drop);
                assert!(by_closure.is_err(), "f64 accepted: {what}, {shape:?}");
                assert!(needs_f64 || by_device.is_err(), "the device accepted: {what}, {shape:?}");
            }
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_device_check_that_says_nothing_fails() {
    // The slopes drown in the rounding of a large constant part.
    let mut check = gradient_check(3, 2, false);
    check.rounding = 1e6;
    let adapter = testing::first_adapter();
    let result = check_gradient_on_device(
        adapter,
        &check,
        |case, x| forward(&mut case.recording, x),
        |case, x, seed| backward(&mut case.recording, x, seed, 2.0, 0),
    );
    let words = result.unwrap_err().to_string();
    assert!(words.contains("says nothing"), "{words}");
}

fn squares_case(adapter: &Adapter, rows: usize, width: usize) -> Case {
    let mut case = Case::new(adapter, "squares");
    let x = case.packed("x", rows, width, &data(6, rows * width));
    let y = forward(&mut case.recording, x).unwrap();
    case.output("y", y);
    case.poisoned("other", DType::F32, [5]);
    case
}

#[test]
fn results_are_compared_and_wrong_answers_rejected() {
    on_every_adapter("squares", &[], |adapter| {
        for (rows, width) in [(1, 1), (7, 5), (65, 64), (257, 3)] {
            let case = squares_case(adapter, rows, width);
            case.check_kernels(&["squares"])?;
            assert!(case.check_kernels(&[]).is_err() && case.check_kernels(&["squares", "squares"]).is_err());
            let results = case.try_run()?;
            let x = wide(&data(6, rows * width));
            let good: Vec<f64> = x.chunks(width).map(|row| row.iter().map(|v| v * v).sum()).collect();
            let found: Vec<f32> = results.read("y")?;
            results.check("y", &found, &good, Bound::sum(&good, width))?;
            results.check_untouched("other", 0..5)?;
            let mut off = good.clone();
            off[rows - 1] *= 1.0 + 1e-4;
            assert!(results.check("y", &found, &off, Bound::sum(&good, width)).is_err(), "one element off");
            assert!(
                results.check("y", &found, &good[1..], Bound::sum(&good, width)).is_err(),
                "a row missing"
            );
            assert!(results.check_untouched("y", [rows - 1]).is_err(), "written, not untouched");
            assert!(results.check_untouched("other", [5]).is_err(), "outside");
            assert!(results.read::<f32>("none").is_err() && results.read::<u32>("y").is_err());
            assert!(results.read_packed("y").is_err(), "not packed");
            assert_eq!(results.bits("other"), [POISON; 5]);
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn mistakes_while_building_a_case_are_returned() {
    let adapter = testing::first_adapter();
    let mut case = Case::new(adapter, "mistaken");
    case.input("x", [3], &[1.0f32, 2.0]);
    let words = case.try_run().unwrap_err().to_string();
    assert!(words.contains("mistaken") && words.contains("`x`"), "{words}");

    let mut case = squares_case(adapter, 2, 2);
    case.input("x", [7], &[0u32; 7]);
    assert!(case.try_run().is_err(), "a name taken twice");
}

/// Natively `sin` is another function on every driver.
const WAVES: &str = "
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(1)
fn waves(@builtin(workgroup_id) group: vec3<u32>) {
    y[group.x] = sin(100.0 * x[group.x]);
}
";

fn waves(adapter: &Adapter) -> Result<testing::Results, Failure> {
    let mut case = Case::new(adapter, "waves");
    let x = case.input("x", [65], &data(7, 65));
    let y = case.poisoned("y", DType::F32, [65]);
    case.recording
        .dispatch(&KernelSource::new("test/waves.wgsl", WAVES), "waves")
        .bind("x", x)
        .bind("y", y)
        .workgroups([65, 1, 1])
        .finish()?;
    case.try_run()
}

#[test]
fn a_case_on_two_devices_must_give_the_same_bits() {
    let adapter = testing::first_adapter();
    let checked = adapter.with(Configuration::Checked).unwrap();
    assert!(checked.gpu.capabilities().checked && !adapter.gpu.capabilities().checked);
    waves(&checked).unwrap();
    let second = adapter.reopen(false);
    waves(&adapter.clone().against(second.clone())).unwrap();
    assert_eq!(second.counters().dispatches, 1, "the second device did not run");
    // Two versions of one renderer may agree to the last bit.
    let differs = |other: &&Adapter| other.gpu.info().name != adapter.gpu.info().name;
    match testing::adapters().iter().find(differs) {
        None => testing::say("one adapter only: that other bits are caught was not tested"),
        Some(other) => {
            let words = waves(&adapter.clone().against(other.gpu.clone())).unwrap_err().to_string();
            assert!(words.contains("`y`") && words.contains("words differ"), "{words}");
        }
    }
}

#[test]
fn expectations_are_weighed_on_every_adapter() {
    let wrong = |_: &Adapter| Err(Failure::new("y", "bits differ"));
    let known = [Expect::fails("known").on(Match::any()).saying("bits differ").because("a test").see("here")];
    on_every_adapter("known", &known, wrong).unwrap();
    let missing = on_every_adapter("known", &known, |_| Ok(())).unwrap_err().to_string();
    assert!(missing.contains("remove it"), "{missing}");
    let other = on_every_adapter("other", &known, wrong).unwrap_err().to_string();
    let name = testing::first_adapter().name;
    assert!(other.contains(name) && other.contains("bits differ"), "{other}");
    assert!(on_every_adapter("known", &known, |_| panic!("device lost")).is_err(), "other words");
}

#[test]
fn adapters_are_opened_once() {
    let devices = |_| testing::adapters().iter().map(|adapter| adapter.gpu.clone()).collect::<Vec<Gpu>>();
    let (first, again) = (devices(0), devices(1));
    assert!(!first.is_empty());
    for (a, b) in first.iter().zip(&again) {
        assert_eq!(a.device(), b.device());
    }
}
