//! The source tree as a graph: which file takes what from which, by the crate's own parser of Rust,
//! `syn`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// Functions in which a room lists what its parts hold.
const LISTS: [&str; 3] = ["kernels", "shared_structs", "shared_constants"];

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files below `folder` with an ending, by their path relative to it with `/` between the parts.
pub fn files(folder: &Path, ending: &str) -> BTreeSet<String> {
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

/// What a text of Rust is made of, comments left out.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

/// Rust text as words, string literals and punctuation, brackets included.
pub fn tokens(text: &str) -> Vec<Token> {
    fn walk(stream: TokenStream, found: &mut Vec<Token>) {
        for tree in stream {
            match tree {
                TokenTree::Ident(word) => found.push(Token::Word(word.to_string())),
                TokenTree::Punct(mark) => found.push(Token::Mark(mark.as_char())),
                TokenTree::Literal(literal) => match syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                    Ok(text) => found.push(Token::Text(text.value())),
                    Err(_) => found.push(Token::Word(literal.to_string())),
                },
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ('(', ')'),
                        Delimiter::Brace => ('{', '}'),
                        Delimiter::Bracket => ('[', ']'),
                        Delimiter::None => (' ', ' '),
                    };
                    found.push(Token::Mark(open));
                    walk(group.stream(), found);
                    found.push(Token::Mark(close));
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(text.parse().unwrap_or_else(|error| panic!("{error}: {text}")), &mut found);
    found
}

/// The string arguments of the macro `name` in a file.
pub fn macro_paths(text: &str, name: &str) -> Vec<String> {
    struct Calls<'a>(&'a str, Vec<String>);
    impl<'ast> Visit<'ast> for Calls<'_> {
        fn visit_macro(&mut self, call: &'ast syn::Macro) {
            if call.path.segments.last().is_some_and(|last| last.ident == self.0)
                && let Ok(path) = call.parse_body::<syn::LitStr>()
            {
                self.1.push(path.value());
            }
        }
    }
    let mut calls = Calls(name, Vec::new());
    calls.visit_file(&parse(text));
    calls.1
}

pub fn parse(text: &str) -> syn::File {
    syn::parse_file(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A path into the crate as a file writes it, resolved to names from the crate's root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    pub path: Vec<String>,
    /// It only hands a name on (`pub use`, `mod`) or stands in a list of what the room holds.
    pub lists: bool,
    /// It stands in code for tests.
    pub test: bool,
}

/// Module of a file relative to `src/`: `nn/dense.rs` is `nn::dense`, `lib.rs` the root.
pub fn module_of(file: &str) -> Vec<String> {
    match file.trim_end_matches(".rs") {
        "lib" => Vec::new(),
        path => path.split('/').map(str::to_owned).collect(),
    }
}

/// Every path into the crate that a file names.
pub fn uses(file: &str, text: &str) -> BTreeSet<Use> {
    let mut collector = Collector {
        own: module_of(file),
        inline: Vec::new(),
        lists: false,
        test: false,
        local: BTreeSet::new(),
        found: BTreeSet::new(),
    };
    let parsed = parse(text);
    for item in &parsed.items {
        if let syn::Item::Mod(module) = item {
            collector.local.insert(module.ident.to_string());
        }
    }
    collector.visit_file(&parsed);
    collector.found
}

struct Collector {
    own: Vec<String>,
    inline: Vec<String>,
    lists: bool,
    test: bool,
    /// Modules that the file declares: paths may begin with them.
    local: BTreeSet<String>,
    found: BTreeSet<Use>,
}

impl Collector {
    /// Names from the crate's root, if the path leads into the crate.
    fn resolve(&self, names: &[String]) -> Option<Vec<String>> {
        let mut here: Vec<String> = self.own.iter().chain(&self.inline).cloned().collect();
        let first = names.first()?.as_str();
        let rest = match first {
            "crate" => {
                here.clear();
                &names[1..]
            }
            "self" => &names[1..],
            "super" => {
                let climbed = names.iter().take_while(|name| *name == "super").count();
                here.truncate(here.len().checked_sub(climbed)?);
                &names[climbed..]
            }
            local if self.inline.is_empty() && self.local.contains(local) => names,
            _ => return None,
        };
        here.extend(rest.iter().cloned());
        Some(here)
    }

    fn add(&mut self, names: &[String]) {
        if let Some(path) = self.resolve(names) {
            self.found.insert(Use { path, lists: self.lists, test: self.test });
        }
    }

    fn tree(&mut self, prefix: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => self.add(prefix),
            syn::UseTree::Name(name) => self.add(&with(&name.ident)),
            syn::UseTree::Rename(name) => self.add(&with(&name.ident)),
            syn::UseTree::Glob(_) => self.add(&[prefix, &["*".into()]].concat()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(prefix, item)),
        }
    }

    /// Paths in the tokens of a macro call.
    fn scan(&mut self, stream: TokenStream) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while at < trees.len() {
            match &trees[at] {
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(first) => {
                    let colon = |index: usize| matches!(trees.get(index), Some(TokenTree::Punct(p)) if p.as_char() == ':');
                    let mut names = vec![first.to_string()];
                    while colon(at + 1) && colon(at + 2) {
                        let Some(TokenTree::Ident(next)) = trees.get(at + 3) else { break };
                        names.push(next.to_string());
                        at += 3;
                    }
                    if names.len() > 1 {
                        self.add(&names);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn within(&mut self, lists: bool, test: bool, visit: impl FnOnce(&mut Self)) {
        let before = (self.lists, self.test);
        (self.lists, self.test) = (before.0 || lists, before.1 || test);
        visit(self);
        (self.lists, self.test) = before;
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    })
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let hands_on = !matches!(item.vis, syn::Visibility::Inherited);
        self.within(hands_on, is_test(&item.attrs), |own| own.tree(&[], &item.tree));
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.content.is_some() {
            self.inline.push(item.ident.to_string());
            self.within(false, is_test(&item.attrs), |own| visit::visit_item_mod(own, item));
            self.inline.pop();
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let list = LISTS.iter().any(|name| item.sig.ident == name);
        self.within(list, is_test(&item.attrs), |own| visit::visit_item_fn(own, item));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let names: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
            self.add(&names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.scan(call.tokens.clone());
    }
}

/// The files of a folder and what each takes from the others.
pub struct Graph {
    /// By module.
    files: BTreeMap<Vec<String>, String>,
    /// Names that a module hands on, and where they come from.
    handed: BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>,
    uses: BTreeMap<String, BTreeSet<Use>>,
}

impl Graph {
    pub fn new(texts: &BTreeMap<String, String>) -> Self {
        let files: BTreeMap<_, _> = texts.keys().map(|file| (module_of(file), file.clone())).collect();
        let mut handed: BTreeMap<_, BTreeMap<String, Vec<String>>> = BTreeMap::new();
        let mut all = BTreeMap::new();
        for (file, text) in texts {
            let found = uses(file, text);
            let own = handed.entry(module_of(file)).or_default();
            for item in found.iter().filter(|item| item.lists && !item.test) {
                if let Some(last) = item.path.last() {
                    own.insert(last.clone(), item.path.clone());
                }
            }
            all.insert(file.clone(), found);
        }
        Self { files, handed, uses: all }
    }

    /// The file in which what a path names is defined: names that are handed on are followed.
    pub fn defined_in(&self, path: &[String]) -> Option<&str> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let module =
                (0..=path.len()).rev().map(|end| &path[..end]).find(|m| self.files.contains_key(*m))?;
            let Some(next) = path.get(module.len()) else { return Some(&self.files[module]) };
            match self.handed.get(module).and_then(|names| names.get(next)) {
                Some(target) if *target != path => path = target.clone(),
                _ => return Some(&self.files[module]),
            }
        }
        None
    }

    /// What each file takes from which other one, tests and lists of a room's own parts left out.
    pub fn arrows(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut arrows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (file, uses) in &self.uses {
            let own = arrows.entry(file).or_default();
            for item in uses.iter().filter(|item| !item.lists && !item.test) {
                if let Some(target) = self.defined_in(&item.path).filter(|target| target != file) {
                    own.insert(target);
                }
            }
        }
        arrows
    }

    /// Groups of files of which each reaches each other one.
    pub fn circles(&self) -> Vec<Vec<&str>> {
        let arrows = self.arrows();
        let reach = |from: &str| {
            let mut seen: BTreeSet<&str> = BTreeSet::new();
            let mut open: Vec<&str> = arrows.get(from).into_iter().flatten().copied().collect();
            while let Some(file) = open.pop() {
                if seen.insert(file) {
                    open.extend(arrows.get(file).into_iter().flatten());
                }
            }
            seen
        };
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            arrows.keys().map(|file| (*file, reach(file))).collect();
        let mut circles: BTreeSet<Vec<&str>> = BTreeSet::new();
        for (file, seen) in &reached {
            if seen.contains(file) {
                circles
                    .insert(seen.iter().filter(|other| reached[**other].contains(file)).copied().collect());
            }
        }
        circles.into_iter().collect()
    }

    /// The arrows within a group of files, in words.
    pub fn words(&self, group: &[&str]) -> String {
        let arrows = self.arrows();
        let mut words = Vec::new();
        for file in group {
            for target in arrows[file].iter().filter(|target| group.contains(target)) {
                words.push(format!("{file} takes from {target}"));
            }
        }
        words.join("\n")
    }

    pub fn uses(&self) -> impl Iterator<Item = (&str, &Use)> {
        self.uses.iter().flat_map(|(file, uses)| uses.iter().map(move |item| (file.as_str(), item)))
    }
}
