//! What keeps files from being removed: pins, and leases of jobs that read through links.
//!
//! Each is a small file of its own below `holds/`, which names a view or a list. A list is the contents that are held, sorted, 16 bytes
//! each: the first bytes of the id, the last bit of them set for an executable file. Lists are named by the hash of their bytes, so that
//! many holds of one version share one.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::files::{self, Durability, NewFile, random_bytes};
use crate::base::host::{Host, Process};
use crate::base::{Error, Id, Result, Time};

use super::{Cache, Key};

/// Nobody can tell whether a job on another machine lives: its lease ends a day after it was last renewed.
pub const LEASE_MS: i64 = 24 * 3600 * 1000;

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Held {
    View(String),
    List(String),
}

/// A pin, or a lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    pub held: Held,
    /// The address, for people.
    pub address: String,
    /// The version.
    pub version: String,
    pub files: u64,
    pub bytes: u64,
    pub is_pin: bool,
    pub host: String,
    pub boot: String,
    pub processes: String,
    #[serde(default)]
    pub mounts: String,
    /// The number of the process that reads, and when it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<(i32, u64)>,
    /// A job, by a name that only its scheduler can judge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// What the job reads through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<PathBuf>,
    /// Milliseconds since 1970.
    pub made: i64,
    /// Milliseconds since 1970; a pin may have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<i64>,
}

impl Hold {
    fn is_of(&self, here: &Host) -> bool {
        (self.host.as_str(), self.processes.as_str()) == (here.name.as_str(), here.processes.as_str())
    }

    /// Whether it still holds. Of this machine's own the process or the link is looked at; of others', and of what this user may not
    /// look at, only the time is known. The link to a view must still lead there, below `views`.
    fn lives(&self, here: &Host, views: &Path, now: Time) -> bool {
        let not_ended = self.ends.is_none_or(|ends| now.0 < ends);
        if self.is_pin || !self.is_of(here) {
            return not_ended;
        }
        match (self.process, &self.link) {
            (Some((number, started)), _) => self.boot == here.boot && Process { number, started }.lives(),
            // `/tmp` may be the job's own.
            (None, Some(_)) if self.mounts != here.mounts => not_ended,
            (None, Some(link)) => self.leads_there(link, views).unwrap_or(not_ended),
            (None, None) => not_ended,
        }
    }
}

impl Hold {
    /// Whether the job's link still stands; `None` where that can't be seen.
    fn leads_there(&self, link: &Path, views: &Path) -> Option<bool> {
        let stands = match &self.held {
            Held::View(key) => fs::read_link(link).map(|leads_to| is_view(&leads_to, views, key)),
            Held::List(_) => fs::symlink_metadata(link).map(|_| true),
        };
        match stands.map_err(|fault| fault.kind()) {
            Ok(stands) => Some(stands),
            Err(ErrorKind::PermissionDenied) => None,
            // Gone, or something else stands there.
            Err(_) => Some(false),
        }
    }
}

/// A hold, and the name of its file.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedHold {
    pub name: String,
    pub hold: Hold,
}

/// What must stay.
#[derive(Default)]
pub(super) struct Kept {
    /// Contents that somebody holds, sorted.
    held: Vec<u128>,
    /// Contents of views that nobody holds, sorted: they stay as long as the view.
    shown: Vec<u128>,
    /// Of these, what only this user's views show: others are put aside, and keep the blocks of what they link to.
    shown_by_own: Vec<u128>,
    /// Views that somebody holds.
    pub(super) views: HashSet<String>,
}

impl Kept {
    pub(super) fn has(&self, key: Key) -> bool {
        self.is_held(key) || self.is_shown(key)
    }

    pub(super) fn is_held(&self, key: Key) -> bool {
        self.held.binary_search(&list_entry(key)).is_ok()
    }

    pub(super) fn is_shown(&self, key: Key) -> bool {
        self.shown.binary_search(&list_entry(key)).is_ok()
    }

    pub(super) fn is_shown_by_own(&self, key: Key) -> bool {
        self.shown_by_own.binary_search(&list_entry(key)).is_ok()
    }
}

/// A content as lists have it.
pub fn list_entry(key: Key) -> u128 {
    let mut first = [0; 16];
    first.copy_from_slice(&key.content.0[..16]);
    u128::from_be_bytes(first) & !1 | u128::from(key.executable)
}

impl Cache {
    /// Writes a list of contents, sorted and without doubles, and gives its name.
    pub fn put_list(&self, contents: &[u128]) -> Result<String> {
        let bytes: Vec<u8> = contents.iter().flat_map(|content| content.to_be_bytes()).collect();
        let name = Id::of(&bytes).to_string();
        let path = self.folder.join("lists").join(&name);
        if !path.exists() {
            self.write_common(&path, &bytes, Durability::Renamed)?;
        }
        Ok(name)
    }

    /// Puts a hold, which counts from when this returns: who makes room meanwhile has ended, and everybody later sees it.
    pub fn hold(&self, hold: &Hold) -> Result<String> {
        let name: String = random_bytes()?[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let _nobody_removes = self.lock_room()?;
        self.write_hold(&name, hold)?;
        // A `get` that was run again has its lease already.
        let is_same = |other: &Hold| {
            let told =
                |hold: &Hold| (hold.held.clone(), hold.link.clone(), hold.process, hold.job.clone(), hold.host.clone());
            !hold.is_pin && !other.is_pin && told(other) == told(hold)
        };
        for other in self.holds()?.iter().filter(|other| other.name != name && is_same(&other.hold)) {
            self.release(&other.name)?;
        }
        Ok(name)
    }

    /// Removes a hold.
    pub fn release(&self, name: &str) -> Result<()> {
        let path = self.folder.join("holds").join(name);
        match fs::remove_file(&path) {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path, fault)),
            _ => Ok(()),
        }
    }

    /// Begins another day of a lease.
    pub fn renew(&self, name: &str) -> Result<()> {
        let path = self.folder.join("holds").join(name);
        if let Some(mut hold) = read_hold(&path)? {
            hold.ends = Some(Time::now().0 + LEASE_MS);
            self.write_hold(name, &hold)?;
        }
        Ok(())
    }

    /// All pins and leases that hold, oldest first; those that don't any more are removed, and what this machine can see alive is renewed.
    pub fn holds(&self) -> Result<Vec<NamedHold>> {
        let (here, now) = (Host::here(), Time::now());
        let mut found = Vec::new();
        for name in names_in(&self.folder.join("holds"))? {
            let path = self.folder.join("holds").join(&name);
            let Some(hold) = read_hold(&path)? else { continue };
            if !hold.lives(&here, &self.folder.join("views"), now) {
                if self.is_writable {
                    self.release(&name)?;
                }
                continue;
            }
            let ends_soon = !hold.is_pin && hold.ends.is_some_and(|ends| ends - now.0 < LEASE_MS / 2);
            if ends_soon && hold.is_of(&here) && self.is_writable && (hold.process.is_some() || hold.link.is_some()) {
                self.renew(&name)?;
            }
            found.push(NamedHold { name, hold });
        }
        found.sort_by_key(|named| named.hold.made);
        Ok(found)
    }

    /// What pins, leases and views keep. What can't be read keeps all: it is an error.
    pub(super) fn kept(&self) -> Result<Kept> {
        let mut kept = Kept::default();
        let mut lists: HashSet<String> = HashSet::new();
        for NamedHold { hold, .. } in self.holds()? {
            match hold.held {
                Held::View(view) => drop(kept.views.insert(view)),
                Held::List(list) => drop(lists.insert(list)),
            }
        }
        let (mut shown, mut others) = (HashSet::new(), HashSet::new());
        for view in self.views()? {
            if !self.may_take_down(&view.key) {
                others.insert(view.card.list.clone());
            }
            let is_held = kept.views.contains(&view.key);
            if is_held {
                lists.insert(view.card.list)
            } else {
                shown.insert(view.card.list)
            };
        }
        kept.held = self.read_lists(&lists)?;
        kept.shown = self.read_lists(&shown)?;
        let by_others = self.read_lists(&others)?;
        kept.shown_by_own =
            kept.shown.iter().copied().filter(|shown| by_others.binary_search(shown).is_err()).collect();
        lists.extend(shown);
        // A list that nothing names any more.
        for name in names_in(&self.folder.join("lists"))?.into_iter().filter(|name| !lists.contains(name)) {
            let path = self.folder.join("lists").join(name);
            let age = fs::metadata(&path).and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
            // It may be about to be named.
            if self.is_writable && age.is_some_and(|age| age.as_secs() > 3600) {
                fs::remove_file(path).ok();
            }
        }
        Ok(kept)
    }

    pub(super) fn read_lists(&self, names: &HashSet<String>) -> Result<Vec<u128>> {
        let mut contents = Vec::new();
        for name in names {
            contents.extend(self.read_list(name)?);
        }
        contents.sort_unstable();
        contents.dedup();
        Ok(contents)
    }

    /// The contents in a list.
    pub(super) fn read_list(&self, name: &str) -> Result<Vec<u128>> {
        let path = self.folder.join("lists").join(name);
        let bytes = fs::read(&path).map_err(|fault| Error::io("read", &path, fault))?;
        if Id::of(&bytes).to_string() != name {
            let message = format!("{} isn't what was written: what it keeps isn't known", path.display());
            return Err(Error::damaged(message).hint("release what holds it (`dagset cache list`), and pin it again"));
        }
        let (words, _) = bytes.as_chunks::<16>();
        Ok(words.iter().map(|word| u128::from_be_bytes(*word)).collect())
    }

    fn write_hold(&self, name: &str, hold: &Hold) -> Result<()> {
        let text = serde_json::to_vec_pretty(hold)
            .map_err(|fault| Error::usage("this path is not text, so it can't be noted").because(fault))?;
        self.write_common(&self.folder.join("holds").join(name), &text, Durability::Renamed)
    }

    /// Writes a small file that all users of the cache may read.
    pub(super) fn write_common(&self, path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
        let mut new = NewFile::create(path)?;
        std::io::Write::write_all(&mut new, bytes).map_err(|fault| Error::io("write", path, fault))?;
        new.set_mode(self.sharing.common_mode())?;
        new.publish(durability)
    }
}

/// Whether a path is that of a view; users may come to a cache by different paths.
fn is_view(path: &Path, views: &Path, key: &str) -> bool {
    let folder = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    path.file_name().is_some_and(|name| name == key) && path.parent().and_then(folder) == folder(views)
}

/// `None` where it went away, or isn't ours.
fn read_hold(path: &Path) -> Result<Option<Hold>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|fault| {
            Error::damaged(format!("{} can't be understood, so what it holds isn't known", path.display()))
                .because(fault)
                .hint("remove it if nobody needs it")
        }),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(Error::io("read", path, fault)),
    }
}

/// Names in a folder, but those of temporaries.
pub(super) fn names_in(folder: &Path) -> Result<Vec<String>> {
    let listing = fs::read_dir(folder).map_err(|fault| Error::io("list", folder, fault))?;
    let names = listing.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| !files::is_temporary(name)).collect())
}
