//! The random streams of the library: all known, all with numbers of their own.

use std::collections::{BTreeMap, BTreeSet};

use gibbs::gpu::run::random::stream_id;

use super::kernels::kernel_files;
use super::source::{Token, files, read, root, tokens};

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

/// Literals of the source that name a random stream: arguments and fields called `stream`, and
/// everything that begins like a known stream.
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
        initialize::record(r, &format!("initialise/{name}")); label("plain");
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
