//! Checkpoints that cannot be trusted.

use std::path::PathBuf;

use gibbs::Error;
use gibbs::train::{Dataset, Trainer};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::parts::Parts;
use super::runs::{fresh, gpu, names, pinwheel, tiny, train};

/// A checkpoint of a short run, and its data.
fn checkpoint(folder: &TempDir) -> (Dataset, PathBuf) {
    let data = pinwheel(300, 1);
    let mut trainer = fresh(&data, &tiny(20));
    train(&mut trainer, 3, 3).unwrap();
    let path = folder.path().join("good.safetensors");
    trainer.save(&path).unwrap();
    (data, path)
}

/// Fails unless the file is refused as a checkpoint, by name.
#[track_caller]
fn assert_refused(data: &Dataset, folder: &TempDir, what: &str, bytes: &[u8]) -> String {
    let path = folder.path().join("hostile.safetensors");
    std::fs::write(&path, bytes).unwrap();
    match Trainer::resume(gpu(), data, &path) {
        Err(Error::Checkpoint { path: named, problem }) => {
            assert_eq!(named, path, "{what}");
            assert!(!problem.is_empty(), "{what}");
            problem
        }
        Err(other) => panic!("{what}: refused with {other:?}"),
        Ok(_) => panic!("{what}: was taken"),
    }
}

#[test]
fn truncated_checkpoints_are_refused() {
    let folder = TempDir::new().unwrap();
    let (data, path) = checkpoint(&folder);
    let bytes = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let end = 8 + header;
    let mut lengths = vec![0, 1, 7, 8, 9, 8 + header / 2, end - 1, end, end + 1, end + 4];
    lengths.extend((0..40).map(|part| bytes.len() * part / 40));
    lengths.extend([bytes.len() - 4, bytes.len() - 1]);
    for length in lengths {
        assert_refused(&data, &folder, &format!("{length} of {} bytes", bytes.len()), &bytes[..length]);
    }
    let longer = [&bytes[..], &[0; 4]].concat();
    assert_refused(&data, &folder, "4 bytes too long", &longer);
}

#[test]
fn checkpoints_with_lying_headers_are_refused() {
    let folder = TempDir::new().unwrap();
    let (data, path) = checkpoint(&folder);
    let bytes = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let lengths = [
        0,
        1,
        2,
        header - 1,
        header + 1,
        header + 8,
        bytes.len() as u64,
        1 << 20,
        1 << 40,
        u64::MAX - 7,
        u64::MAX,
    ];
    for length in lengths {
        let lying = [&length.to_le_bytes()[..], &bytes[8..]].concat();
        assert_refused(&data, &folder, &format!("header of {length} bytes"), &lying);
    }
    let parts = Parts::read(&path);
    assert!(Trainer::resume(gpu(), &data, &path).is_ok(), "the file itself is good");
    let weight = "energy.parameters.layers.0.bias";
    let end = parts.data.len() as u64;
    for offsets in [
        json!([0, end]),
        json!([end, end + 48]),
        json!([48, 0]),
        json!([u64::MAX - 47, u64::MAX]),
        json!([0]),
        json!("x"),
    ] {
        let file = parts.headed(|header| header[weight]["data_offsets"] = offsets.clone());
        assert_refused(&data, &folder, &format!("offsets {offsets}"), &file);
    }
    for shape in [
        json!([1, 13]),
        json!([12, 1]),
        json!([12]),
        json!([0, 12]),
        json!([]),
        json!([u64::MAX, u64::MAX]),
        json!([-1, 12]),
    ] {
        let file = parts.headed(|header| header[weight]["shape"] = shape.clone());
        assert_refused(&data, &folder, &format!("shape {shape}"), &file);
    }
    for dtype in ["U32", "I32", "F16", "F64", "BF16", "X"] {
        let file = parts.headed(|header| header[weight]["dtype"] = json!(dtype));
        assert_refused(&data, &folder, &format!("dtype {dtype}"), &file);
    }
    let file = parts.headed(|header| header["energy.count"]["dtype"] = json!("F32"));
    assert_refused(&data, &folder, "count as F32", &file);
}

#[test]
fn checkpoints_with_bad_or_missing_tensors_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let (data, path) = checkpoint(&folder);
    let parts = Parts::read(&path);
    for tensor in [
        "energy.parameters.layers.1.weight",
        "energy.first_moment.layers.0.weight.action",
        "energy.second_moment.layers.2.bias",
        "energy.average.layers.0.weight.context",
        "proposal.parameters.layers.1.bias",
        "proposal.average.layers.0.weight.context",
    ] {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let what = format!("{value} in {tensor}");
            let problem = assert_refused(&data, &folder, &what, &parts.patched(tensor, value.to_le_bytes()));
            assert!(problem.contains(tensor), "{what}: {problem}");
        }
        let problem = assert_refused(&data, &folder, &format!("no {tensor}"), &parts.without(tensor));
        assert!(problem.contains(tensor), "{problem}");
    }
    for tensor in ["energy.count", "proposal.count"] {
        let problem = assert_refused(&data, &folder, &format!("no {tensor}"), &parts.without(tensor));
        assert!(problem.contains(tensor), "{problem}");
    }
}

#[test]
fn checkpoints_with_other_descriptions_are_refused() {
    let folder = TempDir::new().unwrap();
    let (data, path) = checkpoint(&folder);
    let parts = Parts::read(&path);
    type Change = fn(&mut Json);
    let changes: [(&str, Change); 36] = [
        ("a later format", |d| d["format"] = json!(4)),
        ("format 0", |d| d["format"] = json!(0)),
        ("an earlier format", |d| d["format"] = json!(2)),
        ("a format in words", |d| d["format"] = json!("one")),
        ("no format", |d| d["format"] = Json::Null),
        ("a negative step", |d| d["step"] = json!(-1)),
        ("a step past the end", |d| d["step"] = json!(21)),
        ("the last step there is", |d| d["step"] = json!(u64::MAX)),
        ("no energy", |d| d["models"][0]["network"] = Json::Null),
        ("no models", |d| d["models"] = json!([])),
        ("a model of another name", |d| d["models"][0]["name"] = json!("score")),
        ("a model that was not trained", |d| d["models"][1]["trained"] = json!(false)),
        ("another kind", |d| d["kind"] = json!("score")),
        ("no data", |d| d["data"] = Json::Null),
        ("no layers", |d| d["models"][0]["network"]["layers"] = json!([])),
        ("a huge layer", |d| d["models"][0]["network"]["layers"][0]["dense"]["outputs"] = json!(1u64 << 60)),
        ("a wider layer", |d| d["models"][0]["network"]["layers"][0]["dense"]["outputs"] = json!(13)),
        ("an unknown activation", |d| {
            d["models"][0]["network"]["layers"][0]["dense"]["activation"] = json!("softmax")
        }),
        ("an unknown layer", |d| d["models"][0]["network"]["layers"][1] = json!({"attention": {"heads": 4}})),
        ("a layer more", |d| {
            d["models"][0]["network"]["layers"]
                .as_array_mut()
                .unwrap()
                .insert(1, json!({"norm": {"epsilon": 1e-5}}))
        }),
        ("a block that changes the width", |d| {
            let inner = json!([{"dense": {"outputs": 9, "activation": "silu"}}]);
            d["models"][0]["network"]["layers"][1] = json!({"residual": inner})
        }),
        ("blocks nested too deep", |d| {
            let block = |inner, _| json!({"residual": [inner]});
            let layer = d["models"][0]["network"]["layers"][1].clone();
            d["models"][0]["network"]["layers"][1] = (0..50).fold(layer, block)
        }),
        ("a wide input", |d| d["models"][0]["network"]["inputs"][0]["width"] = json!(1u64 << 40)),
        ("a scale of zero", |d| {
            d["models"][0]["network"]["inputs"][1]["normalizer"]["scale"] = json!([0.0, 1.0])
        }),
        ("no components", |d| d["proposal"]["shape"]["components"] = json!(0)),
        ("many components", |d| d["proposal"]["shape"]["components"] = json!(1u64 << 50)),
        ("a normalizer of one number", |d| d["proposal"]["shape"]["normalizer"]["shift"] = json!([0.0])),
        ("another kind of proposal", |d| {
            d["proposal"] = json!({"kind": "uniform", "bounds": {"low": [-6.0, -6.0], "high": [6.0, 6.0]}})
        }),
        ("an unknown kind of proposal", |d| d["proposal"]["kind"] = json!("flow")),
        ("no negatives", |d| d["options"]["objective"]["negatives"] = json!(0)),
        ("an empty batch", |d| d["options"]["batch"] = json!(0)),
        ("a batch beyond every device", |d| d["options"]["batch"] = json!(1u64 << 52)),
        ("more steps than a schedule holds", |d| d["options"]["steps"] = json!(u64::MAX)),
        ("many updates per step", |d| d["options"]["objective"]["energy_updates"] = json!(1u64 << 31)),
        ("a negative learning rate", |d| {
            d["options"]["objective"]["energy"]["optimizer"]["schedule"]["rate"] = json!(-1.0)
        }),
        ("a decay of one", |d| d["options"]["objective"]["energy"]["optimizer"]["beta1"] = json!(1.0)),
    ];
    for (what, change) in changes {
        let bytes = parts.described(change);
        assert_ne!(bytes, parts.bytes(), "{what}: nothing was changed");
        assert_refused(&data, &folder, what, &bytes);
    }
    // What to do about an older file stands in the refusal.
    let older = parts.described(|d| d["format"] = json!(2));
    let problem = assert_refused(&data, &folder, "format 2", &older);
    assert!(problem.contains("format 2") && problem.contains("train again"), "{problem}");
}

#[test]
fn files_that_are_no_checkpoints_are_refused() {
    let folder = TempDir::new().unwrap();
    let (data, path) = checkpoint(&folder);
    let parts = Parts::read(&path);
    let plain = parts.headed(|header| header["__metadata__"] = json!({"format": "pt"}));
    let problem = assert_refused(&data, &folder, "another safetensors file", &plain);
    assert!(problem.contains("other safetensors"), "{problem}");
    assert_refused(
        &data,
        &folder,
        "a text",
        b"# a long text that was given the wrong name, and is no model\n",
    );
    assert_refused(&data, &folder, "zeros", &[0; 4096]);
    assert_refused(&data, &folder, "ones", &[0xff; 4096]);
    let metadata = parts.headed(|header| header["__metadata__"]["gibbs"] = json!("{}"));
    assert_refused(&data, &folder, "an empty description", &metadata);
    // Neither is a folder, or nothing at all.
    for missing in [folder.path().to_path_buf(), folder.path().join("missing"), PathBuf::new()] {
        let error = Trainer::resume(gpu(), &data, &missing).unwrap_err();
        assert!(
            matches!(error, Error::Io { .. } | Error::Checkpoint { .. }),
            "{}: {error:?}",
            missing.display()
        );
    }
}

#[test]
fn a_checkpoint_of_other_data_is_refused() {
    let folder = TempDir::new().unwrap();
    let (data, path) = checkpoint(&folder);
    let mut y = data.y().to_vec();
    y[0] = f32::from_bits(y[0].to_bits() ^ 1);
    let others = [
        ("another seed", pinwheel(300, 2)),
        ("fewer rows", pinwheel(299, 1)),
        ("one bit", Dataset::new(data.x().to_vec(), 1, y, 2).unwrap()),
        ("other widths", Dataset::new(data.x().repeat(2), 2, data.y().to_vec(), 2).unwrap()),
    ];
    for (what, other) in others {
        match Trainer::resume(gpu(), &other, &path) {
            Err(Error::Checkpoint { problem, .. }) => assert!(problem.contains("data"), "{what}: {problem}"),
            other => panic!("{what}: {:?}", other.map(|trainer| trainer.step())),
        }
    }
}

#[test]
fn a_save_that_fails_leaves_nothing_new_and_the_old_file_whole() {
    let folder = TempDir::new().unwrap();
    let (data, path) = checkpoint(&folder);
    let mut trainer = Trainer::resume(gpu(), &data, &path).unwrap();
    train(&mut trainer, 5, 5).unwrap();
    let missing = folder.path().join("no such folder").join("file");
    let error = trainer.save(&missing).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path.starts_with(folder.path())), "{error:?}");
    assert_eq!(names(folder.path()), ["good.safetensors"]);

    // A folder where the file should go: the write succeeds, the rename cannot.
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    assert!(matches!(trainer.save(&taken).unwrap_err(), Error::Io { .. }));
    assert_eq!(names(folder.path()), ["good.safetensors", "taken"]);

    // A name that leaves no room for the temporary file's: the old checkpoint stays as it was.
    let old = std::fs::read(&path).unwrap();
    let long = folder.path().join("x".repeat(250));
    std::fs::copy(&path, &long).unwrap();
    let error = trainer.save(&long).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert_eq!(std::fs::read(&long).unwrap(), old);
    std::fs::remove_file(&long).unwrap();

    // The run is none the worse, and a save over the old file replaces it.
    trainer.save(&path).unwrap();
    assert_ne!(std::fs::read(&path).unwrap(), old);
    assert_eq!(Trainer::resume(gpu(), &data, &path).unwrap().step(), 5);
    assert_eq!(names(folder.path()), ["good.safetensors", "taken"]);
}
