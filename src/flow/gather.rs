//! Which leaves of a manifest are written once more, so that what a listing reads lies together.
//!
//! A version writes the leaves that differ from its parent's, into packs of its own. After a thousand versions the leaves of one folder
//! would lie in as many packs, each a request for a machine that knows nothing. So who writes an inner node, since something below it
//! changed, takes the leaves along that lie in its smallest packs until few packs are left: as a tree of sorted runs is kept in few runs
//! (O'Neil and others, "The log-structured merge-tree", 1996).

use std::collections::BTreeMap;

use crate::base::{Id, ObjectName, Result};
use crate::format::header::ObjectKind;
use crate::format::node::{Node, TreeKind};
use crate::format::pack::ItemKind;
use crate::format::place::Place;
use crate::store::content::{Content, Item};

use super::meta_packer::MetaPacker;
use super::places::{NODE_RANK, Places};

/// Packs that the leaves below one inner node lie in, the new one among them.
const MOST_PACKS: usize = 3;
/// Once some are taken along, so are those of the next pack if they are at most so many times as many: else the same few would be
/// taken along by version after version.
const GROWTH: usize = 2;
/// Leaves that are read together: some MiB.
const READ_AT_ONCE: usize = 128;

/// Writes those leaves below `parent`, an inner node of level 1 that is about to be written, once more that lie apart from the others.
///
/// They are read from `source`, which need not be the store that is written to; `hint` makes what is written behind each. One that can't be read
/// stays where it is.
pub fn gather(
    meta: &mut MetaPacker<'_>,
    places: &Places<'_>,
    parent: &[u8],
    source: &Content,
    hint: impl Fn(&MetaPacker<'_>, &Item) -> Result<Vec<u8>>,
) -> Result<()> {
    let parent = Node::parse(TreeKind::Manifest, parent)?;
    let children: Vec<Id> = parent.children().iter().map(|child| child.id).collect();
    let pack = |id: &Id| Ok(places.stored_node(meta, id)?.map(|place| place.frame.pack));
    let packs = children.iter().map(pack).collect::<Result<Vec<_>>>()?;
    for some in scattered(&packs).chunks(READ_AT_ONCE) {
        let place = |child: &usize| Ok((children[*child], source.find_meta(&children[*child], ItemKind::Node)?));
        let leaves = some.iter().map(place).collect::<Result<Vec<(Id, Option<Place>)>>>()?;
        let frames: Vec<_> = leaves.iter().filter_map(|(_, place)| Some((*place)?.frame)).collect();
        source.prefetch(ObjectKind::MetaPack, &frames);
        for (id, place) in &leaves {
            let Ok(leaf) = source.meta(id, ItemKind::Node, place.as_ref()) else { continue };
            meta.add(NODE_RANK, ItemKind::Node, *id, leaf.bytes(), |meta| hint(meta, &leaf))?;
        }
    }
    Ok(())
}

/// The children that are written once more, by number; `packs` says where each lies, `None` for one that is written anyway.
///
/// Of 64 children of which each version changes one, five are taken along by a version on average.
fn scattered(packs: &[Option<ObjectName>]) -> Vec<usize> {
    let mut runs: BTreeMap<ObjectName, Vec<usize>> = BTreeMap::new();
    for (child, pack) in packs.iter().enumerate() {
        if let Some(pack) = pack {
            runs.entry(*pack).or_default().push(child);
        }
    }
    let mut left = runs.len();
    let mut runs: Vec<Vec<usize>> = runs.into_values().collect();
    runs.sort_by_key(Vec::len);
    let new = packs.iter().filter(|pack| pack.is_none()).count();
    let mut taken = Vec::new();
    for run in runs {
        if left < MOST_PACKS && (taken.is_empty() || run.len() > GROWTH * (new + taken.len())) {
            break;
        }
        left -= 1;
        taken.extend(run);
    }
    taken.sort_unstable();
    taken
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn pack(born: u64) -> ObjectName {
        ObjectName { born, random: [0; 16] }
    }

    proptest! {
        #[test]
        fn leaves_lie_in_few_packs_however_many_versions_changed_them(
            changes in prop::collection::vec(prop::collection::btree_set(0..64usize, 1..4), 1..300),
        ) {
            let mut packs = vec![pack(0); 64];
            let (mut changed, mut rewritten) = (0, 0);
            for (number, change) in changes.iter().enumerate() {
                let new = pack(number as u64 + 1);
                let before: Vec<_> = packs.iter().enumerate().map(|(at, pack)| (!change.contains(&at)).then_some(*pack)).collect();
                let along = scattered(&before);
                prop_assert!(along.iter().all(|child| before[*child].is_some()));
                changed += change.len();
                rewritten += along.len();
                change.iter().chain(&along).for_each(|child| packs[*child] = new);
                prop_assert!(packs.iter().collect::<BTreeSet<_>>().len() <= MOST_PACKS);
            }
            // A pack may be taken along whole once, at the beginning of such a history.
            prop_assert!(rewritten <= 64 + 8 * changed, "{rewritten} for {changed}");
        }
    }

    #[test]
    fn what_lies_in_few_packs_stays() {
        let of =
            |packs: &[u64]| scattered(&packs.iter().map(|born| (*born > 0).then(|| pack(*born))).collect::<Vec<_>>());
        assert_eq!(of(&[]), [0; 0]);
        assert_eq!(of(&[0, 0, 0]), [0; 0], "all are new");
        assert_eq!(of(&[1, 2, 0, 2, 1]), [0; 0], "three packs");
        let large = |rest: &[u64]| of(&[&[1; 12], rest].concat());
        assert_eq!(large(&[2, 2, 3, 0]), [12, 13, 14], "two packs are of a size with what comes");
        assert_eq!(large(&[2, 2, 2, 2, 2, 3, 0]), [17], "the next is large beside it");
    }
}
