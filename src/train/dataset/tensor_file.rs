//! Data sets from and to safetensors files.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::Dataset;
use super::rows64::{Columns, Names};
use crate::gpu::write_whole;
use crate::{Error, Result};

/// Longest header that is read: three tensors take a few hundred bytes, metadata little more.
const MAX_HEADER: u64 = 1 << 20;

impl Dataset {
    /// Reads a safetensors file with the tensors `y` `[rows, width]`, optionally `x`
    /// `[rows, width]` and `weight` `[rows]`, as `f32` or `f64`. Without `x` the data are
    /// unconditional. `x_offset` and `y_offset` `[width]` say what `x` and `y` are relative to;
    /// without them columns of `f64` that `f32` does not resolve get an offset
    /// ([`Dataset::from_f64`]).
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] with file and tensor for a damaged file, another element type
    /// or shape, a name that is twice there or unknown, a number that is not finite as an `f32`
    /// relative to its column's offset.
    pub fn from_safetensors(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let io = |operation, source| Error::Io { operation, path: path.into(), source };
        let fail = |problem: String| Error::Data { file: path.display().to_string(), problem };
        let mut file = File::open(path).map_err(|error| io("open", error))?;
        let size = file.metadata().map_err(|error| io("read", error))?.len();
        // A file that announces nonsense is not read into memory.
        let mut bytes = vec![0; 8];
        file.read_exact(&mut bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => fail(TOO_SHORT.into()),
            _ => io("read", error),
        })?;
        header_length(&bytes, size).map_err(fail)?;
        file.read_to_end(&mut bytes).map_err(|error| io("read", error))?;
        parse(&bytes).map_err(fail)
    }

    /// As [`Dataset::from_safetensors`], from the bytes of a file.
    ///
    /// # Errors
    /// [`Error::Data`].
    pub fn from_safetensors_bytes(bytes: &[u8]) -> Result<Self> {
        parse(bytes).map_err(|problem| Error::Data { file: "given as bytes".into(), problem })
    }

    /// Writes the data set for [`Dataset::from_safetensors`], whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Unsupported`] for groups or labeled data, which such a file does not
    /// hold.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let fail = |error: safetensors::SafeTensorError| Error::Data {
            file: path.display().to_string(),
            problem: error.to_string(),
        };
        if self.support != 1 || self.energies.is_some() {
            return Err(Error::Unsupported {
                operation: "saving a data set".into(),
                reason: "a data file holds one action per row, without an energy".into(),
                hint: "save the samples and their energies on your own".into(),
            });
        }
        let narrow = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
        let wide = |values: &[f64]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
        let matrix = |width: usize| vec![self.rows(), width];
        let mut tensors = vec![("y", Dtype::F32, matrix(self.y_width), narrow(&self.y))];
        if !self.is_unconditional() {
            tensors.push(("x", Dtype::F32, matrix(self.x_width), narrow(&self.x)));
        }
        if let Some(weights) = &self.weights {
            tensors.push(("weight", Dtype::F32, vec![self.rows()], narrow(weights)));
        }
        for (name, offsets) in [("x_offset", self.offsets.context()), ("y_offset", self.offsets.action())] {
            if offsets.iter().any(|offset| *offset != 0.0) {
                tensors.push((name, Dtype::F64, vec![offsets.len()], wide(offsets)));
            }
        }
        let views = tensors
            .iter()
            .map(|(name, dtype, shape, bytes)| {
                Ok((*name, TensorView::new(*dtype, shape.clone(), bytes).map_err(fail)?))
            })
            .collect::<Result<Vec<_>>>()?;
        write_whole(path, &serialize(views, None::<HashMap<String, String>>).map_err(fail)?)
    }
}

const TOO_SHORT: &str = "is shorter than the header of a safetensors file";

/// The announced length of the header, checked against the size of the whole.
fn header_length(bytes: &[u8], size: u64) -> Result<usize, String> {
    let length = bytes.first_chunk().map(|raw| u64::from_le_bytes(*raw)).ok_or(TOO_SHORT)?;
    if length > MAX_HEADER || length + 8 > size {
        return Err(format!("announces a header of {length} bytes in a file of {size}"));
    }
    Ok(length as usize)
}

fn parse(bytes: &[u8]) -> Result<Dataset, String> {
    let length = header_length(bytes, bytes.len() as u64)?;
    let header = std::str::from_utf8(&bytes[8..8 + length]).map_err(|_| "has a header that is not text")?;
    distinct_names(header)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    if let Some(name) = tensors.names().into_iter().find(|name| !NAMES.contains(name)) {
        return Err(format!("tensor {name:?}: data files hold `y`, and may hold `x`, `weight` and offsets"));
    }
    let (rows, mut y) = columns(&tensors, "y")?.ok_or("has no tensor `y`")?;
    let mut x = match columns(&tensors, "x")? {
        None => Columns::default(),
        Some((x_rows, _)) if x_rows != rows => {
            return Err(format!("tensor `x` has {x_rows} rows, `y` {rows}"));
        }
        Some((_, x)) => x,
    };
    for (name, columns) in [("x_offset", &mut x), ("y_offset", &mut y)] {
        let Ok(view) = tensors.tensor(name) else { continue };
        let Numbers { shape, narrow, wide } = numbers(name, &view)?;
        if shape != [columns.width] {
            return Err(format!("tensor `{name}` has shape {shape:?}, expected [{}]", columns.width));
        }
        let offsets = if wide.is_empty() { narrow.into_iter().map(f64::from).collect() } else { wide };
        // The numbers are relative to it as they stand.
        columns.wide.clear();
        columns.offsets = Some(offsets);
    }
    let weights = tensors.tensor("weight").ok().map(|view| numbers("weight", &view)).transpose()?;
    if let Some(Numbers { shape, narrow, .. }) = &weights {
        if *shape != [rows] {
            return Err(format!("tensor `weight` has shape {shape:?}, expected [{rows}]"));
        }
        check_finite("weight", narrow)?;
    }
    for (name, columns) in [("x", &x), ("y", &y)] {
        if columns.wide.is_empty() {
            check_finite(name, &columns.narrow)?;
        }
    }
    let names = Names {
        column: &|letter, column| format!("column {column} of tensor `{letter}`"),
        number: &|letter, at| format!("tensor `{letter}`: element {at}"),
    };
    let weights = weights.map(|weights| weights.narrow);
    Dataset::from_columns(x, y, 1, weights, &names).map_err(|error| error.to_string())
}

/// The tensors that a data file may hold.
const NAMES: [&str; 5] = ["x", "y", "weight", "x_offset", "y_offset"];

/// Rows and columns of a matrix, if there is one of that name.
fn columns(tensors: &SafeTensors<'_>, name: &str) -> Result<Option<(usize, Columns)>, String> {
    let Ok(view) = tensors.tensor(name) else { return Ok(None) };
    let Numbers { shape, narrow, wide } = numbers(name, &view)?;
    let [rows, width] = matrix(name, &shape)?;
    Ok(Some((rows, Columns { narrow, wide, width, offsets: None })))
}

fn check_finite(name: &str, values: &[f32]) -> Result<(), String> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => {
            Err(format!("tensor `{name}`: element {at} is {} as an f32; data must be finite", values[at]))
        }
        None => Ok(()),
    }
}

fn matrix(name: &str, shape: &[usize]) -> Result<[usize; 2], String> {
    match *shape {
        [rows, width] if rows > 0 && width > 0 => Ok([rows, width]),
        _ => Err(format!(
            "tensor `{name}` has shape {shape:?}, expected [rows, width] with at least one of each"
        )),
    }
}

/// Shape and values of a tensor.
struct Numbers {
    shape: Vec<usize>,
    narrow: Vec<f32>,
    /// None for a tensor of `f32`.
    wide: Vec<f64>,
}

fn numbers(name: &str, view: &TensorView<'_>) -> Result<Numbers, String> {
    let shape = view.shape().to_vec();
    match view.dtype() {
        Dtype::F32 => {
            let raw = view.data().as_chunks().0.iter();
            let narrow = raw.map(|raw: &[u8; 4]| f32::from_le_bytes(*raw)).collect();
            Ok(Numbers { shape, narrow, wide: Vec::new() })
        }
        Dtype::F64 => {
            let raw = view.data().as_chunks().0.iter();
            let wide: Vec<f64> = raw.map(|raw: &[u8; 8]| f64::from_le_bytes(*raw)).collect();
            Ok(Numbers { shape, narrow: wide.iter().map(|value| *value as f32).collect(), wide })
        }
        other => Err(format!("tensor `{name}` is {other:?}, expected F32 or F64")),
    }
}

/// The parser of the header keeps the last of two tensors of one name; here that is an error.
fn distinct_names(header: &str) -> Result<(), String> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the tensors by name")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<String>, A::Error> {
            let (mut known, mut twice) = (std::collections::HashSet::new(), None);
            while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                if known.contains(&name) {
                    twice.get_or_insert(name);
                } else {
                    known.insert(name);
                }
            }
            Ok(twice)
        }
    }
    let twice = serde_json::Deserializer::from_str(header)
        .deserialize_map(Names)
        .map_err(|error| format!("its header: {error}"))?;
    match twice {
        Some(name) => Err(format!("tensor {name:?} is there twice")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Rows64;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    fn tensor(name: &str, dtype: &str, shape: &str, from: usize, to: usize) -> String {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[track_caller]
    fn refused(bytes: &[u8], parts: &[&str]) {
        let error = Dataset::from_safetensors_bytes(bytes).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error:?} without {parts:?}");
    }

    #[test]
    fn what_was_saved_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.safetensors");
        let pairs = Dataset::new(vec![1.0, -0.0, 3.0, 4.0], 2, vec![5.0, 1e-40], 1).unwrap();
        let weighted = pairs.clone().with_weights(vec![0.0, 2.5]).unwrap();
        let alone = Dataset::unconditional(vec![1.0, 2.0, 3.0], 3).unwrap();
        let far: Vec<f64> = (0..40).map(|row| 1.7e9 + f64::from(row).sin()).collect();
        let offset = Dataset::from_f64(&Rows64::new(&far, 2, &far, 2)).unwrap();
        assert_eq!(offset.offsets().context(), [1.7e9; 2]);
        for data in [&pairs, &weighted, &alone, &offset] {
            data.save(&path).unwrap();
            let found = Dataset::load(&path).unwrap();
            assert_eq!(found.fingerprint(), data.fingerprint());
            assert_eq!(found.offsets(), data.offsets());
            assert_eq!((found.x_width(), found.y_width()), (data.x_width(), data.y_width()));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something else was left");
        let wide: Vec<u8> = [0.1f64, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let bytes = file(&format!("{{{}}}", tensor("y", "F64", "[2,1]", 0, 16)), &wide);
        assert_eq!(Dataset::from_safetensors_bytes(&bytes).unwrap().y(), [0.1f32, -2.0]);
    }

    #[test]
    fn columns_of_64_bit_numbers_get_an_offset_where_they_need_one() {
        let read = |offset: f64, fill: f64| {
            let values = |row: u32| {
                [f64::from(row).sin(), if row == 5 { fill } else { offset } + f64::from(row).cos()]
            };
            let wide: Vec<u8> = (0..100).flat_map(values).flat_map(f64::to_le_bytes).collect();
            let weights: Vec<f32> = (0..100).map(|row| if row == 5 { 0.0 } else { 1.0 }).collect();
            let header =
                [tensor("y", "F64", "[100,2]", 0, 1600), tensor("weight", "F32", "[100]", 1600, 2000)];
            let bytes = file(&format!("{{{}}}", header.join(",")), &[wide, floats(&weights)].concat());
            let data = Dataset::from_safetensors_bytes(&bytes).unwrap();
            assert!(data.warnings().is_empty(), "{:?}", data.warnings());
            data
        };
        let (data, near) = (read(-1.7e9, 0.0), read(0.0, 0.0));
        assert_eq!(data.offsets().action(), [0.0, -1.7e9]);
        for row in (0..100).filter(|row| *row != 5) {
            let [far, near] = [&data, &near].map(|data| &data.y()[2 * row..][..2]);
            assert!(far[0] == near[0] && (far[1] - near[1]).abs() < 3e-7, "{far:?} {near:?}");
        }
        assert!(read(3.0, 0.0).offsets().are_zero() && read(3.0, 1.7e9).offsets().are_zero());
    }

    #[test]
    fn hostile_files_are_refused() {
        let one = |dtype: &str, shape: &str, data: &[u8]| {
            file(&format!("{{{}}}", tensor("y", dtype, shape, 0, data.len())), data)
        };
        let two = |name: &str, shape: &str, values: usize| {
            let end = 8 + 4 * values;
            let header =
                format!("{{{},{}}}", tensor("y", "F32", "[2,1]", 0, 8), tensor(name, "F32", shape, 8, end));
            file(&header, &floats(&vec![1.0; 2 + values]))
        };
        let good = two("x", "[2,2]", 4);
        assert!(Dataset::from_safetensors_bytes(&good).is_ok());
        for length in 0..good.len() {
            assert!(Dataset::from_safetensors_bytes(&good[..length]).is_err(), "cut to {length} bytes");
        }
        refused(b"1234567", &["shorter"]);
        refused(&u64::MAX.to_le_bytes(), &["announces"]);
        let mut huge = (MAX_HEADER + 1).to_le_bytes().to_vec();
        huge.resize(MAX_HEADER as usize + 100, b' ');
        refused(&huge, &["announces a header of 1048577"]);
        refused(&file("{", &[]), &["header"]);
        refused(&file("[]", &[]), &["header"]);
        refused(&file("{}", &[]), &["no tensor `y`"]);
        refused(&one("I32", "[2,1]", &[0; 8]), &["`y`", "I32"]);
        refused(&one("F16", "[4,1]", &[0; 8]), &["`y`", "F16"]);
        refused(&one("F32", "[2]", &[0; 8]), &["`y`", "[2]"]);
        refused(&one("F32", "[2,1,1]", &[0; 8]), &["`y`", "[2, 1, 1]"]);
        refused(&one("F32", "[0,3]", &[]), &["`y`", "[0, 3]"]);
        refused(&one("F32", "[2,0]", &[]), &["`y`", "[2, 0]"]);
        refused(&one("F32", "[2,2]", &[0; 8]), &[]);
        refused(&one("F32", "[9223372036854775807,9223372036854775807]", &[0; 8]), &[]);
        refused(&one("F32", "[2,1]", &floats(&[1.0, f32::NAN])), &["`y`", "element 1", "NaN"]);
        refused(&one("F64", "[1,1]", &1e300f64.to_le_bytes()), &["`y`", "element 0", "inf"]);
        refused(&two("x", "[1,4]", 4), &["`x`", "1 rows"]);
        refused(&two("X", "[2,2]", 4), &["\"X\"", "`weight`"]);
        refused(&two("weight", "[2,1]", 2), &["`weight`", "[2, 1]"]);
        refused(&two("weight", "[3]", 3), &["`weight`", "[3]"]);
        refused(&two("y", "[2,2]", 4), &["\"y\"", "twice"]);
        refused(&two("y_offset", "[2]", 2), &["`y_offset`", "[2]", "[1]"]);
        refused(&two("x_offset", "[1]", 1), &["`x_offset`", "[0]"]);
        let nan = file(
            &format!("{{{},{}}}", tensor("y", "F32", "[1,1]", 0, 4), tensor("y_offset", "F32", "[1]", 4, 8)),
            &floats(&[1.0, f32::NAN]),
        );
        refused(&nan, &["offsets", "NaN"]);
        let missing = Dataset::load("no/such/file.safetensors").unwrap_err().to_string();
        assert!(missing.contains("no/such/file.safetensors"), "{missing}");
        let ending = Dataset::load("data.npz").unwrap_err().to_string();
        assert!(ending.contains("data.npz") && ending.contains(".csv"), "{ending}");
    }
}
