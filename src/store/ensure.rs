//! Objects under names that nobody else gives: packs, indexes, states, whose names are random.
//!
//! Where such a name is said to be taken, the first try landed and its answer was lost, or something between here and the store says what isn't
//! true. So the object is looked at: a record that named what isn't there would lose data.

use bytes::Bytes;

use crate::base::{Error, Kind, Result};

use super::objects::{Bucket, Created, Watch};

/// How often an object is sent that is said to be there and isn't.
const TRIES: u32 = 4;
/// As much of an object's end is compared: packs and indexes end with a hash of what says where all is.
const COMPARED_BYTES: u64 = 4 << 10;

/// What stands under a name.
enum Found {
    Nothing,
    Ours,
    Other,
}

impl Bucket {
    /// Makes sure that the object is there, with these bytes: durable when this returns. One request, and one more where the store says that it is
    /// there already. What is sent is told to `watch`, as by [`create_watched`](super::objects::Objects::create_watched).
    ///
    /// Errors: those of [`create`](super::objects::Objects::create); [`Kind::Unreachable`] where it still isn't there, [`Kind::Failed`] where
    /// something else stands under its name.
    pub fn ensure(&self, name: &str, bytes: Bytes, watch: Option<&Watch>) -> Result<()> {
        for _ in 0..TRIES {
            let created = match watch {
                Some(watch) => self.create_watched(name, bytes.clone(), watch)?,
                None => self.create(name, bytes.clone())?,
            };
            if created == Created::New {
                return Ok(());
            }
            match self.look_at(name, &bytes)? {
                Found::Nothing => {}
                Found::Ours => return Ok(()),
                Found::Other => {
                    let message = format!("the store {} holds other bytes as {name}", self.describe());
                    return Err(Error::new(Kind::Failed, message)
                        .hint("run the command again: it gives another name; if that doesn't help, `dagset store check` tries the place"));
                }
            }
        }
        let message = format!(
            "the store {} said {TRIES} times that {name} is there already, and has no such object",
            self.describe()
        );
        Err(Error::new(Kind::Unreachable, message).hint(format!(
            "something between here and the store answers in its place; `dagset store check {}` tries what it says",
            self.describe()
        )))
    }

    fn look_at(&self, name: &str, bytes: &Bytes) -> Result<Found> {
        let most = COMPARED_BYTES.min(bytes.len() as u64);
        match self.get_tail(name, most) {
            Ok((end, length)) if length == bytes.len() as u64 && bytes.ends_with(&end) => Ok(Found::Ours),
            Ok(_) => Ok(Found::Other),
            Err(fault) if fault.kind() == Kind::NotFound => Ok(Found::Nothing),
            Err(fault) => Err(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Observer;
    use crate::store::backend::memory;
    use crate::store::faulty::{Fault, Faulty, Plan};
    use crate::store::objects::Verb;
    use crate::store::recording::Recording;

    const NAME: &str = "packs/a";

    fn object() -> Bytes {
        vec![7; 10_000].into()
    }

    #[test]
    fn one_request_is_enough_where_nothing_is_in_doubt() {
        let recording = Recording::keeping_calls(memory(), Observer::new());
        recording.bucket().ensure(NAME, object(), None).unwrap();
        let verbs: Vec<Verb> = recording.take_calls().iter().map(|call| call.verb).collect();
        assert_eq!(verbs, [Verb::Create]);
    }

    #[test]
    fn what_is_said_to_be_there_is_looked_at() {
        let store = memory();
        let faulty = Faulty::new(store.clone());
        faulty.plan(Plan::at(1, Fault::Taken));
        faulty.bucket().ensure(NAME, object(), None).unwrap();
        assert_eq!(store.get(NAME).unwrap(), object());
        assert_eq!((faulty.calls_of(Verb::Create), faulty.calls_of(Verb::GetTail)), (2, 1));

        faulty.bucket().ensure(NAME, object(), None).unwrap();
        assert_eq!((faulty.calls_of(Verb::Create), faulty.calls_of(Verb::GetTail)), (3, 2), "it is ours");
        for other in [vec![7; 9_999], vec![7; 10_001], vec![8; 10_000]] {
            let fault = store.ensure(NAME, other.into(), None).unwrap_err();
            assert_eq!(fault.kind(), Kind::Failed, "{fault}");
        }
        assert_eq!(store.get(NAME).unwrap(), object());
    }

    #[test]
    fn who_says_so_without_end_is_named() {
        let faulty = Faulty::new(memory());
        faulty.plan(Plan::at(1, Fault::Taken).of(Verb::Create).and_ever_after());
        let fault = faulty.bucket().ensure(NAME, object(), None).unwrap_err();
        assert_eq!(fault.kind(), Kind::Unreachable);
        assert_eq!(faulty.calls_of(Verb::Create), u64::from(TRIES));
    }
}
