//! `.dagset/merge.json`: a merge whose conflicts are being solved in the folder.
//!
//! It counts as long as the workspace is at the version at which the merge began: the commit that ends it moves the workspace on, in one
//! step, and a file that is left behind by a process that was killed right then says nothing any more.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::base::files::{self, Durability};
use crate::base::{Error, Id, RepoPath, Result};

use super::control::{Control, State, check_of};

const FILE: &str = "merge.json";
const SCHEMA: u32 = 1;
/// No longer file is read.
const MAX_BYTES: u64 = 64 << 20;
/// More conflicts than a person solves by hand.
pub const MOST_CONFLICTS: usize = 10_000;
const MOST_PARENTS: usize = 1_024;

/// A merge in progress: what it is of, how it is decided, and how far its conflicts are solved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merging {
    /// The version that the folder was when it began.
    pub base: Option<Id>,
    /// The parents of the version to be, in order, and what each is called.
    pub parents: Vec<(Id, String)>,
    /// The name that the version is to have.
    pub name: Option<String>,
    /// The part of the number that is to grow, where the version gets the next one for its name.
    pub bump: Option<String>,
    pub message: String,
    /// Who wins, by path: a glob, and a word or what a parent is called.
    pub rules: Vec<(String, String)>,
    /// What the version's metadata says of how the merge was decided.
    pub meta: BTreeMap<String, String>,
    /// By path.
    pub conflicts: Vec<OpenConflict>,
    /// Whether the folder wholly is what `conflicts` say; else writing it was cut off.
    pub is_laid: bool,
}

/// A conflict that no rule solved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenConflict {
    pub path: RepoPath,
    /// What each parent did, in words.
    pub did: Vec<String>,
    /// Where the entries of other parents were put.
    pub beside: Vec<RepoPath>,
    pub solved: Option<Solved>,
}

/// How a conflict was solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Solved {
    /// What stands in the folder counts.
    ByHand,
    /// What this parent has counts.
    Taken(usize),
}

#[derive(Serialize, Deserialize)]
struct Json {
    schema: u32,
    base: Option<String>,
    parents: Vec<(String, String)>,
    name: Option<String>,
    #[serde(default)]
    bump: Option<String>,
    message: String,
    rules: Vec<(String, String)>,
    meta: BTreeMap<String, String>,
    laid: bool,
    conflicts: Vec<ConflictJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ConflictJson {
    path: String,
    did: Vec<String>,
    beside: Vec<String>,
    by_hand: bool,
    taken: Option<usize>,
}

impl Merging {
    /// The conflicts that nobody has solved yet.
    pub fn unsolved(&self) -> impl Iterator<Item = &OpenConflict> {
        self.conflicts.iter().filter(|conflict| conflict.solved.is_none())
    }

    /// The paths of conflicts at and below a place.
    pub fn conflicts_at<'m>(&'m self, place: &'m str) -> impl Iterator<Item = &'m RepoPath> {
        let paths = self.conflicts.iter().map(|conflict| &conflict.path);
        paths.filter(move |path| path.as_str() == place || path.is_below(place))
    }

    /// The paths that unsolved conflicts are about: where they are, and what was put beside.
    pub fn open_paths(&self) -> impl Iterator<Item = &RepoPath> {
        self.unsolved().flat_map(|conflict| std::iter::once(&conflict.path).chain(&conflict.beside))
    }

    fn encode(&self) -> Json {
        let conflict = |conflict: &OpenConflict| ConflictJson {
            path: conflict.path.to_string(),
            did: conflict.did.clone(),
            beside: conflict.beside.iter().map(RepoPath::to_string).collect(),
            by_hand: conflict.solved == Some(Solved::ByHand),
            taken: match conflict.solved {
                Some(Solved::Taken(parent)) => Some(parent),
                _ => None,
            },
        };
        Json {
            schema: SCHEMA,
            base: self.base.as_ref().map(Id::to_string),
            parents: self.parents.iter().map(|(id, reference)| (id.to_string(), reference.clone())).collect(),
            name: self.name.clone(),
            bump: self.bump.clone(),
            message: self.message.clone(),
            rules: self.rules.clone(),
            meta: self.meta.clone(),
            laid: self.is_laid,
            conflicts: self.conflicts.iter().map(conflict).collect(),
            check: None,
        }
    }

    fn decode(json: Json) -> Option<Merging> {
        let parents: Option<Vec<_>> =
            json.parents.into_iter().map(|(id, reference)| Some((Id::from_hex(&id)?, reference))).collect();
        let parents = parents.filter(|parents| (1..=MOST_PARENTS).contains(&parents.len()))?;
        let conflict = |conflict: ConflictJson| {
            let solved = match (conflict.by_hand, conflict.taken) {
                (false, None) => None,
                (true, None) => Some(Solved::ByHand),
                (false, Some(parent)) if parent < parents.len() => Some(Solved::Taken(parent)),
                _ => return None,
            };
            let path = RepoPath::new(conflict.path).ok()?;
            let beside = conflict.beside.into_iter().map(|path| RepoPath::new(path).ok()).collect::<Option<_>>()?;
            (conflict.did.len() == parents.len()).then_some(OpenConflict { path, did: conflict.did, beside, solved })
        };
        let base = match json.base {
            Some(base) => Some(Id::from_hex(&base)?),
            None => None,
        };
        let conflicts = json.conflicts.into_iter().map(conflict).collect::<Option<Vec<_>>>()?;
        Some(Merging {
            base,
            parents,
            name: json.name,
            bump: json.bump,
            message: json.message,
            rules: json.rules,
            meta: json.meta,
            conflicts: Some(conflicts).filter(|conflicts| conflicts.len() <= MOST_CONFLICTS)?,
            is_laid: json.laid,
        })
    }
}

impl Control {
    /// The merge that is in progress in a workspace of this state, if one is.
    pub fn merging(&self, state: &State) -> Result<Option<Merging>> {
        let path = self.folder().join(FILE);
        match fs::metadata(&path) {
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Ok(meta) if meta.len() <= MAX_BYTES => {}
            Ok(_) => return Err(damaged(&path)),
            Err(fault) => return Err(Error::io("read", &path, fault)),
        }
        let text = files::read(&path).map_err(|fault| super::control::unreadable(&path, fault))?;
        let mut json: Json = serde_json::from_slice(&text).map_err(|fault| damaged(&path).because(fault))?;
        if json.check.take().is_some_and(|check| check != check_of(&json)) {
            return Err(damaged(&path));
        }
        if json.schema != SCHEMA {
            return Err(crate::format::needs_newer(path.display()));
        }
        let merging = Merging::decode(json).ok_or_else(|| damaged(&path))?;
        Ok(Some(merging).filter(|merging| merging.base == state.base))
    }

    /// Replaces what is known of the merge in progress.
    pub fn write_merging(&self, merging: &Merging) -> Result<()> {
        let path = self.folder().join(FILE);
        let mut json = merging.encode();
        json.check = Some(check_of(&json));
        let text = serde_json::to_vec(&json)
            .map_err(|fault| Error::usage("the merge can't be written down").because(fault))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(Error::usage("the merge has too many conflicts to solve them in the folder")
                .hint("give --on-conflict, or --rule for some paths"));
        }
        files::write_file(&path, &text, Durability::Synced)
    }

    /// Ends the merge in progress, if there is one.
    pub fn remove_merging(&self) -> Result<()> {
        let path = self.folder().join(FILE);
        match fs::remove_file(&path) {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path, fault)),
            _ => Ok(()),
        }
    }
}

fn damaged(path: &std::path::Path) -> Error {
    Error::damaged(format!("{} can't be understood", path.display()))
        .hint("remove the file: the folder stays as it is, and `dagset status` shows how it differs from its version")
}

#[cfg(test)]
mod tests {
    use super::super::control::{Config, EMBEDDED};
    use super::*;
    use crate::base::DatasetName;

    fn control(folder: &std::path::Path) -> Control {
        let dataset = DatasetName::new("d").expect("good name");
        let config = Config { dataset, store: EMBEDDED.to_owned(), remotes: BTreeMap::new() };
        Control::create(folder, &config, &State::default()).expect("creates")
    }

    fn merging() -> Merging {
        let path = |text: &str| RepoPath::new(text).expect("good path");
        let conflict = |text: &str, solved| OpenConflict {
            path: path(text),
            did: vec!["changed".to_owned(), "deleted".to_owned()],
            beside: vec![path(&format!("{text}.b"))],
            solved,
        };
        Merging {
            base: Some(Id::of(b"base")),
            parents: vec![(Id::of(b"a"), "main".to_owned()), (Id::of(b"b"), "fixes".to_owned())],
            name: Some("2.0".to_owned()),
            bump: Some("minor".to_owned()),
            message: "both".to_owned(),
            rules: vec![("labels/**".to_owned(), "fixes".to_owned())],
            meta: [("merge.rules".to_owned(), "labels/**=last".to_owned())].into(),
            conflicts: vec![
                conflict("x", None),
                conflict("y\n", Some(Solved::ByHand)),
                conflict("z", Some(Solved::Taken(1))),
            ],
            is_laid: true,
        }
    }

    #[test]
    fn what_is_written_is_read_where_the_merge_began() {
        let folder = tempfile::tempdir().expect("a folder");
        let control = control(folder.path());
        let began = State { base: merging().base, ..State::default() };
        assert_eq!(control.merging(&began).expect("reads"), None);
        control.write_merging(&merging()).expect("writes");
        assert_eq!(control.merging(&began).expect("reads"), Some(merging()));
        assert_eq!(control.merging(&State::default()).expect("reads"), None, "the workspace has moved on");
        control.remove_merging().expect("removes");
        control.remove_merging().expect("nothing to do");
        assert_eq!(control.merging(&began).expect("reads"), None);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let control = control(folder.path());
        let good = serde_json::to_string(&merging().encode()).expect("encodes");
        let id = Id::of(b"a").to_string();
        for (from, to) in [
            ("\"taken\":1", "\"taken\":2"),
            ("\"by_hand\":true,\"taken\":null", "\"by_hand\":true,\"taken\":0"),
            ("\"path\":\"x\"", "\"path\":\"../x\""),
            ("\"did\":[\"changed\",\"deleted\"]", "\"did\":[]"),
            ("\"beside\":[\"x.b\"]", "\"beside\":[\"/x.b\"]"),
            (id.as_str(), "a"),
            ("{", "["),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            files::write_file(&control.folder().join(FILE), bad.as_bytes(), Durability::Renamed).expect("writes");
            let refused = control.merging(&State::default()).expect_err(from);
            assert_eq!(refused.kind(), crate::base::Kind::Damaged, "{from}");
        }
        let newer = good.replacen("\"schema\":1", "\"schema\":2", 1);
        files::write_file(&control.folder().join(FILE), newer.as_bytes(), Durability::Renamed).expect("writes");
        assert!(control.merging(&State::default()).is_err());
    }
}
