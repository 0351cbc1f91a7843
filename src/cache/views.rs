//! Views: trees of links to cached files, made once and used by many jobs through one symlink each.
//!
//! `views/<key>/` is the tree, `views/<key>.toml` its card, written when the tree is whole and removed before it is taken down. The card's
//! own time is that of the last use. Folders of a tree are read-only, so no job can take a file out of it. The tree of another user can be
//! put aside, and is taken down by its owner's next command.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::base::files::{self, Durability, temporary_name};
use crate::base::{Error, Result};

use super::Cache;
use super::at_work::AtWork;
use super::holds::names_in;

const CARD: &str = ".toml";
const ASIDE: &str = ".old";

/// What is known of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewCard {
    pub address: String,
    pub version: String,
    /// The list of its contents.
    pub list: String,
    pub files: u64,
    pub bytes: u64,
}

/// A view that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub key: String,
    pub card: ViewCard,
    /// In seconds since 1970.
    pub used: u64,
}

/// A tree that is being made; dropped before it is published, it is taken down.
#[must_use = "a view is used only once it is published"]
pub struct NewView<'a> {
    cache: &'a Cache,
    pub folder: PathBuf,
}

impl Cache {
    /// Where a view is.
    pub fn view_folder(&self, key: &str) -> PathBuf {
        self.folder.join("views").join(key)
    }

    /// The view, if it is there.
    pub fn view(&self, key: &str) -> Result<Option<View>> {
        let path = self.card_path(key);
        let content = match fs::read_to_string(&path) {
            Ok(content) => content,
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(fault) => return Err(Error::io("read", &path, fault)),
        };
        let card: ViewCard = toml::from_str(&content)
            .map_err(|fault| Error::damaged(format!("{} can't be understood", path.display())).because(fault))?;
        let used = fs::metadata(&path).and_then(|meta| meta.modified()).unwrap_or(UNIX_EPOCH);
        let used = used.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(self.view_folder(key).is_dir().then(|| View { key: key.to_owned(), card, used }))
    }

    /// All views.
    pub fn views(&self) -> Result<Vec<View>> {
        let cards = names_in(&self.folder.join("views"))?;
        let keys = cards.iter().filter_map(|name| name.strip_suffix(CARD));
        keys.filter_map(|key| self.view(key).transpose()).collect()
    }

    /// Notes that a view is used now.
    pub fn use_view(&self, view: &View) -> Result<()> {
        if !self.is_writable
            || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() < view.used + 3600
        {
            return Ok(());
        }
        self.put_card(&view.key, &view.card)
    }

    /// Begins a tree.
    pub fn begin_view(&self) -> Result<NewView<'_>> {
        self.be_at_work();
        let folder = self.folder.join("views").join(temporary_name());
        files::create_folders(&folder)?;
        Ok(NewView { cache: self, folder })
    }

    /// Takes a view out of use, and down as far as it is this user's; `false` if somebody took hold of it meanwhile.
    pub(super) fn remove_view(&self, view: &View) -> Result<bool> {
        let card = self.card_path(&view.key);
        fs::remove_file(&card).map_err(|fault| Error::io("remove", &card, fault))?;
        // Who took hold before the card went away uses it; who comes now finds no card.
        if self.kept()?.views.contains(&view.key) {
            self.put_card(&view.key, &view.card)?;
            return Ok(false);
        }
        self.put_aside(&view.key)?;
        Ok(true)
    }

    /// Takes every view out of use that shows one of these contents, held or not: a job that reads it finds nothing, and no wrong byte.
    pub(super) fn drop_views_with(&self, contents: &[u128]) -> Result<()> {
        for view in self.views()? {
            let shown = self.read_list(&view.card.list)?;
            if contents.iter().any(|content| shown.binary_search(content).is_ok()) {
                let card = self.card_path(&view.key);
                match fs::remove_file(&card) {
                    Ok(()) => self.put_aside(&view.key)?,
                    // Another process does the same.
                    Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => {}
                    Err(fault) => return Err(Error::io("remove", &card, fault)),
                }
            }
        }
        Ok(())
    }

    fn put_aside(&self, key: &str) -> Result<()> {
        let aside = self.folder.join("views").join(format!("{}{ASIDE}", temporary_name()));
        files::rename(&self.view_folder(key), &aside)?;
        // Another user's stays until its owner comes by.
        take_down(&aside).ok();
        Ok(())
    }

    /// Takes down what this user put up and nobody uses any more.
    pub(super) fn sweep_views(&self, at_work: &AtWork) {
        let folder = self.folder.join("views");
        let Ok(listing) = fs::read_dir(&folder) else { return };
        for entry in listing.flatten() {
            let is_aside = entry.file_name().to_str().is_some_and(|name| name.ends_with(ASIDE));
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && (is_aside || at_work.is_abandoned(&entry.path())) && is_own(&entry.path()) {
                take_down(&entry.path()).ok();
            }
        }
    }

    /// Whether this user's permissions are enough to take a tree down.
    pub(super) fn may_take_down(&self, key: &str) -> bool {
        is_own(&self.view_folder(key))
    }

    /// Takes down what others put aside of this user's.
    pub fn tidy(&self) {
        let is_aside = |name: &String| name.ends_with(ASIDE);
        if self.is_writable
            && names_in(&self.folder.join("views")).is_ok_and(|names| names.iter().any(is_aside))
            && let Ok(at_work) = self.at_work()
        {
            self.sweep_views(&at_work);
        }
    }

    fn put_card(&self, key: &str, card: &ViewCard) -> Result<()> {
        let text =
            toml::to_string(card).map_err(|fault| Error::usage("this view can't be described").because(fault))?;
        self.write_common(&self.card_path(key), text.as_bytes(), Durability::Renamed)
    }

    fn card_path(&self, key: &str) -> PathBuf {
        self.folder.join("views").join(format!("{key}{CARD}"))
    }
}

impl NewView<'_> {
    /// Closes the tree against changes and lets it be used.
    pub fn publish(self, key: &str, card: &ViewCard) -> Result<()> {
        close(&self.folder)?;
        let target = self.cache.view_folder(key);
        if target.exists() {
            // Of somebody who was killed before he wrote the card; it may lack anything.
            files::rename(&target, &self.cache.folder.join("views").join(format!("{}{ASIDE}", temporary_name())))?;
        }
        files::rename(&self.folder, &target)?;
        self.cache.put_card(key, card)
    }
}

impl Drop for NewView<'_> {
    fn drop(&mut self) {
        if self.folder.exists() {
            take_down(&self.folder).ok();
        }
    }
}

fn is_own(path: &Path) -> bool {
    let own = rustix::process::geteuid();
    own.is_root() || fs::symlink_metadata(path).is_ok_and(|meta| meta.uid() == own.as_raw())
}

/// Makes all folders of a tree read-only.
fn close(folder: &Path) -> Result<()> {
    each_folder(folder, &|inner| fs::set_permissions(inner, fs::Permissions::from_mode(0o555)))
        .map_err(|fault| Error::io("close", folder, fault))
}

fn take_down(folder: &Path) -> std::io::Result<()> {
    each_folder(folder, &|inner| fs::set_permissions(inner, fs::Permissions::from_mode(0o700)))?;
    fs::remove_dir_all(folder)
}

/// Outer folders first: an inner one can't be reached before the outer is opened.
fn each_folder(folder: &Path, act: &impl Fn(&Path) -> std::io::Result<()>) -> std::io::Result<()> {
    act(folder)?;
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_type()?.is_dir() {
            each_folder(&entry.path(), act)?;
        }
    }
    Ok(())
}
