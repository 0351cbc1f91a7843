//! Finding the store in `STORE/DATASET`: it is the prefix that holds `dagset.json`.
//!
//! The prefixes are tried from the whole text down to its first component: in a folder a missing prefix costs one
//! system call, in a bucket one request. Where a dataset is meant, the whole text can't be the store but by mistake and is tried last:
//! a dataset of three parts takes three requests, one of one part one. Only prefixes of the text are tried (`./a` looks in `./a` and `.`,
//! never above). Since a store under a store is refused where stores are made, the first hit is the only one, in whatever order.

use bytes::Bytes;

use super::address::{authority_end, divide, scheme_end};
use super::fault::is_denied;
use super::objects::Bucket;
use crate::base::{Error, Kind, Result};
use crate::format::store_file::StoreFile;

/// The object that makes a folder or a prefix a store.
pub const STORE_FILE: &str = "dagset.json";

/// The most bytes that it may have.
pub const STORE_FILE_MAX_BYTES: u64 = 64 * 1024;

/// A store that was found.
#[derive(Debug, Clone)]
pub struct Located {
    pub bucket: Bucket,
    /// Its path or URL: the part of the text that names it.
    pub store_root: String,
    /// The bytes of its `dagset.json`, not looked at.
    pub store_file: Bytes,
    /// What follows in the text: the name of a dataset, not looked at.
    pub rest: Option<String>,
}

/// What a text is taken for: that is tried first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meant {
    Store,
    /// A dataset in a store.
    Dataset,
}

/// Finds the store that `text` (of [`Location::Store`](super::Location::Store)) begins with; `open` opens the objects
/// at a path or URL.
///
/// [`Kind::NotFound`] says that there is definitely none: every prefix was asked and answered, or lies above one that
/// may not be looked into. What else kept a prefix from answering is returned as it is, at once.
pub fn locate(text: &str, meant: Meant, open: impl Fn(&str) -> Result<Bucket>) -> Result<Located> {
    let mut tried = candidates(text);
    if meant == Meant::Dataset {
        tried.rotate_left(1);
    }
    let (mut answered, mut denied) = (false, None);
    for (root, rest) in tried {
        let is_whole = rest.is_none();
        // Where the rights to a prefix end: whatever lies above is no store of this user's.
        if denied.is_some() && !is_whole {
            continue;
        }
        match look(root, &open) {
            Ok(Some((bucket, store_file))) => {
                return Ok(Located { bucket, store_root: root.to_owned(), store_file, rest });
            }
            Ok(None) => answered = true,
            Err(fault) if is_denied(&fault) && (answered || !is_whole) => denied = Some(fault),
            Err(fault) => return Err(fault),
        }
    }
    if let Some(fault) = denied.filter(|_| !answered) {
        return Err(fault);
    }
    let message = match divide(text) {
        Some((store, dataset)) => format!("no store at {store}, where the dataset {} is looked for", trimmed(dataset)),
        None => format!("no store at {text}"),
    };
    Err(Error::not_found(message).hint(format!("dagset store create {}", place_for_creation(text))))
}

/// Where a store would be made for `text` to be a dataset in it, or else a store.
pub fn place_for_creation(text: &str) -> String {
    // A store at a bucket's root, or in the working folder, would keep every other one out.
    let is_place = |store: &String| store.len() > authority_end(store) && store != ".";
    let cut = cut_for_creation(text).map(|(store, _)| store).ok().filter(is_place);
    cut.unwrap_or_else(|| trimmed(text).to_owned())
}

/// Each prefix of `text` that may be the store, in the order in which they are tried, and the name that would follow it.
pub fn candidates(text: &str) -> Vec<(&str, Option<String>)> {
    let cuts = match divide(text) {
        Some((store, dataset)) => vec![(trimmed(store), Some(dataset))],
        None => prefixes(text),
    };
    let name = |rest: &str| Some(rest.trim_end_matches('/').to_owned()).filter(|rest| !rest.is_empty());
    cuts.into_iter().map(|(root, rest)| (root, rest.and_then(name))).collect()
}

/// Cuts `STORE/DATASET` where nothing is there yet: at `//`, else the last part is the dataset.
pub fn cut_for_creation(text: &str) -> Result<(String, String)> {
    let cut = match divide(text) {
        Some((store, dataset)) => Some((store, trimmed(dataset))),
        None => match prefixes(text).get(1) {
            Some((store, Some(dataset))) => Some((*store, *dataset)),
            _ => None,
        },
    };
    match cut {
        Some((store, dataset)) => Ok((trimmed(store).to_owned(), dataset.to_owned())),
        None => Err(Error::usage(format!("names a store, but no dataset in it: {text}")).hint("write STORE/DATASET")),
    }
}

/// What [`STORE_FILE`] of the store at `root` holds, at most [`STORE_FILE_MAX_BYTES`] from its end, and its length. What makes no sense is read once
/// more, as a byte may have been flipped on its way.
pub fn read_store_file(bucket: &Bucket, root: &str) -> Result<(Bytes, u64)> {
    // A bucket's tail read bounds what a foreign file of that name can make us read.
    let read = || bucket.get_tail(STORE_FILE, STORE_FILE_MAX_BYTES);
    let first = read()?;
    if StoreFile::parse(&first.0, root).is_ok() { Ok(first) } else { read() }
}

fn look(root: &str, open: impl Fn(&str) -> Result<Bucket>) -> Result<Option<(Bucket, Bytes)>> {
    let read = open(root).and_then(|bucket| Ok((read_store_file(&bucket, root)?, bucket)));
    match read {
        Ok(((bytes, length), bucket)) if length <= STORE_FILE_MAX_BYTES => Ok(Some((bucket, bytes))),
        Ok(((_, length), _)) => {
            Err(Error::damaged(format!("not a store's: {STORE_FILE} at {root} has {length} bytes")))
        }
        Err(fault) if fault.kind() == Kind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Each prefix of whole components with what follows it, longest first.
fn prefixes(text: &str) -> Vec<(&str, Option<&str>)> {
    let text = trimmed(text);
    // A URL's shortest prefix is its host or bucket, a path's its root or first component.
    let shortest = match authority_end(text) {
        0 => usize::from(text.starts_with('/')),
        host => host,
    };
    let mut prefixes = vec![(text, None)];
    for (at, _) in text.rmatch_indices('/') {
        let rest = &text[at + 1..];
        if (at == 0 || at >= shortest) && !rest.is_empty() && !rest.starts_with('/') {
            prefixes.push((trimmed(&text[..at.max(1)]), Some(rest)));
        }
    }
    prefixes
}

/// Without the slashes at its end, but for those of the root and the scheme.
fn trimmed(text: &str) -> &str {
    let keep = scheme_end(text).max(usize::from(text.starts_with('/')));
    &text[..text.trim_end_matches('/').len().max(keep)]
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::*;
    use crate::store::backend;

    /// Opens the given places, in memory; all others are absent.
    fn places<'a>(stores: &[&str], asked: &'a RefCell<Vec<String>>) -> impl Fn(&str) -> Result<Bucket> + use<'a> {
        let open = |root: &&str| {
            let bucket = backend::memory();
            bucket.create(STORE_FILE, Bytes::from(format!("at {root}"))).unwrap();
            (root.to_string(), bucket)
        };
        let stores: HashMap<String, Bucket> = stores.iter().map(open).collect();
        move |root| {
            asked.borrow_mut().push(root.to_owned());
            stores.get(root).cloned().ok_or_else(|| Error::not_found("no such folder"))
        }
    }

    #[test]
    fn the_prefix_with_the_store_file_is_the_store() {
        let cases = [
            ("/data/s/vision/set", "/data/s", Some("vision/set"), 3),
            ("/data/s", "/data/s", None, 1),
            ("/data/s/", "/data/s", None, 1),
            ("/data/s//set", "/data/s", Some("set"), 1),
            ("/data/s//", "/data/s", None, 1),
            ("/a@b//x/y", "/a@b", Some("x/y"), 1),
            ("s3://b/s/x/y", "s3://b/s", Some("x/y"), 3),
            ("s3://c/x", "s3://c", Some("x"), 2),
            ("s3://c//x", "s3://c", Some("x"), 1),
            ("./x", ".", Some("x"), 2),
            (".", ".", None, 1),
            ("../x/y", "..", Some("x/y"), 3),
            ("//data/s/x", "//data/s", Some("x"), 2),
        ];
        for (text, root, rest, tries) in cases {
            let asked = RefCell::default();
            let located = locate(
                text,
                Meant::Store,
                places(&["/data/s", "//data/s", "/a@b", "s3://b/s", "s3://c", ".", ".."], &asked),
            )
            .unwrap();
            assert_eq!((located.store_root.as_str(), located.rest.as_deref()), (root, rest), "{text}");
            assert_eq!(located.store_file, format!("at {root}"));
            assert_eq!(asked.borrow().len(), tries, "{text}: {asked:?}");
        }
        let asked = RefCell::default();
        assert_eq!(locate("/x/y", Meant::Store, places(&["/"], &asked)).unwrap().rest.as_deref(), Some("x/y"));
    }

    #[test]
    fn where_a_dataset_is_meant_the_whole_text_is_tried_last() {
        for (text, root, tries) in [
            ("s3://b/s/x", "s3://b/s", 1),
            ("s3://b/s/x/y", "s3://b/s", 2),
            ("s3://b/s//x", "s3://b/s", 1),
            ("s3://b/s", "s3://b/s", 2),
            ("./x", ".", 1),
        ] {
            let asked = RefCell::default();
            let located = locate(text, Meant::Dataset, places(&["s3://b/s", "."], &asked)).unwrap();
            assert_eq!((located.store_root.as_str(), asked.borrow().len()), (root, tries), "{text}");
        }
        // Rights to the store alone, and no dataset named.
        let below = |root: &str| match root {
            "s3://b/s" => places(&["s3://b/s"], &RefCell::default())(root),
            _ => Err(Error::new(Kind::Unreachable, format!("cannot read from {root}: access denied"))),
        };
        assert_eq!(locate("s3://b/s", Meant::Dataset, below).unwrap().rest, None);
        assert_eq!(locate("s3://b/t/x", Meant::Dataset, below).unwrap_err().kind(), Kind::Unreachable);
    }

    #[test]
    fn absence_is_definite_and_names_what_to_do() {
        let cases: [(&str, &[&str], &str); 5] = [
            ("/a/b", &["/a/b", "/a", "/"], "/a"),
            ("s3://b/x", &["s3://b/x", "s3://b"], "s3://b/x"),
            ("./x", &["./x", "."], "./x"),
            ("/a//b", &["/a"], "/a"),
            (".", &["."], "."),
        ];
        for (text, tried, store) in cases {
            let asked = RefCell::default();
            let fault = locate(text, Meant::Store, places(&[], &asked)).unwrap_err();
            assert_eq!(fault.kind(), Kind::NotFound);
            assert_eq!(fault.next_step(), Some(format!("dagset store create {store}").as_str()));
            assert_eq!(*asked.borrow(), tried, "{text}");
        }
    }

    #[test]
    fn an_error_is_not_absence() {
        let open = |root: &str| match root {
            "/a/b" => Err(Error::not_found("no such folder")),
            _ => Err(Error::new(Kind::Unreachable, "no answer")),
        };
        assert_eq!(locate("/a/b", Meant::Store, open).unwrap_err().kind(), Kind::Unreachable);
        let denied = |root: &str| Err(Error::new(Kind::Unreachable, format!("cannot read from {root}: access denied")));
        let below = |root: &str| if root == "/a/b" { Err(Error::not_found("absent")) } else { denied(root) };
        assert_eq!(locate("/a/b", Meant::Store, below).unwrap_err().kind(), Kind::NotFound, "rights end below it");
        assert_eq!(locate("/a/b", Meant::Store, denied).unwrap_err().kind(), Kind::Unreachable);
        let huge = |_: &str| {
            let bucket = backend::memory();
            bucket.create(STORE_FILE, vec![b' '; 65_537].into()).map(|_| bucket)
        };
        assert_eq!(locate("/a", Meant::Store, huge).unwrap_err().kind(), Kind::Damaged);
    }

    #[test]
    fn folders_are_found_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("ann@corp:x/store");
        let root = root.to_str().unwrap();
        let text = format!("{root}/vision/set");
        assert_eq!(locate(&text, Meant::Store, backend::open_folder).unwrap_err().kind(), Kind::NotFound);
        let bucket = backend::create_folder(root).unwrap();
        assert_eq!(
            locate(&text, Meant::Store, backend::open_folder).unwrap_err().kind(),
            Kind::NotFound,
            "a folder is no store"
        );
        bucket.create(STORE_FILE, Bytes::from_static(b"{}")).unwrap();
        let located = locate(&text, Meant::Store, backend::open_folder).unwrap();
        assert_eq!((located.store_root.as_str(), located.rest.as_deref()), (root, Some("vision/set")));
        assert_eq!(located.store_file, "{}");
    }

    #[test]
    fn for_creation_the_last_part_is_the_dataset() {
        let cases = [
            ("/data/s/set", "/data/s", "set"),
            ("/data/s/set/", "/data/s", "set"),
            ("/data/s//vision/set", "/data/s", "vision/set"),
            ("/set", "/", "set"),
            ("s3://b/set", "s3://b", "set"),
            ("s3://b/s/set", "s3://b/s", "set"),
            ("./set", ".", "set"),
            ("../set", "..", "set"),
        ];
        for (text, store, dataset) in cases {
            assert_eq!(cut_for_creation(text).unwrap(), (store.to_owned(), dataset.to_owned()), "{text}");
        }
        for text in ["/", ".", "..", "s3://b", "s3://b/"] {
            assert_eq!(cut_for_creation(text).unwrap_err().kind(), Kind::Usage, "{text}");
        }
    }
}
