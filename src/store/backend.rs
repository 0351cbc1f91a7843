//! Opening a store's objects: the only file that knows `object_store` and async.
//!
//! A folder's futures never wait (outside a tokio context its backend does its work on the calling thread), so they are
//! polled in place: a range costs an open, a stat and a pread, and no thread changes hands. A bucket's run on one
//! small runtime that starts with its first call, while the caller's thread sleeps. Neither way enters a runtime on the
//! caller's thread, so calls are safe from rayon's workers, from plain threads and from inside somebody's async code.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{Error as StoreError, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio::runtime::Runtime;

use super::access::Access;
use super::fault::{classify, io_cause, refused};
use super::folder::{self, Settled};
use super::objects::{Bucket, Created, Listing, ObjectMeta, Objects, check_name};
use crate::base::{Error, Kind, Observer, Result, Time};

/// Opens what is at a path or URL, and creates nothing. A missing folder is [`Kind::NotFound`]; that there is one
/// doesn't make it a store.
pub fn open(text: &str, _access: &Access, _observer: &Observer) -> Result<Bucket> {
    match scheme(text) {
        None => open_folder(text),
        Some(scheme) => Err(not_built(scheme, text)),
    }
}

/// As [`open`], but a missing folder is made, durably. For the creation of a store.
pub fn open_or_create(text: &str, access: &Access, observer: &Observer) -> Result<Bucket> {
    match scheme(text) {
        None => create_folder(text),
        Some(_) => open(text, access, observer),
    }
}

/// Opens a folder that is there.
pub fn open_folder(path: &str) -> Result<Bucket> {
    folder_at(Path::new(path))
}

/// Opens a folder, which is made, durably, where it isn't there.
pub fn create_folder(path: &str) -> Result<Bucket> {
    folder::create_root(Path::new(path)).map_err(|fault| at_root(Path::new(path), fault))?;
    open_folder(path)
}

/// A store in memory, for tests: lost with its last handle.
pub fn memory() -> Bucket {
    Bucket::new(Backend { store: Arc::new(InMemory::new()), shown: "memory://".to_owned(), settled: None })
}

fn scheme(text: &str) -> Option<&str> {
    text.split_once("://").map(|(scheme, _)| scheme).filter(|scheme| !scheme.contains('/'))
}

fn not_built(scheme: &str, text: &str) -> Error {
    match scheme {
        "s3" | "gs" | "az" => Error::usage(format!("stores at {scheme}:// are not built yet: {text}")),
        "file" => Error::usage(format!("not an address: {text}")).hint("write the folder's path, as /data/store"),
        _ => Error::usage(format!("no store is reached by {scheme}://: {text}")),
    }
}

fn folder_at(path: &Path) -> Result<Bucket> {
    let meta = std::fs::metadata(path).map_err(|fault| at_root(path, Error::io("open the folder", path, fault)))?;
    if !meta.is_dir() {
        return Err(Error::not_found(format!("not a folder: {}", path.display())));
    }
    let opened =
        std::fs::canonicalize(path).map_err(|fault| Error::io("open the folder", path, fault)).and_then(|root| {
            let store = LocalFileSystem::new_with_prefix(&root)
                .map_err(|fault| Error::new(Kind::Failed, "its path can't be used for a store").because(fault))?;
            Ok((store.with_fsync(true), root))
        });
    let (store, root) = opened.map_err(|fault| at_root(path, fault))?;
    let shown = path.display().to_string();
    Ok(Bucket::new(Backend { store: Arc::new(store), shown, settled: Some(Settled::new(root)) }))
}

/// Gives an error about a store's folder the kind that the cause calls for.
fn at_root(path: &Path, fault: Error) -> Error {
    let kind = io_cause(&fault).map(|(kind, _)| kind);
    match kind {
        Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Error::not_found(format!("no such folder: {}", path.display()))
        }
        Some(kind) => classify(kind, "open", &path.display().to_string()).because(fault),
        None => fault,
    }
}

struct Backend {
    store: Arc<dyn ObjectStore>,
    /// Path or URL.
    shown: String,
    /// `Some` for a folder.
    settled: Option<Settled>,
}

impl Backend {
    /// Runs the future that `make` makes of the store to its end.
    fn run<T, F, Fut>(&self, make: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Arc<dyn ObjectStore>) -> Fut,
        Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let future = make(self.store.clone());
        if self.settled.is_some() {
            return wait(future);
        }
        wait(runtime().map_err(|fault| generic(fault.into()))?.spawn(future)).unwrap_or_else(|fault| Err(fault.into()))
    }

    fn key(&self, name: &str) -> Result<Key> {
        check_name(name)?;
        Key::parse(name)
            .map_err(|fault| Error::usage(format!("not a name of a stored object: {name:?}")).because(fault))
    }

    fn fetch(&self, name: &str, range: Option<GetRange>) -> Result<Fetched, StoreError> {
        let key = self.key(name).map_err(|fault| generic(fault.into()))?;
        self.run(|store| async move {
            let answer = store.get_opts(&key, GetOptions { range, ..GetOptions::default() }).await?;
            let (start, length) = (answer.range.start, answer.meta.size);
            Ok(Fetched { start, length, bytes: answer.bytes().await? })
        })
    }

    /// What a failed request on `name` means. `doing` is "read from" or "write to".
    fn fault(&self, doing: &str, name: &str, fault: StoreError) -> Error {
        match io_cause(&fault) {
            Some((io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, _)) if doing == "read from" => {
                self.absent(name)
            }
            // The chain of an error prints its causes twice; the innermost says it all.
            Some((kind, cause)) => classify(kind, doing, &self.shown).because(format!("{name}: {cause}")),
            None => match fault {
                StoreError::NotFound { .. } => self.absent(name),
                StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
                    refused(doing, &self.shown).because(fault)
                }
                StoreError::JoinError { .. } => self.failed(Kind::Failed, doing, name).because(fault),
                fault if self.settled.is_some() => self.failed(Kind::Failed, doing, name).because(fault),
                fault => self.failed(Kind::Unreachable, doing, name).because(fault),
            },
        }
    }

    fn failed(&self, kind: Kind, doing: &str, name: &str) -> Error {
        Error::new(kind, format!("cannot {doing} the store {}: {name}", self.shown))
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
        let key = self.key(name)?;
        let local = |fault: io::Error| classify(fault.kind(), "write to", &self.shown).because(fault);
        if let Some(settled) = &self.settled {
            settled.check_root(name).map_err(local)?;
        }
        let put = self.run(|store| async move {
            store.put_opts(&key, bytes.into(), PutOptions::from(PutMode::Create)).await.map(|_| ())
        });
        let created = match put {
            Ok(()) => Created::New,
            Err(StoreError::AlreadyExists { .. }) => Created::Exists,
            Err(fault) => return Err(self.fault("write to", name, fault)),
        };
        if let Some(settled) = &self.settled {
            if created == Created::Exists {
                settled.settle_entry(name).map_err(local)?;
            }
            settled.settle(name).map_err(local)?;
        }
        Ok(created)
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        check_name(name)?;
        let fetched = self.fetch(name, None).map_err(|fault| self.fault("read from", name, fault))?;
        match fetched.bytes.len() as u64 == fetched.length {
            true => Ok(fetched.bytes),
            false => Err(self.too_short(name, Some(fetched.length))),
        }
    }

    fn get_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Bytes> {
        check_name(name)?;
        let Some(end) = offset.checked_add(bytes) else { return Err(self.too_short(name, None)) };
        let short = || self.too_short(name, Some(end));
        if bytes == 0 {
            let length = self.size(name)?.ok_or_else(|| self.absent(name))?;
            return if offset <= length { Ok(Bytes::new()) } else { Err(short()) };
        }
        match self.fetch(name, Some(GetRange::Bounded(offset..end))) {
            Ok(fetched) if fetched.start == offset && fetched.bytes.len() as u64 == bytes => Ok(fetched.bytes),
            Ok(_) => Err(short()),
            // A range that begins beyond the end is an error of no type of its own: the length tells.
            Err(fault) => match self.fault("read from", name, fault) {
                fault if fault.kind() == Kind::NotFound => Err(fault),
                fault => match self.size(name) {
                    Ok(Some(length)) if length < end => Err(short()),
                    _ => Err(fault),
                },
            },
        }
    }

    fn get_tail(&self, name: &str, bytes: u64) -> Result<(Bytes, u64)> {
        check_name(name)?;
        if bytes == 0 {
            return Ok((Bytes::new(), self.size(name)?.ok_or_else(|| self.absent(name))?));
        }
        match self.fetch(name, Some(GetRange::Suffix(bytes))) {
            Ok(fetched) if fetched.bytes.len() as u64 == bytes.min(fetched.length) => {
                Ok((fetched.bytes, fetched.length))
            }
            Ok(fetched) => Err(self.too_short(name, Some(fetched.length))),
            // Buckets refuse every range of an empty object.
            Err(fault) => match self.fault("read from", name, fault) {
                fault if fault.kind() == Kind::NotFound => Err(fault),
                fault => match self.size(name) {
                    Ok(Some(0)) => Ok((Bytes::new(), 0)),
                    _ => Err(fault),
                },
            },
        }
    }

    fn list(&self, folder: &str) -> Result<Listing> {
        let prefix = if folder.is_empty() { Key::default() } else { self.key(folder)? };
        let answer = self.run(|store| async move { store.list_with_delimiter(Some(&prefix)).await });
        let listed = match answer {
            Ok(listed) => listed,
            Err(fault) => match self.fault("read from", folder, fault) {
                fault if fault.kind() == Kind::NotFound => return Ok(Listing::default()),
                fault => return Err(fault),
            },
        };
        let last = |key: &Key| key.filename().unwrap_or_default().to_owned();
        let mut folders: Vec<String> = listed.common_prefixes.iter().map(last).collect();
        let mut objects: Vec<ObjectMeta> = listed
            .objects
            .iter()
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

    fn size(&self, name: &str) -> Result<Option<u64>> {
        let key = self.key(name)?;
        match self.run(|store| async move { store.head(&key).await }) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(fault) => match self.fault("read from", name, fault) {
                fault if fault.kind() == Kind::NotFound => Ok(None),
                fault => Err(fault),
            },
        }
    }

    fn delete(&self, name: &str) -> Result<()> {
        let key = self.key(name)?;
        match self.run(|store| async move { store.delete(&key).await }) {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(fault) => Err(self.fault("write to", name, fault)),
        }
    }

    fn describe(&self) -> String {
        self.shown.clone()
    }

    fn is_far(&self) -> bool {
        self.settled.is_none()
    }
}

fn generic(source: Box<dyn StdError + Send + Sync>) -> StoreError {
    StoreError::Generic { store: "dagset", source }
}

fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("store").enable_time().build()
    });
    RUNTIME.as_ref().map_err(|fault| io::Error::new(fault.kind(), fault.to_string()))
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls `future` on this thread, which sleeps while there is nothing to do.
fn wait<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
#[path = "backend_tests.rs"]
mod tests;
