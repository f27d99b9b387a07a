//! Bindings, parameters, knobs and grids of one dispatch.

use gibbs::gpu::{Bindings, DType, KernelSource, Recording, Value};

use super::expectation::{expect, scale, slots};
use crate::common::lavapipe;

#[test]
fn wrong_bindings_are_named() {
    let mut recording = Recording::new("run");
    let (input, result) = slots(&mut recording);
    let words = recording.slot("words", DType::U32, [100]).unwrap();
    let empty = recording.slot("empty", DType::F32, [0]).unwrap();
    let table = recording.constant("table", [100], &[0.0f32; 100]).unwrap();
    let scratch = recording.scratch("fresh", DType::F32, [100]);
    let mut foreign = Recording::new("foreign");
    let stranger = foreign.slot("input", DType::F32, [100]).unwrap();
    type Bound<'a> = &'a [(&'a str, Value)];
    let cases: [(Bound<'_>, &[&str]); 11] = [
        (&[("input", input)], &["`result`", "is missing"]),
        (&[], &["`input`", "is missing"]),
        (
            &[("input", input), ("result", result), ("spare", input)],
            &["`spare`", "not a binding", "input, result"],
        ),
        (&[("input", input), ("result", result), ("params", input)], &["`params`", "not a binding"]),
        (&[("input", words), ("result", result)], &["`input`", "f32", "`words`", "u32"]),
        (&[("input", input), ("input", input), ("result", result)], &["`input`", "bound twice"]),
        (&[("input", result), ("result", result)], &["`result`", "`input`", "same tensor `result`"]),
        (&[("input", input), ("result", table)], &["`result`", "written", "constant"]),
        (&[("input", scratch), ("result", result)], &["`input`", "`fresh`", "before any dispatch wrote it"]),
        (&[("input", stranger), ("result", result)], &["`input`", "another recording"]),
        (&[("input", empty), ("result", result)], &["`input`", "at least 4 bytes", "`empty`", "has 0"]),
    ];
    for (bound, words) in cases {
        let mut dispatch = recording.dispatch(&scale(), "scale");
        for (name, value) in bound {
            dispatch = dispatch.bind(name, *value);
        }
        let finished = dispatch.set("count", 100u32).set("factor", 1.0f32).invocations(100).finish();
        let text = expect(finished, "Binding", words);
        assert!(text.starts_with("run/scale: kernel `scale`"), "{text}");
    }
    assert!(recording.is_empty(), "a refused dispatch leaves no trace");
    let quads = "
@group(0) @binding(0) var<storage, read_write> result: array<vec4<f32>>;
@compute @workgroup_size(1)
fn quads() { result[0] = vec4<f32>(0.0); }
";
    let odd = recording.slot("odd", DType::F32, [6]).unwrap();
    let finished = recording
        .dispatch(&KernelSource::new("user/quads.wgsl", quads), "quads")
        .bind("result", odd)
        .workgroups([1, 1, 1])
        .finish();
    expect(finished, "Binding", &["`result`", "16-byte", "`odd`", "24 bytes", "packed"]);
}

#[test]
fn wrong_parameters_are_named() {
    type Params<'a> = &'a [(&'a str, gibbs::gpu::Param)];
    let cases: [(Params<'_>, &[&str]); 6] = [
        (&[("count", 100u32.into())], &["`factor`", "was not set"]),
        (
            &[("count", 100u32.into()), ("factor", 1.0f32.into()), ("more", 1u32.into())],
            &["`more`", "not a member"],
        ),
        (&[("count", 100.0f32.into()), ("factor", 1.0f32.into())], &["`count`", "is a u32", "set to a f32"]),
        (&[("count", 100i32.into()), ("factor", 1.0f32.into())], &["`count`", "is a u32", "set to a i32"]),
        (&[("count", 1u32.into()), ("factor", 1u32.into())], &["`factor`", "is a f32", "set to a u32"]),
        (
            &[("count", 1u32.into()), ("count", 2u32.into()), ("factor", 1.0f32.into())],
            &["`count`", "set twice"],
        ),
    ];
    let mut recording = Recording::new("run");
    let (input, result) = slots(&mut recording);
    for (params, words) in cases {
        let mut dispatch = recording.dispatch(&scale(), "scale").bind("input", input).bind("result", result);
        for (name, value) in params {
            dispatch = dispatch.set(name, *value);
        }
        expect(dispatch.invocations(100).finish(), "Binding", words);
    }
    let text = "@compute @workgroup_size(1)\nfn bare() { }\n";
    let bare = KernelSource::new("user/bare.wgsl", text);
    let finished = recording.dispatch(&bare, "bare").set("count", 1u32).workgroups([1, 1, 1]).finish();
    expect(finished, "Binding", &["`count`", "no `params` uniform"]);
    let knob = recording.knob("gain", 1.0);
    let finished = recording.dispatch(&bare, "bare").knob("gain", knob).workgroups([1, 1, 1]).finish();
    expect(finished, "Binding", &["`gain`", "no `knobs` uniform"]);
}

const KNOBS: &str = "
struct Knobs {
    gain: f32,
}
@group(0) @binding(0) var<uniform> knobs: Knobs;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
@compute @workgroup_size(1)
fn knobs_only() { result[0] = knobs.gain; }
";

#[test]
fn wrong_knobs_are_named() {
    let gpu = &lavapipe().gpu;
    let kernel = KernelSource::new("user/knobs_only.wgsl", KNOBS);
    let mut other = Recording::new("other");
    for name in ["a", "b", "c"] {
        other.knob(name, 0.0);
    }
    let stranger = other.knob("d", 0.0);
    let mut recording = Recording::new("run");
    let result = recording.slot("result", DType::F32, [1]).unwrap();
    let own = recording.knob("gain", 1.0);
    let mut turned = |name: &str, knob| {
        recording
            .dispatch(&kernel, "k")
            .bind("result", result)
            .knob(name, knob)
            .workgroups([1, 1, 1])
            .finish()
    };
    expect(turned("loudness", own), "Binding", &["`loudness`", "not a member", "`knobs`"]);
    expect(turned("gain", stranger), "Binding", &["`gain`", "another recording"]);
    expect(turned("gain", other.knob("a", 0.0)), "Binding", &["`gain`", "another recording"]);
    turned("gain", own).unwrap();
    for bad in [f32::NAN, f32::INFINITY] {
        let knob = recording.knob(&format!("begins at {bad}"), bad);
        let finished = recording.dispatch(&kernel, "k").bind("result", result).knob("gain", knob);
        let finished = finished.workgroups([1, 1, 1]).finish();
        expect(finished, "Binding", &["`gain`", &format!("begins at {bad}"), "finite"]);
    }
    let untouched = recording.dispatch(&kernel, "k").bind("result", result).workgroups([1, 1, 1]).finish();
    expect(untouched, "Binding", &["`gain`", "has no knob"]);
    let twice = recording.dispatch(&kernel, "k").bind("result", result).knob("gain", own).knob("gain", own);
    expect(twice.workgroups([1, 1, 1]).finish(), "Binding", &["`gain`", "two knobs"]);
    let plan = recording.compile(gpu, &Bindings::new()).unwrap();
    expect(plan.set_knob(own, f32::NAN), "Argument", &["run", "knob `gain`", "is set to NaN", "finite"]);
    expect(plan.set_knob(stranger, 1.0), "Argument", &["knob", "another recording"]);
    expect(plan.set_knob(other.knob("a", 0.0), 1.0), "Argument", &["knob", "another recording"]);
    plan.set_knob(own, 2.0).unwrap();
}

#[test]
fn grids_that_cannot_run_are_refused() {
    let mut recording = Recording::new("run");
    let (input, result) = slots(&mut recording);
    macro_rules! scale {
        ($($grid:tt)*) => {
            recording
                .dispatch(&scale(), "scale")
                .bind("input", input)
                .bind("result", result)
                .set("count", 100u32)
                .set("factor", 1.0f32)
                $($grid)*
                .finish()
        };
    }
    expect(scale!(), "Binding", &["`grid`", "not given"]);
    expect(scale!(.invocations(0)), "Argument", &["run/scale", "grid", "empty"]);
    expect(scale!(.workgroups_folded(0)), "Argument", &["grid", "empty"]);
    expect(scale!(.workgroups([1, 0, 1])), "Argument", &["grid", "empty", "[1, 0, 1]"]);
    let hint = "use fewer rows";
    expect(scale!(.workgroups([65536, 1, 1])), "Limit", &["run/scale", "workgroups", "65536", "65535", hint]);
    expect(scale!(.workgroups_folded(65535 * 65535 + 1)), "Limit", &["workgroups", "65536", "65535"]);
    expect(scale!(.invocations(usize::MAX)), "Limit", &["workgroups", "65535"]);
    assert!(recording.is_empty());
}
