//! Which files of a kernel belong together: shader, host side, reference, list.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::source::{files, macro_paths, read, root};

/// A variant's suffix: `gemm_tiled.wgsl` shares host and reference with `gemm.wgsl`.
const VARIANTS: [&str; 4] = ["_tiled", "_subgroup", "_coop", "_fused"];

/// Kernels by `<folder>/<stem>`; fragments in `lib/` are none.
pub fn kernel_files() -> BTreeSet<String> {
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
        for path in macro_paths(&read(&root.join("src").join(&file)), "embedded_kernel") {
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
        // `nn/dense.rs` lists what its folder holds.
        let lists = kernels.iter().any(|kernel| kernel.starts_with(&format!("{stem}/")));
        if mirrored && !lists && !kernels.contains(stem) {
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
