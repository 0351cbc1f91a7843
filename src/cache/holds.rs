//! What keeps files from being removed: pins, and leases of jobs that read through links.
//!
//! Each is a small file of its own below `holds/`, which names a view or a list. A list is the contents that are held, sorted, 16 bytes
//! each: the first bytes of the id, the last bit of them set for an executable file. Lists are named by the hash of their bytes, so that
//! many holds of one version share one.
//!
//! A hold that can't be understood may be anybody's: it holds everything, until a day after it was written.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::base::files::{self, Durability, NewFile, random_bytes};
use crate::base::{Error, Id, Result, Time};

use super::hold::{Held, Hold, LEASE_MS, Viewpoint};
use super::{Cache, Key};

/// Room on the disk for holds, marks and the like, without which a full one takes nothing more.
const NOTES: u64 = 64 << 10;

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
        // A `get` that was run again has its lease already. Another machine of this name keeps its own.
        let from = Viewpoint::of(self);
        let is_old = |other: &&NamedHold| other.name != name && other.hold.is_of(&from) && hold.is_again(&other.hold);
        for other in self.holds()?.named.iter().filter(is_old) {
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
        let from = Viewpoint::of(self);
        let mut found = Holds::default();
        for name in names_in(&self.folder.join("holds"))? {
            let path = self.folder.join("holds").join(&name);
            let hold = match read_hold(&path) {
                Ok(Some(hold)) => hold,
                Ok(None) => continue,
                Err(why) => {
                    found.unread.extend(self.judge_unread(&name, &why, from.now));
                    continue;
                }
            };
            if !hold.lives(&from) {
                if self.is_writable {
                    self.release(&name)?;
                }
                continue;
            }
            let ends_soon = !hold.is_pin && hold.ends.is_some_and(|ends| ends - from.now.0 < LEASE_MS / 2);
            if ends_soon && hold.is_of(&from) && self.is_writable && (hold.process.is_some() || hold.link.is_some()) {
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
