//! What must stay: all that pins, leases and views keep.

use std::collections::HashSet;
use std::fs;

use crate::base::Result;

use super::holds::names_in;
use super::views::{Described, key_of_tree};
use super::{Cache, Held, Holds, Key, list_entry};

/// An unnamed list stays for so many seconds: it may be about to be named.
const UNNAMED_SECS: u64 = 3600;

/// What must stay.
#[derive(Default)]
pub(super) struct Kept {
    /// Contents that somebody holds, sorted.
    held: Vec<u128>,
    /// Contents of views that nobody holds, sorted: they stay as long as the view.
    shown: Vec<u128>,
    /// Of these, what only this user's views show: others are put aside, and keep the blocks of what they link to.
    shown_by_own: Vec<u128>,
    views: HeldViews,
    /// Somebody holds what can't be known.
    all: bool,
}

/// Views that somebody holds.
#[derive(Default)]
pub(super) struct HeldViews {
    trees: HashSet<String>,
    all: bool,
}

impl HeldViews {
    fn of(holds: &Holds) -> HeldViews {
        let tree = |held: &Held| match held {
            Held::View(tree) => Some(tree.clone()),
            Held::List(_) => None,
        };
        let trees = holds.named.iter().filter_map(|named| tree(&named.hold.held)).collect();
        HeldViews { trees, all: !holds.unread.is_empty() }
    }

    /// Whether somebody reads through the view, whichever of its trees he was given.
    pub(super) fn has(&self, key: &str) -> bool {
        self.all || self.trees.iter().any(|tree| key_of_tree(tree) == Some(key))
    }

    pub(super) fn has_tree(&self, tree: &str) -> bool {
        self.all || self.trees.contains(tree)
    }
}

impl Kept {
    pub(super) fn has(&self, key: Key) -> bool {
        self.is_held(key) || self.is_shown(key)
    }

    pub(super) fn is_held(&self, key: Key) -> bool {
        self.all || self.held.binary_search(&list_entry(key)).is_ok()
    }

    /// With these contents, as if somebody held them.
    pub(super) fn and_held(mut self, contents: &[u128]) -> Kept {
        self.held.extend(contents);
        self.held.sort_unstable();
        self
    }

    pub(super) fn has_view(&self, key: &str) -> bool {
        self.all || self.views.has(key)
    }

    pub(super) fn is_shown(&self, key: Key) -> bool {
        self.shown.binary_search(&list_entry(key)).is_ok()
    }

    pub(super) fn is_shown_by_own(&self, key: Key) -> bool {
        self.shown_by_own.binary_search(&list_entry(key)).is_ok()
    }
}

impl Cache {
    /// The views that somebody holds.
    pub(super) fn held_views(&self) -> Result<HeldViews> {
        Ok(HeldViews::of(&self.holds()?))
    }

    /// What pins, leases and views keep. A list that can't be read may be of anything: as long as it is held, everything is.
    pub(super) fn kept(&self) -> Result<Kept> {
        let holds = self.holds()?;
        let views = HeldViews::of(&holds);
        let mut kept = Kept { all: !holds.unread.is_empty(), ..Kept::default() };
        let mut lists = HashSet::new();
        for named in &holds.named {
            let Held::List(list) = &named.hold.held else { continue };
            match self.read_list(list) {
                Ok(contents) if lists.insert(list.clone()) => kept.held.extend(contents),
                Ok(_) => {}
                Err(fault) => {
                    let release = format!("`dagset cache unpin {}` releases it", named.name);
                    self.warn_once(format!("everything in this cache stays: {}: {release}", fault.in_one_line()));
                    kept.all = true;
                }
            }
        }
        let mut by_others = Vec::new();
        for Described { key, card, is_stale } in self.cards()? {
            let is_held = views.has(&key);
            let contents = match self.read_list(&card.list) {
                Ok(contents) => contents,
                Err(fault) => {
                    self.warn_once(fault.in_one_line());
                    match is_held {
                        true => kept.all = true,
                        // Nobody can tell what it is worth.
                        false if self.is_writable => self.retire_view(&key)?,
                        false => {}
                    }
                    continue;
                }
            };
            lists.insert(card.list.clone());
            if !self.may_take_down(&card.tree) {
                by_others.extend(contents.iter().copied());
            }
            match (is_held, is_stale) {
                (true, _) => kept.held.extend(contents),
                (false, false) => kept.shown.extend(contents),
                (false, true) => {}
            }
        }
        for contents in [&mut kept.held, &mut kept.shown, &mut by_others] {
            contents.sort_unstable();
            contents.dedup();
        }
        kept.shown_by_own =
            kept.shown.iter().copied().filter(|shown| by_others.binary_search(shown).is_err()).collect();
        kept.views = views;
        self.remove_lists_but(&lists)?;
        Ok(kept)
    }

    /// Removes lists that nothing names any more.
    fn remove_lists_but(&self, named: &HashSet<String>) -> Result<()> {
        for name in names_in(&self.folder.join("lists"))?.into_iter().filter(|name| !named.contains(name)) {
            let path = self.folder.join("lists").join(name);
            let age = fs::metadata(&path).and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
            if self.is_writable && age.is_some_and(|age| age.as_secs() > UNNAMED_SECS) {
                fs::remove_file(path).ok();
            }
        }
        Ok(())
    }
}
