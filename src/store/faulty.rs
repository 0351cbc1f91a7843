//! Planned faults, for tests: a run is repeated with a fault at its first call, its second, and so on to its last.
//!
//! ```
//! use dagset::store::faulty::{Fault, Faulty, Plan};
//! # fn run(_: &dagset::store::Bucket) -> dagset::base::Result<()> { Ok(()) }
//! let healthy = Faulty::new(dagset::store::backend::memory());
//! run(&healthy.bucket()).expect("no fault is planned");
//! for call in 1..=healthy.calls() {
//!     let faulty = Faulty::new(dagset::store::backend::memory());
//!     faulty.plan(Plan::at(call, Fault::After).and_power_loss());
//!     run(&faulty.bucket()).ok();
//!     faulty.revive();
//!     run(&faulty.bucket()).expect("a second run converges");
//! }
//! ```

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::objects::{Below, Bucket, Created, Listing, Objects, VERBS, Verb};
use crate::base::{Error, Kind, Result};

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and did nothing.
    Before,
    /// It is done, and its answer is lost.
    After,
    /// A create did nothing, and says that the object was there before. Other calls are spared.
    Taken,
    /// Half is missing, without an error: of the bytes read or written, of a listing. A range read is the
    /// damaged-object error that a backend makes of it. Size and delete are spared.
    Short,
    /// One byte read or written is inverted: the one at this offset, counted round and round. Other calls are spared.
    Flip { offset: u64 },
}

/// Which call goes wrong, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    call: u64,
    verb: Option<Verb>,
    fault: Fault,
    power_loss: bool,
    lasts: bool,
}

impl Plan {
    /// The `call`th call of all goes wrong; the first is 1.
    pub fn at(call: u64, fault: Fault) -> Plan {
        Plan { call, verb: None, fault, power_loss: false, lasts: false }
    }

    /// Counts only the calls of one verb.
    pub fn of(self, verb: Verb) -> Plan {
        Plan { verb: Some(verb), ..self }
    }

    /// Every call after it fails, until [`Faulty::revive`].
    pub fn and_power_loss(self) -> Plan {
        Plan { power_loss: true, ..self }
    }

    /// Those behind it go wrong likewise.
    pub fn and_ever_after(self) -> Plan {
        Plan { lasts: true, ..self }
    }

    fn is_due(&self, call: u64) -> bool {
        call == self.call || self.lasts && call > self.call
    }
}

#[derive(Default)]
struct State {
    calls: u64,
    by_verb: [u64; VERBS],
    plan: Option<Plan>,
    dead: bool,
    fired: bool,
}

/// A decorator that counts calls and makes the planned one go wrong. Clones share count and plan.
#[derive(Clone)]
pub struct Faulty {
    inner: Bucket,
    state: Arc<Mutex<State>>,
}

impl Faulty {
    /// No fault until [`Faulty::plan`].
    pub fn new(inner: Bucket) -> Faulty {
        Faulty { inner, state: Arc::default() }
    }

    /// Another store under the same count and plan.
    pub fn beside(&self, inner: Bucket) -> Faulty {
        Faulty { inner, state: self.state.clone() }
    }

    /// A handle on the decorated store; this value goes on steering it.
    pub fn bucket(&self) -> Bucket {
        Bucket::new(self.clone())
    }

    /// Sets what goes wrong. Calls made before count.
    pub fn plan(&self, plan: Plan) {
        self.with(|state| state.plan = Some(plan));
    }

    /// Ends plan and power loss.
    pub fn revive(&self) {
        self.with(|state| (state.plan, state.dead) = (None, false));
    }

    /// Calls so far, failed ones too.
    pub fn calls(&self) -> u64 {
        self.with(|state| state.calls)
    }

    /// Calls of one verb so far.
    pub fn calls_of(&self, verb: Verb) -> u64 {
        self.with(|state| state.by_verb[verb as usize])
    }

    /// Whether the planned call came.
    pub fn fired(&self) -> bool {
        self.with(|state| state.fired)
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a call: what is to go wrong with it.
    fn count(&self, verb: Verb) -> Result<Option<Fault>> {
        self.with(|state| {
            state.calls += 1;
            state.by_verb[verb as usize] += 1;
            if state.dead {
                return Err(lost("the store lost power"));
            }
            let due = state.plan.filter(|plan| match plan.verb {
                None => plan.is_due(state.calls),
                Some(only) => only == verb && plan.is_due(state.by_verb[verb as usize]),
            });
            let Some(plan) = due else { return Ok(None) };
            state.fired = true;
            state.dead = plan.power_loss;
            match plan.fault {
                Fault::Before => Err(lost("the request was lost")),
                fault => Ok(Some(fault)),
            }
        })
    }

    /// Counts a call and does it; its answer is lost where the plan says so.
    fn run<T>(&self, verb: Verb, act: impl FnOnce(Option<Fault>) -> Result<T>) -> Result<T> {
        let fault = self.count(verb)?;
        let answer = act(fault);
        match fault {
            Some(Fault::After) => Err(lost("the answer was lost")),
            _ => answer,
        }
    }
}

fn lost(what: &str) -> Error {
    Error::new(Kind::Unreachable, format!("{what} (a planned fault)"))
}

fn spoil(fault: Option<Fault>, bytes: Bytes) -> Bytes {
    match fault {
        Some(Fault::Short) => bytes.slice(..bytes.len() / 2),
        Some(Fault::Flip { offset }) if !bytes.is_empty() => {
            let mut spoilt = bytes.to_vec();
            let at = offset % bytes.len() as u64;
            spoilt[at as usize] ^= 0xff;
            spoilt.into()
        }
        _ => bytes,
    }
}

impl Objects for Faulty {
    fn create(&self, name: &str, bytes: Bytes) -> Result<Created> {
        self.run(Verb::Create, |fault| match fault {
            Some(Fault::Taken) => Ok(Created::Exists),
            fault => self.inner.create(name, spoil(fault, bytes)),
        })
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        self.run(Verb::Get, |fault| Ok(spoil(fault, self.inner.get(name)?)))
    }

    fn get_once(&self, name: &str) -> Result<Bytes> {
        self.run(Verb::Get, |fault| Ok(spoil(fault, self.inner.get_once(name)?)))
    }

    fn get_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Bytes> {
        self.run(Verb::GetRange, |fault| {
            let read = self.inner.get_range(name, offset, bytes)?;
            match fault {
                Some(Fault::Short) if bytes > 0 => {
                    Err(Error::damaged(format!("the object {name} ends too early (a planned fault)")))
                }
                fault => Ok(spoil(fault, read)),
            }
        })
    }

    fn get_tail(&self, name: &str, bytes: u64) -> Result<(Bytes, u64)> {
        self.run(Verb::GetTail, |fault| {
            let (read, length) = self.inner.get_tail(name, bytes)?;
            Ok((spoil(fault, read), length))
        })
    }

    fn list(&self, folder: &str) -> Result<Listing> {
        self.run(Verb::List, |fault| {
            let mut listing = self.inner.list(folder)?;
            if fault == Some(Fault::Short) {
                listing.folders.truncate(listing.folders.len() / 2);
                listing.objects.truncate(listing.objects.len() / 2);
            }
            Ok(listing)
        })
    }

    fn list_below(&self, folder: &str, after: Option<&str>) -> Result<Below> {
        self.run(Verb::List, |fault| {
            let mut below = self.inner.list_below(folder, after)?;
            if fault == Some(Fault::Short) {
                below.names.truncate(below.names.len() / 2);
            }
            Ok(below)
        })
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.run(Verb::Size, |_| self.inner.size(name))
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.run(Verb::Delete, |_| self.inner.delete(name))
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn is_far(&self) -> bool {
        self.inner.is_far()
    }

    fn counts_requests(&self) -> bool {
        self.inner.counts_requests()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::backend::memory;

    fn steps(bucket: &Bucket) -> Result<()> {
        bucket.create("a", Bytes::from_static(b"abcd"))?;
        bucket.get("a")?;
        bucket.create("b", Bytes::from_static(b"b"))?;
        bucket.list("")?;
        Ok(())
    }

    #[test]
    fn each_call_can_fail_before_and_after_it_lands() {
        let healthy = Faulty::new(memory());
        steps(&healthy.bucket()).unwrap();
        assert_eq!((healthy.calls(), healthy.calls_of(Verb::Create), healthy.fired()), (4, 2, false));
        for call in 1..=healthy.calls() {
            for (fault, landed) in [(Fault::Before, false), (Fault::After, true)] {
                let inner = memory();
                let faulty = Faulty::new(inner.clone());
                faulty.plan(Plan::at(call, fault));
                assert_eq!(steps(&faulty.bucket()).unwrap_err().kind(), Kind::Unreachable);
                assert!(faulty.fired() && faulty.calls() == call);
                let written = inner.list("").unwrap().objects.len() as u64;
                let expected = [0, 1, 1, 2, 2][call as usize - usize::from(!landed)];
                assert_eq!(written, expected, "call {call} {fault:?}");
                assert!(steps(&faulty.bucket()).is_ok(), "only one call fails");
            }
        }
    }

    #[test]
    fn after_power_loss_all_fails_until_revived() {
        let faulty = Faulty::new(memory());
        let other = faulty.beside(memory());
        faulty.plan(Plan::at(2, Fault::After).of(Verb::Create).and_power_loss());
        let bucket = faulty.bucket();
        steps(&bucket).unwrap_err();
        bucket.list("").unwrap_err();
        other.bucket().list("").unwrap_err();
        faulty.revive();
        assert_eq!(bucket.list("").unwrap().objects.len(), 2, "the last write had landed");
        assert_eq!(other.calls(), 6);
    }

    #[test]
    fn bytes_are_spoilt_as_planned() {
        let once = |fault, act: &dyn Fn(&Bucket)| {
            let faulty = Faulty::new(memory());
            faulty.bucket().create("a", Bytes::from_static(b"abcd")).unwrap();
            faulty.plan(Plan::at(2, fault));
            act(&faulty.bucket());
        };
        once(Fault::Short, &|b| assert_eq!(b.get("a").unwrap(), "ab"));
        once(Fault::Short, &|b| assert_eq!(b.get_range("a", 0, 4).unwrap_err().kind(), Kind::Damaged));
        once(Fault::Short, &|b| assert_eq!(b.get_tail("a", 2).unwrap(), (Bytes::from_static(b"c"), 4)));
        once(Fault::Flip { offset: 5 }, &|b| assert_eq!(b.get("a").unwrap()[..], [b'a', !b'b', b'c', b'd']));
        once(Fault::Flip { offset: 0 }, &|b| {
            b.create("x", Bytes::from_static(b"x")).unwrap();
            assert_eq!(b.get("x").unwrap()[..], [!b'x']);
        });
    }
}
