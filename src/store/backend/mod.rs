//! Opening a store's objects: the only folder that knows `object_store`, HTTP and async.
//!
//! A folder's futures never wait (outside a tokio context its backend does its work on the calling thread), so they are
//! polled in place: a range costs an open, a stat and a pread, and no thread changes hands. A bucket's run on one small
//! runtime that starts with its first call, while the caller's thread sleeps; until then, opening one asks nobody.

use std::future::Future;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use object_store::{Error as StoreError, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use self::cloud::Remote;
use self::connect::{Cloud, Plan};
use self::local::Local;
use super::access::Access;
use super::objects::{Belongs, Below, Bucket, Created, Listing, ObjectMeta, Objects, Watch, check_name};
use super::probe::Approach;
use crate::base::{Error, Kind, Observer, Result, Time};

mod answer;
mod cloud;
mod connect;
mod credentials;
mod http;
mod local;
mod runtime;
mod throttle;

pub use self::cloud::Connections;
pub use self::local::{create_folder, memory, open_folder};

/// Opens what is at a path or URL, and creates nothing. A missing folder is [`Kind::NotFound`]; that there is one
/// doesn't make it a store. A bucket is not asked anything yet; its requests will be counted by `observer`.
pub fn open(text: &str, access: &Access, observer: &Observer) -> Result<Bucket> {
    match place(text)? {
        Place::Folder(path) => open_folder(path),
        Place::Bucket { cloud, bucket, prefix } => {
            let remote = Remote::open(cloud, bucket, text, access)?;
            let reach = Reach::Remote { remote, observer: observer.clone() };
            Ok(Bucket::new(Backend { reach, prefix, shown: text.trim_end_matches('/').to_owned() }))
        }
    }
}

/// As [`open`], but a missing folder is made, durably. For the creation of a store.
pub fn open_or_create(text: &str, access: &Access, observer: &Observer) -> Result<Bucket> {
    match place(text)? {
        Place::Folder(path) => create_folder(path),
        Place::Bucket { .. } => open(text, access, observer),
    }
}

/// The way to what is at a path or URL, nobody being asked; `None` for a folder, to which there is none.
pub fn approach(text: &str, access: &Access) -> Result<Option<Approach>> {
    match place(text)? {
        Place::Folder(_) => Ok(None),
        Place::Bucket { cloud, bucket, .. } => {
            Plan::new(cloud, bucket, access, access.settings_of(text))?.approach().map(Some)
        }
    }
}

/// What a text names.
enum Place<'a> {
    Folder(&'a str),
    Bucket { cloud: Cloud, bucket: &'a str, prefix: Key },
}

fn place(text: &str) -> Result<Place<'_>> {
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| !scheme.contains('/')) else {
        return Ok(Place::Folder(text));
    };
    if scheme == "file" {
        return match rest.strip_prefix("localhost").unwrap_or(rest) {
            path if path.starts_with('/') => Ok(Place::Folder(path)),
            _ => {
                Err(Error::usage(format!("not a folder's URL: {text}"))
                    .hint("write file:///data/store, or the path alone"))
            }
        };
    }
    let cloud = Cloud::of(scheme).ok_or_else(|| {
        Error::usage(format!("no store is reached by {scheme}://: {text}"))
            .hint("a store is a folder's path, or begins with s3://, gs://, az:// or file:///")
    })?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let bad = || {
        Error::usage(format!("not a prefix that a bucket's objects can have: {text:?}"))
            .hint("write it without empty parts, `.` and `..`: s3://BUCKET/team/store")
    };
    let prefix = prefix.trim_end_matches('/');
    // Said here, since a key forgives the slash that it begins with: the place would have two names.
    if prefix.len() > MAX_PREFIX_BYTES {
        return Err(Error::usage(format!("a prefix of {} bytes is too long for a store", prefix.len()))
            .hint(format!("write one of at most {MAX_PREFIX_BYTES} bytes: the keys of a bucket have at most 1,024")));
    }
    if prefix.starts_with('/') || prefix.chars().any(char::is_control) {
        return Err(bad());
    }
    // Its own words for what is wrong are about what it calls segments.
    let prefix = Key::parse(prefix).map_err(|_| bad())?;
    Ok(Place::Bucket { cloud, bucket, prefix })
}

/// S3 takes keys of 1,024 bytes, and ours add less than a hundred.
const MAX_PREFIX_BYTES: usize = 900;

/// Names that all clouds put into one page of a list.
const LISTED_AT_ONCE: usize = 1_000;

/// The objects below a prefix, wherever they are.
struct Backend {
    reach: Reach,
    prefix: Key,
    /// Path or URL.
    shown: String,
}

/// Where objects are.
enum Reach {
    /// On this machine's file systems or in memory.
    Local(Local),
    /// Behind a network; the observer counts its requests.
    Remote { remote: Arc<Remote>, observer: Observer },
}

/// What is being done to what, for messages.
struct Asked<'a> {
    /// "read from", "write to" or "remove from".
    doing: &'static str,
    name: &'a str,
    /// The store.
    shown: &'a str,
    /// Whether one try is enough.
    once: bool,
    watch: Option<&'a Watch>,
}

/// What a failed request means.
enum Fault {
    /// There is no such object.
    Absent,
    /// The name is taken.
    Exists,
    /// A range begins behind the object's end, or the object is empty.
    OutOfRange,
    /// Who asks is known, and may not. Of an object that isn't there, nobody is told so who may list some prefixes only.
    Denied(Error),
    Other(Error),
}

impl Backend {
    /// Runs the future that `make` makes of the store to its end; it may be made more than once.
    fn run<T, F, Fut>(&self, doing: &'static str, name: &str, make: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: Fn(Arc<dyn ObjectStore>) -> Fut,
        Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.ask(&Asked { doing, name, shown: &self.shown, once: false, watch: None }, make)
    }

    fn ask<T, F, Fut>(&self, asked: &Asked<'_>, make: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: Fn(Arc<dyn ObjectStore>) -> Fut,
        Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        match &self.reach {
            Reach::Local(local) => local.run(asked, make),
            Reach::Remote { remote, observer } => remote.run(asked, observer, make),
        }
    }

    fn key(&self, name: &str) -> Result<Key> {
        check_name(name)?;
        let prefix = self.prefix.as_ref();
        let text = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        Key::parse(text)
            .map_err(|fault| Error::usage(format!("not a name of a stored object: {name:?}")).because(fault))
    }

    fn fetch(&self, name: &str, range: Option<GetRange>, once: bool, watch: Option<&Watch>) -> Result<Fetched, Fault> {
        let key = self.key(name).map_err(Fault::Other)?;
        let asked = Asked { doing: "read from", name, shown: &self.shown, once, watch };
        let fetched = self.ask(&asked, |store| {
            let (key, range, watch) = (key.clone(), range.clone(), watch.cloned());
            async move {
                let answer = store.get_opts(&key, GetOptions { range, ..GetOptions::default() }).await?;
                let (start, length) = (answer.range.start, answer.meta.size);
                let Some(watch) = watch else { return Ok(Fetched { start, length, bytes: answer.bytes().await? }) };
                let mut bytes = BytesMut::with_capacity((answer.range.end - start) as usize);
                let mut pieces = answer.into_stream();
                while let Some(piece) = pieces.next().await {
                    bytes.extend_from_slice(&piece?);
                    if !watch(0) {
                        break;
                    }
                }
                Ok(Fetched { start, length, bytes: bytes.freeze() })
            }
        });
        match fetched {
            // Here a range that begins beyond the end is an error of no type of its own: the length tells.
            Err(Fault::Other(fault)) if matches!(self.reach, Reach::Local(_)) => match (self.size(name), &range) {
                (Ok(Some(length)), Some(GetRange::Bounded(range))) if length <= range.start => Err(Fault::OutOfRange),
                (Ok(Some(0)), Some(GetRange::Suffix(_))) => Err(Fault::OutOfRange),
                _ => Err(Fault::Other(fault)),
            },
            fetched => fetched.map_err(|fault| self.unless_absent(&key, name, fault)),
        }
    }

    fn put(&self, name: &str, bytes: Bytes, watch: Option<&Watch>) -> Result<Created> {
        let key = self.key(name)?;
        if let Reach::Local(local) = &self.reach {
            local.before_create(name, &self.shown)?;
        }
        let asked = Asked { doing: "write to", name, shown: &self.shown, once: false, watch };
        let put = self.ask(&asked, |store| {
            let (key, bytes) = (key.clone(), bytes.clone());
            async move { store.put_opts(&key, bytes.into(), PutOptions::from(PutMode::Create)).await.map(|_| ()) }
        });
        let created = match put {
            Ok(()) => Created::New,
            Err(Fault::Exists) => Created::Exists,
            Err(fault) => return Err(self.fault(name, fault)),
        };
        if let Reach::Local(local) = &self.reach {
            local.after_create(name, created, &self.shown)?;
        }
        Ok(created)
    }

    fn range(&self, name: &str, offset: u64, bytes: u64, watch: Option<&Watch>) -> Result<Bytes> {
        check_name(name)?;
        let Some(end) = offset.checked_add(bytes) else { return Err(self.too_short(name, None)) };
        let short = || self.too_short(name, Some(end));
        if bytes == 0 {
            let length = self.size(name)?.ok_or_else(|| self.absent(name))?;
            return if offset <= length { Ok(Bytes::new()) } else { Err(short()) };
        }
        let is_enough = |read: u64| read == bytes || read < bytes && watch.is_some_and(|watch| !watch(0));
        match self.fetch(name, Some(GetRange::Bounded(offset..end)), false, watch) {
            Ok(fetched) if fetched.start == offset && is_enough(fetched.bytes.len() as u64) => Ok(fetched.bytes),
            Ok(_) | Err(Fault::OutOfRange) => Err(short()),
            Err(fault) => Err(self.fault(name, fault)),
        }
    }

    fn get_whole(&self, name: &str, once: bool) -> Result<Bytes> {
        let fetched = self.fetch(name, None, once, None).map_err(|fault| self.fault(name, fault))?;
        match fetched.bytes.len() as u64 == fetched.length {
            true => Ok(fetched.bytes),
            false => Err(self.too_short(name, Some(fetched.length))),
        }
    }

    /// Has a list decide whether an object that can't be read is there at all. With rights to a prefix it is the only one to know.
    fn unless_absent(&self, key: &Key, name: &str, fault: Fault) -> Fault {
        let Fault::Denied(denied) = fault else { return fault };
        let listed = self.run("read from", name, |store| {
            let key = key.clone();
            async move { is_listed(&*store, &key).await }
        });
        match listed {
            Ok(false) => Fault::Absent,
            _ => Fault::Denied(denied),
        }
    }

    /// The last `bytes` bytes, which are some. Azure has no such request: there the length is asked for first.
    fn fetch_tail(&self, name: &str, bytes: u64) -> Result<Fetched, Fault> {
        let knows_tails = !matches!(&self.reach, Reach::Remote { remote, .. } if remote.is_azure());
        if knows_tails {
            return self.fetch(name, Some(GetRange::Suffix(bytes)), false, None);
        }
        let length = self.size(name).map_err(Fault::Other)?.ok_or(Fault::Absent)?;
        match length {
            0 => Err(Fault::OutOfRange),
            _ => self.fetch(name, Some(GetRange::Bounded(length.saturating_sub(bytes)..length)), false, None),
        }
    }

    fn fault(&self, name: &str, fault: Fault) -> Error {
        match fault {
            Fault::Absent => self.absent(name),
            Fault::OutOfRange => self.too_short(name, None),
            Fault::Exists => Error::new(Kind::Failed, format!("the store {} has {name} already", self.shown)),
            Fault::Denied(fault) | Fault::Other(fault) => fault,
        }
    }

    fn absent(&self, name: &str) -> Error {
        Error::not_found(format!("the store {} has no object {name}", self.shown))
    }

    fn too_short(&self, name: &str, end: Option<u64>) -> Error {
        let end = end.map_or("the range asked for".to_owned(), |end| format!("byte {end}"));
        Error::damaged(format!("the object {name} of the store {} ends before {end}", self.shown))
    }
}

struct Fetched {
    start: u64,
    /// Of the whole object.
    length: u64,
    bytes: Bytes,
}

impl Objects for Backend {
    fn create(&self, name: &str, bytes: Bytes) -> Result<Created> {
        self.put(name, bytes, None)
    }

    fn create_watched(&self, name: &str, bytes: Bytes, watch: &Watch) -> Result<Created> {
        let length = bytes.len() as u64;
        let created = self.put(name, bytes, Some(watch))?;
        if let Reach::Local(_) = self.reach {
            watch(length);
        }
        Ok(created)
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        self.get_whole(name, false)
    }

    fn get_once(&self, name: &str) -> Result<Bytes> {
        self.get_whole(name, true)
    }

    fn get_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Bytes> {
        self.range(name, offset, bytes, None)
    }

    fn get_range_watched(&self, name: &str, offset: u64, bytes: u64, watch: &Watch) -> Result<Bytes> {
        let read = self.range(name, offset, bytes, Some(watch))?;
        if let Reach::Local(_) = self.reach {
            watch(bytes);
        }
        Ok(read)
    }

    fn get_tail(&self, name: &str, bytes: u64) -> Result<(Bytes, u64)> {
        check_name(name)?;
        if bytes == 0 {
            return Ok((Bytes::new(), self.size(name)?.ok_or_else(|| self.absent(name))?));
        }
        match self.fetch_tail(name, bytes) {
            Ok(fetched) if fetched.bytes.len() as u64 == bytes.min(fetched.length) => {
                Ok((fetched.bytes, fetched.length))
            }
            Ok(fetched) => Err(self.too_short(name, Some(fetched.length))),
            // Buckets refuse every range of an empty object.
            Err(Fault::OutOfRange) => Ok((Bytes::new(), 0)),
            Err(fault) => Err(self.fault(name, fault)),
        }
    }

    fn list(&self, folder: &str) -> Result<Listing> {
        let prefix = if folder.is_empty() { self.prefix.clone() } else { self.key(folder)? };
        if let Reach::Local(local) = &self.reach {
            local.check_folder(folder, &self.shown)?;
        }
        let answer = self.run("read from", folder, |store| {
            let prefix = prefix.clone();
            async move { store.list_with_delimiter(Some(&prefix)).await }
        });
        let listed = match answer {
            Ok(listed) => listed,
            Err(Fault::Absent) => return Ok(Listing::default()),
            Err(fault) => match &self.reach {
                Reach::Local(local) => return local.list_past_loops(folder).ok_or_else(|| self.fault(folder, fault)),
                Reach::Remote { .. } => return Err(self.fault(folder, fault)),
            },
        };
        let last = |key: &Key| key.filename().unwrap_or_default().to_owned();
        let mut folders: Vec<String> = listed.common_prefixes.iter().map(last).collect();
        let mut objects: Vec<ObjectMeta> = listed
            .objects
            .iter()
            // Some tools mark a folder by an empty object of its name.
            .filter(|meta| meta.location != prefix)
            .map(|meta| ObjectMeta {
                name: last(&meta.location),
                bytes: meta.size,
                modified: Time(meta.last_modified.timestamp_millis()),
            })
            .collect();
        folders.sort_unstable();
        objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Listing { folders, objects })
    }

    fn list_below(&self, folder: &str, after: Option<&str>) -> Result<Below> {
        if let Reach::Local(local) = &self.reach
            && local.is_folder()
        {
            let names = local.last_below(folder, &self.shown)?;
            return Ok(Below { names, reaches_end: true });
        }
        let prefix = if folder.is_empty() { self.prefix.clone() } else { self.key(folder)? };
        let after = after.map(|name| self.key(&format!("{folder}/{name}"))).transpose()?;
        let answer = self.run("read from", folder, |store| {
            let (prefix, after) = (prefix.clone(), after.clone());
            async move {
                let listed = match &after {
                    Some(after) => store.list_with_offset(Some(&prefix), after),
                    None => store.list(Some(&prefix)),
                };
                // Not one more: it would be asked for by another request.
                listed.take(LISTED_AT_ONCE).map_ok(|meta| meta.location).try_collect().await
            }
        });
        let keys: Vec<Key> = match answer {
            Err(Fault::Absent) => Vec::new(),
            answer => answer.map_err(|fault| self.fault(folder, fault))?,
        };
        let name = |key: &Key| Some(key.as_ref().strip_prefix(prefix.as_ref())?.trim_start_matches('/').to_owned());
        Ok(Below { names: keys.iter().filter_map(name).collect(), reaches_end: keys.len() < LISTED_AT_ONCE })
    }

    fn lists_exactly(&self) -> bool {
        matches!(&self.reach, Reach::Local(local) if local.is_on_own_disk())
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        let key = self.key(name)?;
        let answer = self.run("read from", name, |store| {
            let key = key.clone();
            async move { store.head(&key).await }
        });
        match answer.map_err(|fault| self.unless_absent(&key, name, fault)) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Fault::Absent) => Ok(None),
            Err(fault) => Err(self.fault(name, fault)),
        }
    }

    fn delete(&self, name: &str) -> Result<()> {
        let key = self.key(name)?;
        let answer = self.run("remove from", name, |store| {
            let key = key.clone();
            async move { store.delete(&key).await }
        });
        if let (Ok(()), Reach::Local(local)) = (&answer, &self.reach) {
            local.after_delete(name);
        }
        match answer {
            Ok(()) | Err(Fault::Absent) => Ok(()),
            Err(fault) => Err(self.fault(name, fault)),
        }
    }

    fn move_stranger(&self, name: &str, belongs: Belongs, to: &str) -> Result<bool> {
        check_name(name)?;
        check_name(to)?;
        match &self.reach {
            Reach::Local(local) => local.move_stranger(name, belongs, to),
            Reach::Remote { .. } => Ok(false),
        }
    }

    fn describe(&self) -> String {
        self.shown.clone()
    }

    fn is_far(&self) -> bool {
        match &self.reach {
            Reach::Local(local) => !local.is_folder(),
            Reach::Remote { .. } => true,
        }
    }

    fn counts_requests(&self) -> bool {
        matches!(self.reach, Reach::Remote { .. })
    }
}

/// Whether a list of the folder shows the object. It begins right before it, so that one page is enough.
async fn is_listed(store: &dyn ObjectStore, key: &Key) -> Result<bool, StoreError> {
    let text = key.as_ref();
    let folder =
        Key::parse(text.rsplit_once('/').map_or("", |(folder, _)| folder)).map_err(|fault| generic(fault.into()))?;
    // Without its last character: at most some dozen names of ours lie between.
    let before = Key::parse(&text[..text.len() - 1]).map_err(|fault| generic(fault.into()))?;
    let mut listed = store.list_with_offset(Some(&folder), &before);
    while let Some(meta) = listed.try_next().await? {
        if meta.location >= *key {
            return Ok(meta.location == *key);
        }
    }
    Ok(false)
}

fn generic(source: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    StoreError::Generic { store: "dagset", source }
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
