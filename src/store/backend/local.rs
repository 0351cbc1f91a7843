//! Stores on this machine: in a folder, and in memory.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{Error as StoreError, ObjectStore};

use super::super::fault::{classify, io_cause, is_loop, refused};
use super::super::folder::{self, Settled};
use super::super::objects::{Belongs, Bucket, Created, Listing, ObjectMeta};
use super::super::probe::FileSystem;
use super::super::strangers::in_the_way;
use super::runtime::{runtime, wait};
use super::{Asked, Backend, Fault, Reach, generic};
use crate::base::{Error, Kind, Result, Time, files};

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
    bucket(Arc::new(InMemory::new()), None, "memory://".to_owned())
}

fn bucket(store: Arc<dyn ObjectStore>, settled: Option<Settled>, shown: String) -> Bucket {
    Bucket::new(Backend { reach: Reach::Local(Local { store, settled }), prefix: Key::default(), shown })
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
    Ok(bucket(Arc::new(store), Some(Settled::new(root)), path.display().to_string()))
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

/// Objects on this machine.
pub(super) struct Local {
    store: Arc<dyn ObjectStore>,
    /// `Some` for a folder.
    settled: Option<Settled>,
}

impl Local {
    /// Whether they are files; else they are in memory.
    pub(super) fn is_folder(&self) -> bool {
        self.settled.is_some()
    }

    /// Whether they are files of a file system that is known, and that no other machine writes to.
    pub(super) fn is_on_own_disk(&self) -> bool {
        let is_own = |system: FileSystem| system.name.is_some() && !system.is_shared;
        self.settled.as_ref().is_some_and(|settled| FileSystem::of(settled.root()).is_ok_and(is_own))
    }

    /// Runs the future that `make` makes of the store, once.
    pub(super) fn run<T, F, Fut>(&self, asked: &Asked<'_>, make: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: Fn(Arc<dyn ObjectStore>) -> Fut,
        Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.refuse_special(asked)?;
        let future = make(self.store.clone());
        let ran = match (&self.settled, runtime()) {
            (Some(_), _) => wait(future),
            (None, Ok(runtime)) => wait(runtime.spawn(future)).unwrap_or_else(|fault| Err(fault.into())),
            (None, Err(fault)) => Err(generic(fault.into())),
        };
        ran.map_err(|fault| self.fault(asked, fault))
    }

    /// A FIFO in the place of an object would be waited for, and never end.
    fn refuse_special(&self, asked: &Asked<'_>) -> Result<(), Fault> {
        let Some(settled) = self.settled.as_ref().filter(|_| asked.doing == "read from") else { return Ok(()) };
        match files::check_regular(&settled.root().join(asked.name)) {
            // A folder is listed; what isn't there, or can't be looked at, is said by the request itself.
            Err(fault) if fault.kind() == io::ErrorKind::InvalidInput && !settled.root().join(asked.name).is_dir() => {
                in_the_way(settled.root(), asked.name, Belongs::Object, asked.shown)
                    .map_or(Ok(()), |stranger| Err(Fault::Other(stranger)))
            }
            _ => Ok(()),
        }
    }

    /// Refuses what stands in the place of a folder that is to be listed.
    pub(super) fn check_folder(&self, folder: &str, shown: &str) -> Result<()> {
        let Some(settled) = &self.settled else { return Ok(()) };
        in_the_way(settled.root(), folder, Belongs::Folder, shown).map_or(Ok(()), Err)
    }

    /// What is in a folder besides links that lead to themselves, if such a link is in it: it ends an ordinary list.
    pub(super) fn list_past_loops(&self, folder: &str) -> Option<Listing> {
        let folder = self.settled.as_ref()?.root().join(folder);
        let mut listing = Listing::default();
        let mut has_loop = false;
        for (name, is_folder) in folder::entries(&folder).ok()? {
            if is_folder {
                listing.folders.push(name);
                continue;
            }
            match folder.join(&name).metadata() {
                Ok(meta) => {
                    let modified = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_millis();
                    let modified = Time(i64::try_from(modified).ok()?);
                    listing.objects.push(ObjectMeta { name, bytes: meta.len(), modified });
                }
                Err(fault) if is_loop(fault.kind()) => has_loop = true,
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
                Err(_) => return None,
            }
        }
        listing.folders.sort_unstable();
        listing.objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        has_loop.then_some(listing)
    }

    /// What [`Objects::list_below`](super::super::objects::Objects::list_below) gives of a folder.
    pub(super) fn last_below(&self, folder: &str, shown: &str) -> Result<Vec<String>> {
        self.check_folder(folder, shown)?;
        let Some(settled) = &self.settled else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        let mut folders = Vec::new();
        match folder::entries(&settled.root().join(folder)) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(names),
            entries => {
                for (name, is_folder) in entries.map_err(|fault| unreadable(fault, folder, shown))? {
                    if is_folder { folders.push(name) } else { names.push(name) }
                }
            }
        }
        folders.sort_unstable();
        for name in folders.into_iter().rev() {
            let inner = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let below = self.last_below(&inner, shown)?;
            let found: Vec<_> = below.iter().map(|below| format!("{name}/{below}")).collect();
            if below.iter().any(|below| !below.ends_with('/')) {
                return Ok(found);
            }
            names.extend(if found.is_empty() { vec![format!("{name}/")] } else { found });
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What a failed request means.
    fn fault(&self, asked: &Asked<'_>, fault: StoreError) -> Fault {
        let Asked { doing, name, shown, .. } = *asked;
        let failed =
            |kind: Kind, fault| Error::new(kind, format!("cannot {doing} the store {shown}: {name}")).because(fault);
        if let StoreError::AlreadyExists { .. } = fault {
            return Fault::Exists;
        }
        // What seems absent, or can't be written, may have a stranger in its way.
        let is_absent = |kind| matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) || is_loop(kind);
        let absent = io_cause(&fault).is_some_and(|(kind, _)| is_absent(kind));
        let stranger = self.settled.as_ref().and_then(|settled| match doing {
            "read from" if absent => in_the_way(settled.root(), name, Belongs::Object, shown),
            "write to" => in_the_way(settled.root(), folder::parent(name), Belongs::Folder, shown),
            _ => None,
        });
        if let Some(stranger) = stranger {
            return Fault::Other(stranger);
        }
        Fault::Other(match io_cause(&fault) {
            Some((io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, _)) if doing != "write to" => {
                return Fault::Absent;
            }
            // The chain of an error prints its causes twice; the innermost says it all.
            Some((kind, cause)) => classify(kind, doing, shown).because(format!("{name}: {cause}")),
            None => match fault {
                StoreError::NotFound { .. } => return Fault::Absent,
                StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
                    refused(doing, shown).because(fault)
                }
                StoreError::JoinError { .. } => failed(Kind::Failed, fault),
                fault if self.settled.is_some() => failed(Kind::Failed, fault),
                fault => failed(Kind::Unreachable, fault),
            },
        })
    }

    /// Looks for a folder's root, which a create would otherwise make anew.
    pub(super) fn before_create(&self, name: &str, shown: &str) -> Result<()> {
        let Some(settled) = &self.settled else { return Ok(()) };
        settled.check_root(name).map_err(|fault| unwritable(fault, shown))
    }

    /// Moves what stands in the place of an object and is no file, or of a folder and is none.
    pub(super) fn move_stranger(&self, name: &str, belongs: Belongs, to: &str) -> Result<bool> {
        let Some(root) = self.settled.as_ref().map(Settled::root) else { return Ok(false) };
        let from = root.join(name);
        let is_right = from.metadata().is_ok_and(|meta| match belongs {
            Belongs::Folder => meta.is_dir(),
            Belongs::Object => meta.is_file(),
        });
        // A link that leads nowhere is there, too.
        if is_right || from.symlink_metadata().is_err() {
            return Ok(false);
        }
        self.check_folder(folder::parent(to), &root.display().to_string())?;
        let to = root.join(to);
        to.parent().map_or(Ok(()), files::create_folders)?;
        files::rename(&from, &to)?;
        Ok(true)
    }

    /// A bucket's folder is gone with its last object; so is that of a trial here.
    pub(super) fn after_delete(&self, name: &str) {
        if let Some(settled) = &self.settled {
            settled.tidy(name);
        }
    }

    /// Makes durable what a folder's backend leaves out.
    pub(super) fn after_create(&self, name: &str, created: Created, shown: &str) -> Result<()> {
        let Some(settled) = &self.settled else { return Ok(()) };
        let settle = || {
            match created {
                Created::Exists => settled.settle_entry(name)?,
                Created::New => settled.share(name)?,
            }
            settled.settle(name)
        };
        settle().map_err(|fault| unwritable(fault, shown))
    }
}

fn unreadable(fault: io::Error, folder: &str, shown: &str) -> Error {
    classify(fault.kind(), "read from", shown).because(format!("{folder}: {fault}"))
}

fn unwritable(fault: io::Error, shown: &str) -> Error {
    classify(fault.kind(), "write to", shown).because(fault)
}
