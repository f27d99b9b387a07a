//! Data sets from comma-separated text.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder, Trim};

use super::Dataset;
use super::rows64::{Columns, Names};
use crate::{Error, Result};

/// Which columns of a table are what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CsvColumns {
    /// Contexts `x0, x1, ..`, actions `y0, y1, ..` and, if there is one, `weight`, in any order and
    /// without gaps; any other column is an error. Without an `x0` the data are unconditional.
    #[default]
    Numbered,
    /// Columns by their names in the first line; others are passed over. With no context the data
    /// are unconditional.
    Named {
        /// Columns of the context.
        x: Vec<String>,
        /// Columns of the action.
        y: Vec<String>,
        /// The column of weights.
        weight: Option<String>,
    },
}

/// Places of the chosen columns in a row.
struct Places {
    x: Vec<usize>,
    y: Vec<usize>,
    weight: Option<usize>,
}

impl Dataset {
    /// Reads a file of comma-separated numbers; the first line names the columns. Lines may end in
    /// CR LF, a byte order mark is passed over, spaces round a field do not count. Columns that
    /// `f32` does not resolve get an offset ([`Dataset::from_f64`]).
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] with file, line and column for a column that is missing,
    /// twice there or unknown, a row with more or fewer fields than the first line, a blank line or
    /// field, a field that is no finite `f32` relative to its column's offset.
    pub fn from_csv(path: impl AsRef<Path>, columns: &CsvColumns) -> Result<Self> {
        let path = path.as_ref();
        let io = |operation, source| Error::Io { operation, path: path.into(), source };
        let mut bytes = Vec::new();
        let mut file = File::open(path).map_err(|error| io("open", error))?;
        file.read_to_end(&mut bytes).map_err(|error| io("read", error))?;
        parse(&bytes, columns).map_err(|problem| Error::Data { file: path.display().to_string(), problem })
    }

    /// As [`Dataset::from_csv`], from anything that can be read to its end.
    ///
    /// # Errors
    /// [`Error::Data`], also where reading fails.
    pub fn from_csv_reader(mut reader: impl Read, columns: &CsvColumns) -> Result<Self> {
        let fail = |problem: String| Error::Data { file: "given as a reader".into(), problem };
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|error| fail(format!("cannot be read: {error}")))?;
        parse(&bytes, columns).map_err(fail)
    }
}

fn parse(bytes: &[u8], columns: &CsvColumns) -> Result<Dataset, String> {
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(bytes);
    let mut record = ByteRecord::new();
    let mut lines = Lines::new(bytes);
    let mut next = |record: &mut ByteRecord| -> Result<Option<u64>, String> {
        let more = reader.read_byte_record(record).map_err(|error| error.to_string())?;
        if !more {
            return Ok(None);
        }
        let at = record.position().map_or(0, csv::Position::byte);
        lines.expect_row(at).map(Some)
    };

    next(&mut record)?.ok_or("is empty; its first line must name the columns")?;
    let names: Vec<String> = record.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let places = find(&names, columns).map_err(|problem| problem + other_separator(&names))?;

    let columns = |places: &[usize]| Columns { width: places.len(), ..Columns::default() };
    let (mut x, mut y, mut weights) = (columns(&places.x), columns(&places.y), Vec::new());
    while let Some(line) = next(&mut record)? {
        if record.len() != names.len() {
            let (found, wanted) = (record.len(), names.len());
            let fields: Vec<String> =
                record.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
            let separator = other_separator(&fields);
            return Err(format!(
                "line {line} has {found} fields, the first line names {wanted} columns{separator}"
            ));
        }
        let number = |place: usize| {
            number(&record[place])
                .map_err(|problem| format!("line {line}, column `{}`: {problem}", names[place]))
        };
        let weight = places.weight.map(number).transpose()?.map(|(narrow, _)| narrow);
        if let (Some(place), Some(weight)) = (places.weight, weight)
            && !weight.is_finite()
        {
            let name = &names[place];
            return Err(format!(
                "line {line}, column `{name}`: becomes {weight}; it must be a finite 32-bit number"
            ));
        }
        if let (Some(place), Some(weight)) = (places.weight, weight)
            && weight < 0.0
        {
            let name = &names[place];
            return Err(format!("line {line}, column `{name}`: is {weight}; a weight must not be negative"));
        }
        weights.extend(weight);
        for (columns, places) in [(&mut x, &places.x), (&mut y, &places.y)] {
            for &place in places {
                let (narrow, wide) = number(place)?;
                columns.narrow.push(narrow);
                columns.wide.push(wide);
            }
        }
    }
    if y.narrow.is_empty() {
        return Err("has no row below the names of its columns".into());
    }
    let of = |letter: char| if letter == 'x' { &places.x } else { &places.y };
    let file_names = Names {
        column: &|letter, column| format!("column {} of the file", shown(&names[of(letter)[column]])),
        // Every line below the first is a row.
        number: &|letter, at| {
            let places = of(letter);
            format!("line {}, column `{}`,", at / places.len() + 2, names[places[at % places.len()]])
        },
    };
    let weights = places.weight.map(|_| weights);
    Dataset::from_columns(x, y, 1, weights, &file_names).map_err(|error| error.to_string())
}

/// Counts lines beside the parser, which passes over blank ones without a word.
struct Lines<'a> {
    bytes: &'a [u8],
    /// Where counting stands, and the number of line ends before it.
    at: usize,
    ended: u64,
    rows: u64,
}

impl<'a> Lines<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, ended: 0, rows: 0 }
    }

    /// The line of the next row, which the parser began to look for at byte `from`. With one row
    /// per line and none blank it is known beforehand.
    fn expect_row(&mut self, from: u64) -> Result<u64, String> {
        let line_end = |at: usize| {
            let (byte, after) = (self.bytes.get(at), self.bytes.get(at + 1));
            // CR LF ends one line.
            byte == Some(&b'\n') || (byte == Some(&b'\r') && after != Some(&b'\n'))
        };
        let is_end = |byte: Option<&u8>| matches!(byte, Some(b'\n' | b'\r'));
        let from = (from as usize).max(self.at);
        let start =
            (from..self.bytes.len()).find(|&at| !is_end(self.bytes.get(at))).unwrap_or(self.bytes.len());
        self.ended += (self.at..start).filter(|&at| line_end(at)).count() as u64;
        self.at = start;
        self.rows += 1;
        if self.ended + 1 != self.rows {
            return Err(format!("line {} is blank, or part of a quoted field over several lines", self.rows));
        }
        Ok(self.rows)
    }
}

/// What to do about fields that are separated by something else than commas, if they seem to be.
fn other_separator(fields: &[String]) -> &'static str {
    let holds = |separator: char| fields.iter().any(|field| field.contains(separator));
    if holds(';') {
        "; its fields seem to be separated by semicolons: separate them by commas, and write decimals with a point"
    } else if holds('\t') {
        "; its fields seem to be separated by tabs: separate them by commas"
    } else {
        ""
    }
}

/// A number as it is kept, and as the text has it.
fn number(field: &[u8]) -> Result<(f32, f64), String> {
    let text = std::str::from_utf8(field).map_err(|_| "is not UTF-8 text".to_owned())?;
    if text.is_empty() {
        return Err("is blank; every field needs a number".into());
    }
    match (text.parse(), text.parse::<f64>()) {
        (Ok(narrow), Ok(wide)) if wide.is_finite() => Ok((narrow, wide)),
        (Ok(_), Ok(wide)) => Err(format!("{} becomes {wide}; data must be finite", shown(text))),
        _ => Err(format!("{} is no number", shown(text))),
    }
}

/// At most forty characters of a field, quoted and with control characters escaped.
fn shown(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{:?}..", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn find(names: &[String], columns: &CsvColumns) -> Result<Places, String> {
    let mut places = HashMap::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        if places.insert(name.as_str(), place).is_some() {
            return Err(format!("line 1: column {} is named twice", shown(name)));
        }
    }
    match columns {
        CsvColumns::Numbered => numbered(names, &places),
        CsvColumns::Named { x, y, weight } => {
            if y.is_empty() {
                return Err("no column was chosen for the action".into());
            }
            let mut chosen = HashSet::new();
            if let Some(name) = x.iter().chain(y).chain(weight).find(|name| !chosen.insert(*name)) {
                return Err(format!("column {} was chosen twice", shown(name)));
            }
            let place = |name: &String| {
                let known = places.get(name.as_str()).copied();
                known.ok_or_else(|| format!("line 1: there is no column {}", shown(name)))
            };
            Ok(Places {
                x: x.iter().map(place).collect::<Result<_, _>>()?,
                y: y.iter().map(place).collect::<Result<_, _>>()?,
                weight: weight.as_ref().map(place).transpose()?,
            })
        }
    }
}

/// Places by the names `x0..`, `y0..` and `weight`.
fn numbered(names: &[String], places: &HashMap<&str, usize>) -> Result<Places, String> {
    let collect = |letter: &str| -> Vec<usize> {
        (0..names.len()).map_while(|index| places.get(format!("{letter}{index}").as_str()).copied()).collect()
    };
    let (x, y) = (collect("x"), collect("y"));
    let weight = places.get("weight").copied();
    let used: HashSet<usize> = x.iter().chain(&y).copied().chain(weight).collect();
    if let Some(place) = (0..names.len()).find(|place| !used.contains(place)) {
        return Err(format!(
            "line 1: column {} is none of x0, x1, .., y0, y1, .. (without gaps) and weight; rename it or choose columns by name",
            shown(&names[place])
        ));
    }
    if y.is_empty() {
        return Err("line 1: there is no column y0, so no action".into());
    }
    Ok(Places { x, y, weight })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Dataset> {
        Dataset::from_csv_reader(text.as_bytes(), &CsvColumns::default())
    }

    #[track_caller]
    fn refused(text: &[u8], parts: &[&str]) {
        let error = Dataset::from_csv_reader(text, &CsvColumns::default()).unwrap_err().to_string();
        let text = String::from_utf8_lossy(text);
        assert!(parts.iter().all(|part| error.contains(part)), "{text:?}: {error:?} without {parts:?}");
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let data = read("y1,x0,weight,y0\n1,2,3,4\n5,6,0,8\n").unwrap();
        assert_eq!((data.x(), data.y()), (&[2.0, 6.0][..], &[4.0, 1.0, 8.0, 5.0][..]));
        assert_eq!((data.x_width(), data.y_width()), (1, 2));
        assert_eq!(data.weights(), Some(&[3.0, 0.0][..]));
        let data = read("y0\n1\n2\n").unwrap();
        assert!(data.is_unconditional() && data.rows() == 2 && data.weights().is_none());

        let named = CsvColumns::Named { x: vec!["b".into()], y: vec!["c".into(), "a".into()], weight: None };
        let data = Dataset::from_csv_reader(&b"a,b,c,note\n1,2,3,hm\n"[..], &named).unwrap();
        assert_eq!((data.x(), data.y()), (&[2.0][..], &[3.0, 1.0][..]));
    }

    #[test]
    fn text_of_other_systems_is_read() {
        let wanted = read("x0,y0\n1,-2.5e-3\n3,4\n").unwrap();
        for text in [
            "\u{feff}x0,y0\r\n1,-2.5e-3\r\n3,4\r\n",
            "x0,y0\n1,-2.5e-3\n3,4",
            "x0,y0\r1,-2.5e-3\r3,4\r",
            " x0 ,\ty0\n +1 , -0.0025\n\"3\",4.0\n",
            "x0,y0\n1,-2.5e-3\n3,4\n\n\r\n",
        ] {
            let found = read(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!(found.fingerprint(), wanted.fingerprint(), "{text:?}");
        }
    }

    #[test]
    fn other_separators_are_recognized() {
        let semicolons = ["separated by semicolons", "by commas"];
        refused(b"x0;y0\n1,5;2,5\n", &semicolons);
        refused(b"x0;y0\n1;2\n", &semicolons);
        refused(b"y0;weight\n1;2\n", &semicolons);
        refused(b"x0,y0\n1;2\n", &["line 2", semicolons[0], semicolons[1]]);
        refused(b"x0\ty0\n1\t2\n", &["separated by tabs", "by commas"]);
        refused(b"x0,y0\n1\t2\n", &["line 2", "separated by tabs"]);
        let error = read("x0,z\n1,2\n").unwrap_err().to_string();
        assert!(!error.contains("separated"), "{error}");
    }

    #[test]
    fn columns_that_32_bits_do_not_resolve_get_an_offset() {
        let text = |offset: f64, weight: &dyn Fn(usize) -> usize| {
            let line = |row: usize| {
                let value = (row as f64).sin();
                format!("{value},{:.3},{}\n", offset + value, weight(row))
            };
            "x0,y0,weight\n".to_owned() + &(0..200).map(line).collect::<String>()
        };
        let near = read(&text(0.0, &|_| 1)).unwrap();
        let data = read(&text(1.7e9, &|_| 1)).unwrap();
        assert_eq!((data.offsets().context(), data.offsets().action()), (&[0.0][..], &[1.7e9][..]));
        assert!(data.warnings().is_empty() && data.x() == near.x());
        assert!(data.y().iter().zip(near.y()).all(|(far, near)| (far - near).abs() < 1e-6));
        assert!(read(&text(100.0, &|_| 1)).unwrap().offsets().are_zero());
        // A row that is never drawn decides nothing.
        let far = text(0.0, &|row| usize::from(row != 7)).replacen("\n0.656", "\n1700000000.656", 1);
        assert!(far.contains("1700000000"));
        let far = read(&far).unwrap();
        assert!(far.warnings().is_empty() && far.offsets().are_zero());
        let fill = |row: usize| usize::from(row != 7);
        let filled = text(1.7e9, &fill).replacen("\n0.6569865987187891,1700000000.657", "\n0.65,-999", 1);
        assert!(filled.contains("-999"));
        assert_eq!(read(&filled).unwrap().offsets().action(), [1.7e9]);
    }

    #[test]
    fn what_is_lost_even_so_is_named() {
        let line = |row: usize| format!("{}\n", 1.7e9 * (1 + row % 2) as f64 + (row as f64).sin());
        let lost = read(&("y0\n".to_owned() + &(0..200).map(line).collect::<String>())).unwrap().warnings();
        assert!(lost.len() == 1 && lost[0].contains("\"y0\"") && lost[0].contains("2.55e9"), "{lost:?}");
    }

    #[test]
    fn faults_are_named_with_line_and_column() {
        refused(b"", &["is empty"]);
        refused(b"\n\n", &["is empty"]);
        refused(b"\nx0,y0\n1,2\n", &["line 1 is blank"]);
        refused(b"x0,y0\n", &["no row"]);
        refused(b"0.5,1.5\n2,3\n", &["line 1", "\"0.5\"", "x0"]);
        refused(b"x0,X1,y0\n1,2,3\n", &["line 1", "\"X1\""]);
        refused(b"x0,x2,y0\n1,2,3\n", &["\"x2\"", "gaps"]);
        refused(b"x0,weight\n1,2\n", &["no column y0"]);
        refused(b"y0,y0\n1,2\n", &["\"y0\"", "twice"]);
        refused(b"x0,y0\n1,2\n3\n", &["line 3", "1 fields", "2 columns"]);
        refused(b"x0,y0\n1,2,3\n", &["line 2", "3 fields"]);
        refused(b"x0,y0\n1,2\n\n3,4\n", &["line 3 is blank"]);
        refused(b"x0,y0\r\n1,2\r\n\r\n3,4\r\n", &["line 3 is blank"]);
        refused(b"x0,y0\n1,2\n3,\n", &["line 3", "`y0`", "blank"]);
        refused(b"x0,y0\n ,2\n", &["line 2", "`x0`", "blank"]);
        refused(b"x0,y0\n1,two\n", &["line 2", "`y0`", "\"two\"", "no number"]);
        refused(b"x0,y0\n1,NaN\n", &["line 2", "`y0`", "NaN"]);
        refused(b"x0,y0\n1,2\n1,-inf\n", &["line 3", "`y0`", "-inf"]);
        refused(b"x0,y0\n1e39,2\n", &["line 2", "`x0`", "inf"]);
        refused(b"x0,y0\n\"1\n\",2\n3,4\n", &["line 3", "quoted"]);
        refused(b"x0,y0\n\xff\xfe,2\n", &["line 2", "`x0`", "UTF-8"]);
        refused(b"y0,weight\n1,1\n1,-1\n", &["line 3", "`weight`", "is -1", "not be negative"]);
        refused(b"y0,weight\n1,0\n", &["weight", "every row"]);
        let long = format!("y0\n{}\n", "a".repeat(100_000));
        let error = read(&long).unwrap_err().to_string();
        assert!(error.len() < 200, "{error}");

        let named = |x: &[&str], y: &[&str]| {
            let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            let columns = CsvColumns::Named { x: list(x), y: list(y), weight: None };
            Dataset::from_csv_reader(&b"a,b\n1,2\n"[..], &columns).unwrap_err().to_string()
        };
        assert!(named(&["c"], &["a"]).contains("no column \"c\""));
        assert!(named(&["a"], &["a"]).contains("chosen twice"));
        assert!(named(&["a"], &[]).contains("no column was chosen"));
    }
}
