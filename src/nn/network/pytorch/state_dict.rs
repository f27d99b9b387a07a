//! A `state_dict` as it lies in a safetensors file.

use std::collections::BTreeSet;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::{Error, Result};

pub(super) const READ: &str = "read a PyTorch state_dict";

pub(super) fn parse(bytes: &[u8]) -> Result<SafeTensors<'_>> {
    SafeTensors::deserialize(bytes).map_err(|error| {
        let problem = format!(
            "is no safetensors file ({error}); save with `safetensors.torch.save_file`, not `torch.save`"
        );
        Error::argument(READ, "the file", problem)
    })
}

pub(super) fn check_shape(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<()> {
    let found = tensor(file, name)?.shape().to_vec();
    if found == shape {
        return Ok(());
    }
    let hint = "PyTorch keeps weights as [outputs, inputs]";
    Err(Error::shape(READ, name, format!("{found:?}"), format!("{shape:?}"), hint))
}

pub(super) fn tensor<'a>(file: &SafeTensors<'a>, name: &str) -> Result<TensorView<'a>> {
    file.tensor(name).map_err(|error| Error::argument(READ, format!("tensor `{name}`"), error.to_string()))
}

/// The values of a tensor as f32.
pub(super) fn numbers(file: &SafeTensors<'_>, name: &str) -> Result<Vec<f32>> {
    let argument = format!("tensor `{name}`");
    let view = tensor(file, name)?;
    let data = view.data();
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect(),
        Dtype::F64 => data.as_chunks().0.iter().map(|raw| f64::from_le_bytes(*raw) as f32).collect(),
        Dtype::F16 => data.as_chunks().0.iter().map(|raw| from_f16(u16::from_le_bytes(*raw))).collect(),
        Dtype::BF16 => {
            let wide = |raw: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*raw)) << 16);
            data.as_chunks().0.iter().map(wide).collect()
        }
        other => {
            let problem = format!("holds {other:?}; convert the model with `.float()` before saving");
            return Err(Error::argument(READ, argument, problem));
        }
    };
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Error::argument(READ, argument, format!("holds {} at element {at}", values[at]))),
        None => Ok(values),
    }
}

/// Half precision to single, exactly.
fn from_f16(half: u16) -> f32 {
    let sign = u32::from(half >> 15) << 31;
    let (exponent, fraction) = (u32::from(half >> 10 & 0x1f), u32::from(half & 0x3ff));
    let size = match exponent {
        // Zero and subnormals: multiples of 2^-24.
        0 => (fraction as f32 / f32::from(1u16 << 12) / f32::from(1u16 << 12)).to_bits(),
        0x1f => 0x7f80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | size)
}

/// A message, not a report: model files hold hundreds of names.
pub(super) fn shorten(mut text: String) -> String {
    const MAX: usize = 400;
    if text.len() > MAX {
        let end = (0..=MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push_str(" ..");
    }
    text
}

/// The numbers `N` of tensors `<prefix>N.weight`, ascending, with the number of their dimensions.
pub(super) fn numbered(file: &SafeTensors<'_>, prefix: &str) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    for name in file.names() {
        let number = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(".weight"));
        // `007` is not what a `Sequential` writes; as a number it would stand for `7`.
        let Some(number) = number.filter(|text| *text == "0" || !text.starts_with(['0', '+'])) else {
            continue;
        };
        if let (Ok(at), Ok(view)) = (number.parse(), file.tensor(name)) {
            all.push((at, view.shape().len()));
        }
    }
    all.sort_unstable();
    all
}

/// What could stand in front of the names of modules in this file, in words.
pub(super) fn prefixes(file: &SafeTensors<'_>) -> String {
    let of = |name: &str| -> String {
        let module = name.rsplit_once('.').map_or("", |(module, _)| module);
        module.rsplit_once('.').map_or(String::new(), |(prefix, _)| format!("{prefix}."))
    };
    let all: BTreeSet<String> = file.names().into_iter().map(of).collect();
    let shown: Vec<String> = all.iter().take(MAX_PREFIXES).map(|prefix| format!("`{prefix}`")).collect();
    let more = all.len().saturating_sub(MAX_PREFIXES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("prefixes there: {}{more}", shown.join(", "))
}

/// Most prefixes in a message.
const MAX_PREFIXES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_converted_exactly() {
        let cases = [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3c00, 1.0),
            (0xc100, -2.5),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (half, single) in cases {
            assert_eq!(from_f16(half).to_bits(), f32::to_bits(single), "{half:#06x}");
        }
        assert!(from_f16(0x7e00).is_nan());
    }
}
