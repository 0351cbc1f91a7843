//! Folders that are made aside and appear whole, and trees of read-only folders.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{being_written, going_on, temporary_name};
use super::open_folder::{OpenFolder, Spot};
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
        being_written(|all| all.insert(path.clone(), Spot::from(&path)));
        Ok(NewFolder { path })
    }

    /// Takes a folder that is there for one's own, to be removed when this is dropped. Nobody else finds it by its name any more.
    pub fn seize(folder: &Path) -> io::Result<NewFolder> {
        let path = folder.with_file_name(temporary_name());
        let _going_on = going_on();
        rename(folder, &path)?;
        being_written(|all| all.insert(path.clone(), Spot::from(&path)));
        Ok(NewFolder { path })
    }

    /// Where it is filled.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it and all folders in it read-only, and gives them: outer ones first, below this one.
    pub fn close(&self) -> Result<Vec<PathBuf>> {
        let _going_on = going_on();
        set_modes(&self.path, 0o555).map_err(|fault| Error::io("close", &self.path, fault))
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
        if being_written(|all| all.contains_key(&self.path)) {
            remove_tree(&self.path).ok();
            being_written(|all| all.remove(&self.path));
        }
    }
}

/// Removes a tree, its read-only folders too.
pub fn remove_tree(folder: &Path) -> io::Result<()> {
    set_modes(folder, 0o700)?;
    fs::remove_dir_all(folder)
}

#[expect(clippy::disallowed_methods, reason = "a whole folder is published")]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// Gives a folder and all in it a mode, and their paths below it: outer ones first, since an inner one can't be reached before the outer is
/// opened. A link that stands in a folder's place is not followed.
fn set_modes(folder: &Path, mode: u32) -> io::Result<Vec<PathBuf>> {
    let top = OpenFolder::open_itself(folder)?;
    let (mut waiting, mut set) = (vec![String::new()], Vec::new());
    while let Some(path) = waiting.pop() {
        let open = if path.is_empty() { top.clone() } else { top.below(&path)? };
        open.set_mode(mode)?;
        let inner = open.list()?.into_iter().filter(|(_, is_folder)| *is_folder);
        waiting.extend(inner.map(|(name, _)| if path.is_empty() { name } else { format!("{path}/{name}") }));
        set.push(path.into());
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("is there").permissions().mode() & 0o777
    }

    #[test]
    fn a_link_in_the_place_of_a_tree_leads_nobody_out() {
        let stage = tempfile::tempdir().expect("a folder");
        let (outside, link) = (stage.path().join("outside"), stage.path().join("tree"));
        fs::create_dir_all(outside.join("inner")).expect("folders");
        symlink("outside", &link).expect("a link");
        assert!(remove_tree(&link).is_err());
        assert_eq!((mode(&outside), mode(&outside.join("inner"))), (0o755, 0o755));
    }

    #[test]
    fn a_closed_tree_is_removed_and_what_its_links_lead_to_stays() {
        let stage = tempfile::tempdir().expect("a folder");
        let outside = stage.path().join("outside");
        fs::create_dir(&outside).expect("a folder");
        let tree = NewFolder::create(stage.path()).expect("creates");
        fs::create_dir_all(tree.path().join("a/b")).expect("folders");
        symlink(&outside, tree.path().join("a/link")).expect("a link");
        assert_eq!(tree.close().expect("closes"), ["", "a", "a/b"].map(PathBuf::from));
        assert_eq!((mode(&tree.path().join("a/b")), mode(&outside)), (0o555, 0o755));
        let path = tree.path().to_owned();
        drop(tree);
        assert!(!path.exists() && outside.exists());
    }
}
