//! Which variants of each kernel can be recorded on a device: what tests must repeat where it
//! changes.

use std::fmt;

use super::capabilities::Capabilities;
use super::optional::OptionalPaths;
use crate::gpu::KernelVariant;

/// Endings of variants in files of their own; the plain name is the portable baseline.
const SUFFIXES: [&str; 4] = ["_tiled", "_subgroup", "_coop", "_fused"];

/// What can run of one kernel under given capabilities. Equal choices run the same instructions.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelChoice {
    /// Folder and stem of the baseline: `nn/dense_forward`.
    pub kernel: String,
    /// The variants that shapes choose among.
    pub variants: Vec<KernelVariant>,
    /// Whether they are compiled with every runtime check.
    pub checked: bool,
}

impl KernelChoice {
    /// The name that tests expect kernels by.
    pub fn stem(&self) -> &str {
        self.kernel.rsplit('/').next().unwrap_or(&self.kernel)
    }
}

impl fmt::Display for KernelChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut files: Vec<&str> = self.variants.iter().map(|variant| variant.source.stem()).collect();
        files.dedup();
        let count = self.variants.len();
        write!(f, "{}: {count} variant{}", self.kernel, if count == 1 { "" } else { "s" })?;
        if files.len() > 1 {
            write!(f, " of {}", files.join(", "))?;
        }
        if let Some(class) = self.variants.iter().find_map(|variant| variant.class) {
            write!(f, ", block sizes for class {class:?}")?;
        }
        let paths: OptionalPaths = self.variants.iter().flat_map(|variant| variant.paths.iter()).collect();
        for path in paths.iter() {
            write!(f, ", with {}", path.name())?;
        }
        Ok(())
    }
}

/// The choice of each kernel among `variants`, in order of their names.
pub(crate) fn choices(variants: Vec<KernelVariant>, capabilities: &Capabilities) -> Vec<KernelChoice> {
    let paths: Vec<String> =
        variants.iter().map(|variant| variant.source.path().trim_end_matches(".wgsl").to_owned()).collect();
    let base = |path: &str| {
        let stripped = SUFFIXES.iter().find_map(|suffix| path.strip_suffix(suffix));
        stripped.filter(|base| paths.iter().any(|known| known == base)).unwrap_or(path).to_owned()
    };
    let mut all: Vec<KernelChoice> = Vec::new();
    for (variant, path) in variants.into_iter().zip(&paths) {
        let kernel = base(path);
        let at = all.iter().position(|choice| choice.kernel == kernel).unwrap_or_else(|| {
            let checked = capabilities.checked || !variant.source.is_trusted();
            all.push(KernelChoice { kernel, variants: Vec::new(), checked });
            all.len() - 1
        });
        let fits = variant.class.is_none_or(|class| class == capabilities.class)
            && variant.paths.is_within(capabilities.on())
            && variant.subgroup_size.is_none_or(|size| capabilities.subgroup_size == Some(size));
        if fits {
            all[at].variants.push(variant);
        }
    }
    all.sort_by(|a, b| a.kernel.cmp(&b.kernel));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::device::optional::{OptionalPath, PathChoice, PathState};
    use crate::gpu::{DeviceClass, KernelSource};

    fn capabilities(class: DeviceClass, on: bool, checked: bool) -> Capabilities {
        let choice = if on { PathChoice::On } else { PathChoice::LeftOut };
        Capabilities {
            limits: wgpu::Limits::default(),
            features: wgpu::Features::empty(),
            class,
            paths: vec![PathState { path: OptionalPath::Timestamps, available: true, choice }],
            checked,
            subgroup_size: None,
        }
    }

    /// As in a folder with a baseline in two block sizes, a variant of it that needs a path, and
    /// another kernel.
    fn variants() -> Vec<KernelVariant> {
        let kernel = |path: &'static str| KernelSource::embedded(path, "");
        vec![
            KernelVariant::new(&kernel("nn/product.wgsl"), &[("B", 8)]).for_class(DeviceClass::Cpu),
            KernelVariant::new(&kernel("nn/product.wgsl"), &[("B", 64)]).for_class(DeviceClass::Gpu),
            KernelVariant::new(&kernel("nn/product_tiled.wgsl"), &[]).needing(OptionalPath::Timestamps),
            KernelVariant::new(&kernel("nn/alone_tiled.wgsl"), &[]),
        ]
    }

    #[test]
    fn a_choice_changes_with_what_it_depends_on_and_with_nothing_else() {
        let of = |class, on, checked| choices(variants(), &capabilities(class, on, checked));
        let default = of(DeviceClass::Gpu, true, false);
        let names: Vec<_> = default.iter().map(|choice| choice.kernel.as_str()).collect();
        assert_eq!(names, ["nn/alone_tiled", "nn/product"]);
        let changed = |other: Vec<KernelChoice>| -> Vec<String> {
            let pairs = default.iter().zip(&other).filter(|(a, b)| a != b);
            pairs.map(|(choice, _)| choice.stem().to_owned()).collect()
        };
        assert_eq!(changed(of(DeviceClass::Gpu, true, false)), [""; 0]);
        assert_eq!(changed(of(DeviceClass::Gpu, false, false)), ["product"]);
        assert_eq!(changed(of(DeviceClass::Cpu, true, false)), ["product"]);
        assert_eq!(changed(of(DeviceClass::Gpu, true, true)), ["alone_tiled", "product"]);
        let words = default[1].to_string();
        assert_eq!(
            words,
            "nn/product: 2 variants of product, product_tiled, block sizes for class Gpu, with timestamps"
        );
    }
}
