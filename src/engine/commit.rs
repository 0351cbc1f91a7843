//! `commit`, and the working folder's `diff`.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::base::{BranchName, Error, Event, Id, Kind, RefName, Result, size};
use crate::catalog::stat_index::StatRow;
use crate::flow::propose::Proposal;
use crate::format::attrs::Attrs;
use crate::format::manifest::{Entry, EntryKind};
use crate::history::bases::reaches;
use crate::history::keep;
use crate::tree::diff::Change;
use crate::tree::manifest::Manifest;
use crate::tree::scan::{Found, FoundKind};
use crate::workspace::compare::hash_path;
use crate::workspace::control::{EMBEDDED, State};

use edits::{edits_of, make_room, pieces, with_fresh};

use super::begun::unfinished;
use super::get::check_space;
use super::ingest::cannot_read;
use super::merge::layout::with_attributes;
use super::metadata::refuse_reserved;
use super::number::Bump;
use super::open::OpenStore;
use super::publish::{Draft, Published, register_now};
use super::workspace::{Workspace, changes_at, left_out, unreadable};
use super::{Address, DiffReport, Engine, ref_names};

mod edits;

/// What to commit, and as what.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// Everything that `status` lists, not only what is staged.
    pub all: bool,
    pub message: String,
    /// A new branch that begins with the version, and to which the workspace goes; for a merge whose branch moved meanwhile.
    pub branch: Option<String>,
    pub name: Option<String>,
    /// The next number for a name; not with `name`.
    pub bump: Option<Bump>,
    pub tags: Vec<String>,
    pub meta: Attrs,
    pub dry_run: bool,
}

impl Engine {
    /// Makes a version of the staged changes, or of all.
    pub fn commit(&self, options: &CommitOptions) -> Result<Published> {
        self.commit_as(options, false)
    }

    /// Makes a version; with `ends_merge` of a merge that must be in progress, whose outcome is first laid into the folder wholly.
    pub(super) fn commit_as(&self, options: &CommitOptions, ends_merge: bool) -> Result<Published> {
        refuse_reserved(&options.meta)?;
        keep::Rules::check_of_version(&options.meta)?;
        self.awake(|| self.commit_once(options, ends_merge))
    }

    fn commit_once(&self, options: &CommitOptions, ends_merge: bool) -> Result<Published> {
        let (mut workspace, _lock) = self.lock_workspace()?;
        if ends_merge {
            self.lay_merge(&workspace)?;
        }
        if workspace.state.checkout.is_some() {
            return Err(unfinished(&workspace));
        }
        let own = workspace.state.branch.clone().ok_or_else(|| {
            Error::usage("this workspace is on no branch, so a commit would be lost")
                .hint("`dagset branch NAME`, then `dagset switch NAME`")
        })?;
        let branch = options.branch.as_deref().map(BranchName::new).transpose()?.unwrap_or(own);
        if options.branch.is_some() && workspace.target.dataset()?.has_ref(branch.as_str()) {
            return Err(Error::conflict(format!("{branch} is there already")).hint("choose the name of a new branch"));
        }
        let merge = self.merge_to_end(&workspace)?;
        // What is said now counts for what was said when the merge began.
        let (given, bump) = match (&options.name, options.bump, &merge) {
            (None, None, Some(merge)) => (merge.name.as_ref(), merge.bump),
            (name, bump, _) => (name.as_ref(), bump),
        };
        let name = given.map(|name| RefName::new(name)).transpose()?;
        let tags = ref_names(&options.tags)?;
        let mut compared = self.look(&workspace, workspace.manifest()?)?;
        let staged = workspace.control.staged()?;
        let (mut gone, mut found, mut new) = (Vec::new(), Vec::new(), Vec::new());
        let mut changed = HashSet::new();
        for change in std::mem::take(&mut compared.comparison.changes) {
            if merge.is_some() {
                changed.insert(change.path.clone());
            }
            match change.after {
                _ if !options.all && !staged.contains(&change.path) => {}
                None => gone.push(change.path),
                Some(now) => {
                    if change.before.is_none() && workspace.state.base.is_some() {
                        new.push(change.path);
                    }
                    found.push(now);
                }
            }
        }
        let passed_over = left_out(&compared.comparison);
        let unreadable = unreadable(&compared.comparison);
        if options.all && !unreadable.is_empty() {
            return Err(cannot_read(
                &unreadable,
                "make them readable; a file that can't be read never counts as removed",
            ));
        }
        let embedded = workspace.control.config()?.store == EMBEDDED;
        self.check_room(&workspace, &found, embedded)?;

        let base = workspace.base()?.cloned();
        base.iter().try_for_each(|base| workspace.target.check_content(&base.row.version))?;
        // Without a base and without a change there is nothing that a first version could hold.
        let nothing = gone.is_empty() && found.is_empty() && base.is_none();
        let head = workspace.target.dataset()?.branches.get(&branch).copied();
        let fold = workspace.target.store.timeline.fold();
        let leaves_behind = |head: &Id| {
            merge.as_ref().is_some_and(|merge| !merge.parents.iter().any(|parent| reaches(fold, parent, head)))
        };
        if head.as_ref().is_some_and(leaves_behind) {
            return Err(Error::conflict(format!("the branch {branch} moved since the merge began"))
                .hint("`dagset merge --continue --branch NEW` makes the version on a new branch; then merge that"));
        }
        let proposal = Proposal {
            dataset: workspace.target.dataset.clone(),
            branch,
            manifest: Id::ZERO,
            parents: merge.as_ref().map(|merge| merge.parents.clone()),
            expect: None,
            name,
            tags,
            renews: false,
            repeats: false,
            seen_head: if nothing { head } else { workspace.state.base },
        };
        let OpenStore { timeline, content, .. } = &mut workspace.target.store;
        let manifest =
            base.as_ref().map(|state| Manifest::new(content, state.row.manifest, Some(state.row.manifest_place)));
        let large = self.large_files(manifest.as_ref(), &found);
        let mut session = self.session(timeline, content, nothing || options.dry_run);
        base.iter().for_each(|base| session.use_version(base.row.version));
        let actor = self.actor();
        let root = workspace.control.root().to_owned();
        let outcomes = session.store(&root, &found, &large, &mut |rows| register_now(timeline, &actor, rows))?;
        let (mut edits, fresh) = edits_of(gone, found, outcomes)?;
        let (mut message, mut meta, mut roles) = (options.message.clone(), options.meta.clone(), Vec::new());
        if let Some(merge) = merge {
            with_attributes(&mut edits, &merge.merged, &changed, manifest)?;
            message = if message.is_empty() { merge.message } else { message };
            meta = merge.meta.0.into_iter().chain(meta.0).collect();
            roles = merge.roles;
        }
        make_room(&mut edits, manifest, &new)?;
        let pieces = pieces(manifest, edits);
        let draft =
            Draft { proposal, message, meta, roles, number: bump, create_dataset: true, into: Some(String::new()) };
        let began_ns = compared.began_ns;
        let rows = std::mem::take(&mut compared.comparison.rows);
        let index = &mut compared.index;
        // What was found out about the files is true whether the version comes about or not.
        let (published, kept) = std::thread::scope(|scope| {
            let keeping = scope.spawn(move || index.replace(&with_fresh(rows, fresh, |row| row.is_settled(began_ns))));
            let published = self.publish(timeline, session, pieces, draft, passed_over, nothing || options.dry_run);
            (published, keeping.join().expect("the index doesn't panic"))
        });
        let mut published = published?;
        if nothing {
            published.changed = false;
            published.dry_run = options.dry_run;
        }
        if let (Some(version), false) = (published.version, options.dry_run) {
            let branch = Some(published.branch.clone());
            workspace.control.write_state(&State { branch, base: Some(version), ..State::default() })?;
            workspace.control.remove_merging()?;
            workspace.control.write_staged(&BTreeSet::new())?;
        }
        kept?;
        Ok(published)
    }

    /// Says what a commit into the workspace's own store doubles, and refuses what can't fit.
    fn check_room(&self, workspace: &Workspace, found: &[Found], embedded: bool) -> Result<()> {
        let bytes: u64 = found.iter().map(|found| found.stat.size).sum();
        if !embedded {
            return Ok(());
        }
        if bytes >= 1 << 30 {
            let text = format!(
                "the workspace's own store takes up to {} more on this disk; `dagset init --store` names one elsewhere",
                size(bytes)
            );
            self.observer.tell(Event::Warning(text));
        }
        check_space(workspace.control.root(), bytes, "free space (or raise the quota) and run the command again")
    }

    /// What differs from a version of the workspace's dataset (its base if the address has no REF) to the working folder, at and below
    /// the address's path.
    pub fn diff_working(&self, address: &Address) -> Result<DiffReport> {
        let workspace = self.open_workspace()?;
        let manifest = match &address.reference {
            None => workspace.manifest()?,
            Some(reference) => Some(workspace.target.store.manifest(workspace.target.version_at(Some(reference))?)),
        };
        let compared = self.compare(&workspace, manifest)?;
        let place = address.path.as_deref().unwrap_or("").trim_matches('/');
        let known: HashMap<&str, &StatRow> =
            compared.comparison.rows.iter().map(|row| (row.path.as_str(), row)).collect();
        let mut changes = Vec::new();
        for change in changes_at(&compared.comparison.changes, place) {
            let now = |found| entry_now(workspace.control.root(), found, &known);
            let after = change.after.as_ref().map(now).transpose()?;
            changes.push(Change { path: change.path.clone(), before: change.before.clone(), after });
        }
        Ok(DiffReport::of(changes, place))
    }
}

fn entry_now(root: &std::path::Path, found: &Found, known: &HashMap<&str, &StatRow>) -> Result<Entry> {
    let path = root.join(found.path.as_str());
    Ok(Entry::plain(match &found.kind {
        FoundKind::File { executable } => {
            let row = known.get(found.path.as_str()).filter(|row| row.stat == found.stat);
            let content = match row {
                Some(row) => row.content,
                None => match hash_path(&path) {
                    Ok(Some((content, _))) => content,
                    Ok(None) => Id::ZERO,
                    Err(why) => return Err(Error::new(Kind::Failed, format!("cannot read {}: {why}", path.display()))),
                },
            };
            EntryKind::File { size: found.stat.size, content, executable: *executable }
        }
        FoundKind::Symlink { target } => EntryKind::Symlink { target: target.clone() },
        FoundKind::EmptyFolder => EntryKind::EmptyFolder,
    }))
}
