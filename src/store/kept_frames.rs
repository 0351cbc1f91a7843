//! Stored frames of meta packs of a store that is far away, as files: a BLAKE3, then the frame's bytes, which it is of.
//!
//! An object's id doesn't cover the hint beside it in its frame, and disks rot: so each file is verified whole when it is read. One that
//! isn't what was written is removed, which is noted, and the frame comes from the store. What was written is still verified by whoever reads an object
//! in it, as if it came from there.

use std::collections::HashSet;
use std::fs::{DirEntry, File};
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::base::files::{Durability, create_folders, sweep_temporaries, write_file};
use crate::base::{Event, Id, ObjectName, Observer};
use crate::format::place::FramePlace;

/// So much is kept of one store; beyond it, what was used longest ago leaves, down to three quarters.
const KEPT_BYTES: u64 = 256 << 20;
/// A process that writes this much looks again whether it is too much.
const UNSEEN_BYTES: u64 = 16 << 20;
/// A file takes at least so much of a disk.
const BLOCK_BYTES: u64 = 4 << 10;
/// The BLAKE3 that a file begins with.
const CHECK_LEN: usize = 32;
/// A use is noted when the last that was is so long ago.
const USE_NOTED: Duration = Duration::from_secs(3600);

/// A folder of frames; shared by processes, since a file appears whole and never changes.
pub(super) struct KeptFrames {
    folder: PathBuf,
    most: u64,
    observer: Observer,
    /// What was written since the folder was looked through; `None` before the first time.
    unseen: Mutex<Option<u64>>,
}

impl KeptFrames {
    pub fn new(folder: PathBuf, observer: Observer) -> KeptFrames {
        KeptFrames { folder, most: KEPT_BYTES, observer, unseen: Mutex::default() }
    }

    pub fn has(&self, place: &FramePlace) -> bool {
        self.file(place).metadata().is_ok_and(|meta| meta.len() == file_bytes(place))
    }

    /// The stored bytes of a frame, as they were when it was kept.
    pub fn get(&self, place: &FramePlace) -> Option<Bytes> {
        let mut file = File::open(self.file(place)).ok()?;
        let meta = file.metadata().ok()?;
        let mut bytes = Vec::with_capacity(file_bytes(place) as usize);
        let is_whole = meta.len() == file_bytes(place) && {
            file.read_to_end(&mut bytes).ok()?;
            bytes.split_at_checked(CHECK_LEN).is_some_and(|(check, stored)| *check == Id::of(stored).0)
        };
        if !is_whole {
            let note = format!("{} is damaged, and fetched again", self.file(place).display());
            self.observer.tell(Event::Note(note));
            self.remove(place);
            return None;
        }
        let now = SystemTime::now();
        if meta.modified().is_ok_and(|used| now.duration_since(used).is_ok_and(|age| age > USE_NOTED)) {
            file.set_modified(now).ok();
        }
        Some(Bytes::from(bytes).slice(CHECK_LEN..))
    }

    /// Keeps a frame, as far as it may: who can't write here reads it from the store again.
    pub fn put(&self, place: &FramePlace, stored: &[u8]) {
        let mut unseen = self.unseen.lock().unwrap_or_else(PoisonError::into_inner);
        if unseen.is_none_or(|bytes| bytes >= UNSEEN_BYTES) {
            if create_folders(&self.folder).is_err() {
                return;
            }
            self.make_room();
            *unseen = Some(0);
        }
        let bytes = [&Id::of(stored).0, stored].concat();
        *unseen = unseen.map(|unseen| unseen + on_disk(bytes.len() as u64));
        drop(unseen);
        write_file(&self.file(place), &bytes, Durability::Renamed).ok();
    }

    pub fn remove(&self, place: &FramePlace) {
        std::fs::remove_file(self.file(place)).ok();
    }

    /// Removes the frames of all packs but these.
    pub fn remove_others(&self, packs: &HashSet<ObjectName>) {
        let Ok(listing) = std::fs::read_dir(&self.folder) else { return };
        for entry in listing.flatten() {
            let name = entry.file_name();
            let pack = name.to_str().and_then(|name| ObjectName::parse(name.rsplit_once('-')?.0).ok());
            if pack.is_some_and(|pack| !packs.contains(&pack)) {
                std::fs::remove_file(entry.path()).ok();
            }
        }
    }

    fn make_room(&self) {
        sweep_temporaries(&self.folder);
        let Ok(listing) = std::fs::read_dir(&self.folder) else { return };
        let aged = |entry: DirEntry| {
            let meta = entry.metadata().ok()?;
            Some((meta.modified().ok()?, on_disk(meta.len()), entry.path()))
        };
        let mut files: Vec<_> = listing.flatten().filter_map(aged).collect();
        let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        if bytes <= self.most {
            return;
        }
        files.sort_unstable();
        for (_, taken, path) in files {
            if bytes <= self.most / 4 * 3 {
                break;
            }
            std::fs::remove_file(path).ok();
            bytes -= taken;
        }
    }

    fn file(&self, place: &FramePlace) -> PathBuf {
        self.folder.join(format!("{}-{}", place.pack, place.offset))
    }
}

fn file_bytes(place: &FramePlace) -> u64 {
    CHECK_LEN as u64 + u64::from(place.stored_bytes)
}

fn on_disk(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::place::Encoding;

    fn place(offset: u32) -> FramePlace {
        let pack = ObjectName { born: 1, random: [7; 16] };
        FramePlace { pack, offset, stored_bytes: 5_000, raw_bytes: 5_000, encoding: Encoding::Raw }
    }

    #[test]
    fn what_was_used_longest_ago_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let open = || KeptFrames { most: 10 * 8192, ..KeptFrames::new(folder.path().join("meta"), Observer::new()) };
        let kept = open();
        let age = |offset: u32, hours: u64| {
            let file = File::open(kept.file(&place(offset))).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
        };
        for offset in 0..12 {
            kept.put(&place(offset), &[offset as u8; 5_000]);
            age(offset, 100 - u64::from(offset));
        }
        assert_eq!(kept.get(&place(0)).as_deref(), Some(&[0; 5_000][..]), "and is used now");
        open().put(&place(99), &[9; 5_000]);
        let is_there = |offset: &u32| kept.has(&place(*offset));
        assert_eq!((0..12).filter(is_there).collect::<Vec<_>>(), [0, 6, 7, 8, 9, 10, 11], "three quarters of ten");
        assert!(kept.has(&place(99)));
    }

    #[test]
    fn a_file_of_another_length_is_no_frame() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptFrames::new(folder.path().to_owned(), Observer::new());
        kept.put(&place(1), &[1; 4_999]);
        assert!(!kept.has(&place(1)) && kept.get(&place(1)).is_none() && kept.get(&place(2)).is_none());
        kept.put(&place(1), &[1; 5_000]);
        kept.remove(&place(1));
        assert!(!kept.has(&place(1)));
    }

    #[test]
    fn a_file_with_a_flipped_bit_is_no_frame() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptFrames::new(folder.path().to_owned(), Observer::new());
        for byte in [0, CHECK_LEN - 1, CHECK_LEN, CHECK_LEN + 4_999] {
            kept.put(&place(1), &[1; 5_000]);
            let mut bytes = std::fs::read(kept.file(&place(1))).unwrap();
            bytes[byte] ^= 4;
            write_file(&kept.file(&place(1)), &bytes, Durability::Renamed).unwrap();
            assert!(kept.get(&place(1)).is_none() && !kept.has(&place(1)), "byte {byte}: and it is gone");
        }
    }
}
