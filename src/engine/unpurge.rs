//! `unpurge`: purged content comes back, stored and let in by one record.

use std::path::PathBuf;

use crate::base::{Error, Id, RepoPath, Result, files};
use crate::flow::session::{Finished, LargeFiles};
use crate::flow::store_files::Outcome;
use crate::format::operation::Operation;
use crate::history::guard::Reason;
use crate::tree::hash_file::hash_file;
use crate::tree::scan::{Found, FoundKind};
use crate::tree::stat::{NodeKind, stat_file};

use super::publish::register_now;
use super::{Address, Engine};

/// What came back.
#[derive(Debug, Clone)]
pub struct UnpurgeReport {
    pub store: String,
    pub contents: Vec<Id>,
    pub record: u64,
}

impl Engine {
    /// Stores the content of files and takes its tombstones away: all versions that name it have it again. *A tombstone that went alone would leave
    /// versions that name what nobody has.*
    ///
    /// Errors: [`Kind::NotFound`](crate::base::Kind::NotFound) for a file whose content isn't purged there; nothing is done then.
    pub fn unpurge(&self, place: &Address, files: &[PathBuf], reason: &Reason) -> Result<UnpurgeReport> {
        let (mut store, _) = self.open_log(place)?;
        let root = store.root.clone();
        let mut left = store.timeline.fold().expelled.clone();
        let mut contents = Vec::new();
        for file in files {
            let path = self.path(file);
            let mut open = files::open_regular(&path).map_err(|fault| Error::io("open", &path, fault))?;
            let content = hash_file(&path, &mut open)?;
            if left.remove(&content).is_none() && !contents.contains(&content) {
                return Err(Error::not_found(format!("the content of {} isn't purged from {root}", path.display()))
                    .hint("`dagset oplog` shows what was purged"));
            }
            contents.push(content);
        }
        let content = self.content_at(&root, &store.timeline)?.without(left);
        let actor = self.actor();
        let timeline = &mut store.timeline;
        let mut session = self.session(timeline, &content, false);
        for (file, wanted) in files.iter().zip(&contents) {
            let path = self.path(file);
            let (stat, kind) = stat_file(&path)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_file = matches!(kind, NodeKind::File { .. });
            let found = Found { path: RepoPath::new(name)?, kind: FoundKind::File { executable: false }, stat };
            let folder = path.parent().unwrap_or(&path);
            let register = &mut |rows| register_now(timeline, &actor, rows);
            let outcomes = match is_file {
                true => session.store(folder, &[found], &LargeFiles::default(), register)?,
                false => Vec::new(),
            };
            if !matches!(&outcomes[..], [Outcome::Stored { content, .. }] if content == wanted) {
                return Err(Error::conflict(format!(
                    "{} can't be stored, or changed while it was read",
                    path.display()
                ))
                .hint("let it stand still, then run the command again"));
            }
        }
        let Finished { indexes, relies, .. } = session.finish_content()?;
        let operations = [
            Operation::Rely(relies),
            Operation::Register { indexes },
            Operation::Readmit { contents: contents.clone() },
            reason.operation(),
        ];
        timeline.append(&actor, |_, _| Ok(operations.to_vec()))?;
        let record = timeline.fold().number;
        contents.sort_unstable();
        contents.dedup();
        Ok(UnpurgeReport { store: root, contents, record })
    }
}
