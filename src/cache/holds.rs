//! What keeps files from being removed: pins, and leases of jobs that read through links.
//!
//! Each is a small file of its own below `holds/`, which names a view or a list. A list is the contents that are held, sorted, 16 bytes
//! each: the first bytes of the id, the last bit of them set for an executable file. Lists are named by the hash of their bytes, so that
//! many holds of one version share one.
//!
//! A hold that can't be understood may be anybody's: it holds everything, until a day after it was written.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::base::files::{self, Durability, NewFile, random_bytes};
use crate::base::host::{Host, Process};
use crate::base::{Error, Id, Result, Time};

use super::views::key_of_tree;
use super::{Cache, Key};

/// Nobody can tell whether a job on another machine lives: its lease ends a day after it was last renewed.
pub const LEASE_MS: i64 = 24 * 3600 * 1000;

/// Room on the disk for holds, marks and the like, without which a full one takes nothing more.
const NOTES: u64 = 64 << 10;

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Held {
    /// By the name of its tree.
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
            Held::View(tree) => {
                let key = key_of_tree(tree).unwrap_or(tree);
                fs::read_link(link).map(|leads_to| is_view(&leads_to, views, key))
            }
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

/// A file among the holds that can't be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadHold {
    pub name: String,
    /// Milliseconds since 1970: until then it holds everything.
    pub ends: i64,
}

/// All holds.
#[derive(Debug, Clone, Default)]
pub struct Holds {
    /// Oldest first.
    pub named: Vec<NamedHold>,
    pub unread: Vec<UnreadHold>,
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
            self.clear_disk(self.on_disk(bytes.len() as u64) + NOTES, false, contents)?;
            self.write_somehow(&path, &bytes, Durability::Renamed)?;
        }
        Ok(name)
    }

    /// Puts a hold, which counts from when this returns: who makes room meanwhile has ended, and everybody later sees it.
    pub fn hold(&self, hold: &Hold) -> Result<String> {
        let name: String = random_bytes()?[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let _nobody_removes = self.lock_room()?;
        if let (true, Held::List(list)) = (hold.is_pin, &hold.held) {
            // A pin outlives the power.
            files::sync(&self.folder.join("lists").join(list))?;
        }
        if self.lacks_on_disk(NOTES, false, 0)? > 0 {
            // A view that is about to be made needs room too.
            self.drop_ballast();
        }
        if self.write_hold(&name, hold).is_err() {
            // Not sooner: what goes may be what is to be held.
            self.clear_locked_disk(NOTES, false, &[])?;
            self.write_hold(&name, hold)?;
        }
        // A `get` that was run again has its lease already.
        let is_same = |other: &Hold| {
            let told =
                |hold: &Hold| (hold.held.clone(), hold.link.clone(), hold.process, hold.job.clone(), hold.host.clone());
            !hold.is_pin && !other.is_pin && told(other) == told(hold)
        };
        for other in self.holds()?.named.iter().filter(|other| other.name != name && is_same(&other.hold)) {
            self.release(&other.name)?;
        }
        Ok(name)
    }

    /// Removes a hold.
    pub fn release(&self, name: &str) -> Result<()> {
        let path = self.folder.join("holds").join(name);
        if self.make_spare(&path) {
            return Ok(());
        }
        // What is no file isn't a hold of ours, and may still be in the way.
        match fs::remove_file(&path).or_else(|fault| fs::remove_dir(&path).map_err(|_| fault)) {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path, fault)),
            _ => Ok(()),
        }
    }

    /// Begins another day of a lease.
    pub fn renew(&self, name: &str) -> Result<()> {
        let path = self.folder.join("holds").join(name);
        if let Ok(Some(mut hold)) = read_hold(&path) {
            hold.ends = Some(Time::now().0 + LEASE_MS);
            self.write_hold(name, &hold)?;
        }
        Ok(())
    }

    /// All pins and leases that hold; those that don't any more are removed, and what this machine can see alive is renewed. What can't be
    /// understood is said.
    pub fn holds(&self) -> Result<Holds> {
        let (here, now) = (Host::here(), Time::now());
        let mut found = Holds::default();
        for name in names_in(&self.folder.join("holds"))? {
            let path = self.folder.join("holds").join(&name);
            let hold = match read_hold(&path) {
                Ok(Some(hold)) => hold,
                Ok(None) => continue,
                Err(why) => {
                    found.unread.extend(self.judge_unread(&name, &why, now));
                    continue;
                }
            };
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
            found.named.push(NamedHold { name, hold });
        }
        found.named.sort_by_key(|named| named.hold.made);
        Ok(found)
    }

    /// `None` once its day is over: then it is removed, by who may.
    fn judge_unread(&self, name: &str, why: &str, now: Time) -> Option<UnreadHold> {
        let path = self.folder.join("holds").join(name);
        let written = fs::symlink_metadata(&path).and_then(|meta| meta.modified()).ok()?;
        let written = written.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        // A time to come is as good as none.
        let ends = i64::try_from(written).unwrap_or(now.0).min(now.0) + LEASE_MS;
        if now.0 >= ends {
            if self.is_writable {
                self.release(name).ok();
            }
            return None;
        }
        let until = Time(ends);
        let release = format!("`dagset cache unpin {name}` removes it");
        let what = "can't be understood, and holds everything in this cache until";
        self.warn_once(format!("{} {what} {until} ({why}): {release}", path.display()));
        Some(UnreadHold { name: name.to_owned(), ends })
    }

    /// The contents in a list.
    pub(super) fn read_list(&self, name: &str) -> Result<Vec<u128>> {
        let path = self.folder.join("lists").join(name);
        let bytes = files::read(&path).map_err(|fault| Error::io("read", &path, fault))?;
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
        let durability = if hold.is_pin { Durability::Synced } else { Durability::Renamed };
        self.write_somehow(&self.folder.join("holds").join(name), &text, durability)
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

/// `None` where it went away; else why it can't be understood.
fn read_hold(path: &Path) -> std::result::Result<Option<Hold>, String> {
    match files::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|fault| fault.to_string()),
        Err(fault) if fault.kind() == ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => Ok(None),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Names in a folder, but those of temporaries; none in a folder that isn't there.
pub(super) fn names_in(folder: &Path) -> Result<Vec<String>> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(fault) => return Err(Error::io("list", folder, fault)),
    };
    let names = listing.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| !files::is_temporary(name)).collect())
}
