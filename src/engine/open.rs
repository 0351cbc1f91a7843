//! From an address to an open store, a dataset, a version, a path.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{DatasetName, Error, Event, Id, Kind, Observer, Result};
use crate::format::header::ObjectKind;
use crate::format::store_file::StoreFile;
use crate::history::fold::{Dataset, Fold, Gone, VersionState};
use crate::history::local_copy::LocalCopy;
use crate::history::refs::{self, DEFAULT_BRANCH};
use crate::history::timeline::Timeline;
use crate::store::access::Access;
use crate::store::address::{Address, Location, RefBase, RefExpr, divide, is_remote, without_mark};
use crate::store::backend;
use crate::store::content::Content;
use crate::store::locate::{Located, Meant, candidates, locate, place_for_creation, read_store_file};
use crate::store::nested::{stores_in_bucket, stores_in_folder};
use crate::store::objects::Bucket;
use crate::store::offline::Offline;
use crate::store::recording::Recording;
use crate::tree::manifest::Manifest;
use crate::workspace::control::Control;

use super::Engine;

/// Bytes that are read with a manifest's root: fewer than come from a bucket in the time of another request.
const BEFORE_ROOT_BYTES: u32 = 128 << 10;

/// What opening does where the folder of a store isn't there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It fails as [`Kind::NotFound`].
    Fails,
    /// It makes the folder: a store is about to be created.
    IsMade,
}

/// Stores that a hint names.
const SHOWN_STORES: usize = 3;

/// Where a workspace has the store that is embedded in it.
const EMBEDDED_STORE: &str = "/.dagset/store";

/// How an engine comes from the path or URL of a store to its objects; cheap to clone.
///
/// The default reaches what this build can reach. A caller that gives another decorates every store that is opened, or serves
/// stores of its own.
#[derive(Clone)]
pub struct Opener(Arc<Open>);

type Open = dyn Fn(&str, Missing, &Access) -> Result<Bucket> + Send + Sync;

impl Opener {
    /// Opens by `open`; relative paths have been made absolute when it is called.
    pub fn new(open: impl Fn(&str, Missing) -> Result<Bucket> + Send + Sync + 'static) -> Opener {
        Opener(Arc::new(move |root, missing, _| open(root, missing)))
    }

    /// Opens whatever this build can reach, the way that the engine's settings say; what a backend counts itself goes to `observer`.
    pub fn reaching(observer: Observer) -> Opener {
        Opener(Arc::new(move |root, missing, access| match missing {
            Missing::Fails => backend::open(root, access, &observer),
            Missing::IsMade => backend::open_or_create(root, access, &observer),
        }))
    }

    fn open(&self, root: &str, missing: Missing, access: &Access) -> Result<Bucket> {
        (self.0)(root, missing, access)
    }
}

impl Default for Opener {
    fn default() -> Opener {
        Opener::reaching(Observer::new())
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

/// A store with its log folded.
pub struct OpenStore {
    /// Its path or URL as the user wrote it.
    pub root: String,
    pub file: StoreFile,
    pub timeline: Timeline,
    pub content: Content,
}

impl OpenStore {
    /// The manifest of a version.
    pub fn manifest(&self, state: &VersionState) -> Manifest<'_> {
        self.content.prefetch_root(ObjectKind::MetaPack, &state.row.manifest_place.frame, BEFORE_ROOT_BYTES);
        Manifest::new(&self.content, state.row.manifest, Some(state.row.manifest_place))
    }

    /// The next command for who asks for a dataset that isn't here; `new_name` gives that for one with another name, from it and the
    /// store's root.
    pub fn where_it_went(&self, dataset: &DatasetName, new_name: impl Fn(&DatasetName, &str) -> String) -> String {
        let root = self.root.trim_end_matches('/');
        match self.timeline.fold().gone(dataset) {
            Some(Gone::Deleted { record }) => format!("`dagset undo {root} {record}` brings it back"),
            Some(Gone::Renamed { to, .. }) => new_name(to, root),
            None => format!("`dagset list {}` shows the datasets", self.root),
        }
    }
}

/// The identity of a store that is being made.
fn new_store_file() -> Result<StoreFile> {
    Ok(StoreFile {
        store: crate::base::files::random_bytes()?,
        created: crate::base::Time::now(),
        tool: super::TOOL.to_owned(),
    })
}

/// What a store holds as of the newest record that was read.
fn content_of(timeline: &Timeline) -> Content {
    let fold = timeline.fold();
    let content = Content::new(timeline.bucket().clone(), fold.indexes.values().cloned().collect());
    let condemned = fold.condemned.packs.keys().copied().collect();
    content
        .as_of(fold.number, condemned)
        .void_before(fold.void_before)
        .without(fold.expelled.clone())
        .without_content_of(fold.let_go.keys().copied())
}

/// A dataset in an open store, and what else the address says.
pub struct Target {
    pub store: OpenStore,
    pub dataset: DatasetName,
    pub reference: Option<RefExpr>,
    /// The path as written; `Some("")` is the root.
    pub path: Option<String>,
    /// The address as it was written, without the path; empty for the workspace's own version.
    pub shown: String,
    /// What no REF means.
    pub default_reference: String,
}

impl Target {
    /// The dataset, or an error that says that it isn't there.
    pub fn dataset(&self) -> Result<&Dataset> {
        let fold = self.store.timeline.fold();
        fold.dataset(&self.dataset).map_err(|fault| {
            let new_name = |to: &DatasetName, root: &str| match self.shown.is_empty() {
                true => format!("`dagset dataset use {to}` makes this workspace one of {to}"),
                false => format!("write {root}//{to}"),
            };
            fault.hint(self.store.where_it_went(&self.dataset, new_name))
        })
    }

    /// Goes on to the name that the dataset has now, where it was renamed.
    pub fn follow_rename(&mut self) -> bool {
        let fold = self.store.timeline.fold();
        let is_gone = !fold.datasets.contains_key(&self.dataset);
        let Some(Gone::Renamed { to, .. }) = fold.gone(&self.dataset).filter(|_| is_gone) else { return false };
        self.dataset = to.clone();
        true
    }

    /// The version that the address means.
    pub fn version(&self) -> Result<&VersionState> {
        self.version_at(self.reference.as_ref())
    }

    /// The version that another address of the same dataset means by its REF.
    pub fn version_at(&self, reference: Option<&RefExpr>) -> Result<&VersionState> {
        let reference = reference.cloned().unwrap_or_else(default_reference);
        self.dataset()?;
        let id = refs::resolve(self.store.timeline.fold(), &self.dataset, &reference, &self.default_reference)?;
        self.version_state(&id)
    }

    /// The version with this id: one of the dataset, or of another one from which it came.
    pub fn version_state(&self, id: &Id) -> Result<&VersionState> {
        Ok(&self.home_of(id)?.1.versions[id])
    }

    /// The dataset that has a version: this one, or another one from which it came.
    pub fn home_of(&self, id: &Id) -> Result<(&DatasetName, &Dataset)> {
        self.dataset()?;
        let fold = self.store.timeline.fold();
        fold.home_of(id, &self.dataset).ok_or_else(|| refs::missing_version(fold, &self.dataset, id))
    }

    /// A command about this version, for a hint: `dagset ls ./store/signs@1.0`.
    pub fn command(&self, words: &str) -> String {
        format!("`dagset {words} {}", self.shown).trim_end().to_owned() + "`"
    }

    /// The path without slashes at its ends; empty for the root.
    pub fn folder(&self) -> &str {
        self.path.as_deref().unwrap_or("").trim_matches('/')
    }
}

/// The command that makes a store at a place.
pub(super) fn create_hint(place: &str) -> String {
    format!("dagset store create {}", place.trim_end_matches('/'))
}

fn default_reference() -> RefExpr {
    RefExpr { base: RefBase::Default, steps: Vec::new() }
}

impl Engine {
    /// Opens the store that `text` begins with; what follows is given back.
    pub(super) fn open_store(&self, text: &str) -> Result<(OpenStore, Option<String>)> {
        self.open_meant(text, Meant::Store, |_, _| false)
    }

    /// As [`Engine::open_store`], for a text that names a dataset too, unless it is wrong.
    pub(super) fn open_store_around(&self, text: &str) -> Result<(OpenStore, Option<String>)> {
        self.open_meant(text, Meant::Dataset, |_, _| false)
    }

    /// `is_enough` is asked whether the log is wanted only as far as lists show it, by its fold and what follows the store in the text.
    fn open_meant(
        &self,
        text: &str,
        meant: Meant,
        is_enough: impl Fn(&Fold, Option<&str>) -> bool,
    ) -> Result<(OpenStore, Option<String>)> {
        let text = &*self.store_meant(text)?;
        if let Some(opened) = self.open_mirrored(text)? {
            return Ok(opened);
        }
        let located = self.locate_meant(text, meant)?;
        let file = StoreFile::parse(&located.store_file, &located.store_root)?;
        let newest = self.newest_of(&located.store_root, file.store);
        let (bucket, observer) = (located.bucket.clone(), self.observer.clone());
        let is_enough = |fold: &Fold| is_enough(fold, located.rest.as_deref());
        let mut timeline = Timeline::open_for(bucket, file.store, observer, is_enough)?;
        if let Some(newest) = newest {
            timeline.remember_in(newest)?;
        }
        if let Some(mirror) = self.mirror_of(&located.store_root) {
            timeline.keep_in(LocalCopy::new(mirror, located.store_file.to_vec(), self.observer.clone()));
        }
        Ok((self.open_store_of(&located.store_root, file, timeline)?, located.rest))
    }

    /// A store whose log was read.
    pub(super) fn open_store_of(&self, root: &str, file: StoreFile, timeline: Timeline) -> Result<OpenStore> {
        let content = self.content_at(root, &timeline)?;
        Ok(OpenStore { root: root.to_owned(), file, timeline, content })
    }

    /// What the store at `root` holds as of the newest record that was read, with what is kept of it here and what it borrows.
    pub(super) fn content_at(&self, root: &str, timeline: &Timeline) -> Result<Content> {
        let mut content = content_of(timeline);
        if let Some(mirror) = self.mirror_of(root) {
            content.keep_indexes_in(mirror.index_folder(), &self.observer);
            content.keep_frames_in(mirror.frame_folder(), &self.observer);
        }
        self.borrow_for(root, &mut content)?;
        let (engine, store) = (self.clone(), root.to_owned());
        content.renew_by(move || Ok(engine.open_store(&store)?.0.content));
        Ok(content)
    }

    /// Finds the store that `text` begins with, without reading its log; a workspace's folder means its home store.
    pub(super) fn locate(&self, text: &str) -> Result<Located> {
        self.locate_meant(&self.store_meant(text)?, Meant::Store)
    }

    fn locate_meant(&self, text: &str, meant: Meant) -> Result<Located> {
        self.locate_as_written(text, meant).map_err(|fault| match fault.kind() {
            Kind::NotFound => self.hint_at_stores(text, fault),
            _ => fault,
        })
    }

    fn locate_as_written(&self, text: &str, meant: Meant) -> Result<Located> {
        locate(text, meant, |root| self.open_objects(root, Missing::Fails))
    }

    /// Says of a text at which there is no store which ones lie below it, or below where one would be made.
    fn hint_at_stores(&self, text: &str, fault: Error) -> Error {
        let mut roots = vec![candidates(text).first().map_or(text, |(root, _)| *root).to_owned()];
        roots.extend(Some(place_for_creation(text)).filter(|place| *place != roots[0]));
        let Some(stores) = roots.iter().map(|root| self.stores_below(root)).find(|stores| !stores.is_empty()) else {
            // A store around what is there already would be a trap: the text itself is the better place.
            let place = place_for_creation(text);
            let is_in_use =
                !is_remote(text) && std::fs::read_dir(self.absolute(&place)).is_ok_and(|mut it| it.next().is_some());
            return if is_in_use && !text.contains("//") { fault.hint(create_hint(text)) } else { fault };
        };
        let more = stores.len().saturating_sub(SHOWN_STORES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown = stores[..stores.len().min(SHOWN_STORES)].join(", ");
        fault.hint(format!("there is {shown}{more}: `dagset list {}` shows its datasets", stores[0]))
    }

    /// The stores that are seen to lie below `root`; see [`crate::store::nested`]. Where no look is allowed, none.
    fn stores_below(&self, root: &str) -> Vec<String> {
        let below = match is_remote(root) {
            true => {
                let bucket = self.open_objects(root, Missing::Fails);
                bucket.and_then(|bucket| stores_in_bucket(&bucket)).unwrap_or_default()
            }
            false => stores_in_folder(Path::new(&self.absolute(root))),
        };
        below.into_iter().map(|store| format!("{}/{store}", root.trim_end_matches('/'))).collect()
    }

    /// Refuses a place around a store: a dataset there could have the name of the store's folder, and not be found.
    pub(super) fn refuse_around_stores(&self, root: &str) -> Result<()> {
        match self.stores_below(root).first() {
            None => Ok(()),
            Some(store) => Err(Error::conflict(format!("the store {store} lies in {root}"))
                .hint("a store can't lie in a store; choose another place")),
        }
    }

    /// The objects at a store's path or URL; what they are asked is counted.
    pub(super) fn open_objects(&self, root: &str, missing: Missing) -> Result<Bucket> {
        if self.settings.access.offline && is_remote(root) {
            return Ok(Bucket::new(Offline(root.to_owned())));
        }
        let bucket = self.opener.open(&self.absolute(root), missing, &self.settings.access)?;
        let recording = match root.ends_with(EMBEDDED_STORE) {
            // A part of the workspace: nobody wants to know how often its files are opened.
            true => Recording::of_stored_bytes(bucket, self.observer.clone()),
            false => Recording::new(bucket, self.observer.clone()),
        };
        Ok(recording.bucket())
    }

    /// A store's text with a relative path made absolute.
    pub(super) fn absolute(&self, root: &str) -> String {
        let is_relative = !root.contains("://") && !root.starts_with('/');
        match is_relative {
            // Without `.` inside it; `..` stays, as what is before it may be a link.
            true => self.settings.folder.join(root).components().collect::<PathBuf>().to_string_lossy().into_owned(),
            false => root.to_owned(),
        }
    }

    /// The text of the store and dataset that an address means.
    pub(super) fn location_text(&self, address: &Address) -> Result<String> {
        match &address.location {
            Location::Store { text } => Ok(text.clone()),
            Location::Dataset(dataset) => {
                if let Some(workspace) = Control::find(&self.settings.folder) {
                    return Ok(format!("{}//{dataset}", workspace.store_text(&workspace.config()?)));
                }
                let store = self.settings.default_store.as_ref().ok_or_else(|| {
                    Error::usage(format!("{dataset} names no store, and there is no default store"))
                        .hint("write STORE/DATASET (a store begins with /, ./, ../, ~/ or scheme://), or `dagset config set default_store STORE`")
                })?;
                Ok(format!("{}//{dataset}", store.trim_end_matches('/')))
            }
            Location::Here => match Control::find(&self.settings.folder) {
                Some(workspace) => {
                    let config = workspace.config()?;
                    Ok(format!("{}//{}", workspace.store_text(&config), config.dataset))
                }
                None => Err(Error::usage("this is no workspace, so the address must name a dataset")
                    .hint("write STORE/DATASET[@REF][:PATH], or `dagset init` here")),
            },
        }
    }

    /// Opens what an address names; it must name a dataset.
    pub(super) fn open_target(&self, address: &Address) -> Result<Target> {
        self.open_target_for(address, |_, _| false)
    }

    /// As [`Engine::open_target`], for who reads a version: where that is called by what never moves, the newest record needn't be known.
    pub(super) fn open_to_read(&self, address: &Address) -> Result<Target> {
        let reference = address.reference.as_ref();
        self.open_target_for(address, |fold, dataset| {
            let known = dataset.and_then(|name| fold.datasets.get(&DatasetName::new(name).ok()?));
            known.zip(reference).is_some_and(|(dataset, reference)| match &reference.base {
                RefBase::Default => false,
                RefBase::Word(word) => dataset.names.keys().any(|name| name.as_str() == word),
                RefBase::Pinned { version, .. } => dataset.versions.contains_key(version),
            })
        })
    }

    fn open_target_for(&self, address: &Address, is_enough: impl Fn(&Fold, Option<&str>) -> bool) -> Result<Target> {
        let text = self.location_text(address)?;
        let (store, rest) = self.open_meant(&text, Meant::Dataset, is_enough)?;
        let dataset = self.dataset_meant(&text, rest)?;
        let default_reference = match address.location {
            Location::Here => self.workspace_reference()?,
            _ => DEFAULT_BRANCH.to_owned(),
        };
        let mut target = Target {
            store,
            dataset,
            reference: address.reference.clone(),
            path: address.path.clone(),
            shown: Address { path: None, ..address.clone() }.to_string(),
            default_reference,
        };
        // What is pinned is one version, whatever its dataset is called.
        let named = target.dataset.clone();
        if address.reference.as_ref().is_some_and(|reference| matches!(reference.base, RefBase::Pinned { .. }))
            && target.follow_rename()
        {
            let now = &target.dataset;
            let told = format!("{named} is called {now} by now; `dagset lock --update` writes that into the lock file");
            self.observer.tell(Event::Warning(told));
        }
        Ok(target)
    }

    /// What no REF means in a workspace: the version that it is based on, else its branch.
    fn workspace_reference(&self) -> Result<String> {
        let state =
            Control::find(&self.settings.folder).map(|workspace| workspace.state()).transpose()?.unwrap_or_default();
        let base = state.at().map(|id| id.to_string());
        Ok(base.or(state.branch.map(|branch| branch.to_string())).unwrap_or_else(|| DEFAULT_BRANCH.to_owned()))
    }

    /// The store at `text`, if its creation was cut off before the first record of its log.
    pub(super) fn unfinished_store(&self, text: &str) -> Result<Option<(String, StoreFile, Bucket)>> {
        let found = match self.locate_as_written(without_mark(text), Meant::Store) {
            Err(fault) if fault.kind() == Kind::NotFound => return Ok(None),
            found => found?,
        };
        if found.rest.is_some() || crate::store::log::head(&found.bucket)? > 0 {
            return Ok(None);
        }
        let file = StoreFile::parse(&found.store_file, &found.store_root)?;
        Ok(Some((found.store_root, file, found.bucket)))
    }

    /// An empty store in memory that stands for the one that would be made at `root`.
    pub(super) fn imagined_store(&self, root: &str) -> Result<OpenStore> {
        let file = new_store_file()?;
        let timeline = Timeline::open(backend::memory(), file.store, self.observer.clone())?;
        let content = content_of(&timeline);
        Ok(OpenStore { root: root.to_owned(), file, timeline, content })
    }

    /// Creates an empty store at `text`; it must not be one already, nor lie in one.
    pub(super) fn make_store(&self, text: &str) -> Result<(String, StoreFile, Bucket)> {
        let root = without_mark(text);
        if let Some((store, dataset)) = divide(root) {
            return Err(Error::usage(format!(
                "`//` parts a store from its dataset, and this is to be a store: {root}"
            ))
            .hint(format!("write its place without: {}/{dataset}", store.trim_end_matches('/'))));
        }
        match self.locate_as_written(root, Meant::Store) {
            Ok(found) if found.rest.is_none() => {
                return Err(Error::conflict(format!("{} is a store already", found.store_root))
                    .hint(format!("`dagset store info {}` shows it", found.store_root)));
            }
            Ok(found) => {
                return Err(Error::conflict(format!("{root} lies in the store {}", found.store_root))
                    .hint("a store can't lie in a store; choose another place"));
            }
            Err(fault) if fault.kind() == Kind::NotFound => self.refuse_around_stores(root)?,
            Err(fault) => return Err(fault),
        }
        let bucket = self.open_objects(root, Missing::IsMade)?;
        // A second identity over another store's log would make both unreadable.
        if crate::store::log::head(&bucket)? > 0 {
            return Err(Error::damaged(format!("{root} has the log of a store, and its dagset.json is missing"))
                .hint("put dagset.json back from a copy of the store, or create the new store in another place"));
        }
        self.refuse_unsafe_place(root, &bucket)?;
        let file = new_store_file()?;
        match bucket.create(crate::store::locate::STORE_FILE, file.encode().into())? {
            crate::store::objects::Created::New => Ok((root.to_owned(), file, bucket)),
            // The echo of an answer that was lost, perhaps.
            crate::store::objects::Created::Exists if read_store_file(&bucket, root)?.0 == file.encode().as_slice() => {
                Ok((root.to_owned(), file, bucket))
            }
            crate::store::objects::Created::Exists => {
                Err(Error::conflict(format!("another process made a store at {root} just now")))
            }
        }
    }
}
