//! `lock`: the versions that a project uses, pinned in a file that is committed with it, and addresses of just these.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::base::files::{self, Durability};
use crate::base::{DatasetName, Error, Id, RefName, Result};
use crate::format::lock_file::{LockFile, MAX_BYTES, Pin};
use crate::history::refs::DEFAULT_BRANCH;
use crate::store::address::{RefBase, RefExpr, is_remote, refuse_secret};

use super::open::Target;
use super::read::check_path;
use super::{Address, Engine, Location};

/// What a lock file is called where no other name is given.
pub const LOCK_FILE: &str = "dagset.lock";

/// So many links are followed, as by the system.
const MOST_LINKS: usize = 40;

/// A version as a lock file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    pub version: Id,
    pub name: Option<RefName>,
    pub manifest: Id,
}

/// A pin, and how what it asks for stands to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinReport {
    /// Under which it is pinned.
    pub pin: String,
    pub dataset: String,
    /// What was asked for.
    pub reference: String,
    /// `None`: it is pinned for the first time.
    pub before: Option<Pinned>,
    pub now: Pinned,
}

impl PinReport {
    /// Whether what was asked for isn't what is pinned: another version by now, or its manifest isn't the one that the file says.
    pub fn moved(&self) -> bool {
        let pinned = |it: &Pinned| (it.version, it.manifest);
        self.before.as_ref().is_some_and(|before| pinned(before) != pinned(&self.now))
    }
}

impl Engine {
    /// Pins the versions that addresses mean now, each by its dataset's name, or one of them by `name`. Other pins of the file stay.
    pub fn lock(&self, addresses: &[Address], file: &Path, name: Option<&str>) -> Result<Vec<PinReport>> {
        let file = behind_links(&self.path(file))?;
        let mut lock = read_or_new(&file)?;
        let mut reports: Vec<PinReport> = Vec::new();
        if name.is_some() && addresses.len() != 1 {
            return Err(Error::usage("--name is the name of one pin, and there are several addresses")
                .hint("lock them one by one"));
        }
        for address in addresses {
            let target = self.open_target(address)?;
            let key = name.map(DatasetName::new).transpose()?.unwrap_or_else(|| target.dataset.clone());
            if reports.iter().any(|report| report.pin == key.as_str()) {
                return Err(Error::usage(format!("two addresses would be pinned as {key}"))
                    .hint("lock one of them by itself, as `dagset lock ADDRESS --name NAME`"));
            }
            let pin = self.pin_of(&target, &file)?;
            reports.push(report(&key, lock.pins.get(&key), &pin));
            lock.pins.insert(key, pin);
        }
        write(&file, &lock)?;
        Ok(reports)
    }

    /// Looks what the pins ask for means now; with `update`, that is pinned from now on. Without names: all of them.
    pub fn refresh_lock(&self, file: &Path, names: &[String], update: bool) -> Result<Vec<PinReport>> {
        let file = behind_links(&self.path(file))?;
        let mut lock = read(&file)?;
        let mut reports = Vec::new();
        for key in chosen(&lock, names, &file)? {
            let old = lock.pins[&key].clone();
            let reference = old.reference.as_deref().map(RefExpr::parse).transpose()?;
            let target = self.open_target(&self.address_of(&old, &file, reference)?)?;
            let version = target.version().and_then(|version| check_path(&target).map(|()| version));
            let version = version.map_err(|fault| fault.within(format!("the pin {key} can't be followed")))?;
            let now = Pin {
                version: version.row.version,
                name: target.dataset()?.name_of(&version.row.version).cloned(),
                manifest: version.row.manifest,
                ..old.clone()
            };
            reports.push(report(&key, Some(&old), &now));
            lock.pins.insert(key, now);
        }
        if update {
            write(&file, &lock)?;
        }
        Ok(reports)
    }

    /// The pins of these names, or all, with addresses that mean their versions and nothing else.
    pub fn locked(&self, file: &Path, names: &[String]) -> Result<Vec<(String, Address)>> {
        let file = behind_links(&self.path(file))?;
        let lock = read(&file)?;
        let address = |key: DatasetName| {
            let pin = &lock.pins[&key];
            let base = RefBase::Pinned { version: pin.version, manifest: pin.manifest };
            let address = self.address_of(pin, &file, Some(RefExpr { base, steps: Vec::new() }))?;
            Ok((key.to_string(), address))
        };
        chosen(&lock, names, &file)?.into_iter().map(address).collect()
    }

    fn address_of(&self, pin: &Pin, file: &Path, reference: Option<RefExpr>) -> Result<Address> {
        refuse_secret(&pin.store, "a store's URL in a lock file")?;
        let store = match pin.store.strip_prefix("./") {
            Some(below) => folder_of(file).join(below).to_string_lossy().into_owned(),
            None => pin.store.clone(),
        };
        let text = format!("{}//{}", store.trim_end_matches('/'), pin.dataset);
        Ok(Address { location: Location::Store { text }, reference, path: pin.path.clone() })
    }

    fn pin_of(&self, target: &Target, file: &Path) -> Result<Pin> {
        let version = target.version()?;
        check_path(target)?;
        let asked = target.reference.as_ref().map(ToString::to_string);
        // In a workspace no REF is its own version, which nobody else can follow.
        let own = Some(&target.default_reference).filter(|own| asked.is_none() && *own != DEFAULT_BRANCH);
        Ok(Pin {
            store: self.store_beside(&target.store.root, file),
            dataset: target.dataset.clone(),
            reference: asked.or_else(|| own.cloned()),
            path: target.path.clone().filter(|path| !path.is_empty()),
            version: version.row.version,
            name: target.dataset()?.name_of(&version.row.version).cloned(),
            manifest: version.row.manifest,
        })
    }

    /// The store's URL or path; one below the lock file's folder from there, so that it holds wherever the project is checked out.
    fn store_beside(&self, root: &str, file: &Path) -> String {
        let absolute = self.absolute(root);
        if is_remote(root) {
            return absolute;
        }
        match Path::new(&absolute).strip_prefix(folder_of(file)) {
            Ok(below) => format!("./{}", below.display()),
            Err(_) => absolute,
        }
    }
}

/// The file that a path leads to, there or not: that is what is replaced, and stores are named from its folder, so that links to it stay
/// links and mean what it means.
fn behind_links(file: &Path) -> Result<PathBuf> {
    let mut file = file.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&file) {
            Ok(target) => file = folder_of(&file).join(target),
            Err(_) => return Ok(file),
        }
    }
    Err(Error::usage(format!("{} is a link in a circle", file.display())))
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("/")).components().collect()
}

fn report(key: &DatasetName, before: Option<&Pin>, now: &Pin) -> PinReport {
    let pinned = |pin: &Pin| Pinned { version: pin.version, name: pin.name.clone(), manifest: pin.manifest };
    PinReport {
        pin: key.to_string(),
        dataset: now.dataset.to_string(),
        reference: now.reference.clone().unwrap_or_else(|| DEFAULT_BRANCH.to_owned()),
        before: before.map(pinned),
        now: pinned(now),
    }
}

fn chosen(lock: &LockFile, names: &[String], file: &Path) -> Result<Vec<DatasetName>> {
    if let Some(name) = names.iter().find(|name| !lock.pins.keys().any(|key| key.as_str() == name.as_str())) {
        let known: Vec<&str> = lock.pins.keys().map(DatasetName::as_str).collect();
        return Err(Error::not_found(format!("{} pins no {name}", file.display())).hint(match known[..] {
            [] => "`dagset lock ADDRESS` pins a dataset".to_owned(),
            _ => format!("it pins {}; `dagset lock ADDRESS` pins another", known.join(", ")),
        }));
    }
    let is_chosen = |key: &&DatasetName| names.is_empty() || names.iter().any(|name| name == key.as_str());
    Ok(lock.pins.keys().filter(is_chosen).cloned().collect())
}

fn read(file: &Path) -> Result<LockFile> {
    let missing = || {
        Error::not_found(format!("there is no {}", file.display())).hint("`dagset lock ADDRESS…` pins datasets in one")
    };
    let len = match fs::metadata(file) {
        Ok(meta) => meta.len(),
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Err(missing()),
        Err(fault) => return Err(Error::io("read", file, fault)),
    };
    if len > MAX_BYTES as u64 {
        return Err(Error::usage(format!("{} is no lock file: it has {len} bytes", file.display())));
    }
    let text = fs::read_to_string(file).map_err(|fault| Error::io("read", file, fault))?;
    LockFile::parse(&text).map_err(|fault| fault.within(format!("cannot use {}", file.display())))
}

fn read_or_new(file: &Path) -> Result<LockFile> {
    if file.symlink_metadata().is_ok() { read(file) } else { Ok(LockFile::default()) }
}

/// Writes the file, unless it says the same already.
fn write(file: &Path, lock: &LockFile) -> Result<()> {
    let text = lock.encode()?;
    match fs::read_to_string(file) {
        Ok(present) if present == text => Ok(()),
        _ => files::write_file(file, text.as_bytes(), Durability::Synced),
    }
}
