//! What the examples share and a test can reach without running them.

use std::path::Path;

use gibbs::Error;

use crate::saving::files;

#[path = "../../examples/common/intervals.rs"]
mod intervals;

/// The file, what was being done with it, and the system's words.
#[track_caller]
fn names_the_file<T>(result: gibbs::Result<T>, operation: &str, path: &Path) {
    let error = result.err().expect("an error");
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{operation} {}: ", path.display())), "{text}");
}

#[test]
fn errors_of_files_say_which_and_what_was_being_done() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "a file").unwrap();
    let below = taken.join("below");
    names_the_file(files::make_folder(&below), "make the folder", &below);
    names_the_file(files::make_folder_of(&below.join("x.json")), "make the folder", &below);
    names_the_file(files::write_whole(&below, "text"), "write", &below);
    names_the_file(files::write_json(&below, &1), "write", &below);
    names_the_file(files::write_whole(folder.path(), "text"), "rename to", folder.path());
    names_the_file(files::read_if_there(folder.path()), "read", folder.path());
    assert_eq!(files::read_if_there(&folder.path().join("none")).unwrap(), None);
    files::make_folder_of(Path::new("in_the_working_folder.json")).unwrap();
}

#[test]
fn every_zero_steps_is_never() {
    assert_eq!(intervals::next(3, 0), u64::MAX);
    assert!(!intervals::is_due(0, 0) && !intervals::is_due(7, 0));
    assert_eq!((intervals::next(0, 5), intervals::next(4, 5), intervals::next(5, 5)), (5, 5, 10));
    assert_eq!(intervals::next(u64::MAX - 1, u64::MAX / 2 + 1), u64::MAX);
    assert!(intervals::is_due(10, 5) && !intervals::is_due(11, 5));
}
