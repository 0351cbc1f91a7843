//! `verify --repair-from`: what is damaged is put back from where it is whole.

use crate::base::{Error, Event, Kind, Result};
use crate::flow::repair::{FindFile, LogSources, Mended, Mender, SourceStore, make_room, mend_log, put_back};
use crate::flow::verify::Report;
use crate::format::store_file::StoreFile;
use crate::history::timeline::Timeline;
use crate::store::locate::{STORE_FILE, read_store_file};
use crate::store::log;
use crate::store::objects::Bucket;

use super::open::Missing;
use super::{Engine, VerifyOptions};

mod sources;

/// What is mended in a round may show what is missing below it; a tree of manifests and recipes has no more levels than this.
const ROUNDS: usize = 24;

/// Where to take what is damaged from.
#[derive(Debug, Clone, Default)]
pub struct RepairOptions {
    pub verify: VerifyOptions,
    /// Stores, workspaces or caches, as paths or URLs, or the file that keeps a record of the log. The caches of the settings, and the files of the workspace that the store is of, are looked
    /// into anyway.
    pub from: Vec<String>,
    /// Say what would be mended, and write nothing.
    pub dry_run: bool,
}

/// What a repair did, and what it couldn't mend.
#[derive(Debug, Clone)]
pub struct RepairReport {
    pub mended: Vec<Mended>,
    /// The last verification; its findings are what is left.
    pub left: Report,
    pub dry_run: bool,
}

impl Engine {
    /// Verifies a store, and mends what another store, a cache or a workspace has whole. Never touches what is healthy; what has to make room
    /// is kept below `damaged/` in the store. What couldn't be mended is left in the report.
    ///
    /// Needs the right to delete where a damaged object stands in the way. Cut off anywhere, the same call goes on.
    pub fn repair(&self, store: &str, options: &RepairOptions) -> Result<RepairReport> {
        let text = self.expand(store)?;
        let sources = self.repair_sources(&text, &options.from)?;
        let (bucket, root) = match self.locate(&text) {
            Ok(located) if located.rest.is_none() => (located.bucket, located.store_root),
            Ok(located) => {
                return Err(Error::usage(format!("a store is mended as a whole, and {text} is less than that"))
                    .hint(format!("name the store alone: {}", located.store_root)));
            }
            // Without its dagset.json, or with none that can be read, a store is known by its log.
            Err(fault) if matches!(fault.kind(), Kind::NotFound | Kind::Damaged) => {
                let text = self.store_meant(&text)?.trim_end_matches('/').to_owned();
                match self.open_objects(&text, Missing::Fails) {
                    Ok(bucket) if log::head(&bucket)? > 0 => (bucket, text),
                    _ => return Err(fault),
                }
            }
            Err(fault) => return Err(fault),
        };
        let mut mended: Vec<Mended> =
            self.mend_store_file(&bucket, &root, &sources.stores, options.dry_run)?.into_iter().collect();
        if options.dry_run && !mended.is_empty() {
            return Ok(RepairReport { mended, left: Report::default(), dry_run: true });
        }
        let file = read_store_file(&bucket, &root).and_then(|(bytes, _)| StoreFile::parse(&bytes, &root));
        let is_copy = |source: &&SourceStore| {
            file.as_ref().is_ok_and(|file| file.store == source.store)
                && log::head(&source.bucket).is_ok_and(|head| head > 0)
        };
        mended.extend(make_room(&bucket, sources.stores.iter().any(|it| is_copy(&it)), options.dry_run)?);
        let is_of_log = |it: &Mended| it.object.split('/').next() == Some(log::FOLDER);
        if options.dry_run && mended.iter().any(is_of_log) {
            // What the log says can't be read before what stands there has moved.
            return Ok(RepairReport { mended, left: Report::default(), dry_run: true });
        }
        if let Ok(file) = &file {
            let copies = sources.stores.iter().filter(|source| source.store == file.store);
            copies.for_each(|copy| self.tell_of_another_log(&bucket, &copy.bucket));
        }
        let find_file: &FindFile<'_> = &|content, size, path| sources.find(content, size, path);
        let content_of = |timeline: &Timeline| self.content_at(&root, timeline);
        let mender = Mender {
            actor: self.actor(),
            observer: self.observer.clone(),
            content_of: &content_of,
            stores: &sources.stores,
            find_file,
            dry_run: options.dry_run,
        };
        let mut left = self.verify(&root, &options.verify)?;
        // All rests on the log, so it comes first.
        if let Ok(file) = &file
            && left.findings.iter().any(|finding| finding.object.starts_with("log"))
        {
            self.observer.tell(Event::Phase("mending the log"));
            let log = LogSources { store: file.store, stores: &sources.stores, seen: &sources.seen };
            let records = mend_log(&bucket, &log, options.dry_run)?;
            if !records.is_empty() && !options.dry_run {
                left = self.verify(&root, &options.verify)?;
            }
            mended.extend(records);
        }
        if let Ok(file) = &file {
            mended.extend(mender.add_uses(&bucket, file.store)?);
        }
        for _ in 0..ROUNDS {
            let Ok(file) = &file else { break };
            if left.findings.is_empty() {
                break;
            }
            let mut timeline = match Timeline::open(bucket.clone(), file.store, self.observer.clone()) {
                Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
                Err(_) => break,
                Ok(timeline) => timeline,
            };
            let done = mender.mend(&mut timeline, &left.findings)?;
            if done.is_empty() {
                break;
            }
            mended.extend(done);
            if options.dry_run {
                break;
            }
            left = self.verify(&root, &options.verify)?;
        }
        if options.dry_run {
            let is_mended = |object: &str| {
                mended.iter().any(|it| it.object == object || object == "log" && it.object.starts_with("log/"))
            };
            left.findings.retain(|finding| !is_mended(&finding.object));
        }
        mended.sort();
        mended.dedup();
        Ok(RepairReport { mended, left, dry_run: options.dry_run })
    }

    /// Warns of a copy with the store's id and another first record: a new log was begun where the old one was gone.
    fn tell_of_another_log(&self, bucket: &Bucket, copy: &Bucket) {
        let first = |bucket: &Bucket| log::read(bucket, 1).ok().flatten().map(|(_, hash)| hash);
        if let (Some(own), Some(theirs)) = (first(bucket), first(copy))
            && own != theirs
        {
            let (root, copy) = (bucket.describe(), copy.describe());
            self.observer.tell(Event::Warning(format!(
                "{copy} is a copy of this store whose log begins with another record: one of the two logs was begun anew when the first was \
                 gone. Where that is the one of {root}, move {root}/{} away and run this again: the copy's comes back, and what the new one says is left out",
                log::FOLDER
            )));
        }
    }

    /// Puts `dagset.json` back, where it is missing or damaged, from a store whose log is the same.
    fn mend_store_file(
        &self,
        bucket: &Bucket,
        root: &str,
        sources: &[SourceStore],
        dry_run: bool,
    ) -> Result<Option<Mended>> {
        match read_store_file(bucket, root) {
            Ok((bytes, _)) if StoreFile::parse(&bytes, root).is_ok() => return Ok(None),
            Ok((bytes, _)) if StoreFile::is_sealed(&bytes) => return Ok(None),
            Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
            _ => {}
        }
        for source in sources {
            let (bytes, _) = read_store_file(&source.bucket, &source.bucket.describe())?;
            if StoreFile::parse(&bytes, root).is_ok() && is_copy(bucket, &source.bucket)? {
                if !dry_run {
                    put_back(bucket, STORE_FILE, &bytes)?;
                }
                let how = "put back from a copy of the store".to_owned();
                return Ok(Some(Mended { object: STORE_FILE.to_owned(), how }));
            }
        }
        Ok(None)
    }
}

/// Whether two stores have one log: the newest record that both have is the same object.
fn is_copy(bucket: &Bucket, other: &Bucket) -> Result<bool> {
    for number in (1..=log::head(bucket)?.min(log::head(other)?)).rev() {
        match (log::read(bucket, number), log::read(other, number)) {
            (Ok(Some((_, own))), Ok(Some((_, theirs)))) => return Ok(own == theirs),
            (Err(fault), _) | (_, Err(fault)) if fault.kind() == Kind::Unreachable => return Err(fault),
            _ => {}
        }
    }
    Ok(false)
}
