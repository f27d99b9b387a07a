//! The shape of the source tree: who may use whom, which files belong together, which random streams there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use gibbs::gpu::random::stream_id;

/// The floors of `docs/architecture.md`: a module uses only what lies below it.
const FLOORS: [(&str, u32); 10] = [
    ("error", 0),
    ("gpu", 1),
    ("nn", 2),
    ("proposal", 3),
    ("energy", 4),
    ("sampler", 4),
    ("diffusion", 5),
    ("rl", 6),
    ("train", 7),
    ("policy", 7),
];
const TOP_FLOOR: (&str, u32) = ("tasks", 8);
/// Beside floor 1: uses only what lies below floor 2, and nobody in the library uses it.
const BESIDE: (&str, u32) = ("testing", 2);

/// What `lib.rs` re-exports from a module, so that `crate::NAME` counts as a use of that module.
const REEXPORTS: [(&str, &str); 5] =
    [("Error", "error"), ("Result", "error"), ("Gpu", "gpu"), ("GpuOptions", "gpu"), ("wgpu", "error")];

/// A variant's suffix: `gemm_tiled.wgsl` shares host and reference with `gemm.wgsl`.
const VARIANTS: [&str; 4] = ["_tiled", "_subgroup", "_coop", "_fused"];

/// Every random stream of the library: the literal in the source, and the names it stands for.
/// `{index}` counts the updates of a step, of which `RnceOptions` allows 64.
const STREAMS: [(&str, &[&str]); 13] = [
    ("draw", &["draw"]),
    ("sample/start", &["sample/start"]),
    ("sample/langevin", &["sample/langevin"]),
    ("sample/chain", &["sample/chain"]),
    ("initialise/{name}", &["initialise/energy", "initialise/proposal"]),
    ("diffusion/start", &["diffusion/start"]),
    ("diffusion/noise", &["diffusion/noise"]),
    ("likelihood/probes", &["likelihood/probes"]),
    ("train/proposal/{index}/batch", &["train/proposal/{index}/batch"]),
    ("train/energy/{index}/batch", &["train/energy/{index}/batch"]),
    ("train/energy/{index}/negatives", &["train/energy/{index}/negatives"]),
    ("train/diffusion", &["train/diffusion"]),
    ("train/diffusion/batch", &["train/diffusion/batch"]),
];
/// Streams that a proposal draws from; it adds to their name what `SUFFIXES` lists.
const DRAWN: [&str; 3] = ["draw", "sample/start", "train/energy/{index}/negatives"];
const SUFFIXES: [&str; 2] = ["/component", "/normal"];
/// The stream of dynamics that draw from several, and what they add to its name.
const CHAINED: &str = "sample/chain";
const CHAIN_SUFFIXES: [&str; 4] = ["/momentum", "/accept", "/pick", "/noise"];
/// The stream of noised samples, and what they add to its name.
const NOISED: &str = "train/diffusion";
const NOISED_SUFFIXES: [&str; 2] = ["/time", "/noise"];
const UPDATES: usize = 64;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files below `folder` with an ending, by their path relative to it with `/` between the parts.
fn files(folder: &Path, ending: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(current) = open.pop() {
        let entries = fs::read_dir(&current).unwrap_or_else(|error| panic!("{}: {error}", current.display()));
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|known| known == ending) {
                let relative = path.strip_prefix(folder).expect("a path below the folder");
                let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
                found.insert(parts.join("/"));
            }
        }
    }
    found
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

/// Rust text as words, string literals and punctuation; comments, characters and lifetimes are left out.
fn tokens(text: &str) -> Vec<Token> {
    let text: Vec<char> = text.chars().collect();
    let at = |index: usize| text.get(index).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let mut i = 0;
    while i < text.len() {
        let c = text[i];
        if c == '/' && at(i + 1) == '/' {
            while i < text.len() && text[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            while i < text.len() {
                match (at(i), at(i + 1)) {
                    ('/', '*') => depth += 1,
                    ('*', '/') => depth -= 1,
                    _ => {
                        i += 1;
                        continue;
                    }
                }
                i += 2;
                if depth == 0 {
                    break;
                }
            }
        } else if c == '"' {
            let mut literal = String::new();
            i += 1;
            while i < text.len() && text[i] != '"' {
                if text[i] == '\\' {
                    i += 1;
                }
                literal.push(at(i));
                i += 1;
            }
            i += 1;
            found.push(Token::Text(literal));
        } else if c == 'r'
            && (at(i + 1) == '"' || (at(i + 1) == '#' && (at(i + 2) == '"' || at(i + 2) == '#')))
        {
            let mut marks = 0;
            i += 1;
            while at(i) == '#' {
                marks += 1;
                i += 1;
            }
            i += 1;
            let begin = i;
            while i < text.len() && !(text[i] == '"' && (1..=marks).all(|k| at(i + k) == '#')) {
                i += 1;
            }
            found.push(Token::Text(text[begin..i.min(text.len())].iter().collect()));
            i += 1 + marks;
        } else if c == '\'' {
            // A character ends with a quote, a lifetime does not.
            if at(i + 1) == '\\' {
                i += 3;
                while i < text.len() && text[i] != '\'' {
                    i += 1;
                }
                i += 1;
            } else {
                i += if at(i + 2) == '\'' { 3 } else { 1 };
            }
        } else if c.is_alphanumeric() || c == '_' {
            let begin = i;
            while i < text.len() && (text[i].is_alphanumeric() || text[i] == '_') {
                i += 1;
            }
            found.push(Token::Word(text[begin..i].iter().collect()));
        } else {
            if !c.is_whitespace() {
                found.push(Token::Mark(c));
            }
            i += 1;
        }
    }
    found
}

/// First names behind a path's `crate::`, a group `{a, b::c}` included. `at` is the token behind `crate`.
fn heads(tokens: &[Token], at: usize) -> Vec<String> {
    let mark = |index: usize, wanted: char| tokens.get(index) == Some(&Token::Mark(wanted));
    if !(mark(at, ':') && mark(at + 1, ':')) {
        return Vec::new();
    }
    match tokens.get(at + 2) {
        Some(Token::Word(name)) => vec![name.clone()],
        Some(Token::Mark('*')) => vec!["*".into()],
        Some(Token::Mark('{')) => {
            let (mut depth, mut wanted, mut found) = (0, true, Vec::new());
            for token in &tokens[at + 2..] {
                match token {
                    Token::Mark('{') => depth += 1,
                    Token::Mark('}') => depth -= 1,
                    Token::Mark(',') if depth == 1 => wanted = true,
                    Token::Mark('*') if depth == 1 && wanted => found.push("*".into()),
                    Token::Word(name) if depth == 1 && wanted => {
                        found.push(name.clone());
                        wanted = false;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
            found
        }
        _ => Vec::new(),
    }
}

/// Names that a file takes from the crate's root. `depth`: modules from the root to the file's own (1 for `src/nn.rs`).
fn names_from_root(text: &str, depth: usize) -> BTreeSet<String> {
    let tokens = tokens(text);
    let word = |index: usize, wanted: &str| matches!(tokens.get(index), Some(Token::Word(w)) if w == wanted);
    let mut found = BTreeSet::new();
    let mut inline: Vec<usize> = Vec::new();
    let mut braces = 0;
    let mut i = 0;
    while i < tokens.len() {
        match &tokens[i] {
            Token::Mark('{') => {
                braces += 1;
                if i >= 2 && word(i - 2, "mod") {
                    inline.push(braces);
                }
            }
            Token::Mark('}') => {
                if inline.last() == Some(&braces) {
                    inline.pop();
                }
                braces -= 1;
            }
            Token::Word(name) if name == "crate" => found.extend(heads(&tokens, i + 1)),
            Token::Word(name) if name == "super" => {
                let mut climbed = 1;
                while word(i + 3, "super") {
                    climbed += 1;
                    i += 3;
                }
                if climbed >= depth + inline.len() {
                    found.extend(heads(&tokens, i + 1));
                }
            }
            _ => {}
        }
        i += 1;
    }
    found
}

fn floor(module: &str) -> Option<u32> {
    FLOORS.iter().chain([&TOP_FLOOR, &BESIDE]).find(|(name, _)| *name == module).map(|&(_, floor)| floor)
}

/// What a file (path relative to `src/`) takes from where it must not.
fn forbidden(file: &str, text: &str) -> Vec<String> {
    let parts: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    let module = parts[0];
    if module == "lib" {
        return Vec::new();
    }
    let Some(own) = floor(module) else {
        return vec![format!("{file}: module `{module}` has no floor in this test's table")];
    };
    let mut faults = Vec::new();
    for name in names_from_root(text, parts.len()) {
        let target = REEXPORTS.iter().find(|(known, _)| *known == name).map_or(name.as_str(), |&(_, m)| m);
        match floor(target) {
            _ if target == module => {}
            _ if target == BESIDE.0 => faults.push(format!("{file}: uses `{target}`, which is for tests")),
            Some(other) if other < own => {}
            Some(other) => {
                faults.push(format!("{file}: `{module}` (floor {own}) uses `{name}` (floor {other})"))
            }
            None => faults.push(format!("{file}: takes `{name}` from the crate's root")),
        }
    }
    faults
}

#[test]
fn no_module_reaches_a_floor_that_is_not_below_it() {
    let folder = root().join("src");
    let files = files(&folder, "rs");
    assert!(files.len() > 40, "only {} files found", files.len());
    let mut uses = 0;
    let mut faults = Vec::new();
    for file in &files {
        let text = read(&folder.join(file));
        uses += names_from_root(&text, file.split('/').count()).len();
        faults.extend(forbidden(file, &text));
    }
    assert!(uses > 60, "only {uses} paths into the crate found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_module_of_the_library_has_a_floor() {
    let tokens = tokens(&read(&root().join("src/lib.rs")));
    let mut count = 0;
    for pair in tokens.windows(3) {
        let [Token::Word(keyword), Token::Word(name), Token::Mark(';')] = pair else { continue };
        if keyword == "mod" {
            assert!(floor(name).is_some(), "`{name}` is not in the table of floors");
            count += 1;
        }
    }
    assert!(count >= 8, "only {count} modules found in lib.rs");
}

#[test]
fn the_checker_catches_planted_violations() {
    let planted = [
        ("nn/model.rs", "use crate::proposal::Mixture;"),
        ("gpu.rs", "use crate::nn::Model;"),
        ("gpu/plan.rs", "fn f() { crate::train::go() }"),
        ("energy.rs", "use crate::{gpu::Gpu, sampler::Langevin};"),
        ("sampler/langevin.rs", "use crate::energy;"),
        ("nn.rs", "use crate::{\n    Error, Result,\n    gpu::{A, B},\n    tasks::density::Density,\n};"),
        ("nn/adam.rs", "use super::super::energy::Objective;"),
        ("nn/adam.rs", "mod tests { mod deep { use super::super::super::super::train::Trainer; } }"),
        ("train.rs", "use super::tasks::Density;"),
        ("proposal.rs", "use crate::*;"),
        ("proposal.rs", "fn f() { crate::kernels(); }"),
        ("error.rs", "use crate::gpu::Gpu;"),
        ("error.rs", "use crate::Gpu;"),
        ("unheard_of.rs", "fn f() {}"),
        ("tasks/density.rs", "use crate::testing::Case;"),
        ("testing/case.rs", "use crate::nn::Model;"),
        ("gpu.rs", "fn f<'a>(x: &'a str) -> char { '\"' } use crate::nn::Model; // \" it's"),
    ];
    for (file, text) in planted {
        assert_eq!(forbidden(file, text).len(), 1, "{file}: {text}: {:?}", forbidden(file, text));
    }
    let allowed = [
        ("lib.rs", "use crate::train::Trainer;"),
        ("nn/model.rs", "use crate::gpu::Gpu; use crate::{Error, Result, GpuOptions}; use super::Network;"),
        (
            "nn/model.rs",
            "// use crate::train::Trainer;\n/* crate::train */ const A: &str = \"crate::train::X\";",
        ),
        ("nn/model.rs", "mod tests { use super::*; use super::super::energy; }"),
        ("train/trainer.rs", "use crate::sampler::Langevin; use crate::train::Dataset;"),
        ("gpu/plan.rs", "use super::super::gpu::Gpu;"),
        ("testing/case.rs", "use crate::gpu::Gpu; use crate::Error;"),
        ("gpu/plan.rs", "const A: &str = r#\"a \" crate::nn::B\"#;"),
    ];
    for (file, text) in allowed {
        assert_eq!(forbidden(file, text), [""; 0], "{file}: {text}");
    }
}

/// Kernels by `<folder>/<stem>`; fragments in `lib/` are none.
fn kernel_files() -> BTreeSet<String> {
    files(&root().join("shaders"), "wgsl")
        .into_iter()
        .filter(|file| !file.starts_with("lib/"))
        .map(|file| file.trim_end_matches(".wgsl").to_owned())
        .collect()
}

/// The name that a kernel shares with its host side and its reference.
fn family(kernel: &str, all: &BTreeSet<String>) -> String {
    let base = VARIANTS.iter().find_map(|suffix| kernel.strip_suffix(suffix));
    base.filter(|base| all.contains(*base)).unwrap_or(kernel).to_owned()
}

#[test]
fn every_kernel_has_a_host_twin_and_a_reference_and_is_listed() {
    let root = root();
    let kernels = kernel_files();
    assert!(kernels.len() >= 15, "only {} kernels found", kernels.len());
    let listed: BTreeMap<String, String> = gibbs::kernels()
        .into_iter()
        .map(|v| (v.source.path().trim_end_matches(".wgsl").to_owned(), v.source.text().to_owned()))
        .collect();
    let mut faults = Vec::new();
    for kernel in &kernels {
        let family = family(kernel, &kernels);
        for place in ["src", "reference/src"] {
            let file = format!("{place}/{family}.rs");
            match fs::read_to_string(root.join(&file)) {
                Ok(text) if !text.contains(&format!("shaders/{family}.wgsl")) => {
                    faults.push(format!("{file} does not name shaders/{family}.wgsl in its header"))
                }
                Ok(_) => {}
                Err(_) => faults.push(format!("shaders/{kernel}.wgsl has no {file}")),
            }
        }
        match listed.get(kernel) {
            None => faults.push(format!("shaders/{kernel}.wgsl is not in gibbs::kernels()")),
            Some(text) if *text != read(&root.join(format!("shaders/{kernel}.wgsl"))) => {
                faults.push(format!("gibbs::kernels() holds another text for {kernel}"))
            }
            Some(_) => {}
        }
    }
    faults
        .extend(listed.keys().filter(|k| !kernels.contains(*k)).map(|k| format!("{k}: listed, but no file")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_host_side_or_reference_is_without_its_kernel() {
    let root = root();
    let kernels = kernel_files();
    let mut faults = Vec::new();
    let mut embedded = BTreeSet::new();
    for file in files(&root.join("src"), "rs") {
        let tokens = tokens(&read(&root.join("src").join(&file)));
        for part in tokens.windows(4) {
            let [Token::Word(name), Token::Mark('!'), Token::Mark('('), Token::Text(path)] = part else {
                continue;
            };
            if name != "embedded_kernel" {
                continue;
            }
            let kernel = path.trim_end_matches(".wgsl").to_owned();
            if family(&kernel, &kernels) != file.trim_end_matches(".rs") {
                faults.push(format!("src/{file} embeds shaders/{path}: folder and stem differ"));
            }
            embedded.insert(kernel);
        }
    }
    faults.extend(kernels.symmetric_difference(&embedded).map(|k| format!("{k}: file and host side differ")));
    let folders: BTreeSet<&str> = kernels.iter().filter_map(|kernel| kernel.split('/').next()).collect();
    for file in files(&root.join("reference/src"), "rs") {
        let stem = file.trim_end_matches(".rs");
        let mirrored = stem.split_once('/').is_some_and(|(folder, _)| folders.contains(folder));
        if mirrored && !kernels.contains(stem) {
            faults.push(format!("reference/src/{file} belongs to no kernel"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_kernel_is_one_entry_point_named_like_its_file_under_a_header() {
    let mut faults = Vec::new();
    for variant in gibbs::kernels() {
        let (path, stem) = (variant.source.path(), variant.source.stem());
        let module = match variant.module() {
            Ok(module) => module,
            Err(error) => {
                faults.push(error.to_string());
                continue;
            }
        };
        let names: Vec<_> = module.entry_points.iter().map(|point| point.name.as_str()).collect();
        if names != [stem] {
            faults.push(format!("{path}: entry points {names:?}, expected `{stem}` alone"));
        }
        let header: Vec<_> =
            variant.source.text().lines().take_while(|line| line.starts_with("//")).collect();
        let words = header.join("\n");
        if header.len() < 3 || header[0].len() < 10 || header[0].starts_with("//#") {
            faults.push(format!("{path}: has no header comment"));
        } else if !words.contains("Workgroup") || !words.contains("Grid") {
            faults.push(format!("{path}: its header does not state workgroup and grid"));
        }
    }
    faults.dedup();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_shared_fragment_is_included_by_a_kernel() {
    let shaders = root().join("shaders");
    let all = files(&shaders, "wgsl");
    let mut included = BTreeSet::new();
    for file in &all {
        for line in read(&shaders.join(file)).lines() {
            if let Some(rest) = line.trim_start().strip_prefix("//#include") {
                included.insert(rest.trim().trim_matches('"').to_owned());
            }
        }
    }
    let fragments: BTreeSet<_> = all.into_iter().filter(|file| file.starts_with("lib/")).collect();
    assert!(!fragments.is_empty());
    assert_eq!(fragments, included);
}

/// Literals of the source that name a random stream: arguments and fields called `stream`, and everything that begins
/// like a known stream.
fn stream_literals(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let tokens = tokens(code);
    let roots: BTreeSet<&str> =
        STREAMS.iter().filter_map(|(name, _)| name.split_once('/')).map(|(root, _)| root).collect();
    let mut found = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Text(literal) = token else { continue };
        let before: Vec<&Token> = tokens[..at]
            .iter()
            .rev()
            .filter(|t| !matches!(t, Token::Mark('&' | '!' | '(')))
            .take(3)
            .collect();
        let is = |index: usize, name: &str| matches!(before.get(index), Some(Token::Word(w)) if w == name);
        let assigned = |index: usize| {
            matches!(before.get(index), Some(Token::Mark(':' | '='))) && is(index + 1, "stream")
        };
        let passed =
            |index: usize| is(index, "stream") && matches!(before.get(index + 1), Some(Token::Mark('.')));
        let named = assigned(0) || passed(0) || (is(0, "format") && (assigned(1) || passed(1)));
        if named || literal.split_once('/').is_some_and(|(root, _)| roots.contains(root)) {
            found.insert(literal.clone());
        }
    }
    found
}

#[test]
fn the_table_of_random_streams_is_complete() {
    let folder = root().join("src");
    let mut found = BTreeSet::new();
    for file in files(&folder, "rs") {
        let kernels: BTreeSet<_> = kernel_files().into_iter().map(|k| format!("{k}.wgsl")).collect();
        found
            .extend(stream_literals(&read(&folder.join(&file))).into_iter().filter(|l| !kernels.contains(l)));
    }
    let mut known: BTreeSet<String> = STREAMS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let suffixes = SUFFIXES.iter().chain(&CHAIN_SUFFIXES).chain(&NOISED_SUFFIXES);
    known.extend(suffixes.map(|suffix| format!("{{}}{suffix}")));
    assert_eq!(found, known, "the source (left) and the table of this test (right) differ");
}

#[test]
fn the_stream_scanner_sees_every_way_to_name_one() {
    let text = r#"
        // stream: "not/this"
        let stream = format!("a/{index}");
        let draws = Draws { stream: "b", inner: 0 };
        recording.stream("c")?; recording.stream(&format!("{}/d", x))?;
        initialise::record(r, &format!("initialise/{name}")); label("plain");
        #[cfg(test)]
        mod tests { const stream: &str = "sample/x"; }
    "#;
    let found: Vec<_> = stream_literals(text).into_iter().collect();
    assert_eq!(found, ["a/{index}", "b", "c", "initialise/{name}", "{}/d"]);
}

#[test]
fn built_in_random_streams_have_distinct_numbers() {
    let mut templates: Vec<String> =
        STREAMS.iter().flat_map(|(_, names)| names.iter().map(|name| (*name).to_owned())).collect();
    for drawn in DRAWN {
        templates.extend(SUFFIXES.iter().map(|suffix| format!("{drawn}{suffix}")));
    }
    templates.extend(NOISED_SUFFIXES.iter().map(|suffix| format!("{NOISED}{suffix}")));
    templates.extend(CHAIN_SUFFIXES.iter().map(|suffix| format!("{CHAINED}{suffix}")));
    let mut names = BTreeSet::new();
    for template in &templates {
        names.extend((0..UPDATES).map(|index| template.replace("{index}", &index.to_string())));
    }
    assert!(names.len() > 5 * UPDATES);
    let mut owner: BTreeMap<u16, &str> = BTreeMap::new();
    for name in &names {
        if let Some(other) = owner.insert(stream_id(name), name) {
            panic!("random streams `{other}` and `{name}` have the same number");
        }
    }
}
