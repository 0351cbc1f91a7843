//! Who else fills the cache just now: what warm-ups hold is free for others once they have ended, unlike what pins and jobs hold.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::{Error, Kind, Result, size};

use super::at_work::AtWork;
use super::{Cache, Held, Hold, list_entry};

impl Cache {
    /// An error that says for whom to wait, of kind [`Kind::Busy`], where `lacks` bytes would be there if the warm-ups of other processes
    /// had ended; `None` where their end would not be enough. What is `wanted`, sorted, doesn't count as theirs.
    pub fn filled_by_others(&self, lacks: u64, wanted: &[u128]) -> Result<Option<Error>> {
        let at_work = self.at_work()?;
        let holds = self.holds()?.into_iter().map(|named| named.hold);
        let (warming, others): (Vec<Hold>, Vec<Hold>) = holds.partition(|hold| is_warming(hold, &at_work));
        let Some(first) = warming.iter().max_by_key(|hold| hold.bytes) else { return Ok(None) };
        let lists = |holds: &[Hold]| {
            let list = |hold: &Hold| match &hold.held {
                Held::List(list) => Some(list.clone()),
                Held::View(_) => None,
            };
            self.read_lists(&holds.iter().filter_map(list).collect())
        };
        let (theirs, kept) = (lists(&warming)?, lists(&others)?);
        let bytes = AtomicU64::new(at_work.reserved_by_others);
        self.each_file(|met| {
            let content = list_entry(met.key);
            let is_in = |list: &[u128]| list.binary_search(&content).is_ok();
            if !met.is_linked && is_in(&theirs) && !is_in(&kept) && !is_in(wanted) {
                bytes.fetch_add(met.bytes, Ordering::Relaxed);
            }
        })?;
        // One may have several leases.
        let processes: HashSet<_> = warming.iter().map(|hold| (&hold.host, hold.process)).collect();
        Ok((lacks <= bytes.into_inner()).then(|| self.is_being_filled(first, processes.len() - 1, lacks)))
    }

    fn is_being_filled(&self, by: &Hold, more: usize, lacks: u64) -> Error {
        let more = if more == 0 { String::new() } else { format!(", and by {more} more") };
        let message = format!(
            "the cache {} is being filled by process {} on {} with {} ({}){more}: until that has ended, {} are lacking",
            self.folder.display(),
            by.process.map_or(0, |(number, _)| number),
            by.host,
            by.address,
            size(by.bytes),
            size(lacks),
        );
        Error::new(Kind::Busy, message)
            .hint("run the command again later, or give the cache more by `dagset cache init --max`")
    }
}

/// Whether a hold is that of another process which puts files into the cache, and not of a job that reads them.
fn is_warming(hold: &Hold, at_work: &AtWork) -> bool {
    let is_lease = !hold.is_pin && hold.link.is_none();
    is_lease && hold.process.is_some_and(|(number, _)| at_work.has_other(number))
}
