//! Who may use whom: the floors of the rooms, and no circle of files inside one.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Graph, files, parse, read, root};

/// The floors of `docs/architecture.md`: a room uses only what lies below it.
const FLOORS: [(&str, u32); 15] = [
    ("error", 0),
    ("gpu", 1),
    ("nn", 2),
    ("store", 3),
    ("ode", 3),
    ("math", 3),
    ("energy", 4),
    ("proposal", 4),
    ("loss", 5),
    ("mcmc", 5),
    ("diffusion", 6),
    ("train", 7),
    ("policy", 8),
    ("tasks", 10),
    BESIDE,
];
/// Beside floor 1: uses only what lies below floor 2, and nobody in the library uses it.
const BESIDE: (&str, u32) = ("testing", 2);

fn floor(room: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|&(_, floor)| floor)
}

fn sources() -> BTreeMap<String, String> {
    let folder = root().join("src");
    files(&folder, "rs").into_iter().map(|file| (file.clone(), read(&folder.join(&file)))).collect()
}

fn room_of(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// What files take from where they must not.
fn forbidden(texts: &BTreeMap<String, String>) -> Vec<String> {
    let graph = Graph::new(texts);
    let mut faults = BTreeSet::new();
    for (file, item) in graph.uses() {
        let own = room_of(file);
        if own == "lib" {
            continue;
        }
        let Some(floor_of_own) = floor(own) else {
            faults.insert(format!("{file}: the room `{own}` has no floor in this test's table"));
            continue;
        };
        let written = item.path.first().map_or("*", String::as_str);
        let target = match floor(written) {
            Some(_) => written,
            None => match graph.defined_in(&item.path) {
                Some(place) if place != "lib.rs" => room_of(place),
                _ => {
                    faults.insert(format!("{file}: takes `{}` from the crate's root", item.path.join("::")));
                    continue;
                }
            },
        };
        match floor(target) {
            _ if target == own => {}
            _ if target == BESIDE.0 => {
                faults.insert(format!("{file}: uses `{target}`, which is for tests"));
            }
            Some(other) if other < floor_of_own => {}
            other => {
                let path = item.path.join("::");
                faults.insert(format!(
                    "{file}: `{own}` (floor {floor_of_own}) uses `{path}` (floor {other:?})"
                ));
            }
        }
    }
    faults.into_iter().collect()
}

#[test]
fn no_room_reaches_a_floor_that_is_not_below_it() {
    let texts = sources();
    assert!(texts.len() > 150, "only {} files found", texts.len());
    let graph = Graph::new(&texts);
    let between = graph.uses().filter(|(file, item)| item.path.first().is_some_and(|to| to != room_of(file)));
    assert!(between.count() > 500, "few paths between rooms were found");
    let faults = forbidden(&texts);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_room_of_the_library_has_a_floor_and_every_floor_a_room() {
    let declared: BTreeSet<String> = parse(&read(&root().join("src/lib.rs")))
        .items
        .into_iter()
        .filter_map(|item| match item {
            syn::Item::Mod(module) => Some(module.ident.to_string()),
            _ => None,
        })
        .collect();
    let listed: BTreeSet<String> = FLOORS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(declared, listed, "the rooms of lib.rs (left) and the table of floors (right) differ");
}

#[test]
fn no_circle_of_files_inside_a_room() {
    let texts = sources();
    let graph = Graph::new(&texts);
    let arrows: usize = graph.arrows().values().map(BTreeSet::len).sum();
    assert!(arrows > 400, "only {arrows} arrows between files found");
    let circles = graph.circles();
    let words: Vec<String> = circles.iter().map(|circle| graph.words(circle)).collect();
    assert!(circles.is_empty(), "{} circles of files:\n{}", circles.len(), words.join("\n\n"));
}

/// The rooms with one more file, or one more line in a file.
fn planted(file: &str, text: &str) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = [
        ("lib.rs", "mod error; pub mod gpu; pub mod nn; pub use error::Error; pub use gpu::Gpu;"),
        ("error.rs", "pub enum Error {}"),
        ("gpu.rs", "pub mod device; pub use device::Gpu;"),
        ("gpu/device.rs", "pub struct Gpu;"),
        ("nn.rs", "pub mod model;"),
        ("nn/model.rs", "pub struct Model;"),
        ("energy.rs", "pub trait Energy {}"),
        ("mcmc.rs", "pub mod langevin;"),
        ("mcmc/langevin.rs", "pub struct Langevin;"),
        ("train.rs", "pub struct Trainer;"),
        ("tasks.rs", "pub struct Task;"),
        ("testing.rs", "pub struct Case;"),
    ]
    .map(|(file, text)| (file.to_owned(), text.to_owned()))
    .into();
    texts.entry(file.into()).or_default().push_str(text);
    texts
}

#[test]
fn the_checker_catches_planted_violations() {
    let wrong = [
        ("nn/model.rs", "use crate::energy::Energy;"),
        ("gpu/device.rs", "use crate::nn::Model;"),
        ("gpu/plan.rs", "fn f() { crate::train::go() }"),
        ("gpu/plan.rs", "fn f() { println!(\"{}\", crate::train::go()) }"),
        ("energy.rs", "use crate::{gpu::Gpu, mcmc::Langevin};"),
        ("mcmc/langevin.rs", "use crate::diffusion::Score;"),
        ("nn.rs", "use crate::{\n    Error,\n    gpu::{A, B},\n    tasks::density::Density,\n};"),
        ("nn/model.rs", "use super::super::energy::Energy;"),
        ("nn/model.rs", "mod tests { mod deep { use super::super::super::super::train::Trainer; } }"),
        ("train.rs", "use super::tasks::Task;"),
        ("nn.rs", "use crate::*;"),
        ("nn.rs", "fn f() { crate::kernels(); }"),
        ("error.rs", "use crate::gpu::Gpu;"),
        ("error.rs", "use crate::Gpu;"),
        ("unheard_of.rs", "use crate::Error;"),
        ("tasks/density.rs", "use crate::testing::Case;"),
        ("testing/case.rs", "use crate::nn::Model;"),
        ("gpu.rs", "fn f<'a>(x: &'a str) -> char { '\"' } use crate::nn::Model; // \" it's"),
    ];
    for (file, text) in wrong {
        let found = forbidden(&planted(file, text));
        assert_eq!(found.len(), 1, "{file}: {text}: {found:?}");
    }
    let right = [
        ("lib.rs", "use crate::train::Trainer;"),
        ("nn/model.rs", "use crate::gpu::Gpu; use crate::Error; use super::Network;"),
        (
            "nn/model.rs",
            "// use crate::train::Trainer;\n/* crate::train */ const A: &str = \"crate::train::X\";",
        ),
        ("nn/model.rs", "mod tests { use super::*; use super::super::network; }"),
        ("train/trainer.rs", "use crate::mcmc::Langevin; use crate::train::Dataset;"),
        ("gpu/plan.rs", "use super::super::gpu::Gpu;"),
        ("testing/case.rs", "use crate::gpu::Gpu; use crate::Error;"),
        ("gpu/plan.rs", "const A: &str = r#\"a \" crate::nn::B\"#;"),
    ];
    for (file, text) in right {
        assert_eq!(forbidden(&planted(file, text)), [""; 0], "{file}: {text}");
    }
}

#[test]
fn the_checker_sees_circles_through_names_that_are_handed_on() {
    let circles = |more: &[(&str, &str)]| {
        let mut texts = planted("gpu.rs", "pub mod plan; pub use plan::Plan;");
        for (file, text) in more {
            texts.entry((*file).into()).or_default().push_str(text);
        }
        Graph::new(&texts).circles().into_iter().map(|circle| circle.join(" ")).collect::<Vec<_>>()
    };
    let plan = ("gpu/plan.rs", "use super::Gpu; pub struct Plan(Gpu);");
    assert_eq!(circles(&[plan]), [""; 0]);
    assert_eq!(circles(&[plan, ("gpu/device.rs", "fn f(_: super::Plan) {}")]), ["gpu/device.rs gpu/plan.rs"]);
    assert_eq!(
        circles(&[plan, ("gpu/device.rs", "#[cfg(test)] mod tests { use crate::gpu::Plan; }")]),
        [""; 0]
    );
    // A room's own file lists what the room holds; what it defines itself is another matter.
    assert_eq!(circles(&[plan, ("gpu.rs", "fn kernels() { plan::KERNEL }")]), [""; 0]);
    let defines = ("gpu.rs", "pub trait Kernel {} fn all() { plan::KERNEL }");
    assert_eq!(circles(&[plan, defines]), [""; 0]);
    assert_eq!(circles(&[plan, defines, ("gpu/plan.rs", "use super::Kernel;")]), ["gpu.rs gpu/plan.rs"]);
}
