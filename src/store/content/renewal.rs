//! A reader of an old fold: what it knows of may have been collected since. It looks at the log once more before it calls that damage.

use crate::base::once::Once;
use crate::base::{Error, Id, Kind, Result};
use crate::format::index::Index;
use crate::format::pack::ItemKind;
use crate::format::place::Place;

use super::{Content, Item};

pub(super) struct Renewal {
    open: Box<dyn Fn() -> Result<Content> + Send + Sync>,
    newer: Once<Box<Content>>,
}

impl Content {
    /// Has what can't be found looked for in what `open` gives, where that is of a newer record.
    pub fn renew_by(&mut self, open: impl Fn() -> Result<Content> + Send + Sync + 'static) {
        self.renewal = Some(Renewal { open: Box::new(open), newer: Once::new() });
    }

    pub(super) fn newer(&self) -> Option<&Content> {
        let renewal = self.renewal.as_ref()?;
        let newer = renewal.newer.get_or_make(|| (renewal.open)().map(Box::new)).ok()?;
        (newer.record > self.record).then_some(newer)
    }

    pub(super) fn item(&self, id: &Id, kind: ItemKind, hint: Option<&Place>) -> Result<Item> {
        match self.item_as_known(id, kind, hint) {
            Err(fault) if fault.kind() == Kind::Damaged => match self.newer() {
                Some(newer) => newer.item(id, kind, None).map_err(|_| collected(fault)),
                None => Err(fault),
            },
            outcome => outcome,
        }
    }

    /// The indexes of a newer record, where one of those that are known is gone.
    pub(super) fn or_newer_indexes(&self, loaded: Result<Vec<Index>>) -> Result<Vec<Index>> {
        match loaded {
            Err(fault) if fault.kind() == Kind::Damaged => match self.newer() {
                Some(newer) => newer.indexes().map(<[Index]>::to_vec).map_err(|_| collected(fault)),
                None => Err(fault),
            },
            outcome => outcome,
        }
    }
}

fn collected(fault: Error) -> Error {
    Error::not_found("the store was collected meanwhile, and what was asked for is gone")
        .because(fault)
        .hint("`dagset log` shows the versions that are there")
}
