//! Folders that are made aside and appear whole, and trees of read-only folders.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::files::{being_written, going_on, temporary_name};
use super::{Error, Result};

/// A folder being filled beside its final place; dropped without [`NewFolder::publish`], or when its process is interrupted, it is removed.
#[must_use = "a new folder appears only when it is published"]
pub struct NewFolder {
    path: PathBuf,
}

impl NewFolder {
    /// Begins a folder in `parent`, which must exist.
    pub fn create(parent: &Path) -> Result<NewFolder> {
        let path = parent.join(temporary_name());
        let _going_on = going_on();
        fs::create_dir(&path).map_err(|fault| Error::io("create the folder", &path, fault))?;
        being_written(|all| all.insert(path.clone()));
        Ok(NewFolder { path })
    }

    /// Takes a folder that is there for one's own, to be removed when this is dropped. Nobody else finds it by its name any more.
    pub fn seize(folder: &Path) -> io::Result<NewFolder> {
        let path = folder.with_file_name(temporary_name());
        let _going_on = going_on();
        rename(folder, &path)?;
        being_written(|all| all.insert(path.clone()));
        Ok(NewFolder { path })
    }

    /// Where it is filled.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it and all folders in it read-only, and gives them: outer ones first, below this one.
    pub fn close(&self) -> Result<Vec<PathBuf>> {
        let _going_on = going_on();
        let mut closed = Vec::new();
        each_folder(&self.path, &mut |folder| {
            closed.extend(folder.strip_prefix(&self.path).map(Path::to_owned));
            fs::set_permissions(folder, Permissions::from_mode(0o555))
        })
        .map_err(|fault| Error::io("close", &self.path, fault))?;
        Ok(closed)
    }

    /// Renames it into place, where nothing may stand.
    pub fn publish(self, target: &Path) -> Result<()> {
        let _going_on = going_on();
        rename(&self.path, target).map_err(|fault| Error::io("write", target, fault))?;
        being_written(|all| all.remove(&self.path));
        Ok(())
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if being_written(|all| all.contains(&self.path)) {
            remove_tree(&self.path).ok();
            being_written(|all| all.remove(&self.path));
        }
    }
}

/// Makes one folder; whoever is interrupted makes no more.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let _going_on = going_on();
    fs::create_dir(path)
}

/// Removes a tree, its read-only folders too.
pub fn remove_tree(folder: &Path) -> io::Result<()> {
    each_folder(folder, &mut |inner| fs::set_permissions(inner, Permissions::from_mode(0o700)))?;
    fs::remove_dir_all(folder)
}

#[expect(clippy::disallowed_methods, reason = "a whole folder is published")]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// Outer folders first: an inner one can't be reached before the outer is opened.
fn each_folder(folder: &Path, act: &mut impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    act(folder)?;
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_type()?.is_dir() {
            each_folder(&entry.path(), act)?;
        }
    }
    Ok(())
}
