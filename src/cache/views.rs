//! Views: trees of links to cached files, made once and used by many jobs through one symlink each.
//!
//! ```text
//! views/<key>                   a symlink to the tree, which the links of jobs lead to
//! views/<key>-<random>/         a tree; its folders are read-only, so no job can take a file out of it
//! views/<key>-<random>.folders  what its folders were when it was made
//! views/<key>.toml              the card: new jobs get the tree that it names. Its own time is that of the last use
//! views/<key>.stale             the card of a view that new jobs don't get any more
//! ```
//!
//! A view that shows a changed file, or was changed itself, becomes stale: jobs that have it keep its tree as long as a lease on the view
//! lives. The next job makes another tree, and the symlink then leads to that one, for all of them. The older one stays for those that work
//! in it by its own name. The tree of another user is left to its owner's next command.
//!
//! A tree has hardlinks of cached files, and a symlink where there can be none, relative to where it stands. So nothing in `views` depends on
//! the path by which somebody sees the cache.
//!
//! What is written is the card, then the tree, then the symlink, and the card counts once the symlink leads to its tree. So whoever lists
//! trees, then reads cards, then holds, finds no tree without its card that somebody is about to use.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};
use serde::{Deserialize, Serialize};

use crate::base::files::{self, Durability, random_bytes};
use crate::base::folders::NewFolder;
use crate::base::{Error, Event, Id, Result};

use super::at_work::AtWork;
use super::hold::is_view;
use super::holds::names_in;
use super::kept::HeldViews;
use super::{Cache, Key};

const CARD: &str = ".toml";
const STALE: &str = ".stale";
/// A use is noted again after so many seconds.
const COARSE_SECS: u64 = 3600;

/// What is known of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewCard {
    pub address: String,
    pub version: String,
    /// The list of its contents.
    pub list: String,
    pub files: u64,
    pub bytes: u64,
    /// The name of its tree.
    pub tree: String,
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
    key: String,
    folder: NewFolder,
    /// Its name to be.
    pub tree: String,
}

/// A card, of whatever state the view is in.
pub(super) struct Described {
    pub(super) key: String,
    pub(super) card: ViewCard,
    pub(super) is_stale: bool,
}

impl Cache {
    /// Where jobs find a view.
    pub fn view_folder(&self, key: &str) -> PathBuf {
        self.views_folder().join(key)
    }

    /// Whether `link` leads to where jobs find a view, by whatever path of the cache.
    pub fn is_link_to_view(&self, link: &Path, key: &str) -> bool {
        fs::read_link(link).is_ok_and(|leads_to| is_view(&leads_to, &self.views_folder(), key))
    }

    /// The view, if new jobs may have it.
    pub fn view(&self, key: &str) -> Option<View> {
        let path = self.card_path(key, CARD);
        let card = self.read_card(&path)?;
        if fs::read_link(self.view_folder(key)).ok()?.as_os_str() != &*card.tree || !self.view_folder(key).is_dir() {
            return None;
        }
        let used = fs::metadata(&path).and_then(|meta| meta.modified()).unwrap_or(UNIX_EPOCH);
        let used = used.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Some(View { key: key.to_owned(), card, used })
    }

    /// All views that new jobs may have.
    pub fn views(&self) -> Result<Vec<View>> {
        let cards = names_in(&self.views_folder())?;
        Ok(cards.iter().filter_map(|name| self.view(name.strip_suffix(CARD)?)).collect())
    }

    /// All cards that can be read.
    pub(super) fn cards(&self) -> Result<Vec<Described>> {
        let describe = |name: String| {
            let (key, is_stale) = match name.strip_suffix(CARD) {
                Some(key) => (key, false),
                None => (name.strip_suffix(STALE)?, true),
            };
            let card = self.read_card(&self.views_folder().join(&name))?;
            Some(Described { key: key.to_owned(), card, is_stale })
        };
        Ok(names_in(&self.views_folder())?.into_iter().filter_map(describe).collect())
    }

    /// Notes that a view is used now.
    pub fn use_view(&self, view: &View) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.is_writable && now >= view.used + COARSE_SECS {
            let at_once = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let times = Timestamps { last_access: at_once, last_modification: at_once };
            // Who may write it may do this, and nothing else rests on it.
            rustix::fs::utimensat(CWD, self.card_path(&view.key, CARD), &times, AtFlags::empty()).ok();
        }
    }

    /// Begins a tree.
    pub fn begin_view(&self, key: &str) -> Result<NewView<'_>> {
        self.be_at_work();
        let random: String = random_bytes()?[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = NewFolder::create(&self.views_folder())?;
        Ok(NewView { cache: self, key: key.to_owned(), folder, tree: format!("{key}-{random}") })
    }

    /// Refuses a view to new jobs.
    pub fn retire_view(&self, key: &str) -> Result<()> {
        match files::rename(&self.card_path(key, CARD), &self.card_path(key, STALE)) {
            // Another process has done the same.
            Err(_) if !self.card_path(key, CARD).exists() => Ok(()),
            done => done,
        }
    }

    /// Removes a view, its tree as far as that is this user's; `false` if somebody took hold of it meanwhile.
    pub(super) fn remove_view(&self, view: &View) -> Result<bool> {
        self.retire_view(&view.key)?;
        // Who took hold before sees that the card has gone, and makes the view anew.
        let held = self.held_views()?;
        self.clear_view(&view.key, &held);
        Ok(!held.has(&view.key))
    }

    /// Refuses every view to new jobs that shows one of these contents.
    pub(super) fn retire_views_with(&self, contents: &[u128]) -> Result<Vec<String>> {
        let mut retired = Vec::new();
        for Described { key, card, .. } in self.cards()?.into_iter().filter(|described| !described.is_stale) {
            // What it shows isn't known where its list can't be read.
            let shown = self.read_list(&card.list);
            if shown.is_err() || shown.is_ok_and(|all| contents.iter().any(|one| all.binary_search(one).is_ok())) {
                self.retire_view(&key)?;
                retired.push(key);
            }
        }
        Ok(retired)
    }

    /// Removes what killed processes left of views, what nobody holds of stale ones, and trees without a card; all of it as far as it is
    /// this user's.
    pub(super) fn sweep_views(&self, at_work: &AtWork) -> Result<()> {
        let listing: Vec<_> = fs::read_dir(self.views_folder()).into_iter().flatten().flatten().collect();
        let is_folder = |entry: &&fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        for path in listing.iter().filter(is_folder).map(fs::DirEntry::path) {
            if at_work.is_abandoned(&path) && is_own(&path) {
                NewFolder::seize(&path).ok();
            }
        }
        let names: Vec<String> = listing.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let cards = self.cards()?;
        let readable: HashSet<&str> =
            cards.iter().filter(|card| !card.is_stale).map(|described| &*described.key).collect();
        for key in names.iter().filter_map(|name| name.strip_suffix(CARD)).filter(|key| !readable.contains(key)) {
            // Nobody gets what can't be read.
            self.retire_view(key)?;
        }
        let current: HashSet<&str> =
            cards.iter().filter(|card| !card.is_stale).map(|described| &*described.card.tree).collect();
        let stale = names.iter().filter_map(|name| name.strip_suffix(STALE));
        let trees = names.iter().filter(|name| !current.contains(name.as_str())).filter_map(|name| key_of_tree(name));
        let left: HashSet<&str> = stale.chain(trees).collect();
        if !left.is_empty() {
            let held = self.held_views()?;
            left.into_iter().for_each(|key| self.clear_view(key, &held));
        }
        Ok(())
    }

    /// Whether there are trees or cards that no new job gets.
    pub(super) fn has_left_views(&self) -> bool {
        let names = names_in(&self.views_folder()).unwrap_or_default();
        let count = |is_meant: fn(&str) -> bool| names.iter().filter(|name| is_meant(name)).count();
        count(|name| name.ends_with(STALE)) > 0
            || count(|name| key_of_tree(name).is_some()) != count(|name| name.ends_with(CARD))
    }

    /// Removes what of a view nobody holds, and new jobs don't get.
    pub(super) fn clear_view(&self, key: &str, held: &HeldViews) {
        // Who makes it anew has this claim, and then what is left is cleared another time.
        let Some(content) = Id::from_hex(key) else { return };
        let Some(_alone) = self.claim(Key { content, executable: false }) else { return };
        let current = self.read_card(&self.card_path(key, CARD)).map(|card| card.tree);
        let link = self.view_folder(key);
        let mut read = None;
        if held.has(key) {
            read = fs::read_link(&link).ok().and_then(|tree| tree.into_os_string().into_string().ok());
        } else {
            fs::remove_file(self.card_path(key, STALE)).ok();
            if current.is_none() {
                fs::remove_file(&link).ok();
            }
        }
        let stays = |tree: &String| [&current, &read].contains(&&Some(tree.clone())) || held.has_tree(tree);
        let names = names_in(&self.views_folder()).unwrap_or_default();
        for tree in names.iter().filter(|name| key_of_tree(name) == Some(key) && !stays(name)) {
            let path = self.views_folder().join(tree);
            if is_own(&path) {
                fs::remove_file(self.stamps_path(tree)).ok();
                NewFolder::seize(&path).ok();
            }
        }
    }

    /// What a link to a cached file says that stands at `target`, in the tree of a view.
    pub(super) fn path_in_view(&self, key: Key, target: &Path) -> PathBuf {
        let Ok(below) = target.strip_prefix(self.views_folder()) else { return self.path_of(key) };
        self.way_to_files(below.components().count(), self.has_files_beside_views()).join(key.relative())
    }

    /// The way to the folder of files for what is so many components below that of views: relative, since containers see one cache at
    /// different paths; absolute only where `views` is a symlink to somewhere else.
    pub(super) fn way_to_files(&self, below: usize, is_beside: bool) -> PathBuf {
        match is_beside {
            true => ["../".repeat(below).as_str(), "files"].concat().into(),
            false => self.folder.join("files"),
        }
    }

    /// Whether links of views can lead to the folder of files by way of the cache's own folder.
    pub(super) fn has_files_beside_views(&self) -> bool {
        let beside = rustix::fs::stat(self.views_folder().join("../files"));
        let place = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        beside.is_ok_and(|beside| rustix::fs::fstat(&self.files).is_ok_and(|files| place(files) == place(beside)))
    }

    /// Whether this user's permissions are enough to take a tree down.
    pub(super) fn may_take_down(&self, tree: &str) -> bool {
        is_own(&self.views_folder().join(tree))
    }

    pub(super) fn views_folder(&self) -> PathBuf {
        self.folder.join("views")
    }

    /// `None` where there is none, or none that can be understood, which is said.
    fn read_card(&self, path: &Path) -> Option<ViewCard> {
        let read = match files::read_text(path) {
            Ok(text) => toml::from_str(&text).map_err(|fault| fault.message().to_owned()),
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return None,
            Err(fault) => Err(fault.to_string()),
        };
        read.inspect_err(|why| self.warn_once(format!("the view of {} is not used: {why}", path.display()))).ok()
    }

    fn card_path(&self, key: &str, kind: &str) -> PathBuf {
        self.views_folder().join(format!("{key}{kind}"))
    }

    /// Says once what is met again and again.
    pub(super) fn warn_once(&self, warning: String) {
        let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if said.insert(warning.clone()) {
            self.observer.tell(Event::Warning(warning));
        }
    }
}

impl NewView<'_> {
    /// Where it is filled.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Closes the tree against changes and lets it be used.
    pub fn publish(self, card: &ViewCard) -> Result<()> {
        let NewView { cache, key, folder, tree } = self;
        let folders = folder.close()?;
        let text =
            toml::to_string(card).map_err(|fault| Error::usage("this view can't be described").because(fault))?;
        cache.write_common(&cache.card_path(&key, CARD), text.as_bytes(), Durability::Renamed)?;
        folder.publish(&cache.views_folder().join(&tree))?;
        // Only now: a rename is a change.
        cache.stamp(&tree, &folders)?;
        files::write_symlink(&cache.view_folder(&key), &tree)?;
        fs::remove_file(cache.card_path(&key, STALE)).ok();
        Ok(())
    }
}

/// The key of the view that a tree was made for; `None` for other names.
pub(super) fn key_of_tree(name: &str) -> Option<&str> {
    let (key, random) = name.split_once('-')?;
    (Id::from_hex(key).is_some() && random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then_some(key)
}

fn is_own(path: &Path) -> bool {
    let own = rustix::process::geteuid();
    own.is_root() || fs::symlink_metadata(path).is_ok_and(|meta| meta.uid() == own.as_raw())
}
