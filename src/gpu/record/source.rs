//! Kernel sources and the include linker, which keeps a map from linked lines to the lines a person
//! wrote.

use std::borrow::Cow;
use std::fmt::Write;

use crate::{Error, Result};

/// The WGSL text of one kernel: one entry point, named like the file's stem.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KernelSource {
    path: Cow<'static, str>,
    text: Cow<'static, str>,
    /// Further texts of the same module: path and text of each.
    parts: Vec<(String, String)>,
    /// Whether its loops are known to end.
    trusted: bool,
}

impl KernelSource {
    /// One of our own kernels; `path` is relative to `shaders/`.
    pub(crate) const fn embedded(path: &'static str, text: &'static str) -> Self {
        Self { path: Cow::Borrowed(path), text: Cow::Borrowed(text), parts: Vec::new(), trusted: true }
    }

    /// A kernel of the user's. `path` names it in messages; its stem (`fade` for `my/fade.wgsl`) is
    /// the name of the entry point. Lines of the form `//#include "lib/philox.wgsl"` pull in gibbs'
    /// shared fragments. It is compiled with every runtime check, the loop counter included. naga
    /// writes none into GLSL for `%` and `/` of negative integers, integer division by zero, and
    /// floats converted to integers that cannot hold them: on OpenGL those are the driver's.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            path: Cow::Owned(path.into()),
            text: Cow::Owned(text.into()),
            parts: Vec::new(),
            trusted: false,
        }
    }

    /// The same kernel with another text linked behind it into one module, for functions that the
    /// kernel calls and somebody else writes. `path` names the text in messages, whose lines are
    /// counted in it; it may include fragments of its own. A name declared twice is an error. The
    /// whole is compiled with every runtime check.
    pub fn with_part(&self, path: impl Into<String>, text: impl Into<String>) -> Self {
        let mut joined = self.clone();
        joined.parts.push((path.into(), text.into()));
        joined.trusted = false;
        joined
    }

    /// Whether it is one of ours, whose loops are known to end.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Path relative to `shaders/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The text as written, includes unresolved, without the parts linked behind it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// File name without folder and ending: the name of the entry point.
    pub fn stem(&self) -> &str {
        let file = self.path.rsplit('/').next().unwrap_or(&self.path);
        file.strip_suffix(".wgsl").unwrap_or(file)
    }
}

/// Shared fragments, by their path below `shaders/`.
pub(crate) const FRAGMENTS: &[(&str, &str)] = &[
    ("lib/activation.wgsl", include_str!("../../../shaders/lib/activation.wgsl")),
    ("lib/agent_state.wgsl", include_str!("../../../shaders/lib/agent_state.wgsl")),
    ("lib/chain.wgsl", include_str!("../../../shaders/lib/chain.wgsl")),
    ("lib/chain_store.wgsl", include_str!("../../../shaders/lib/chain_store.wgsl")),
    ("lib/dense_forward.wgsl", include_str!("../../../shaders/lib/dense_forward.wgsl")),
    ("lib/dense_input_gradient.wgsl", include_str!("../../../shaders/lib/dense_input_gradient.wgsl")),
    ("lib/dense_weight_gradient.wgsl", include_str!("../../../shaders/lib/dense_weight_gradient.wgsl")),
    ("lib/finite.wgsl", include_str!("../../../shaders/lib/finite.wgsl")),
    ("lib/fused_network.wgsl", include_str!("../../../shaders/lib/fused_network.wgsl")),
    ("lib/langevin.wgsl", include_str!("../../../shaders/lib/langevin.wgsl")),
    ("lib/latch.wgsl", include_str!("../../../shaders/lib/latch.wgsl")),
    ("lib/logsumexp.wgsl", include_str!("../../../shaders/lib/logsumexp.wgsl")),
    ("lib/mixture.wgsl", include_str!("../../../shaders/lib/mixture.wgsl")),
    ("lib/mixture_draw.wgsl", include_str!("../../../shaders/lib/mixture_draw.wgsl")),
    ("lib/next_step.wgsl", include_str!("../../../shaders/lib/next_step.wgsl")),
    ("lib/optimizer_step.wgsl", include_str!("../../../shaders/lib/optimizer_step.wgsl")),
    ("lib/packed_layer.wgsl", include_str!("../../../shaders/lib/packed_layer.wgsl")),
    ("lib/padding.wgsl", include_str!("../../../shaders/lib/padding.wgsl")),
    ("lib/philox.wgsl", include_str!("../../../shaders/lib/philox.wgsl")),
    ("lib/ranking.wgsl", include_str!("../../../shaders/lib/ranking.wgsl")),
    ("lib/ring.wgsl", include_str!("../../../shaders/lib/ring.wgsl")),
    ("lib/row_sum.wgsl", include_str!("../../../shaders/lib/row_sum.wgsl")),
    ("lib/run_state.wgsl", include_str!("../../../shaders/lib/run_state.wgsl")),
    ("lib/shader_energy.wgsl", include_str!("../../../shaders/lib/shader_energy.wgsl")),
    ("lib/shared_rows.wgsl", include_str!("../../../shaders/lib/shared_rows.wgsl")),
    ("lib/step_adaptation.wgsl", include_str!("../../../shaders/lib/step_adaptation.wgsl")),
    ("lib/tile.wgsl", include_str!("../../../shaders/lib/tile.wgsl")),
    ("lib/tree.wgsl", include_str!("../../../shaders/lib/tree.wgsl")),
    ("lib/tree_sum.wgsl", include_str!("../../../shaders/lib/tree_sum.wgsl")),
    ("lib/turns.wgsl", include_str!("../../../shaders/lib/turns.wgsl")),
    ("lib/uniform_box.wgsl", include_str!("../../../shaders/lib/uniform_box.wgsl")),
];

/// A compile-time constant put in front of a kernel: register-array lengths and variant choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Define {
    /// Name of the `const`.
    pub name: &'static str,
    /// Its value, a `u32`.
    pub value: u32,
}

/// A kernel after linking.
#[derive(Debug)]
pub(crate) struct Linked {
    pub text: String,
    /// For each linked line, the file it came from (an index into `files`) and its line there,
    /// from 1.
    lines: Vec<(usize, u32)>,
    files: Vec<String>,
}

impl Linked {
    /// The place a person wrote, for a line of the linked text counted from 1.
    pub(crate) fn origin(&self, line: u32) -> (&str, u32) {
        let at = (line.max(1) as usize - 1).min(self.lines.len().saturating_sub(1));
        match self.lines.get(at) {
            Some(&(file, line)) => (&self.files[file], line),
            None => ("", line),
        }
    }
}

/// Resolves includes, each file at most once, and puts the defines in front.
pub(crate) fn link(source: &KernelSource, defines: &[Define]) -> Result<Linked> {
    let mut linked = Linked { text: String::new(), lines: Vec::new(), files: vec!["<defines>".into()] };
    for (index, define) in defines.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(linked.text, "const {}: u32 = {}u;", define.name, define.value);
        linked.lines.push((0, index as u32 + 1));
    }
    append(source, source.path(), source.text(), &mut linked)?;
    for (path, text) in &source.parts {
        append(source, path, text, &mut linked)?;
    }
    Ok(linked)
}

fn append(kernel: &KernelSource, path: &str, text: &str, linked: &mut Linked) -> Result<()> {
    let file = linked.files.len();
    linked.files.push(path.to_owned());
    for (index, line) in text.lines().enumerate() {
        let number = index as u32 + 1;
        let Some(rest) = line.trim_start().strip_prefix("//#include") else {
            linked.text.push_str(line);
            linked.text.push('\n');
            linked.lines.push((file, number));
            continue;
        };
        let wanted = rest.trim().trim_matches('"');
        if linked.files.iter().any(|known| known == wanted) {
            continue;
        }
        let Some((name, fragment)) = FRAGMENTS.iter().find(|(name, _)| *name == wanted) else {
            let known: Vec<_> = FRAGMENTS.iter().map(|(name, _)| *name).collect();
            return Err(Error::Shader {
                kernel: kernel.stem().into(),
                file: path.into(),
                line: number,
                column: 1,
                message: format!("no fragment `{wanted}`; there are {}", known.join(", ")),
            });
        };
        append(kernel, name, fragment, linked)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finite_lines() -> u32 {
        let (_, text) = FRAGMENTS.iter().find(|(name, _)| *name == "lib/finite.wgsl").unwrap();
        text.lines().count() as u32
    }

    #[test]
    fn lines_map_back_through_includes() {
        let source = KernelSource::new(
            "test/map.wgsl",
            "// one\n//#include \"lib/finite.wgsl\"\n// three\n//#include \"lib/finite.wgsl\"\n// five\n",
        );
        let linked = link(&source, &[Define { name: "A", value: 3 }]).unwrap();
        let fragment_lines = finite_lines();
        assert!(linked.text.starts_with("const A: u32 = 3u;\n// one\n"));
        assert_eq!(linked.origin(1), ("<defines>", 1));
        assert_eq!(linked.origin(2), ("test/map.wgsl", 1));
        assert_eq!(linked.origin(3), ("lib/finite.wgsl", 1));
        assert_eq!(linked.origin(3 + fragment_lines), ("test/map.wgsl", 3));
        // The second include of the same file adds nothing.
        assert_eq!(linked.origin(4 + fragment_lines), ("test/map.wgsl", 5));
        assert_eq!(linked.text.lines().count(), 4 + fragment_lines as usize);
    }

    #[test]
    fn parts_come_last_and_keep_their_own_lines() {
        let kernel = KernelSource::embedded("test/outer.wgsl", "//#include \"lib/finite.wgsl\"\n// two\n");
        let source = kernel.with_part("my/inner.wgsl", "// one\n//#include \"lib/finite.wgsl\"\n// three\n");
        assert!(kernel.is_trusted() && !source.is_trusted() && kernel != source);
        assert_eq!((source.stem(), source.text()), ("outer", kernel.text()));
        let linked = link(&source, &[]).unwrap();
        let fragment_lines = finite_lines();
        assert_eq!(linked.origin(fragment_lines + 1), ("test/outer.wgsl", 2));
        assert_eq!(linked.origin(fragment_lines + 2), ("my/inner.wgsl", 1));
        // The fragment is there already.
        assert_eq!(linked.origin(fragment_lines + 3), ("my/inner.wgsl", 3));
        assert_eq!(linked.text.lines().count(), fragment_lines as usize + 3);
    }

    #[test]
    fn an_unknown_include_names_file_and_line() {
        let source = KernelSource::new("test/x.wgsl", "// a\n//#include \"lib/none.wgsl\"\n");
        let error = link(&source, &[]).unwrap_err().to_string();
        assert!(error.starts_with("test/x.wgsl:2:1"), "{error}");
    }
}
