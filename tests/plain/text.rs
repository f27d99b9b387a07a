//! The form of the text: no line of prose or comment above 100 columns, tables and links aside.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

const COLUMNS: usize = 100;

/// Folders with source whose comments are checked.
const SOURCE: [&str; 5] = ["src", "shaders", "reference", "tests", "examples"];

/// What is built or fetched, and what is laid beside a checkout.
const FOREIGN: [&str; 5] = ["target", "out", "shared", "node_modules", "venv"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a folder with one of the extensions; hidden folders and what is built left out.
fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && !FOREIGN.contains(&name.as_str()) {
                found.extend(files(&path, extensions));
            }
        } else if extensions.iter().any(|extension| path.extension() == Some(OsStr::new(extension))) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Whether a line is too long although it could be broken: a row of a table, or one that is short
/// enough without the address in it, cannot.
fn too_long(line: &str) -> bool {
    let text = line.trim_start().trim_start_matches(['/', '!']).trim_start();
    let breakable: usize = line
        .split(' ')
        .filter(|word| !word.contains("://") && !word.contains("]("))
        .map(|word| word.chars().count() + 1)
        .sum();
    line.chars().count() > COLUMNS && breakable > COLUMNS && !text.starts_with('|')
}

/// Numbers of the comment lines that are too long.
fn long_comments(text: &str) -> Vec<usize> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| line.trim_start().starts_with("//") && too_long(line))
        .map(|(at, _)| at + 1)
        .collect()
}

/// Numbers of the lines of prose of a Markdown file that are too long; code between fences is none.
fn long_prose(text: &str) -> Vec<usize> {
    let mut fenced = false;
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && too_long(line) {
            found.push(at + 1);
        }
    }
    found
}

/// Lines that break the rule, as `path:line`.
fn faults(paths: &[PathBuf], find: fn(&str) -> Vec<usize>) -> Vec<String> {
    let mut faults = Vec::new();
    for path in paths {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.strip_prefix(root()).expect("below the root").display().to_string();
        faults.extend(find(&text).into_iter().map(|line| format!("{name}:{line}")));
    }
    faults
}

#[test]
fn no_comment_is_wider_than_100_columns() {
    let paths: Vec<_> =
        SOURCE.iter().flat_map(|folder| files(&root().join(folder), &["rs", "wgsl"])).collect();
    assert!(paths.len() > 200, "only {} source files found", paths.len());
    let faults = faults(&paths, long_comments);
    assert!(
        faults.is_empty(),
        "{} comment lines above {COLUMNS} columns:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn no_prose_is_wider_than_100_columns() {
    let paths = files(root(), &["md"]);
    let has = |name: &str| paths.iter().any(|path| path.ends_with(name));
    assert!(has("README.md") && has("CHANGELOG.md") && has("docs/architecture.md"), "{paths:?}");
    let faults = faults(&paths, long_prose);
    assert!(
        faults.is_empty(),
        "{} lines of prose above {COLUMNS} columns:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn planted_long_lines_are_found_and_no_others() {
    let word = "words ";
    let long = word.repeat(17);
    let fits = &long[..COLUMNS];
    let link = format!("[text](https://example.org/{})", "a".repeat(90));
    assert_eq!(long_comments(&format!("//{long}\n    /// {long}\n")), [1, 2]);
    // Columns are characters, and the indentation counts.
    assert_eq!(long_comments(&format!("// {}\n", "∝".repeat(97))), [0usize; 0]);
    assert_eq!(long_comments(&format!("// {}\n    // {}\n", "∝".repeat(97), "∝".repeat(97))), [2]);
    // Code has rustfmt's width, tables have none.
    assert_eq!(long_comments(&format!("let a = \"{long}\"; // {long}\n//! | {long} |\n")), [0usize; 0]);
    assert_eq!(long_prose(&format!("{long}\n{fits}\n")), [1]);
    assert_eq!(long_prose(&format!("| {long} |\n{link}\n* a {link}\n")), [0usize; 0]);
    assert_eq!(long_prose(&format!("{long}{link}\n")), [1]);
    assert_eq!(long_prose(&format!("```\n{long}\n```\n{long}\n```sh\n{long}\n```\n")), [4]);
}
