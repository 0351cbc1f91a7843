//! `usage`: about how many bytes the files of a cache take, so that nobody has to count them for each new one.
//!
//! `<bytes> <when they were counted> <start of the machine> <check>`. What is added and given back changes the first word under the lock on the
//! room. The files are counted anew where the rest can't vouch for it: a day after the last count, after another start of the machine (what
//! had not reached the disk is lost), and where the check says that somebody edited or damaged it.

use crate::base::files::{self, Durability, NewFile};
use crate::base::{Error, Id, Result, Time};

use super::Cache;
use super::prune::DAY;

const FILE: &str = "usage";
/// A clock may be set back by a little.
const AHEAD_SECS: i64 = 3600;

/// What files take, and what is reserved for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) bytes: u64,
    /// In seconds since 1970.
    counted: i64,
}

impl Usage {
    /// As counted just now.
    fn of(bytes: u64) -> Usage {
        Usage { bytes, counted: Time::now().0 / 1000 }
    }

    pub(super) fn and(self, more: u64) -> Usage {
        Usage { bytes: self.bytes.saturating_add(more), ..self }
    }

    pub(super) fn without(self, bytes: u64) -> Usage {
        Usage { bytes: self.bytes.saturating_sub(bytes), ..self }
    }

    fn text(self, start: &str) -> String {
        let words = format!("{} {} {start}", self.bytes, self.counted);
        let check = Id::of(words.as_bytes()).short();
        format!("{words} {check}\n")
    }

    fn parse(text: &str, start: &str) -> Option<Usage> {
        let mut words = text.split(' ');
        let usage = Usage { bytes: words.next()?.parse().ok()?, counted: words.next()?.parse().ok()? };
        (usage.text(start) == text).then_some(usage)
    }

    fn is_fresh(self) -> bool {
        let age = Time::now().0 / 1000 - self.counted;
        (-AHEAD_SECS..DAY).contains(&age)
    }
}

impl Cache {
    /// About how many bytes the files take: never less, but for files of processes that lost their lock. Where it can't be as little as
    /// `there`, which is known to be there, the files are counted.
    pub fn usage(&self, there: u64) -> Result<u64> {
        match self.noted_usage() {
            Some(noted) if noted.bytes >= there => Ok(noted.bytes),
            Some(_) if self.is_writable => self.recount(),
            _ => self.count_files(),
        }
    }

    /// What its files take, if a note says so that can be relied on. Counts nothing.
    pub fn noted_bytes(&self) -> Option<u64> {
        self.noted_usage().map(|noted| noted.bytes)
    }

    /// What is noted, if that can be relied on.
    pub(super) fn noted_usage(&self) -> Option<Usage> {
        let text = files::read_text(&self.folder.join(FILE)).ok()?;
        Usage::parse(&text, self.start()).filter(|noted| noted.is_fresh())
    }

    pub(super) fn note_usage(&self, usage: Usage) -> Result<()> {
        let path = self.folder.join(FILE);
        let mut new = NewFile::create(&path)?;
        std::io::Write::write_all(&mut new, usage.text(self.start()).as_bytes())
            .map_err(|fault| Error::io("write", &path, fault))?;
        new.set_mode(self.sharing.common_mode())?;
        new.publish(Durability::Renamed)
    }

    /// Counts the files, and what processes have `reserved`. The lock on the room is held by the caller.
    pub(super) fn count_usage(&self, reserved: u64) -> Result<Usage> {
        Ok(Usage::of(self.count_files()?.saturating_add(reserved)))
    }

    /// Counts the files and notes what they take, and what is reserved.
    pub fn recount(&self) -> Result<u64> {
        let _lock = self.lock_room()?;
        let usage = self.count_usage(self.at_work()?.reserved)?;
        // On a disk without room for it, the next one counts.
        self.note_usage(usage).ok();
        Ok(usage.bytes)
    }

    /// A network file system outlives the start of a machine, and has many.
    fn start(&self) -> &str {
        self.unsettled.start().unwrap_or("-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_edited_or_is_old_is_no_usage() {
        let text = Usage { bytes: 10, counted: 20 }.text("boot");
        assert_eq!(Usage::parse(&text, "boot"), Some(Usage { bytes: 10, counted: 20 }));
        for other in ["", "10", "10\n", &text[..text.len() - 1], &text.replace("10", "11"), &text.replace(' ', "  ")] {
            assert_eq!(Usage::parse(other, "boot"), None, "{other:?}");
        }
        assert_eq!(Usage::parse(&text, "another"), None);
        let aged = |seconds: i64| Usage { counted: Time::now().0 / 1000 - seconds, ..Usage::of(1) }.is_fresh();
        assert_eq!([-7200, -10, 10, DAY - 10, DAY + 10].map(aged), [false, true, true, true, false]);
    }
}
