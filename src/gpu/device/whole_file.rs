//! Files that are there as a whole or not at all.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs4::{FileExt, TryLockError};
use tempfile::{Builder, NamedTempFile};

use crate::{Error, Result};

/// An unfinished file is called `NAME.gibbs-RANDOM.part`: the number of a process would come again
/// in a container that is started anew.
const HEAD: &str = ".gibbs-";
const TAIL: &str = ".part";
/// Letters and digits of the random part.
const RANDOM: usize = 8;

/// Longer than any write takes, where files have no locks that tell.
const LONGEST_WRITE: Duration = Duration::from_secs(3600);

/// Links that are followed before they count as a circle.
const MOST_LINKS: usize = 40;

/// Writes a whole file or nothing: a temporary file in the same folder, synced, renamed over the
/// old one, folder synced. A symbolic link stays one; the file that it leads to is written.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_and_sync(path, bytes, sync_folder)
}

fn write_and_sync(
    path: &Path,
    bytes: &[u8],
    sync_folder: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<()> {
    let at_path = |source| Error::Io { operation: "write", path: path.into(), source };
    let target = behind_links(path).map_err(at_path)?;
    let io = |operation, source| Error::Io { operation, path: target.clone(), source };
    let folder = folder_of(&target);
    let name = target.file_name().unwrap_or_default();
    remove_leftovers(folder, name);
    // An error on the way drops the unfinished file, which removes it.
    let mut part = begin(folder, name).map_err(|error| io("create", error))?;
    part.as_file_mut().write_all(bytes).map_err(|error| io("write", error))?;
    where_possible(part.as_file().sync_all()).map_err(|error| io("sync", error))?;
    part.persist(&target).map_err(|error| io("rename", error.error))?;
    // The new file is whole. If the machine fails now, the old one, whole as well, may come back.
    if let Err(error) = where_possible(sync_folder(folder)) {
        log::warn!("{} is written, but its folder cannot be synced: {error}", target.display());
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The file that a path leads to over symbolic links. It need not be there yet.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match std::fs::symlink_metadata(&target) {
            Ok(data) if data.is_symlink() => {
                let next = std::fs::read_link(&target)?;
                target = folder_of(&target).join(next);
            }
            Ok(data) if data.is_file() => return Ok(target),
            Ok(_) => return Err(io::Error::other("is there and no regular file; give another name")),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(target),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("is the begin of a circle of symbolic links"))
}

/// A new unfinished file, locked while it is open: one that can be locked has no writer any more.
fn begin(folder: &Path, name: &OsStr) -> io::Result<NamedTempFile<File>> {
    let mut prefix = name.to_owned();
    prefix.push(HEAD);
    let mut tries = 0;
    Builder::new().prefix(&prefix).suffix(TAIL).rand_bytes(RANDOM).make_in(folder, |path| {
        let file = File::options().write(true).create_new(true).open(path)?;
        // Between the two calls another process may have taken it for a leftover.
        let locked_by_other = matches!(FileExt::try_lock(&file), Err(TryLockError::WouldBlock));
        tries += 1;
        match (locked_by_other || !path.exists()) && tries < 100 {
            true => Err(ErrorKind::AlreadyExists.into()),
            false => Ok(file),
        }
    })
}

/// Removes the unfinished files of writers that are gone. A file that stays only costs space, so
/// errors do not count.
fn remove_leftovers(folder: &Path, name: &OsStr) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_part_of(name, &entry.file_name()) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let _ = remove_if_abandoned(&entry.path());
        }
    }
}

/// Whether a file is called as an unfinished file of another one.
fn is_part_of(name: &OsStr, file: &OsStr) -> bool {
    let random = || {
        let behind = file.as_encoded_bytes().strip_prefix(name.as_encoded_bytes())?;
        behind.strip_prefix(HEAD.as_bytes())?.strip_suffix(TAIL.as_bytes())
    };
    random().is_some_and(|random| random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric))
}

fn remove_if_abandoned(path: &Path) -> io::Result<()> {
    // The lock is kept until the file is gone, so that no writer takes it in between.
    let file = File::options().write(true).open(path)?;
    let abandoned = match FileExt::try_lock(&file) {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(_)) => {
            let age = file.metadata()?.modified()?.elapsed();
            age.is_ok_and(|age| age > LONGEST_WRITE)
        }
    };
    if abandoned { std::fs::remove_file(path) } else { Ok(()) }
}

/// Not an error where the file system knows no such thing, as on network shares.
fn where_possible(synced: io::Result<()>) -> io::Result<()> {
    match synced {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_that_cannot_be_synced_ends_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        for (number, kind) in
            [ErrorKind::InvalidInput, ErrorKind::Unsupported, ErrorKind::PermissionDenied, ErrorKind::Other]
                .into_iter()
                .enumerate()
        {
            write_and_sync(&path, &[number as u8], |_| Err(kind.into())).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), [number as u8]);
        }
        assert_eq!(names(folder.path()), ["run"]);
    }

    #[test]
    fn unfinished_files_go_when_their_writer_is_gone_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let others = ["run.gibbs-short.part", "run.gibbs-12345678.part.old", "run.part", "my run.part"];
        for name in others {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let under_way = begin(folder.path(), OsStr::new("run")).unwrap();
        write_whole(&path, b"one").unwrap();
        assert!(under_way.path().exists(), "the file of a living writer was taken away");
        let (file, abandoned) = under_way.keep().unwrap();
        // As the system does when a process is killed.
        drop(file);
        assert!(abandoned.exists());
        write_whole(&path, b"two").unwrap();
        assert!(!abandoned.exists(), "a leftover stays");
        let mut expected = others.to_vec();
        expected.push("run");
        expected.sort();
        assert_eq!(names(folder.path()), expected);
        assert_eq!(std::fs::read(path).unwrap(), b"two");
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        // A folder of the name takes no file's place.
        std::fs::create_dir(&path).unwrap();
        let error = write_whole(&path, b"one").unwrap_err().to_string();
        assert!(error.contains("run") && error.contains("no regular file"), "{error}");
        assert_eq!(names(folder.path()), ["run"]);
        let missing = folder.path().join("missing").join("run");
        let error = write_whole(&missing, b"one").unwrap_err().to_string();
        assert!(error.contains("create") && error.contains("missing"), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn a_write_through_a_link_writes_the_file_behind_it() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("disk")).unwrap();
        symlink("disk/run", at("last")).unwrap();
        symlink(at("last"), at("current")).unwrap();
        // The link leads nowhere at first.
        for text in ["one", "two"] {
            write_whole(&at("current"), text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(at("disk/run")).unwrap(), text);
        }
        for link in ["last", "current"] {
            assert!(std::fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link} is no link now");
        }
        assert_eq!(names(folder.path()), ["current", "disk", "last"]);
        assert_eq!(names(&at("disk")), ["run"]);

        symlink("b", at("a")).unwrap();
        symlink("a", at("b")).unwrap();
        let error = write_whole(&at("a"), b"one").unwrap_err().to_string();
        assert!(error.contains("circle of symbolic links"), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn what_is_no_regular_file_is_left_alone() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = write_whole(&path, b"one").unwrap_err().to_string();
        assert!(error.contains("no regular file"), "{error}");
        assert!(std::fs::metadata(&path).unwrap().file_type().is_socket());
    }

    #[test]
    #[cfg(unix)]
    fn others_may_read_what_they_may_read_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let [plain, whole] = ["plain", "whole"].map(|name| folder.path().join(name));
        std::fs::write(&plain, b"one").unwrap();
        write_whole(&whole, b"one").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&plain), mode(&whole));
    }
}
