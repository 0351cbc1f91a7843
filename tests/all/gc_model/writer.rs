//! A writer of the model: it begins, stores, perhaps registers, publishes. The first one takes its version back in the end.

use dagset::base::{Id, ObjectName};
use dagset::format::operation::{Operation, Things};
use dagset::history::fold::Fold;

use super::Broken;
use super::world::{INDEX, META, WANTED, World, add, holds, index_row, name, old, set_branch, version_row};

/// How often a writer begins.
const SESSIONS: u8 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Writer {
    Begins,
    /// Has read the log, and chosen what it uses of others.
    Opened(Session),
    Stored(Session),
    Registered(Session),
    Published(Id),
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Session {
    born: u64,
    /// The pack whose copy of the chunk is used; `None`: it stores its own.
    used: Option<ObjectName>,
    parent: Option<Id>,
}

impl World {
    /// The next step of a writer; false if it has none.
    pub fn write(&mut self, who: u8) -> bool {
        let (writer, session) = self.writers[usize::from(who)].clone();
        let own = |born: u64, what: u8| name(born, who, session, what);
        let mut again = false;
        let next = match writer {
            Writer::Begins => self.open(who),
            Writer::Opened(it) => {
                self.packs.insert(own(it.born, META));
                let stores = it.used.is_none() && !self.takes_over(&it);
                let data = stores.then(|| own(it.born, WANTED));
                self.packs.extend(data);
                let packs = data.into_iter().chain([own(it.born, META)]).collect();
                self.indexes.insert(own(it.born, INDEX), packs);
                Writer::Stored(it)
            }
            // One of the two registers what it stored in a record of its own, as long work does.
            Writer::Stored(it) if who == 0 => {
                let register = Operation::Register { indexes: vec![index_row(own(it.born, INDEX))] };
                again = !self.append_as_writer(|_| vec![register.clone()]);
                Writer::Registered(it)
            }
            Writer::Stored(it) | Writer::Registered(it) => {
                let version = Id::of(&[who, session]);
                let mut packs: Vec<ObjectName> = it.used.into_iter().collect();
                let mut operations = Vec::new();
                match who {
                    0 => packs.extend(
                        [own(it.born, META)].into_iter().chain(it.used.is_none().then(|| own(it.born, WANTED))),
                    ),
                    _ => operations.push(Operation::Register { indexes: vec![index_row(own(it.born, INDEX))] }),
                }
                if self.scene.broken == Broken::Rely {
                    packs.clear();
                }
                let parents = it.parent.into_iter().filter(|_| self.scene.broken != Broken::Inherit);
                operations.push(Operation::Rely(Things { versions: parents.collect(), packs }));
                operations.push(add(version_row(version, own(it.born, META), it.parent)));
                operations.push(set_branch(who, None, Some(version)));
                again = !self.append_as_writer(|fold| fold.settle(operations.clone()));
                Writer::Published(version)
            }
            Writer::Published(version) if who == 0 => {
                assert!(self.append(vec![set_branch(who, Some(version), None)]));
                Writer::Done
            }
            Writer::Published(_) | Writer::Done => return false,
        };
        self.writers[usize::from(who)] = match again {
            false => (next, session),
            true if session + 1 < SESSIONS => (Writer::Begins, session + 1),
            true => (Writer::Done, session),
        };
        true
    }

    fn open(&self, who: u8) -> Writer {
        let inherits = who == 1 && self.fold.version(&old()).is_some() && self.fold.refuse_let_go(&old()).is_ok();
        let opened = Session { born: self.fold.number, used: None, parent: inherits.then(old) };
        if self.takes_over(&opened) {
            // As a version's, and then nothing is said of packs.
            return Writer::Opened(opened);
        }
        if self.is_purged() && self.scene.broken != Broken::Refuse {
            return Writer::Done;
        }
        let is_usable = |pack: &&ObjectName| holds(pack) & WANTED != 0 && !self.fold.condemned.packs.contains_key(pack);
        Writer::Opened(Session { used: self.registered().iter().find(is_usable).copied(), ..opened })
    }

    fn takes_over(&self, session: &Session) -> bool {
        self.scene.takes_over && session.parent.is_some()
    }

    fn append_as_writer(&mut self, operations: impl Fn(&Fold) -> Vec<Operation>) -> bool {
        let void_before = self.fold.void_before;
        if self.scene.broken == Broken::Void {
            self.fold.void_before = 0;
        }
        let holds = self.append(operations(&self.fold));
        self.fold.void_before = void_before;
        holds
    }
}
