//! Every kernel in every variant, translated for every backend and held to the house rules, without
//! a device.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use gibbs::gpu::{KernelSource, KernelVariant, MemberType, StructLayout};
use naga::valid::{Capabilities, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, StorageAccess};

/// Translations that cannot work, with the reason: path of the kernel, writer, why. An entry that
/// is not needed fails.
const EXEMPT: [(&str, &str, &str); 0] = [];

const MAX_STORAGE_BINDINGS: usize = 7;
const MAX_WORKGROUP_BYTES: u64 = 16 << 10;
const MAX_INVOCATIONS: u32 = 256;

type Writer = fn(&naga::Module, &ModuleInfo, &str) -> Result<String, String>;
const WRITERS: [(&str, Writer); 4] =
    [("SPIR-V", spirv), ("MSL 2.3", msl), ("HLSL 6.2", hlsl), ("GLSL ES 3.1", glsl)];

fn spirv(module: &naga::Module, info: &ModuleInfo, _: &str) -> Result<String, String> {
    let words = naga::back::spv::write_vec(module, info, &naga::back::spv::Options::default(), None)
        .map_err(|error| error.to_string())?;
    Ok(format!("{} words", words.len()))
}

fn msl(module: &naga::Module, info: &ModuleInfo, entry: &str) -> Result<String, String> {
    let options = naga::back::msl::Options { lang_version: (2, 3), ..Default::default() };
    let pipeline = naga::back::msl::PipelineOptions {
        entry_point: Some((naga::ShaderStage::Compute, entry.into())),
        ..Default::default()
    };
    let (text, translation) = naga::back::msl::write_string(module, info, &options, &pipeline)
        .map_err(|error| error.to_string())?;
    for name in translation.entry_point_names {
        name.map_err(|error| error.to_string())?;
    }
    Ok(text)
}

fn hlsl(module: &naga::Module, info: &ModuleInfo, entry: &str) -> Result<String, String> {
    let options =
        naga::back::hlsl::Options { shader_model: naga::back::hlsl::ShaderModel::V6_2, ..Default::default() };
    let pipeline =
        naga::back::hlsl::PipelineOptions { entry_point: Some((naga::ShaderStage::Compute, entry.into())) };
    let mut text = String::new();
    let reflection = naga::back::hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .map_err(|error| error.to_string())?;
    for name in reflection.entry_point_names {
        name.map_err(|error| error.to_string())?;
    }
    Ok(text)
}

fn glsl(module: &naga::Module, info: &ModuleInfo, entry: &str) -> Result<String, String> {
    let options =
        naga::back::glsl::Options { version: naga::back::glsl::Version::new_gles(310), ..Default::default() };
    let pipeline = naga::back::glsl::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: entry.into(),
        multiview: None,
    };
    let mut text = String::new();
    let policies = naga::proc::BoundsCheckPolicies::default();
    naga::back::glsl::Writer::new(&mut text, module, info, &options, &pipeline, policies)
        .and_then(|mut writer| writer.write())
        .map_err(|error| error.to_string())?;
    Ok(text)
}

/// Name of a variant in messages.
fn title(variant: &KernelVariant) -> String {
    let defines: Vec<_> = variant.defines.iter().map(|d| format!("{}={}", d.name, d.value)).collect();
    format!("{} [{}]", variant.source.path(), defines.join(" "))
}

pub(super) fn validated(variant: &KernelVariant) -> Result<(naga::Module, ModuleInfo), String> {
    let module = variant.module().map_err(|error| error.to_string())?;
    // No capability at all: a host with a plain device must be able to run it.
    let info = Validator::new(ValidationFlags::all(), Capabilities::SUBGROUP)
        .validate(&module)
        .map_err(|error| error.emit_to_string(variant.source.text()))?;
    Ok((module, info))
}

/// Runs one writer; a panic counts as a failure of it.
fn translate(
    write: Writer,
    (module, info): &(naga::Module, ModuleInfo),
    entry: &str,
) -> Result<String, String> {
    let text = catch_unwind(AssertUnwindSafe(|| write(module, info, entry))).map_err(|panic| {
        format!("panicked: {}", panic.downcast_ref::<String>().cloned().unwrap_or_default())
    })??;
    if text.is_empty() { Err("wrote nothing".into()) } else { Ok(text) }
}

/// Failures without an exemption, and exemptions without a failure.
fn judge(failures: &[(String, &str, String)], exempt: &[(&str, &str, &str)]) -> Vec<String> {
    let fits = |path: &str, writer: &str, e: &(&str, &str, &str)| e.0 == path && e.1 == writer;
    let mut faults: Vec<String> = failures
        .iter()
        .filter(|(path, writer, _)| !exempt.iter().any(|e| fits(path, writer, e)))
        .map(|(path, writer, cause)| format!("{path}: {writer}: {cause}"))
        .collect();
    faults.extend(
        exempt
            .iter()
            .filter(|e| !failures.iter().any(|(path, writer, _)| fits(path, writer, e)))
            .map(|(path, writer, reason)| format!("{path}: {writer} works: remove the exemption ({reason})")),
    );
    faults
}

#[test]
fn every_variant_translates_for_every_backend() {
    crate::common::alive::watch();
    let variants = gibbs::kernels();
    let kernels: BTreeSet<_> = variants.iter().map(|variant| variant.source.path().to_owned()).collect();
    assert!(kernels.len() >= 15 && variants.len() > kernels.len(), "only {} kernels found", kernels.len());
    let mut failures = Vec::new();
    let mut broken = Vec::new();
    let mut translated = 0;
    for variant in &variants {
        let module = match validated(variant) {
            Ok(module) => module,
            Err(cause) => {
                broken.push(format!("{}: {cause}", title(variant)));
                continue;
            }
        };
        for (writer, write) in WRITERS {
            match translate(write, &module, variant.source.stem()) {
                Ok(_) => translated += 1,
                Err(cause) => failures.push((variant.source.path().to_owned(), writer, cause)),
            }
        }
    }
    broken.extend(judge(&failures, &EXEMPT));
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert_eq!(translated + failures.len(), WRITERS.len() * variants.len());
}

#[test]
fn a_missing_and_an_unneeded_exemption_are_found() {
    let failures = [("a/b.wgsl".to_owned(), "MSL 2.3", "no".to_owned())];
    assert_eq!(judge(&failures, &[]).len(), 1);
    assert_eq!(judge(&failures, &[("a/b.wgsl", "MSL 2.3", "known")]).len(), 0);
    assert_eq!(judge(&failures, &[("a/b.wgsl", "SPIR-V", "known")]).len(), 2);
    assert_eq!(judge(&[], &[("a/b.wgsl", "MSL 2.3", "known")]).len(), 1);
}

#[test]
fn a_panicking_writer_counts_as_a_failure() {
    // naga 30 validates a pointer to a part of a variable as an argument; its SPIR-V writer then
    // panics.
    let text = "
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
fn bump(p: ptr<function, f32>) { *p += 1.0; }
@compute @workgroup_size(1)
fn part() {
    var parts: array<f32, 4>;
    bump(&parts[1]);
    out[0] = parts[1];
}
";
    let variant = KernelVariant::new(&KernelSource::new("test/part.wgsl", text), &[]);
    let module = validated(&variant).expect("naga validates it");
    assert!(translate(spirv, &module, "part").is_err(), "naga learned it: drop this test and the house rule");
    assert!(translate(|_, _, _| Ok(String::new()), &module, "part").is_err());
}

/// Storage bindings, bytes of workgroup memory, invocations.
fn sizes(module: &naga::Module) -> (usize, u64, u32) {
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).expect("a validated module has a layout");
    let of = |wanted: fn(&AddressSpace) -> bool| {
        module.global_variables.iter().filter(move |(_, variable)| wanted(&variable.space))
    };
    let storage = of(|space| matches!(space, AddressSpace::Storage { .. })).count();
    let bytes = of(|space| matches!(space, AddressSpace::WorkGroup))
        .map(|(_, variable)| u64::from(layouter[variable.ty].size).next_multiple_of(16))
        .sum();
    let invocations = module.entry_points.iter().map(|point| point.workgroup_size.iter().product()).max();
    (storage, bytes, invocations.unwrap_or(0))
}

#[test]
fn every_variant_runs_on_a_device_with_default_limits() {
    let mut faults = Vec::new();
    for variant in gibbs::kernels() {
        let (module, _) = validated(&variant).expect("checked by another test");
        let (storage, bytes, invocations) = sizes(&module);
        if storage > MAX_STORAGE_BINDINGS || bytes > MAX_WORKGROUP_BYTES || invocations > MAX_INVOCATIONS {
            let found = format!("{storage} storage bindings, {bytes} bytes, {invocations} invocations");
            faults.push(format!("{}: {found}", title(&variant)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_sizes_are_measured() {
    let text = "
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
var<workgroup> tile: array<vec4<f32>, 100>;
var<workgroup> count: u32;
@compute @workgroup_size(8, 4, 2)
fn sized() { tile[0].x = a[0]; count = 1u; b[0] = tile[0].x; }
";
    let variant = KernelVariant::new(&KernelSource::new("test/sized.wgsl", text), &[]);
    assert_eq!(sizes(&validated(&variant).expect("valid").0), (2, 1616, 64));
}

/// Bindings by kernel: whether any variant reads it, any writes it, and whether it is declared
/// `read_write`.
fn uses(variants: &[KernelVariant]) -> BTreeMap<(String, String), [bool; 3]> {
    let mut found: BTreeMap<(String, String), [bool; 3]> = BTreeMap::new();
    for variant in variants {
        let (module, info) = validated(variant).expect("checked by another test");
        for (handle, variable) in module.global_variables.iter() {
            let AddressSpace::Storage { access } = variable.space else { continue };
            let used = info.get_entry_point(0)[handle];
            let name = variable.name.clone().unwrap_or_default();
            let entry = found.entry((variant.source.path().into(), name)).or_default();
            entry[0] |= used.contains(GlobalUse::READ);
            entry[1] |= used.contains(GlobalUse::WRITE);
            entry[2] |= access.contains(StorageAccess::STORE);
        }
    }
    found
}

fn misdeclared(variants: &[KernelVariant]) -> Vec<String> {
    let all = uses(variants);
    assert!(!all.is_empty());
    all.into_iter()
        .filter_map(|((path, name), [read, written, writable])| match (read, written, writable) {
            (_, false, true) => Some(format!("{path}: `{name}` is never written: declare it `read`")),
            (false, false, _) => Some(format!("{path}: `{name}` is never used")),
            _ => None,
        })
        .collect()
}

#[test]
fn bindings_that_are_only_read_are_declared_read() {
    let faults = misdeclared(&gibbs::kernels());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let text = "
@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
@compute @workgroup_size(1)
fn greedy() { b[0] = a[0]; }
";
    let planted = KernelVariant::new(&KernelSource::new("test/greedy.wgsl", text), &[]);
    assert_eq!(misdeclared(&[planted]), ["test/greedy.wgsl: `a` is never written: declare it `read`"]);
}

/// WGSL without comments, each line's number kept.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Words (identifiers, numbers) and single marks, with their line.
fn tokens(code: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut word = String::new();
        for c in line.chars().chain([' ']) {
            if c.is_alphanumeric() || c == '_' || (c == '.' && word.starts_with(|d: char| d.is_ascii_digit()))
            {
                word.push(c);
                continue;
            }
            if !word.is_empty() {
                found.push((index + 1, std::mem::take(&mut word)));
            }
            if !c.is_whitespace() {
                found.push((index + 1, c.to_string()));
            }
        }
    }
    found
}

/// The three parts of a `for` whose opening parenthesis is at `open`, joined without blanks.
fn loop_parts(tokens: &[(usize, String)], open: usize) -> Option<[String; 3]> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for (_, token) in &tokens[open..] {
        match token.as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            ";" => parts.push(String::new()),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if token != ";" && !(token == "(" && depth == 1) {
            parts.last_mut()?.push_str(token);
            parts.last_mut()?.push(' ');
        }
    }
    parts.try_into().ok()
}

/// House rules that the text alone shows.
fn broken_rules(path: &str, text: &str) -> Vec<String> {
    let tokens = tokens(&code(text));
    let mut faults = Vec::new();
    let mut fault = |line: usize, words: &str| faults.push(format!("{path}:{line}: {words}"));
    // What each open block belongs to, and the line of a `return` seen in the current function.
    let mut blocks: Vec<String> = Vec::new();
    let mut head = String::new();
    let mut returned: Option<usize> = None;
    let word = |at: usize| tokens.get(at).map_or("", |(_, token)| token.as_str());
    for (at, (line, token)) in tokens.iter().enumerate() {
        let line = *line;
        match token.as_str() {
            "while" => fault(line, "`while`: give the loop a constant or uniform bound"),
            "loop" => fault(line, "`loop`: give it a constant or uniform bound"),
            "tanh" if word(at + 1) == "(" => {
                fault(line, "native `tanh` is NaN for large arguments on some adapters")
            }
            "for" => {
                head = "for".into();
                match loop_parts(&tokens, at + 1) {
                    Some([start, condition, step]) => {
                        let name = start.split_whitespace().nth(1).unwrap_or_default().to_owned();
                        let bounded = condition.starts_with(&format!("{name} ")) && !condition.contains('[');
                        if !bounded || !step.starts_with(&format!("{name} ")) {
                            fault(
                                line,
                                "`for` must compare its own counter with a bound that is no buffer element",
                            );
                        }
                    }
                    None => fault(line, "`for` without three parts"),
                }
            }
            "if" | "else" | "switch" => head = "branch".into(),
            "fn" => {
                head = "fn".into();
                returned = None;
            }
            "{" => blocks.push(std::mem::take(&mut head)),
            "}" => {
                blocks.pop();
            }
            "return" => {
                returned.get_or_insert(line);
            }
            "workgroupBarrier" | "storageBarrier" => {
                if blocks.iter().any(|block| block == "branch") {
                    fault(line, "a barrier inside a branch");
                }
                if returned.is_some() {
                    fault(line, "a barrier behind a `return`");
                }
            }
            "&" if matches!(word(at.wrapping_sub(1)), "(" | ",") && matches!(word(at + 2), "[" | ".") => {
                fault(line, "a pointer to a part of a variable as an argument");
            }
            number if number.starts_with(|c: char| c.is_ascii_digit()) => {
                // Exponents may be split from their sign.
                let mut literal = number.to_lowercase();
                if literal.ends_with('e') && !literal.starts_with("0x") && matches!(word(at + 1), "+" | "-") {
                    literal = format!("{literal}{}{}", word(at + 1), word(at + 2));
                }
                // As a mask of exponent bits the number is fine.
                let infinite = matches!(literal.trim_end_matches('u'), "0x7f800000" | "0xff800000");
                if infinite && word(at.wrapping_sub(3)) == "f32" {
                    fault(line, "the bits of infinity");
                }
                if literal.starts_with("0x") {
                    continue;
                }
                if let Ok(value) = literal.trim_end_matches(['f', 'u', 'i', 'h']).parse::<f64>()
                    && (value as f32).is_infinite()
                {
                    fault(line, "a number beyond f32");
                }
                if value_is_zero(&literal) && word(at.wrapping_sub(1)) == "/" {
                    fault(line, "a division by zero");
                }
            }
            _ => {}
        }
    }
    faults
}

fn value_is_zero(literal: &str) -> bool {
    literal.trim_end_matches(['f', 'u', 'i', 'h']).parse::<f64>() == Ok(0.0)
}

#[test]
fn shaders_keep_the_house_rules() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let (mut count, mut faults) = (0, Vec::new());
    for name in super::structure::files(&folder, "wgsl") {
        let text = fs::read_to_string(folder.join(&name)).expect("a readable shader");
        faults.extend(broken_rules(&name, &text));
        count += 1;
    }
    assert!(count > 20, "only {count} shaders found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn planted_breaches_of_the_house_rules_are_found() {
    let planted = [
        ("fn a() { while (x < 3u) { } }", 1),
        ("fn a() { loop { break; } }", 1),
        ("fn a() { y = tanh(x); }", 1),
        ("fn a() { for (var i = 0u; i < data[0]; i++) { } }", 1),
        ("fn a() { for (var i = 0u; more; i++) { } }", 1),
        ("fn a() { for (var i = 0u; ; i++) { } }", 1),
        ("fn a() { for (var i = 0u; i < n; j++) { } }", 1),
        ("fn a() { if (x) { workgroupBarrier(); } }", 1),
        ("fn a() { if (x) { return; }\n workgroupBarrier(); }", 1),
        ("fn a() { for (var i = 0u; i < n; i++) { if (x) { y = 1.0; } else { workgroupBarrier(); } } }", 1),
        ("fn a() { bump(&parts[1]); }", 1),
        ("fn a() { bump(x, &thing.part); }", 1),
        ("const A: f32 = 1e39;", 1),
        ("const A: f32 = -1.0e+39f;", 1),
        ("let a = 1.0 / 0.0;", 1),
        ("let a = bitcast<f32>(0x7F800000u);", 1),
        ("let a = bitcast<u32>(x) & 0x7f800000u;", 0),
        ("// while, loop { and tanh(x) in a comment", 0),
        ("fn a() { my_tanh(x); bump(&whole); let b = x & parts[1]; let c = x && y[1]; }", 0),
        ("fn a() { for (var i = 0u; i < params.n; i++) { workgroupBarrier(); } if (x) { return; } }", 0),
        ("fn a() { for (var i = 8u; i > 0u; i = i / 2u) { } return; }\nfn b() { workgroupBarrier(); }", 0),
        ("const A: f32 = 3.4e+38; const B: f32 = -1e30; let c = x / 2.0;", 0),
        ("fn a() { if (x) { y = 1.0; }\n workgroupBarrier(); }", 0),
    ];
    for (text, count) in planted {
        let found = broken_rules("planted", text);
        assert_eq!(found.len(), count, "{text}: {found:?}");
    }
}

const MARK: &str = "// Shared with the host.";

/// Names and files of what a shader's text marks as shared.
fn marked(path: &str, text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != MARK {
            continue;
        }
        let declared = lines.next().unwrap_or_default();
        let words: Vec<&str> = declared.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        match words[..] {
            ["struct" | "const", name, ..] => found.push((path.to_owned(), name.to_owned())),
            _ => found.push((path.to_owned(), format!("`{declared}`, no struct or constant"))),
        }
    }
    found
}

/// What a WGSL type is in the words of the host.
fn member_type(module: &naga::Module, ty: naga::Handle<naga::Type>) -> Option<MemberType> {
    let scalar = |scalar: naga::Scalar| match (scalar.kind, scalar.width) {
        (naga::ScalarKind::Float, 4) => Some(MemberType::Scalar("f32")),
        (naga::ScalarKind::Uint, 4) => Some(MemberType::Scalar("u32")),
        _ => None,
    };
    let ty = &module.types[ty];
    match &ty.inner {
        naga::TypeInner::Scalar(kind) => scalar(*kind),
        naga::TypeInner::Vector { size, scalar: kind } => {
            Some(MemberType::Array(Box::new(scalar(*kind)?), *size as usize))
        }
        naga::TypeInner::Array { base, size, .. } => {
            let count = match size {
                naga::ArraySize::Constant(count) => count.get() as usize,
                naga::ArraySize::Dynamic => 0,
                naga::ArraySize::Pending(_) => return None,
            };
            Some(MemberType::Array(Box::new(member_type(module, *base)?), count))
        }
        naga::TypeInner::Struct { .. } => {
            let name = ty.name.clone()?;
            let known = gibbs::shared_structs().into_iter().find(|layout| layout.name == name)?;
            Some(MemberType::Struct(known.name))
        }
        _ => None,
    }
}

/// How a kernel's struct differs from the host's; `None` if the kernel has no such struct.
fn difference(layout: &StructLayout, module: &naga::Module) -> Option<Result<(), String>> {
    let (_, ty) = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some(layout.name))?;
    let naga::TypeInner::Struct { members, span } = &ty.inner else {
        return Some(Err("is no struct in the shader".into()));
    };
    let of = |member: &naga::StructMember| {
        let name = member.name.clone().unwrap_or_default();
        (name, member.offset as usize, member_type(module, member.ty))
    };
    let found: Vec<_> = members.iter().map(of).collect();
    let host = layout.members.iter();
    let host: Vec<_> = host.map(|(name, at, ty)| (name.to_string(), *at, Some(ty.clone()))).collect();
    if found != host {
        return Some(Err(format!("has {found:?} in the shader and {host:?} on the host")));
    }
    let open = |ty: &MemberType| matches!(ty, MemberType::Array(_, 0));
    let open = layout.members.last().is_some_and(|(.., ty)| open(ty));
    match open || *span as usize == layout.size {
        true => Some(Ok(())),
        false => Some(Err(format!("takes {span} bytes in the shader and {} on the host", layout.size))),
    }
}

/// The value of a module's constant; `None` if it has no such constant.
fn constant(module: &naga::Module, name: &str) -> Option<f64> {
    let (_, found) = module.constants.iter().find(|(_, item)| item.name.as_deref() == Some(name))?;
    match module.global_expressions[found.init] {
        naga::Expression::Literal(naga::Literal::F32(value)) => Some(value.into()),
        naga::Expression::Literal(naga::Literal::U32(value)) => Some(value.into()),
        _ => None,
    }
}

#[test]
fn what_host_and_shaders_share_is_the_same_on_both_sides() {
    let (structs, constants) = (gibbs::shared_structs(), gibbs::shared_constants());
    let place = |path: &str, name: &str| (path.to_owned(), name.to_owned());
    let host: BTreeSet<_> = structs
        .iter()
        .map(|layout| place(layout.path, layout.name))
        .chain(constants.iter().map(|constant| place(constant.path, constant.name)))
        .collect();
    assert_eq!(host.len(), structs.len() + constants.len(), "something is listed twice");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut shaders = BTreeSet::new();
    for name in super::structure::files(&folder, "wgsl") {
        let text = fs::read_to_string(folder.join(&name)).expect("a readable shader");
        shaders.extend(marked(&name, &text));
    }
    assert_eq!(shaders, host, "marked in the shaders (left), listed by the host (right)");

    let mut seen = BTreeSet::new();
    let mut faults = BTreeSet::new();
    for variant in gibbs::kernels() {
        let (module, _) = validated(&variant).expect("checked by another test");
        let kernel = variant.source.path();
        for layout in &structs {
            match difference(layout, &module) {
                Some(Ok(())) => drop(seen.insert(place(layout.path, layout.name))),
                Some(Err(words)) => drop(faults.insert(format!("{kernel}: `{}` {words}", layout.name))),
                None => {}
            }
        }
        // A kernel's own constant concerns no other kernel.
        let own = |path: &str| path == kernel || path.starts_with("lib/");
        for known in constants.iter().filter(|known| own(known.path)) {
            match constant(&module, known.name) {
                Some(value) if value == known.value => drop(seen.insert(place(known.path, known.name))),
                Some(value) => {
                    let words = format!("{value}, and {} on the host", known.value);
                    faults.insert(format!("{kernel}: `{}` is {words}", known.name));
                }
                None => {}
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.into_iter().collect::<Vec<_>>().join("\n"));
    assert_eq!(seen, host, "found in kernels (left), listed by the host (right)");
}

#[test]
fn planted_differences_between_host_and_shader_are_found() {
    let layout = gibbs::shared_structs().into_iter().find(|layout| layout.name == "ScheduleRow");
    let layout = layout.expect("the schedule is shared");
    let text = "
struct ScheduleRow { rate: f32, first_correction: f32, second_correction: f32, average_decay: f32 }
const LIMIT: f32 = 2.5;
@group(0) @binding(0) var<storage, read_write> rows: array<ScheduleRow>;
@compute @workgroup_size(1)
fn kernel() { rows[0].rate = LIMIT; }
";
    let of = |text: String| {
        let module = naga::front::wgsl::parse_str(&text).expect("valid");
        (difference(&layout, &module), constant(&module, "LIMIT"))
    };
    assert_eq!(of(text.into()), (Some(Ok(())), Some(2.5)));
    assert_eq!(of(text.replace("ScheduleRow", "Other")).0, None);
    assert_eq!(of(text.replace("LIMIT", "OTHER")).1, None);
    for (from, to) in [
        ("first_correction", "correction"),
        ("rate: f32", "rate: vec2<f32>"),
        ("average_decay: f32", "average_decay: u32"),
        (", average_decay: f32", ""),
        ("average_decay: f32", "average_decay: f32, more: f32"),
        ("average_decay: f32", "@size(8) average_decay: f32"),
        ("first_correction: f32, second", "@align(8) first_correction: f32, second"),
    ] {
        let planted =
            text.replace(from, to).replace("rows[0].rate = LIMIT", "rows[0].second_correction = LIMIT");
        let found = of(planted).0;
        assert!(matches!(found, Some(Err(_))), "{from} as {to}: {found:?}");
    }
    let twice = format!("{MARK}\nstruct A {{\n{MARK}\nfn f() {{\n{MARK}\nconst B: u32 = 1u;\n");
    let names: Vec<String> = marked("a/b.wgsl", &twice).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["A", "`fn f() {`, no struct or constant", "B"]);
}
