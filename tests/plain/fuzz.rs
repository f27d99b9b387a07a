//! Damaged and hostile files: whatever bytes come in, the answer is an error or a value that passes
//! its own check. No panic, no memory beyond what the input justifies.
//!
//! Mutations know the structure: they edit the JSON of headers and descriptions as well as bytes,
//! cut, copy and splice valid files. A few hundred cases run in each test; `GIBBS_FUZZ_SECONDS=600`
//! makes each run that long from a fresh seed, which is printed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::common;
use gibbs::gpu::GpuOptions;
use gibbs::math::Normalize;
use gibbs::nn::network::pytorch;
use gibbs::nn::network::pytorch::Names;
use gibbs::nn::{Activation, AdamOptions, Input, Layer, LayerNorm, Network, Normalizer, Norms};
use gibbs::tasks::density::Density;
use gibbs::train::{
    CsvColumns, Dataset, EnergyOptions, ProposalOptions, RankingNceOptions, TrainOptions, Trainer,
};
use gibbs::{Error, Gpu, Result};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

// -------------------------------------------------------------------------------------------------
// The largest piece of memory that a thread asks for
// -------------------------------------------------------------------------------------------------

struct Watched;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn note(size: usize) {
    // Nothing to note while a thread ends.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
}

// SAFETY: every call goes to the system's allocator unchanged; noting a size allocates nothing.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

#[test]
fn large_requests_are_noted() {
    LARGEST.set(0);
    let large = std::hint::black_box(vec![0u8; 123_456]);
    assert_eq!(LARGEST.get(), large.len());
}

// -------------------------------------------------------------------------------------------------
// Mutations
// -------------------------------------------------------------------------------------------------

/// An edit of bytes.
#[derive(Clone, Debug)]
enum Edit {
    Flip(Index, u8),
    Set(Index, u8),
    Truncate(Index),
    Remove(Index, u8),
    Insert(Index, Vec<u8>),
    /// A stretch of the bytes, written over another place.
    Copy(Index, u8, Index),
    /// A number where eight bytes hold one: a length, an offset.
    Word(Index, u64),
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        if length == 0 {
            return;
        }
        let stretch = |from: &Index, count: u8| {
            let from = from.index(length);
            from..length.min(from + 1 + usize::from(count))
        };
        match self {
            Edit::Flip(at, bit) => bytes[at.index(length)] ^= 1 << (bit % 8),
            Edit::Set(at, byte) => bytes[at.index(length)] = *byte,
            Edit::Truncate(at) => bytes.truncate(at.index(length)),
            Edit::Remove(from, count) => drop(bytes.drain(stretch(from, *count))),
            Edit::Insert(at, more) => {
                let at = at.index(length);
                bytes.splice(at..at, more.iter().copied());
            }
            Edit::Copy(from, count, to) => {
                let copied = bytes[stretch(from, *count)].to_vec();
                let to = to.index(length);
                let end = length.min(to + copied.len());
                bytes.splice(to..end, copied);
            }
            Edit::Word(at, word) => {
                let at = at.index(length);
                let end = length.min(at + 8);
                bytes[at..end].copy_from_slice(&word.to_le_bytes()[..end - at]);
            }
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let text = prop_oneof![
        vec(any::<u8>(), 1..20),
        vec(prop::sample::select(b"0123456789eE+-.,:;\"'[]{}nulltruefalse \n\r\t\\".to_vec()), 1..20),
        Just(b"\xef\xbb\xbf".to_vec()),
        Just(b"NaN".to_vec()),
        Just(b"1e999".to_vec()),
        (1..3000usize).prop_map(|depth| vec![b'['; depth]),
    ];
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        3 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        1 => any::<Index>().prop_map(Edit::Truncate),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(from, count)| Edit::Remove(from, count)),
        2 => (any::<Index>(), text).prop_map(|(at, more)| Edit::Insert(at, more)),
        2 => (any::<Index>(), any::<u8>(), any::<Index>()).prop_map(|(from, n, to)| Edit::Copy(from, n, to)),
        1 => (any::<Index>(), large()).prop_map(|(at, word)| Edit::Word(at, word)),
    ]
}

/// Numbers that sizes are made of when somebody means harm.
fn large() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..20u64,
        (0..64u32).prop_map(|bits| 1 << bits),
        (0..64u32).prop_map(|bits| (1u64 << bits).wrapping_sub(1)),
        any::<u64>(),
        Just(u64::MAX - 7),
    ]
}

/// Something that does not belong where it is put.
fn odd() -> impl Strategy<Value = Json> {
    let words =
        prop::sample::select(vec!["", "mixture", "uniform", "identity", "standard", "relu", "rnce", "F64"]);
    prop_oneof![
        4 => large().prop_map(Json::from),
        2 => any::<i64>().prop_map(Json::from),
        2 => any::<f64>().prop_map(Json::from),
        2 => prop::sample::select(vec![0.0, -0.0, 1e-320, 1e300, -1e300, 0.5, 1e-30]).prop_map(Json::from),
        1 => Just(Json::Null),
        1 => any::<bool>().prop_map(Json::from),
        1 => words.prop_map(Json::from),
        1 => ".{0,12}".prop_map(Json::from),
        1 => Just(json!([])),
        1 => Just(json!({})),
        1 => (1..400usize).prop_map(|depth| (0..depth).fold(json!([]), |inner, _| json!([inner]))),
        1 => (2..3000usize).prop_map(|count| Json::from(vec![1.0; count])),
    ]
}

/// An edit of a JSON tree; places are numbered in the order of a walk.
#[derive(Clone, Debug)]
enum TreeEdit {
    Replace(Index, Json),
    Remove(Index),
    /// One part takes the place of another.
    Copy(Index, Index),
    /// A list gets one of its parts once more.
    Repeat(Index, u8),
}

fn tree_edit() -> impl Strategy<Value = TreeEdit> {
    prop_oneof![
        5 => (any::<Index>(), odd()).prop_map(|(at, value)| TreeEdit::Replace(at, value)),
        2 => any::<Index>().prop_map(TreeEdit::Remove),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| TreeEdit::Copy(from, to)),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, times)| TreeEdit::Repeat(at, times)),
    ]
}

/// Pointers to every node of a tree.
fn places(tree: &Json) -> Vec<String> {
    fn walk(node: &Json, at: &str, all: &mut Vec<String>) {
        all.push(at.to_owned());
        match node {
            Json::Array(parts) => {
                parts.iter().enumerate().for_each(|(index, part)| walk(part, &format!("{at}/{index}"), all));
            }
            Json::Object(parts) => {
                for (key, part) in parts {
                    walk(part, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), all);
                }
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    walk(tree, "", &mut all);
    all
}

impl TreeEdit {
    fn apply(&self, tree: &mut Json) {
        let places = places(tree);
        let choose = |at: &Index| places[at.index(places.len())].clone();
        match self {
            TreeEdit::Replace(at, value) => {
                if let Some(node) = tree.pointer_mut(&choose(at)) {
                    *node = value.clone();
                }
            }
            TreeEdit::Remove(at) => {
                let path = choose(at);
                let Some((parent, key)) = path.rsplit_once('/') else { return };
                match tree.pointer_mut(parent) {
                    Some(Json::Object(parts)) => {
                        parts.remove(&key.replace("~1", "/").replace("~0", "~"));
                    }
                    Some(Json::Array(parts)) => drop(key.parse().map(|index: usize| parts.remove(index))),
                    _ => {}
                }
            }
            TreeEdit::Copy(from, to) => {
                let part = tree.pointer(&choose(from)).cloned();
                if let (Some(part), Some(node)) = (part, tree.pointer_mut(&choose(to))) {
                    *node = part;
                }
            }
            TreeEdit::Repeat(at, times) => {
                if let Some(Json::Array(parts)) = tree.pointer_mut(&choose(at))
                    && let Some(last) = parts.last().cloned()
                {
                    parts.extend(std::iter::repeat_n(last, usize::from(*times)));
                }
            }
        }
    }
}

/// What happens to one safetensors file.
#[derive(Clone, Debug)]
struct Damage {
    base: Index,
    /// The data of another file behind this one's header.
    splice: Option<Index>,
    /// Edits of the description in the metadata.
    description: Vec<TreeEdit>,
    header: Vec<TreeEdit>,
    data: Vec<Edit>,
    raw: Vec<Edit>,
}

fn damage() -> impl Strategy<Value = Damage> {
    let make = |splice, description, header, data, raw| {
        (any::<Index>(), splice, description, header, data, raw).prop_map(
            |(base, splice, description, header, data, raw)| Damage {
                base,
                splice,
                description,
                header,
                data,
                raw,
            },
        )
    };
    let (trees, edits) = (|most: usize| vec(tree_edit(), 0..=most), |most: usize| vec(edit(), 0..=most));
    // One kind of damage at a time goes deeper than all kinds at once.
    let whole = || Just(None).boxed();
    let spliced = || any::<Index>().prop_map(Some).boxed();
    prop_oneof![
        6 => make(whole(), trees(3), trees(0), edits(0), edits(0)),
        3 => make(whole(), trees(0), trees(2), edits(0), edits(0)),
        2 => make(whole(), trees(0), trees(0), edits(3), edits(0)),
        3 => make(whole(), trees(0), trees(0), edits(0), edits(3)),
        1 => make(spliced(), trees(1), trees(1), edits(1), edits(0)),
        1 => make(whole(), trees(2), trees(2), edits(2), edits(1)),
    ]
}

impl Damage {
    fn apply(&self, bases: &[Vec<u8>]) -> Vec<u8> {
        let split = |index: &Index| {
            let bytes = &bases[index.index(bases.len())];
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            (&bytes[8..8 + length], &bytes[8 + length..])
        };
        let (header, own) = split(&self.base);
        let mut data = self.splice.as_ref().map_or(own, |other| split(other).1).to_vec();
        let mut header: Json = serde_json::from_slice(header).unwrap();
        if let Some(text) = header.pointer("/__metadata__/gibbs").and_then(Json::as_str) {
            let mut description: Json = serde_json::from_str(text).unwrap();
            self.description.iter().for_each(|edit| edit.apply(&mut description));
            header["__metadata__"]["gibbs"] = Json::String(description.to_string());
        }
        self.header.iter().for_each(|edit| edit.apply(&mut header));
        self.data.iter().for_each(|edit| edit.apply(&mut data));
        let mut text = header.to_string().into_bytes();
        text.resize(text.len().next_multiple_of(8), b' ');
        let mut bytes = [&(text.len() as u64).to_le_bytes()[..], &text, &data].concat();
        self.raw.iter().for_each(|edit| edit.apply(&mut bytes));
        bytes
    }
}

// -------------------------------------------------------------------------------------------------
// The runner
// -------------------------------------------------------------------------------------------------

/// What became of an input.
enum Verdict {
    Refused,
    Taken,
}

/// Runs `cases` inputs, or as many as fit `GIBBS_FUZZ_SECONDS`. `judge` panics on a wrong answer;
/// the memory it asks for in one piece is at most `most` bytes.
fn fuzz<S: Strategy>(name: &str, cases: u32, most: usize, inputs: S, judge: impl Fn(&S::Value) -> Verdict) {
    let seconds = std::env::var("GIBBS_FUZZ_SECONDS").ok().map(|text| {
        Duration::from_secs(text.parse().expect("GIBBS_FUZZ_SECONDS is a whole number of seconds"))
    });
    let begun = Instant::now();
    let mut seed = match seconds {
        None => 7,
        Some(_) => std::time::UNIX_EPOCH.elapsed().map_or(7, |now| now.as_nanos() as u64),
    };
    let (refused, taken, largest) = (Cell::new(0u64), Cell::new(0u64), Cell::new(0usize));
    if seconds.is_some() {
        common::say(&format!("fuzz {name}: seed {seed}"));
    }
    loop {
        let config =
            Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..Config::default() };
        TestRunner::new(config)
            .run(&inputs, |input| {
                LARGEST.set(0);
                let count = match judge(&input) {
                    Verdict::Refused => &refused,
                    Verdict::Taken => &taken,
                };
                count.set(count.get() + 1);
                largest.set(largest.get().max(LARGEST.get()));
                prop_assert!(LARGEST.get() <= most, "asked for {} bytes in one piece", LARGEST.get());
                Ok(())
            })
            .unwrap_or_else(|failure| panic!("fuzz {name}, seed {seed}: {failure}"));
        seed = seed.wrapping_add(1);
        if seconds.is_none_or(|seconds| begun.elapsed() >= seconds) {
            break;
        }
    }
    common::say(&format!(
        "fuzz {name}: {} inputs in {:.0} s, {} refused, {} taken, at most {} KiB in one piece",
        refused.get() + taken.get(),
        begun.elapsed().as_secs_f64(),
        refused.get(),
        taken.get(),
        largest.get() >> 10
    ));
    assert!(refused.get() > 0 && taken.get() > 0, "all inputs met with the same answer");
}

// -------------------------------------------------------------------------------------------------
// Networks as JSON
// -------------------------------------------------------------------------------------------------

fn networks() -> Vec<Network> {
    let normalizer = Normalizer { shift: vec![0.5, -1.0], scale: vec![2.0, 0.25] };
    let two = vec![Input::normalized("context", normalizer), Input::new("action", 3)];
    let own = Layer::dense(4, Activation::Tanh);
    let embedded = vec![Input::new("action", 3).embedded(vec![own.clone(), Layer::Residual(vec![own])])];
    vec![
        Network::mlp(vec![Input::new("x", 1)], &[], Activation::Tanh, 1),
        Network::mlp(two.clone(), &[7, 5], Activation::Silu, 2),
        Network::mlp(two.clone(), &[16; 6], Activation::Relu, 1),
        Network::mlp(two, &[6, 5], Activation::Tanh, 1)
            .with_norms(Norms::BeforeActivations(LayerNorm::default())),
        Network::mlp(embedded, &[5], Activation::Silu, 1),
    ]
}

/// What holds for every network that passes its check.
fn assert_sound(network: &Network) {
    network.check().expect("checked");
    let layout = network.layout();
    let mut end = 0;
    let mut count = 0;
    for slice in &layout.slices {
        assert!(slice.offset >= end && slice.offset.is_multiple_of(4), "{slice:?}");
        assert!(slice.rows > 0 && slice.columns > 0 && slice.stride >= slice.columns, "{slice:?}");
        end = slice.offset + slice.rows * slice.stride;
        count += slice.rows * slice.columns;
        assert_eq!(layout.slice(&slice.name), Some(slice), "names are distinct");
    }
    assert!(end <= layout.len && layout.len.is_multiple_of(4));
    assert_eq!(count, network.parameter_count());
    let text = serde_json::to_string(network).unwrap();
    assert_eq!(&serde_json::from_str::<Network>(&text).unwrap(), network, "the text says it all");
}

#[test]
fn descriptions_of_networks() {
    let bases: Vec<Json> = networks().iter().map(|network| serde_json::to_value(network).unwrap()).collect();
    let inputs = prop_oneof![
        3 => (any::<Index>(), vec(tree_edit(), 0..4), vec(edit(), 0..1)),
        1 => (any::<Index>(), vec(tree_edit(), 0..1), vec(edit(), 0..4)),
    ];
    fuzz("network", 2000, 1 << 24, inputs, |(base, trees, edits)| {
        let mut tree = bases[base.index(bases.len())].clone();
        trees.iter().for_each(|edit| edit.apply(&mut tree));
        let mut text = tree.to_string().into_bytes();
        edits.iter().for_each(|edit| edit.apply(&mut text));
        let parsed: Result<Network, _> = serde_json::from_slice(&text);
        match parsed {
            Ok(network) => match network.check() {
                Ok(()) => {
                    assert_sound(&network);
                    Verdict::Taken
                }
                Err(error) => {
                    assert!(matches!(error, Error::Argument { .. }), "{error:?}");
                    Verdict::Refused
                }
            },
            Err(_) => Verdict::Refused,
        }
    });
}

// -------------------------------------------------------------------------------------------------
// PyTorch
// -------------------------------------------------------------------------------------------------

#[test]
fn weights_from_pytorch() {
    // Layers of inputs are beyond what a `Sequential` numbers: these networks have one network of
    // four modules.
    let names = |network: &Network| match network.inputs.iter().all(|input| input.layers.is_empty()) {
        true => Names::sequential("net."),
        false => Names::modules("net.", ["0", "1", "2", "3"]),
    };
    let networks = networks();
    let bases: Vec<Vec<u8>> = networks
        .iter()
        .map(|network| {
            let layout = network.layout();
            let mut flat = vec![0.0; layout.len];
            for (at, slice) in layout.slices.iter().enumerate() {
                layout.insert(slice, &common::data(at as u32, slice.rows * slice.columns), &mut flat);
            }
            pytorch::write(network, &flat, &names(network)).unwrap()
        })
        .collect();
    fuzz("pytorch", 2000, 1 << 22, damage(), |damage| {
        let bytes = damage.apply(&bases);
        let network = &networks[damage.base.index(networks.len())];
        let inferred = pytorch::infer(&bytes, "net.", network.inputs.clone(), Activation::Silu);
        if let Ok((network, names)) = &inferred {
            assert_sound(network);
            if let Ok(flat) = pytorch::read(&bytes, network, names) {
                assert!(flat.iter().all(|value| value.is_finite()));
            }
        }
        let names = names(network);
        match pytorch::read(&bytes, network, &names) {
            Ok(flat) => {
                assert_eq!(flat.len(), network.layout().len);
                let again = pytorch::write(network, &flat, &names).unwrap();
                assert_eq!(pytorch::read(&again, network, &names).unwrap(), flat);
                Verdict::Taken
            }
            Err(error) => {
                assert!(matches!(error, Error::Argument { .. } | Error::Shape { .. }), "{error:?}");
                assert!(error.to_string().len() < 100_000, "a message, not a report");
                Verdict::Refused
            }
        }
    });
}

// -------------------------------------------------------------------------------------------------
// Data sets
// -------------------------------------------------------------------------------------------------

/// What holds for every data set that was read.
fn assert_whole(data: &Dataset) {
    assert!(data.rows() > 0 && data.y_width() > 0);
    assert_eq!(data.is_unconditional(), data.x().is_empty());
    assert_eq!(data.x().len(), data.rows() * data.x_width());
    assert_eq!(data.y().len(), data.rows() * data.y_width());
    assert!(data.x().iter().chain(data.y()).all(|value| value.is_finite()));
    let deviation = 1.0;
    let fitted = [Normalize::Standard { deviation }, Normalize::Isotropic { deviation }];
    for how in fitted.into_iter().chain([Normalize::Identity]) {
        data.fit_y(how).check("y", data.y_width()).unwrap();
        data.fit_x(how).check("x", data.x_width()).unwrap();
    }
}

fn judge(read: Result<Dataset>) -> Verdict {
    match read {
        Ok(data) => {
            assert_whole(&data);
            Verdict::Taken
        }
        Err(error) => {
            assert!(matches!(error, Error::Data { .. }), "{error:?}");
            assert!(error.to_string().len() < 10_000, "a message, not a report: {error}");
            Verdict::Refused
        }
    }
}

#[test]
fn tables_of_comma_separated_numbers() {
    let table = |header: &str, end: &str| -> Vec<u8> {
        let columns = header.split(',').count();
        // Weights are not negative.
        let lowest = if header.contains("weight") { 0.0 } else { -1.5 };
        let number = |at: usize| format!("{}", at as f32 * 0.37 + lowest);
        let rows = (0..6).map(|row| {
            let fields: Vec<String> = (0..columns).map(|column| number(row * columns + column)).collect();
            fields.join(",")
        });
        let lines: Vec<String> = std::iter::once(header.to_owned()).chain(rows).collect();
        (lines.join(end) + end).into_bytes()
    };
    let bases = [
        table("x0,y0,y1", "\n"),
        table("y1,x1,x0,y0,other", "\r\n"),
        table("y0", "\n"),
        table("x0,x1,y0,weight", "\n"),
        [&b"\xef\xbb\xbf"[..], &table("\"x0\", y0 ,\"y1\"", "\r\n")].concat(),
    ];
    let named = CsvColumns::Named { x: vec!["x0".into()], y: vec!["y0".into(), "y1".into()], weight: None };
    let field = prop::sample::select(vec![
        ",",
        "\n",
        "\r",
        "\"",
        "\"\"",
        " ",
        "\t",
        "NaN",
        "inf",
        "1e39",
        "-1e-50",
        "0x10",
        "1_0",
        "y2",
        "x0",
        "\0",
        "#",
        "1e99999999999",
        "-0",
        "+3",
        ".5",
        "5.",
        "\u{feff}",
        "\u{2028}",
        "\n\n",
        "\r\n\r\n",
    ]);
    let token = (any::<Index>(), field).prop_map(|(at, text)| Edit::Insert(at, text.into()));
    let inputs = (any::<Index>(), vec(prop_oneof![token, edit()], 0..5), any::<bool>());
    fuzz("csv", 2000, 1 << 20, inputs, |(base, edits, by_name)| {
        let mut text = bases[base.index(bases.len())].clone();
        edits.iter().for_each(|edit| edit.apply(&mut text));
        let columns = if *by_name { &named } else { &CsvColumns::Numbered };
        judge(Dataset::from_csv_reader(&text[..], columns))
    });
}

#[test]
fn data_sets_as_safetensors() {
    let folder = TempDir::new().unwrap();
    let save = |name: &str, data: Dataset| {
        let path = folder.path().join(name);
        data.save(&path).unwrap();
        std::fs::read(&path).unwrap()
    };
    let weighted = dataset().with_weights((0..50).map(|row| row as f32).collect()).unwrap();
    let alone = Dataset::unconditional(common::data(1, 30), 3).unwrap();
    let bases = [save("pairs", dataset()), save("weighted", weighted), save("alone", alone)];
    fuzz("safetensors", 2000, 1 << 20, damage(), |damage| {
        judge(Dataset::from_safetensors_bytes(&damage.apply(&bases)))
    });
}

// -------------------------------------------------------------------------------------------------
// Checkpoints
// -------------------------------------------------------------------------------------------------

fn dataset() -> Dataset {
    let (x, y) = Density::Pinwheel.samples(50, 1);
    Dataset::new(x, 1, y.into_flattened(), 2).unwrap()
}

/// Checkpoints as runs write them: learned and fixed proposals, at their start and later.
fn checkpoints(gpu: &Gpu, folder: &Path) -> Vec<Vec<u8>> {
    let data = dataset();
    let uniform = ProposalOptions::Uniform { low: vec![-6.0; 2], high: vec![6.0; 2] };
    let mixture = |components| ProposalOptions::Mixture {
        components,
        hidden: vec![4],
        optimizer: AdamOptions::default(),
    };
    let each = [(mixture(2), 0), (mixture(1), 2), (uniform, 3)].into_iter().enumerate();
    each.map(|(at, (proposal, steps))| {
        let energy = EnergyOptions::default().with_hidden(vec![5]);
        let nce = RankingNceOptions::default().with_negatives(3).with_energy(energy).with_proposal(proposal);
        let options = TrainOptions::new(nce).with_batch(5).with_steps(6).with_seed(3);
        let mut trainer = Trainer::new(gpu, &data, options).unwrap();
        trainer.train(steps, 1, &mut ()).unwrap();
        let path = folder.join(format!("{at}"));
        trainer.save(&path).unwrap();
        std::fs::read(&path).unwrap()
    })
    .collect()
}

/// Without poison, which would touch all memory that a description may ask for.
fn device() -> &'static Gpu {
    static DEVICE: OnceLock<Gpu> = OnceLock::new();
    DEVICE.get_or_init(|| {
        let adapter = Some(common::lavapipe().gpu.info().name.clone());
        Gpu::open(&GpuOptions::default().with_adapter(adapter).with_poison(false)).unwrap()
    })
}

#[test]
fn checkpoints_of_runs() {
    let gpu = device();
    let folder = TempDir::new().unwrap();
    let data = dataset();
    let bases = checkpoints(gpu, folder.path());
    let path = folder.path().join("damaged");
    // Schedules of a run may have 4 million steps of 16 bytes each, and lists grow by doubling.
    fuzz("checkpoint", 400, 1 << 28, damage(), |damage| {
        std::fs::write(&path, damage.apply(&bases)).unwrap();
        let options = Trainer::options_of(&path);
        if let Err(error) = &options {
            assert!(matches!(error, Error::Checkpoint { .. }), "{error:?}");
        }
        match Trainer::resume(gpu, &data, &path) {
            Ok(trainer) => {
                trainer.options().check(&data).expect("what was taken fits the data");
                let energy = trainer.raw_model("energy").expect("an energy");
                assert_sound(energy.network());
                assert!(trainer.step() <= trainer.options().steps);
                let flat = gpu.read::<f32>(energy.parameters()).unwrap();
                assert!(flat.iter().all(|value| value.is_finite()));
                assert_eq!(&options.expect("resume read them"), trainer.options());
                Verdict::Taken
            }
            Err(error) => {
                let fits = matches!(error, Error::Checkpoint { .. } | Error::OutOfMemory { .. });
                assert!(fits, "{error:?}");
                Verdict::Refused
            }
        }
    });
}
