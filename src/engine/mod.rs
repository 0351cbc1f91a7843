//! One documented method per user operation: the façade that the command line calls, and that a binding or a page would.
//!
//! Nothing here prints or reads the environment: what is needed from there comes in [`Settings`]; what there is to say goes out as
//! return values, and while it runs through the [`Observer`].

use std::path::{Path, PathBuf};

use crate::base::{Observer, RefName, Result};
use crate::history::timeline::Actor;
use crate::workspace::control::Control;

mod audit;
mod begun;
mod cache;
mod caches;
mod check;
mod clone;
mod commit;
mod compared;
mod datasets;
mod deeds;
mod diff;
mod diff_summary;
mod doctor;
mod du;
mod filter;
mod gc;
mod get;
mod get_each;
mod here;
mod ingest;
mod lend;
mod let_go;
mod lineage;
mod list;
mod lock;
mod merge;
mod metadata;
mod mirrored;
mod number;
mod open;
mod oplog;
mod path_log;
mod place;
mod publish;
mod purge;
mod purged;
mod read;
mod ready;
mod refs;
mod remotes;
mod repair;
mod revert;
mod room;
mod scope;
mod sequence;
mod squash;
mod status;
mod stores;
mod switch;
mod tags;
mod thin;
mod transfer;
mod undo;
mod unpurge;
mod uses;
mod verify;
mod views;
mod warm;
mod work_tree;
mod workspace;

pub use crate::cache::{Changes, Hold, Limits, NamedHold, Pruned, Sharing, UnreadHold, View};
pub use crate::flow::by_cache::LinkCounts;
pub use crate::flow::registrar::Often;
pub use crate::flow::repair::Mended;
pub use crate::flow::said::Differing;
pub use crate::flow::thin::Thinned;
pub use crate::flow::verify::{Finding, Report as VerifyReport};
pub use crate::format::attrs::{Attrs, Value};
pub use crate::format::store_file::FORMAT;
pub use crate::format::tombstone::Tombstone;
pub use crate::history::fold::LetGo;
pub use crate::history::guard::Reason;
pub use crate::store::access::{Access, Patience, StoreSettings};
pub use crate::store::address::{Address, Location, RefBase, RefExpr, Step, refuse_secret};
pub use crate::tree::grouping::Grouping;
pub use crate::tree::merge::Did;
pub use crate::tree::share::Share;
pub use audit::{Audit, BrokenChain};
pub use begun::Ways;
pub use cache::{CacheCard, CacheList, CacheVerified};
pub use caches::{CachePlace, HoldBy};
pub use check::{CheckStep, StepOutcome, StoreCheck};
pub use clone::{CloneOptions, CloneReport, PullReport, Upstream};
pub use commit::CommitOptions;
pub use datasets::{CopiedDataset, DeleteOptions, DeletedDataset, RenamedDataset};
pub use deeds::{Deed, LogRecord, Point, What};
pub use diff::{DiffEntry, DiffReport, Rename};
pub use diff_summary::{DiffCounts, DiffSummary};
pub use doctor::{Checkup, DoctorOptions, Health};
pub use du::{StoreUsage, VersionUsage};
pub use filter::{FileFilter, Filter};
pub use gc::{DEFAULT_GRACE, GcOptions, GcReport, GcStep, GcVersion};
pub use get::{GetOptions, GetReport, LinkMode};
pub use ingest::{IngestOptions, LeftOutPath};
pub use lineage::{Lineage, LineageEdge, LineageVersion};
pub use list::{DatasetCard, DatasetSort, ListOptions, ListedTag, ListedVersion};
pub use lock::{LOCK_FILE, PinReport, Pinned, RefreshReport};
pub use merge::{
    Aborted, DoneBy, How, Kept, MergeConflict, MergeOptions, MergeParent, MergeReport, MergeRule, MergeSide, Resolved,
    Why, WhyStep,
};
pub use metadata::{Metadata, no_key};
pub use number::Bump;
pub use open::{Missing, Opener};
pub use oplog::LogPage;
pub use path_log::{PathChange, PathStep};
pub use publish::{Published, Tagged};
pub use purge::{CachePurge, Elsewhere, PurgeOptions, PurgeReport, PurgedContent, PurgedVersion};
pub use purged::PurgedPath;
pub use read::{ListedEntry, ListedKind, Stated};
pub use ready::Ready;
pub use refs::{GoneParent, LogOptions, RefKind, RefRow, VersionCard};
pub use remotes::RemoteCard;
pub use repair::{RepairOptions, RepairReport};
pub use revert::META_REVERTS;
pub use sequence::Until;
pub use squash::{SquashOptions, Squashed};
pub use status::{ConflictStatus, MergeStatus, Status};
pub use stores::StoreInfo;
pub use switch::Switched;
pub use tags::{NamedVersion, TagAt, TagMove};
pub use thin::ThinReport;
pub use transfer::{FetchReport, MovedRef, PushOptions, PushReport, SaidReport};
pub use undo::UndoReport;
pub use unpurge::UnpurgeReport;
pub use uses::{Run, UseCard, UseOptions, UseReport, UsesOptions, UsesReport};
pub use verify::{VerifyOptions, VerifySince};
pub use warm::{WarmOptions, WarmReport};
pub use workspace::{InitOptions, Initialised};

/// What the library would otherwise have to ask the environment for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Relative paths are taken from here.
    pub folder: PathBuf,
    /// What `~/` stands for.
    pub home: Option<PathBuf>,
    /// Who versions are by.
    pub author: String,
    /// Host, user, tool, command, CI job: recorded with versions. Empty: none is to be recorded, and git isn't asked either.
    pub provenance: Attrs,
    /// The store that a bare dataset name is looked for in.
    pub default_store: Option<String>,
    /// Threads.
    pub jobs: usize,
    /// How stores in clouds are reached.
    pub access: Access,
    /// A folder on local disk for what can always be rebuilt.
    pub state_folder: Option<PathBuf>,
    /// The caches that are asked, in order.
    pub caches: Vec<CachePlace>,
    /// The cache of this user alone, filled where none of the others can be.
    pub user_cache: Option<PathBuf>,
}

/// The operations, with the settings and the observer that they share.
#[derive(Clone)]
pub struct Engine {
    pub settings: Settings,
    pub observer: Observer,
    opener: Opener,
    often: Often,
    /// The stores that are being completed by what is opened here: none of them is completed from itself.
    borrowers: Vec<PathBuf>,
}

impl Engine {
    /// An engine for one command.
    pub fn new(mut settings: Settings, observer: Observer) -> Engine {
        settings.access.remotes.extend(workspace_remotes(&settings.folder));
        let opener = Opener::reaching(observer.clone());
        Engine::with_opener(settings, observer, opener)
    }

    /// An engine that opens stores in a way of the caller's.
    pub fn with_opener(settings: Settings, observer: Observer, opener: Opener) -> Engine {
        Engine { settings, observer, opener, often: Often::default(), borrowers: Vec::new() }
    }

    /// The same engine, registering long work this often.
    pub fn registering(self, often: Often) -> Engine {
        Engine { often, ..self }
    }

    fn actor(&self) -> Actor {
        Actor { name: self.settings.author.clone(), context: self.settings.provenance.clone() }
    }

    /// Where what is made now comes from: what the settings say, and the commit of the working folder, which knows more than a CI job's.
    fn provenance(&self) -> Attrs {
        let mut attrs = self.settings.provenance.clone();
        if !attrs.is_empty() {
            attrs.0.extend(work_tree::describe(&self.settings.folder).0);
        }
        attrs
    }

    /// A path of the user's, made absolute by the working folder.
    fn path(&self, path: &Path) -> PathBuf {
        self.settings.folder.join(path)
    }
}

/// How the remotes of the workspace at `folder` are reached, where there is one. A configuration that can't be read says nothing here:
/// every command of the workspace fails by it.
fn workspace_remotes(folder: &Path) -> Vec<(String, StoreSettings)> {
    let config = Control::find(folder).and_then(|workspace| workspace.config().ok());
    let remotes = config.into_iter().flat_map(|config| config.remotes.into_values());
    remotes.map(|remote| (remote.url, remote.settings)).collect()
}

/// The tool, as it signs what it writes.
pub const TOOL: &str = concat!("dagset ", env!("CARGO_PKG_VERSION"));

/// Parses `KEY=VALUE` pairs of a command line: numbers, `true`, `false` and `null` are typed, all else is text; a value in double quotes is
/// the text between them.
pub fn parse_metadata(pairs: &[String]) -> Result<Attrs> {
    let typed = |text: &str| match text {
        "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ if text.len() >= 2 && text.starts_with('"') && text.ends_with('"') => {
            Value::Text(text[1..text.len() - 1].to_owned())
        }
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => Value::Int(number),
            // A number of many digits is somebody's id, and no digit of it may go.
            _ if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => Value::Text(text.to_owned()),
            (_, Ok(number)) if number.is_finite() => Value::Float(number),
            _ => Value::Text(text.to_owned()),
        },
    };
    let pair = |pair: &String| match pair.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), typed(value))),
        _ => Err(crate::base::Error::usage(format!("not KEY=VALUE: {pair:?}"))),
    };
    pairs.iter().map(pair).collect()
}

/// Parses names that a user chose.
fn ref_names(texts: &[String]) -> Result<Vec<RefName>> {
    texts.iter().map(|text| RefName::new(text)).collect()
}
