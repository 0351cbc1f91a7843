//! What a record of the log did, in words and as JSON.

use dagset::engine::{Deed, LogRecord, META_REVERTS, Point, What};
use serde_json::{Value, json};

use super::{json, ui};

/// What a record did, in one line: `commit 1.2.0 to main of signs`.
pub fn summary(record: &LogRecord) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut rest: &[Deed] = &record.deeds;
    while let Some(first) = rest.first() {
        let end = rest.iter().position(|deed| deed.dataset != first.dataset).unwrap_or(rest.len());
        let (group, further) = rest.split_at(end);
        let phrases = phrases(group);
        parts.extend(group.iter().filter_map(of_whole).filter(|_| !adds_versions(group)));
        if !phrases.is_empty() {
            let of = first.dataset.as_ref().map(|dataset| format!(" of {dataset}")).unwrap_or_default();
            parts.push(format!("{}{of}", phrases.join(", ")));
        }
        rest = further;
    }
    // Packs are the means of most records, and the end of few.
    let quiet = |deed: &&Deed| matches!(deed.what, What::Registered { .. });
    if record.deeds.iter().all(|deed| quiet(&deed)) {
        parts = record.deeds.iter().map(line).collect();
    }
    let what = if parts.is_empty() { "nothing".to_owned() } else { parts.join("; ") };
    record.undoes.map_or(what.clone(), |number| format!("undo of {number}: {what}"))
}

/// The phrases of neighbouring deeds on one dataset; versions, their names and the branches that they are on are told together.
fn phrases(deeds: &[Deed]) -> Vec<String> {
    let added: Vec<(&Point, &[Point])> = deeds
        .iter()
        .filter_map(|deed| match &deed.what {
            What::VersionAdded { version, parents, .. } => Some((version, parents.as_slice())),
            _ => None,
        })
        .collect();
    let is_added = |point: &Point| added.iter().any(|(version, _)| version.version == point.version);
    let mut told = false;
    let mut phrases = Vec::new();
    for deed in deeds {
        match &deed.what {
            What::Registered { .. } | What::VersionAdded { .. } => {}
            _ if of_whole(deed).is_some() => {}
            What::NameTaken { version, .. } if is_added(version) => {}
            // How a version was made is told of the version; of a revert only this says it.
            What::MetadataSet { version: Some(version), key, is_own: true, names, .. } if is_added(version) => {
                let undone = names.iter().filter(|_| key == META_REVERTS && added.len() == 1);
                phrases.extend(undone.map(|undone| format!("taking back {}", shown(undone))));
            }
            What::BranchSet { branch, old, new: Some(new) } if is_added(new) && !told => {
                told = true;
                phrases.push(format!("{} {branch}", published(&added, old.as_ref())));
            }
            what => phrases.push(phrase(what)),
        }
    }
    if !added.is_empty() && !told {
        phrases.insert(0, versions(&added));
    }
    phrases
}

/// A version that doesn't come of what the branch was at before takes its place: a squash, or a push by force.
fn published(added: &[(&Point, &[Point])], before: Option<&Point>) -> String {
    match (added, before) {
        ([(version, [base])], Some(before)) if base.version != before.version => {
            format!("put {} in the place of {} on", shown(version), shown(before))
        }
        (added, _) => published_after(added),
    }
}

fn published_after(added: &[(&Point, &[Point])]) -> String {
    match added {
        [(version, parents)] if parents.len() > 1 => format!("merge {} into", shown(version)),
        [(version, _)] => format!("commit {} to", shown(version)),
        many => format!("{} to", versions(many)),
    }
}

fn versions(added: &[(&Point, &[Point])]) -> String {
    match added {
        [(version, _)] => format!("version {}", shown(version)),
        many => ui::count(many.len() as u64, "version"),
    }
}

/// A version by its name, or else its id.
pub fn shown(point: &Point) -> String {
    point.name.as_ref().map_or_else(|| point.version.short(), ToString::to_string)
}

fn adds_versions(deeds: &[Deed]) -> bool {
    deeds.iter().any(|deed| matches!(deed.what, What::VersionAdded { .. }))
}

/// One deed in words, with what it was done to.
pub fn line(deed: &Deed) -> String {
    let of = deed.dataset.as_ref().map(|dataset| format!(" of {dataset}")).unwrap_or_default();
    of_whole(deed).unwrap_or_else(|| format!("{}{of}", phrase(&deed.what)))
}

/// What was done to a dataset as a whole.
fn of_whole(deed: &Deed) -> Option<String> {
    let dataset = deed.dataset.as_ref()?;
    Some(match &deed.what {
        What::DatasetCreated => format!("dataset {dataset} created"),
        What::DatasetRenamed { to } => format!("dataset {dataset} renamed to {to}"),
        What::DatasetDeleted => format!("dataset {dataset} deleted"),
        What::DatasetRestored { deletion } => format!("dataset {dataset} brought back (deleted by {deletion})"),
        _ => return None,
    })
}

fn phrase(what: &What) -> String {
    match what {
        What::StoreCreated => "store created".to_owned(),
        // Told by `of_whole`, with its name.
        What::DatasetCreated | What::DatasetRenamed { .. } | What::DatasetDeleted | What::DatasetRestored { .. } => {
            "dataset".to_owned()
        }
        What::VersionAdded { version, .. } => format!("version {}", shown(version)),
        What::BranchSet { branch, old, new } => moved("branch", branch, old.as_ref(), new.as_ref()),
        What::TagSet { tag, old, new, protected } if old.is_some() && old == new => {
            format!("tag {tag} {}", if *protected { "protected" } else { "no longer protected" })
        }
        What::TagSet { tag, old, new, .. } => moved("tag", tag, old.as_ref(), new.as_ref()),
        What::NameTaken { name, version } => format!("name {name} given to {}", version.version.short()),
        What::NameDropped { name, version } => format!("name {name} taken from {}", version.version.short()),
        What::Published { version, .. } => format!("{} published", shown(version)),
        What::MetadataSet { version, key, value, names, .. } => {
            let of = version.as_ref().map(|version| format!(" of {}", shown(version))).unwrap_or_default();
            match (names, value) {
                (Some(named), _) => format!("metadata {}{of} set to {}", ui::clean(key), shown(named)),
                (None, Some(value)) => format!("metadata {}{of} set to {}", ui::clean(key), ui::value(value)),
                (None, None) => format!("metadata {}{of} removed", ui::clean(key)),
            }
        }
        What::Registered { packs, bytes, replaced: 0 } => {
            format!("{} registered, {}", ui::count(*packs, "pack"), ui::size(*bytes))
        }
        What::Registered { replaced, .. } => format!("{} merged", ui::count(*replaced, "index file")),
        What::Reason(text) => format!("reason: {}", ui::clean(text)),
        What::Purged { contents, bytes, reason } => {
            let files = ui::count(contents.len() as u64, "content");
            format!("{files} of {} purged: {}", ui::size(*bytes), ui::clean(reason))
        }
        What::Readmitted(contents) => {
            format!("{} readmitted after a purge", ui::count(contents.len() as u64, "content"))
        }
        What::Collection(step) => format!("collection: {step}"),
        What::Unknown(code) => format!("operation {code} of a newer dagset"),
    }
}

fn moved(kind: &str, name: &str, old: Option<&Point>, new: Option<&Point>) -> String {
    match (old, new) {
        (Some(old), Some(new)) => format!("{kind} {name} moved from {} to {}", shown(old), shown(new)),
        (None, Some(new)) => format!("{kind} {name} made at {}", shown(new)),
        (Some(old), None) => format!("{kind} {name} deleted, was at {}", shown(old)),
        (None, None) => format!("{kind} {name} left alone"),
    }
}

/// A record as JSON.
pub fn document(record: &LogRecord) -> Value {
    json!({
        "record": record.number,
        "time": record.time.to_string(),
        "actor": record.actor,
        "undoes": record.undoes,
        "summary": summary(record),
        "operations": record.deeds.iter().map(deed).collect::<Vec<_>>(),
        "context": json::attrs(&record.context),
    })
}

fn point(point: &Point) -> Value {
    json!({ "version": json::id(&point.version), "name": point.name.as_ref().map(ToString::to_string) })
}

/// An operation as JSON: its `kind`, the dataset, and what belongs to it.
pub fn deed(deed: &Deed) -> Value {
    let maybe = |it: &Option<Point>| it.as_ref().map(point);
    let (kind, more) = match &deed.what {
        What::StoreCreated => ("store_created", json!({})),
        What::DatasetCreated => ("dataset_created", json!({})),
        What::DatasetRenamed { to } => ("dataset_renamed", json!({ "to": to.to_string() })),
        What::DatasetDeleted => ("dataset_deleted", json!({})),
        What::DatasetRestored { deletion } => ("dataset_restored", json!({ "deletion": deletion })),
        What::VersionAdded { version, parents, files, bytes } => {
            let parents: Vec<_> = parents.iter().map(point).collect();
            ("version", json!({ "version": point(version), "parents": parents, "files": files, "bytes": bytes }))
        }
        What::BranchSet { branch, old, new } => {
            ("branch", json!({ "name": branch, "old": maybe(old), "new": maybe(new) }))
        }
        What::TagSet { tag, old, new, protected } => {
            ("tag", json!({ "name": tag, "old": maybe(old), "new": maybe(new), "protected": protected }))
        }
        What::NameTaken { name, version } => ("name", json!({ "name": name, "version": point(version) })),
        What::NameDropped { name, version } => ("name_dropped", json!({ "name": name, "version": point(version) })),
        What::Published { version, note } => ("published", json!({ "version": point(version), "note": note })),
        What::MetadataSet { version, key, value, .. } => {
            ("metadata", json!({ "version": maybe(version), "key": key, "value": value.as_ref().map(json::value) }))
        }
        What::Registered { packs, bytes, replaced } => {
            ("registered", json!({ "packs": packs, "bytes": bytes, "replaced": replaced }))
        }
        What::Reason(text) => ("reason", json!({ "text": text })),
        What::Purged { contents, bytes, reason } => {
            let contents: Vec<_> = contents.iter().map(json::id).collect();
            ("purged", json!({ "contents": contents, "bytes": bytes, "reason": reason }))
        }
        What::Readmitted(contents) => {
            ("readmitted", json!({ "contents": contents.iter().map(json::id).collect::<Vec<_>>() }))
        }
        What::Collection(step) => ("collection", json!({ "step": step })),
        What::Unknown(code) => ("unknown", json!({ "code": code })),
    };
    let mut out = json!({ "kind": kind, "dataset": deed.dataset.as_ref().map(ToString::to_string) });
    if let (Value::Object(out), Value::Object(more)) = (&mut out, more) {
        out.extend(more);
    }
    out
}
