//! The shapes of `--json`. Fields may be added to them; none is ever renamed or taken away within a schema number.

use dagset::base::Id;
use dagset::engine::{
    Attrs, DatasetCard, GoneParent, LetGo, Lineage as FoundLineage, ListedEntry, ListedKind, PathChange, PathStep,
    Pruned, UseCard, Value, VersionCard,
};
use serde::{Serialize, Serializer};

/// The number that every document bears.
pub const SCHEMA: u32 = 1;

/// A document: the schema number, then what it is about.
#[derive(Serialize)]
pub struct Document<T> {
    schema: u32,
    #[serde(flatten)]
    body: T,
}

/// Puts the schema number before an answer.
pub fn document<T: Serialize>(body: T) -> Document<T> {
    Document { schema: SCHEMA, body }
}

/// An id with its 64 digits.
pub fn id(id: &Id) -> String {
    id.to_string()
}

/// What went from a cache.
pub fn pruned(pruned: &Pruned) -> serde_json::Value {
    serde_json::json!({ "files": pruned.files, "bytes": pruned.bytes, "views": pruned.views })
}

/// Metadata, typed.
pub fn attrs(attrs: &Attrs) -> serde_json::Map<String, serde_json::Value> {
    attrs.0.iter().map(|(key, it)| (key.clone(), value(it))).collect()
}

/// A value of metadata.
pub fn value(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
    }
}

/// `ls`, `tree`.
#[derive(Serialize)]
pub struct Entries<'a> {
    pub entries: Vec<Entry<'a>>,
}

/// A path of a version.
#[derive(Serialize)]
pub struct Entry<'a> {
    path: &'a str,
    #[serde(serialize_with = "kind")]
    kind: ListedKind,
    bytes: Option<u64>,
    content: Option<String>,
    executable: bool,
    target: Option<&'a str>,
    purged: Option<serde_json::Value>,
}

impl<'a> From<&'a ListedEntry> for Entry<'a> {
    fn from(entry: &'a ListedEntry) -> Entry<'a> {
        Entry {
            path: &entry.path,
            kind: entry.kind,
            bytes: entry.bytes,
            content: entry.content.as_ref().map(id),
            executable: entry.executable,
            target: entry.target.as_deref(),
            purged: entry.purged.as_ref().map(super::purged::tombstone),
        }
    }
}

fn kind<S: Serializer>(kind: &ListedKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind_name(*kind))
}

/// What a kind of entry is called.
pub fn kind_name(kind: ListedKind) -> &'static str {
    match kind {
        ListedKind::File => "file",
        ListedKind::Symlink => "symlink",
        ListedKind::Folder => "folder",
    }
}

/// `list`.
#[derive(Serialize)]
pub struct Datasets {
    pub datasets: Vec<Dataset>,
}

/// A dataset at a glance.
#[derive(Serialize)]
pub struct Dataset {
    dataset: String,
    version: Option<String>,
    /// That version's.
    name: Option<String>,
    /// `null`, or by which record and when keep rules let that version's content go.
    content_let_go: Option<serde_json::Value>,
    updated: String,
    versions: u64,
    versions_let_go: u64,
    files: u64,
    bytes: u64,
    stored_bytes: u64,
    tags: Vec<DatasetTag>,
    /// The newest version that is published.
    published: Option<Published>,
    meta: serde_json::Map<String, serde_json::Value>,
}

/// A tag of a dataset.
#[derive(Serialize)]
pub struct DatasetTag {
    name: String,
    protected: bool,
    content_let_go: Option<serde_json::Value>,
}

/// A published version of a dataset.
#[derive(Serialize)]
pub struct Published {
    version: String,
    name: Option<String>,
    content_let_go: Option<serde_json::Value>,
}

impl From<&DatasetCard> for Dataset {
    fn from(card: &DatasetCard) -> Dataset {
        Dataset {
            dataset: card.dataset.clone(),
            version: card.version.as_ref().map(id),
            name: card.name.as_ref().map(ToString::to_string),
            content_let_go: card.let_go.map(let_go),
            updated: card.updated.to_string(),
            versions: card.versions,
            versions_let_go: card.versions_let_go,
            files: card.files,
            bytes: card.bytes,
            stored_bytes: card.stored_bytes,
            tags: card
                .tags
                .iter()
                .map(|it| DatasetTag {
                    name: it.tag.to_string(),
                    protected: it.protected,
                    content_let_go: it.let_go.map(let_go),
                })
                .collect(),
            published: card.published.as_ref().map(|it| Published {
                version: id(&it.version),
                name: it.name.as_ref().map(ToString::to_string),
                content_let_go: it.let_go.map(let_go),
            }),
            meta: attrs(&card.meta),
        }
    }
}

/// `log`.
#[derive(Serialize)]
pub struct Versions {
    pub versions: Vec<Version>,
}

/// A version: an element of `log`, and all of `show`.
#[derive(Serialize)]
pub struct Version {
    dataset: Option<String>,
    version: String,
    name: Option<String>,
    branches: Vec<String>,
    tags: Vec<String>,
    protected_tags: Vec<String>,
    published: bool,
    parents: Vec<String>,
    roles: Vec<String>,
    gone_parents: Vec<serde_json::Value>,
    author: String,
    time: String,
    message: String,
    meta: serde_json::Map<String, serde_json::Value>,
    provenance: serde_json::Map<String, serde_json::Value>,
    manifest: String,
    files: u64,
    bytes: u64,
    stored_bytes: u64,
    /// `null`, or by which record and when keep rules let its content go.
    content_let_go: Option<serde_json::Value>,
}

impl From<&VersionCard> for Version {
    fn from(card: &VersionCard) -> Version {
        Version {
            dataset: card.other_dataset.as_ref().map(ToString::to_string),
            version: id(&card.version),
            name: card.name.as_ref().map(ToString::to_string),
            branches: card.branches.iter().map(ToString::to_string).collect(),
            tags: card.tags.iter().map(ToString::to_string).collect(),
            protected_tags: card.protected_tags.iter().map(ToString::to_string).collect(),
            published: card.published,
            parents: card.parents.iter().map(id).collect(),
            roles: card.roles.clone(),
            gone_parents: card.gone_parents.iter().map(gone_parent).collect(),
            author: card.author.clone(),
            time: card.time.to_string(),
            message: card.message.clone(),
            meta: attrs(&card.meta),
            provenance: attrs(&card.provenance),
            manifest: id(&card.manifest),
            files: card.files,
            bytes: card.bytes,
            stored_bytes: card.stored_bytes,
            content_let_go: card.let_go.map(let_go),
        }
    }
}

/// By which record, and when, keep rules let the content of a version go.
pub fn let_go(it: LetGo) -> serde_json::Value {
    serde_json::json!({ "record": it.record, "time": it.time.to_string() })
}

fn gone_parent(gone: &GoneParent) -> serde_json::Value {
    let (dataset, record) = gone.deleted.as_ref().map(|(dataset, record)| (dataset.to_string(), *record)).unzip();
    serde_json::json!({ "version": id(&gone.version), "dataset": dataset, "deleted_by": record })
}

#[derive(Serialize)]
pub struct PathVersions {
    pub versions: Vec<PathVersion>,
}

/// A version, and what it did with a path.
#[derive(Serialize)]
pub struct PathVersion {
    #[serde(flatten)]
    version: Version,
    path: String,
    change: &'static str,
    from: Option<String>,
    bytes_before: Option<u64>,
    bytes_after: Option<u64>,
}

impl From<&PathStep> for PathVersion {
    fn from(step: &PathStep) -> PathVersion {
        let (change, from) = match &step.change {
            PathChange::Added => ("added", None),
            PathChange::Removed => ("removed", None),
            PathChange::Modified => ("modified", None),
            PathChange::Merged => ("merged", None),
            PathChange::Renamed { from } => ("renamed", Some(from.clone())),
        };
        PathVersion {
            version: Version::from(&step.card),
            path: step.path.clone(),
            change,
            from,
            bytes_before: step.bytes_before,
            bytes_after: step.bytes_after,
        }
    }
}

/// `use`.
#[derive(Serialize)]
pub struct Recorded {
    #[serde(rename = "new")]
    pub is_new: bool,
    #[serde(flatten)]
    pub used: Used,
}

/// A run and what it used: all of `use`, and an element of `uses`.
#[derive(Serialize)]
pub struct Used {
    run: String,
    model: Option<String>,
    dataset: String,
    version: String,
    name: Option<String>,
    path: Option<String>,
    system: Option<String>,
    url: Option<String>,
    actor: String,
    time: String,
    meta: serde_json::Map<String, serde_json::Value>,
    provenance: serde_json::Map<String, serde_json::Value>,
}

impl From<&UseCard> for Used {
    fn from(card: &UseCard) -> Used {
        Used {
            run: card.run.id.clone(),
            model: card.model.clone(),
            dataset: card.dataset.clone(),
            version: id(&card.version),
            name: card.name.as_ref().map(ToString::to_string),
            path: card.path.clone(),
            system: card.run.system.clone(),
            url: card.run.url.clone(),
            actor: card.actor.clone(),
            time: card.time.to_string(),
            meta: attrs(&card.meta),
            provenance: attrs(&card.provenance),
        }
    }
}

/// `lineage`.
#[derive(Serialize)]
pub struct Lineage {
    version: String,
    versions: Vec<LineageVersion>,
    edges: Vec<LineageEdge>,
    uses: Vec<Used>,
    left_out: usize,
    damaged: Vec<String>,
}

#[derive(Serialize)]
struct LineageVersion {
    version: String,
    dataset: String,
    name: Option<String>,
    time: String,
    distance: i64,
    cut: bool,
    content_let_go: Option<serde_json::Value>,
    gone_parents: Vec<serde_json::Value>,
}

#[derive(Serialize)]
struct LineageEdge {
    parent: String,
    child: String,
    role: String,
}

impl From<&FoundLineage> for Lineage {
    fn from(lineage: &FoundLineage) -> Lineage {
        let version = |version: &dagset::engine::LineageVersion| LineageVersion {
            version: id(&version.version),
            dataset: version.dataset.clone(),
            name: version.name.as_ref().map(ToString::to_string),
            time: version.time.to_string(),
            distance: version.distance,
            cut: version.is_cut,
            content_let_go: version.let_go.map(let_go),
            gone_parents: version.gone_parents.iter().map(gone_parent).collect(),
        };
        let edge = |edge: &dagset::engine::LineageEdge| LineageEdge {
            parent: id(&edge.parent),
            child: id(&edge.child),
            role: edge.role.clone(),
        };
        Lineage {
            version: id(&lineage.version),
            versions: lineage.versions.iter().map(version).collect(),
            edges: lineage.edges.iter().map(edge).collect(),
            uses: lineage.uses.iter().map(Used::from).collect(),
            left_out: lineage.left_out,
            damaged: lineage.damaged.iter().map(dagset::base::Error::in_one_line).collect(),
        }
    }
}
