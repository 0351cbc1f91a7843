//! A model of collection: every interleaving of two writers and two collectors, by the real fold and its operations; of one writer and
//! two collectors that write packs anew; and of one writer, a collector and one who purges.
//!
//! A process takes one step at a time, and any process may take the next one. Who takes no step any more was killed, who takes none for long
//! sleeps, so that kills and sleep at every point are in the search without being written down. The grace is none: what grace adds is time.
//! What is looked for is a version that the fold shows and that can't be read, and purged content that is named, or can be, by a record to come.
//! In each scene each rule that matters there is left out once, and then something of that is found.

mod collector;
mod purger;
mod world;
mod writer;

use std::collections::HashSet;

use world::{BASED, KEPT, Scene, WANTED, World, Wrong};

/// A rule that the processes of a model break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    None,
    /// Writers go on however old their session is.
    Void,
    /// A collector condemns by what it saw a while ago.
    Mark,
    /// Writers don't say what they use of others.
    Rely,
    /// Writers don't say from which version they take content over.
    Inherit,
    /// Packs that were written anew aren't registered by the record that condemns the old ones.
    Register,
    /// Packs are written anew while versions that are dead aren't condemned.
    Settle,
    /// A purge goes by what was there a while ago.
    Plan,
    /// A purge takes packs that it stored before a collection.
    Reuse,
    /// A purge leaves what is compressed against the content.
    Bases,
    /// Writers store what was purged before they began.
    Refuse,
}

/// A version that no ref points at, and nothing else.
const UNNAMED: Scene = Scene {
    broken: Broken::None,
    data: &[WANTED],
    has_head: false,
    head_needs: 0,
    keeps: false,
    takes_over: false,
    purges: false,
    writes: [true, true],
    runs: [2, 1],
};
/// Another one behind it, a branch's, that needs nothing of it; and rules that keep heads alone.
const KEEPING: Scene = Scene { has_head: true, keeps: true, takes_over: true, ..UNNAMED };
/// Beside it one that is a branch's; what both need lies in one pack. The first writer alone.
const SPARSE: Scene = Scene {
    data: &[WANTED | KEPT],
    has_head: true,
    head_needs: KEPT,
    takes_over: true,
    writes: [true, false],
    ..UNNAMED
};
/// The content of the one that no ref points at is purged, beside a collector.
const PURGING: Scene = Scene { purges: true, ..SPARSE };
/// The same, where what the other needs is compressed against it.
const PURGING_BASE: Scene = Scene { data: &[WANTED, BASED], ..PURGING };

/// A scene with the second writer, and not the first.
fn inherited(scene: Scene) -> Scene {
    Scene { writes: [false, true], ..scene }
}

/// What a search came to.
struct Found {
    states: usize,
    wrong: Option<Wrong>,
    /// Whether in some state everyone is through, and nothing is stored that isn't needed.
    is_clean: bool,
}

/// Looks at every state that can be reached, or at all up to the first in which something is wrong.
fn search(scene: Scene) -> Found {
    // Half of a hash is enough, and there are many.
    let mut seen: HashSet<[u8; 16]> = HashSet::new();
    let mut open = vec![World::begin(scene)];
    let mut is_clean = false;
    while let Some(world) = open.pop() {
        let wrong = world.wrong();
        if wrong.is_some() {
            return Found { states: seen.len(), wrong, is_clean };
        }
        let mut steps = 0;
        for who in 0..2 {
            let (mut written, mut cleared) = (world.clone(), world.clone());
            for next in [written.write(who).then_some(written), cleared.collect(who).then_some(cleared)] {
                let Some(next) = next else { continue };
                steps += 1;
                if seen.insert(next.key()) {
                    open.push(next);
                }
            }
        }
        is_clean |= steps == 0 && world.is_clean();
    }
    Found { states: seen.len(), wrong: None, is_clean }
}

fn assert_safe(scene: Scene) {
    let found = search(scene);
    assert_eq!(found.wrong, None);
    assert!(found.is_clean, "in the end only what is needed is stored");
    assert!(found.states > 1_000, "only {} states", found.states);
}

/// Leaves each of the rules out; gives what went wrong then.
fn assert_needed(scene: Scene, rules: &[Broken]) -> Vec<Wrong> {
    let wrong = rules.iter().map(|broken| {
        search(Scene { broken: *broken, ..scene })
            .wrong
            .unwrap_or_else(|| panic!("nothing goes wrong without {broken:?}"))
    });
    wrong.collect()
}

#[test]
fn no_version_is_ever_lost() {
    assert_safe(UNNAMED);
}

#[test]
fn without_any_of_the_rules_one_is() {
    let _ = assert_needed(UNNAMED, &[Broken::Void, Broken::Mark, Broken::Rely]);
}

#[test]
fn nothing_that_is_kept_needs_content_that_was_let_go() {
    assert_safe(KEEPING);
}

#[test]
fn without_any_of_the_rules_something_does() {
    let _ = assert_needed(KEEPING, &[Broken::Void, Broken::Mark, Broken::Inherit]);
}

#[test]
fn what_lies_in_a_pack_that_is_written_anew_is_still_found() {
    assert_safe(SPARSE);
    assert_safe(inherited(SPARSE));
}

#[test]
fn without_any_of_the_rules_it_is_not() {
    let _ = assert_needed(SPARSE, &[Broken::Void, Broken::Mark, Broken::Rely, Broken::Register]);
    let _ = assert_needed(inherited(SPARSE), &[Broken::Settle]);
}

#[test]
fn what_is_purged_stays_out_and_nothing_else_is_lost() {
    for scene in [PURGING, PURGING_BASE] {
        assert_safe(scene);
        assert_safe(inherited(scene));
    }
}

#[test]
fn without_any_of_the_rules_it_comes_back_or_something_is() {
    let came_back = |it: &Wrong| matches!(it, Wrong::CameBack(_));
    assert!(assert_needed(PURGING, &[Broken::Plan, Broken::Refuse]).iter().all(came_back));
    let _ = assert_needed(PURGING, &[Broken::Void, Broken::Reuse]);
    let lost = assert_needed(PURGING_BASE, &[Broken::Bases]);
    assert!(!lost.iter().any(came_back));
}
