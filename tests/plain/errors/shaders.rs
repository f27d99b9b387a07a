//! Texts of kernels, and kernels that an adapter cannot run.

use gibbs::Error;
use gibbs::gpu::{Bindings, DType, KernelSource, Recording};

use super::expectation::{expect, still_works};
use crate::common::lavapipe;

/// Records one dispatch of a user's kernel without bindings.
fn record_text(path: &str, text: &str) -> gibbs::Result<()> {
    let mut recording = Recording::new("run");
    recording.dispatch(&KernelSource::new(path, text), "user").workgroups([1, 1, 1]).finish()
}

/// Where a shader error says it is.
#[track_caller]
fn place(result: gibbs::Result<()>) -> (String, u32, u32) {
    match result {
        Err(Error::Shader { file, line, column, .. }) => (file, line, column),
        Err(other) => panic!("expected a shader error, got {other}"),
        Ok(()) => panic!("expected a shader error"),
    }
}

#[test]
fn a_shader_error_names_file_line_and_column_of_what_a_person_wrote() {
    let broken = "// first\n@compute @workgroup_size(1)\nfn broken() {\n    let a = 1 +* 2;\n}\n";
    assert_eq!(place(record_text("my/broken.wgsl", broken)), ("my/broken.wgsl".into(), 4, 16));
    expect(record_text("my/broken.wgsl", broken), "Shader", &["my/broken.wgsl:4:16", "kernel `broken`"]);
    // The same behind an include, whose lines do not count.
    let user = format!("//#include \"lib/philox.wgsl\"\n{broken}");
    assert_eq!(place(record_text("my/broken.wgsl", &user)), ("my/broken.wgsl".into(), 5, 16));
    // And behind defines.
    let mut recording = Recording::new("run");
    let kernel = KernelSource::new("my/broken.wgsl", user.clone());
    let defined =
        recording.dispatch(&kernel, "user").define("A", 1).define("B", 2).workgroups([1, 1, 1]).finish();
    assert_eq!(place(defined), ("my/broken.wgsl".into(), 5, 16));
    // An error of meaning, found by the validator.
    let typed = "//#include \"lib/finite.wgsl\"\n@compute @workgroup_size(1)\nfn typed() {\n    let a: u32 = is_finite(1.0);\n}\n";
    let (file, line, _) = place(record_text("my/typed.wgsl", typed));
    assert_eq!((file.as_str(), line), ("my/typed.wgsl", 4));
    let unknown = "@compute @workgroup_size(1)\nfn unknown() {\n  nothing_of_that_name();\n}\n";
    let text = expect(record_text("my/unknown.wgsl", unknown), "Shader", &["my/unknown.wgsl:3:3"]);
    assert!(text.contains("nothing_of_that_name"), "{text}");
}

#[test]
fn an_error_that_shows_in_a_fragment_names_the_fragment() {
    // The fragment needs what its user did not declare.
    let user = "// one\n//#include \"lib/mixture.wgsl\"\n@compute @workgroup_size(1)\nfn user() { }\n";
    let (file, line, _) = place(record_text("my/user.wgsl", user));
    assert_eq!(file, "lib/mixture.wgsl");
    assert!(line > 1);
}

#[test]
fn what_a_kernel_must_have_is_asked_for() {
    let main = "@compute @workgroup_size(1)\nfn main() { }\n";
    expect(record_text("my/other.wgsl", main), "Shader", &["my/other.wgsl", "no entry point `other`"]);
    expect(record_text("my/empty.wgsl", ""), "Shader", &["no entry point `empty`"]);
    let include = "// one\n//#include \"lib/none.wgsl\"\n";
    expect(
        record_text("my/x.wgsl", include),
        "Shader",
        &["my/x.wgsl:2:1", "`lib/none.wgsl`", "lib/philox.wgsl"],
    );
    let kernel =
        |declaration: &str| format!("{declaration}\n@compute @workgroup_size(1)\nfn k() {{ _ = a; }}\n");
    let group = kernel("@group(1) @binding(0) var<storage, read> a: u32;");
    expect(record_text("my/k.wgsl", &group), "Shader", &["`a`", "group 1", "use group 0"]);
    let immediate = kernel("var<immediate> a: u32;");
    expect(record_text("my/k.wgsl", &immediate), "Shader", &["`a`", "immediates"]);
    let mixed = kernel("struct S { x: u32, y: f32 }\n@group(0) @binding(0) var<uniform> a: S;");
    expect(record_text("my/k.wgsl", &mixed), "Shader", &["`a`", "one kind of 32-bit scalar"]);
    let nested = kernel("struct S { x: vec2<u32> }\n@group(0) @binding(0) var<uniform> params: S;")
        .replace("_ = a", "_ = params.x");
    expect(record_text("my/k.wgsl", &nested), "Shader", &["`params`", "struct of scalars"]);
}

#[test]
fn kernels_beyond_the_adapters_limits_are_refused_before_wgpu_sees_them() {
    let gpu = lavapipe().reopen(false);
    let record = |text: &str, size: Option<f64>| {
        let mut recording = Recording::new("run");
        let result = recording.slot("result", DType::F32, [4]).unwrap();
        let kernel = KernelSource::new("user/big.wgsl", text);
        let mut dispatch = recording.dispatch(&kernel, "big").bind("result", result).workgroups([1, 1, 1]);
        if let Some(size) = size {
            dispatch = dispatch.override_constant("SIZE", size);
        }
        dispatch.finish().map(|()| recording)
    };
    let memory = "
@group(0) @binding(0) var<storage, read_write> result: array<f32>;
var<workgroup> tile: array<vec4<f32>, 4096>;
@compute @workgroup_size(64)
fn big(@builtin(local_invocation_index) lane: u32) {
    tile[lane] = vec4<f32>(1.0);
    workgroupBarrier();
    result[0] = tile[(lane + 1u) % 64u].x;
}
";
    let compiled = record(memory, None).unwrap().compile(&gpu, &Bindings::new());
    let granted = gpu.capabilities().limits.max_compute_workgroup_storage_size.to_string();
    expect(compiled, "Limit", &["pipeline `big`", "workgroup memory in bytes", "65536", &granted]);
    let sized = "
override SIZE: u32 = 64u;
@group(0) @binding(0) var<storage, read_write> result: array<f32>;
@compute @workgroup_size(SIZE)
fn big(@builtin(local_invocation_index) lane: u32) { result[0] = f32(lane); }
";
    let compiled = record(sized, Some(4096.0)).unwrap().compile(&gpu, &Bindings::new());
    expect(compiled, "Limit", &["pipeline `big`", "workgroup size x", "4096"]);
    assert_eq!(gpu.counters().pipelines, 0, "refused before wgpu was asked");
    expect(record(sized, Some(1.5)), "Shader", &["`SIZE`", "1.5", "integer"]);
    expect(record(sized, Some(-1.0)), "Shader", &["`SIZE`", "-1", "integer"]);
    expect(record(sized, Some(f64::NAN)), "Shader", &["`SIZE`", "NaN"]);
    expect(record(sized, Some(0.0)), "Shader", &["user/big.wgsl"]);
    expect(record(memory, Some(1.0)), "Shader", &["no override `SIZE`"]);
    let good = record(sized, Some(32.0)).unwrap();
    good.compile(&gpu, &Bindings::new()).expect("a size that fits");
    still_works(&gpu);
}

#[test]
fn a_kernel_that_panics_the_translator_gives_an_error_and_leaves_the_device_alone() {
    let gpu = lavapipe().reopen(false);
    let text = "
@group(0) @binding(0) var<storage, read_write> result: array<f32>;
fn bump(p: ptr<function, f32>) { *p += 1.0; }
@compute @workgroup_size(1)
fn part() {
    var parts: array<f32, 4>;
    bump(&parts[1]);
    result[0] = parts[1];
}
";
    let mut recording = Recording::new("run");
    let result = recording.slot("result", DType::F32, [4]).unwrap();
    recording
        .dispatch(&KernelSource::new("user/part.wgsl", text), "part")
        .bind("result", result)
        .workgroups([1, 1, 1])
        .finish()
        .expect("naga validates it");
    for _ in 0..2 {
        let compiled = recording.compile(&gpu, &Bindings::new());
        expect(compiled, "Device", &["pipeline `part`", &gpu.info().name, "panicked"]);
    }
    still_works(&gpu);
}
