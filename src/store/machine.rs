//! What decides the last bits of a run.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::gpu::{Gpu, VariantChoices};

/// What a file says of the machine that wrote it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Adapter it was trained on: another one continues with other rounding.
    adapter: String,
    /// How kernels were chosen.
    tuning: String,
    /// Which were: by shape class, the variants of the run's plans.
    #[serde(default)]
    variants: VariantChoices,
}

impl Machine {
    pub fn new(gpu: &Gpu, variants: VariantChoices) -> Self {
        Self { adapter: gpu.adapter_name(), tuning: tuning(gpu), variants }
    }

    /// Warns if a run that was resumed here, with these variants, may differ in its last bits.
    pub fn compare(&self, gpu: &Gpu, variants: &VariantChoices, path: &Path) {
        let other_table = self.variants.is_empty() && self.tuning != tuning(gpu);
        if self.adapter != gpu.adapter_name() || other_table {
            log::warn!(
                "checkpoint {} comes from {} ({}); results may differ in the last bits",
                path.display(),
                self.adapter,
                self.tuning
            );
        }
        if !self.variants.is_empty()
            && let Some(words) = difference(&self.variants, variants)
        {
            log::warn!(
                "checkpoint {} was trained with other kernel variants ({words}); results may differ in the last bits, \
                 unless its tuning file is restored",
                path.display()
            );
        }
    }
}

fn tuning(gpu: &Gpu) -> String {
    match gpu.tuning_name() {
        "table" => format!("table {}", crate::nn::VARIANT_TABLE),
        other => other.into(),
    }
}

/// Says how the variants of a file differ from those of its resumed run.
fn difference(then: &VariantChoices, now: &VariantChoices) -> Option<String> {
    let classes: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let names = |of: &VariantChoices, class: &String| {
        of.get(class).map_or("none".into(), |names| names.iter().cloned().collect::<Vec<_>>().join(" and "))
    };
    let differ = classes.into_iter().filter(|class| then.get(*class) != now.get(*class));
    let words: Vec<String> =
        differ.map(|class| format!("{class}: {}, now {}", names(then, class), names(now, class))).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_variants_are_worth_a_warning() {
        let choices = |list: &[(&str, &str)]| -> VariantChoices {
            list.iter().map(|(class, name)| ((*class).into(), [(*name).into()].into())).collect()
        };
        let then = choices(&[("a 1x1x1", "portable"), ("b 2x2x2", "portable")]);
        assert_eq!(difference(&then, &then.clone()), None);
        let now = choices(&[("a 1x1x1", "tiled"), ("c 4x4x4", "portable")]);
        let words = difference(&then, &now).unwrap();
        assert_eq!(
            words,
            "a 1x1x1: portable, now tiled; b 2x2x2: portable, now none; c 4x4x4: none, now portable"
        );
    }
}
