//! Racing a new store's place before anything is written that would make it a store.

use crate::base::{Error, Event, Kind, Result};
use crate::store::objects::Bucket;
use crate::store::trial::{RACERS, Raced, Trial};

use super::Engine;

/// What to do about an unsafe place.
pub(super) const SAFE_PLACES: &str = "docs/stores.md names servers and file systems that keep the promise";

/// Rounds of a race in a place. A server that looks and then writes lets one win in about every second round when it is under load; in
/// a folder each write is synced, and the kernel's link is either exclusive or far from it.
pub(super) fn rounds(root: &str) -> u32 {
    if root.contains("://") { 10 } else { 4 }
}

impl Engine {
    /// Refuses a place in which two writers can both create one object: of a store shared there, versions would get lost.
    pub(super) fn refuse_unsafe_place(&self, root: &str, bucket: &Bucket) -> Result<()> {
        self.observer.tell(Event::Phase("trying the place"));
        let mut trial = Trial::new(bucket.clone())?;
        let raced = trial.race(rounds(root));
        trial.clean();
        match raced {
            Ok(Raced::OneWon) => Ok(()),
            Ok(raced) => {
                Err(Error::new(Kind::Failed, format!("{root} is no safe place for a store: {}", why_unsafe(raced)))
                    .hint(format!("nothing was created; {SAFE_PLACES}")))
            }
            Err(fault) => Err(fault.within(format!("cannot create a store at {root}"))),
        }
    }
}

/// What a race has shown against a place.
pub(super) fn why_unsafe(raced: Raced) -> String {
    let shown = match raced {
        Raced::OneWon => return "nothing".to_owned(),
        Raced::SeveralWon(count) => format!("{count} of {RACERS} writers were told that they had created one object"),
        Raced::Replaced => "an object was replaced after its writer was told that it had created it".to_owned(),
    };
    format!("{shown}, so writers would lose each other's versions")
}
