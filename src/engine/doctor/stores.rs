//! Stores, by a quick look: reached, readable, what the log rests on there. The content is left to `verify`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::{Error, Event, Kind, Result, Time};
use crate::flow::repair::{ASIDE, NewestMended, make_room, mend_newest, move_strangers, put_back_end};
use crate::format::header::ObjectKind;
use crate::format::store_file::StoreFile;
use crate::history::lost_log;
use crate::history::newest::{self, Newest, Seen};
use crate::history::state;
use crate::history::timeline::Timeline;
use crate::store::address::is_remote;
use crate::store::content::Content;
use crate::store::fault::is_denied;
use crate::store::folder::sweep_trials;
use crate::store::locate::{Located, STORE_FILE};
use crate::store::objects::Bucket;
use crate::store::{log, log_end, strangers};

use super::super::Engine;
use super::super::open::Missing;
use super::{Checkup, Fix, Health};

const AREA: &str = "store";
/// Indexes of up to so many bytes together are read and checked; of more only the lengths are looked at.
const READ_BYTES: u64 = 16 << 20;
/// Packs that are looked for: where a folder of them is empty, or an upload was forgotten, one shows it.
const SAMPLED_PACKS: usize = 4;
/// A store's clock may be so far ahead of ours.
const MOST_SKEW_MS: i64 = 60_000;

impl Engine {
    pub(super) fn look_at_store(&self, text: &str, fix: Fix) -> Vec<Checkup> {
        let located = match self.expand(text).and_then(|text| self.locate(&text)) {
            Ok(located) => located,
            Err(fault) => return vec![self.why_not_found(text, &fault)],
        };
        let root = located.store_root.clone();
        let mut found = Vec::new();
        let newest = self.newest_file(&root).and_then(|file| newest::read(&file));
        found.extend(self.look_at_folders(&located, fix));
        found.extend(look_behind_the_log(&located, fix));
        let mut opened = self.open_quickly(&located);
        if let (Err(fault), Fix::AtACost) = (&opened, fix)
            && fault.kind() == Kind::Damaged
            && let Some(set_aside) = self.mend_newest(&located, newest.as_ref())
        {
            found.push(set_aside);
            opened = self.open_quickly(&located);
        }
        let makes_anew = fix != Fix::Nothing;
        let opened = match opened {
            Ok((file, timeline)) => {
                found.extend(self.look_for_going_back(&root, newest, &timeline, fix));
                found.extend(self.look_at_mirror(&root, Some(file.store), makes_anew));
                Some((file, timeline))
            }
            Err(fault) => {
                let how = match (fault.kind(), fault.next_step()) {
                    (Kind::Damaged, Some(hint)) if hint.contains("--repair-from") => hint.to_owned(),
                    (Kind::Damaged, _) => mend_command(&root),
                    _ => fault.next_step().map_or_else(|| format!("dagset store check {root}"), str::to_owned),
                };
                let broken = Checkup::broken(AREA, &root, &fault).mended_by(how);
                // What stands in the place of a folder of the log was said already.
                if found.iter().all(|it| it.detail != broken.detail) {
                    found.push(broken);
                }
                found.extend(self.look_at_mirror(&root, None, makes_anew));
                None
            }
        };
        if let Some((_, timeline)) = &opened {
            let looked = look_at_log(timeline).and_then(|found| {
                // What a collector replaced meanwhile isn't damage.
                if found.is_empty() { Ok(found) } else { look_at_log(&self.open_quickly(&located)?.1) }
            });
            match looked {
                Ok(wrong) => {
                    let broken = |fault: &Error| {
                        let how = fault.next_step().filter(|hint| hint.contains("--repair-from"));
                        let how = how.map_or_else(|| mend_command(&root), str::to_owned);
                        Checkup::broken(AREA, &root, fault).mended_by(how)
                    };
                    found.extend(wrong.iter().map(broken));
                }
                Err(fault) => found.push(Checkup::broken(AREA, &root, &fault)),
            }
        }
        found.extend(self.look_around(&located.bucket, &root, makes_anew));
        if let Some((file, timeline)) = opened
            && !found.iter().any(|it| it.area == AREA && it.health != Health::Ok)
        {
            let fold = timeline.fold();
            let waiting = match fold.condemned.is_empty() {
                true => String::new(),
                false => format!(
                    "; {} versions and {} packs are condemned, and go with a `dagset gc` after the grace period",
                    fold.condemned.versions.len(),
                    fold.condemned.packs.len()
                ),
            };
            let detail = format!("{}, {} records{waiting}", file.store_hex(), fold.number);
            found.push(Checkup::ok(AREA, root, detail));
        }
        found
    }

    /// What stands in the place of the store's folders. Those of the log are left to a repair, which has to have its records.
    fn look_at_folders(&self, located: &Located, fix: Fix) -> Vec<Checkup> {
        let (bucket, root) = (&located.bucket, &located.store_root);
        let moved = match fix {
            Fix::AtACost => make_room(bucket, false, false),
            _ => Ok(Vec::new()),
        };
        let left = moved.and_then(|moved| Ok((moved, strangers::in_place_of_folders(bucket)?)));
        let (moved, mut left) = match left {
            Ok(found) => found,
            Err(fault) => return vec![Checkup::broken(AREA, root, &fault)],
        };
        left.extend(strangers::in_place_of(bucket, ASIDE));
        let told = moved.into_iter().map(|it| {
            let detail = format!("{}: {}", it.object, it.how);
            let how = format!("dagset verify {root} lists what is missing since, and `--repair-from STORE` mends it");
            Checkup { fixed: true, ..Checkup::warning(AREA, root, detail).mended_by(how) }
        });
        told.chain(left.iter().map(|taken| Checkup::broken(AREA, root, &taken.why))).collect()
    }

    fn open_quickly(&self, located: &Located) -> Result<(StoreFile, Timeline)> {
        let file = StoreFile::parse(&located.store_file, &located.store_root)?;
        let timeline = Timeline::open(located.bucket.clone(), file.store, self.observer.clone())?;
        Ok((file, timeline))
    }

    /// Puts the newest record back where this machine keeps it, else sets it aside where it is damaged.
    fn mend_newest(&self, located: &Located, kept: Option<&Seen>) -> Option<Checkup> {
        let (bucket, root) = (&located.bucket, &located.store_root);
        let file = StoreFile::parse(&located.store_file, root).ok()?;
        self.observer.tell(Event::Phase("mending the newest record"));
        let kept = kept.filter(|kept| kept.store == file.store);
        let detail = match mend_newest(bucket, file.store, kept, &self.observer) {
            Ok(None) => return None,
            Err(fault) => return Some(Checkup::broken(AREA, root, &fault)),
            Ok(Some(NewestMended::PutBack(number))) => {
                format!("record {number} of the log was damaged, and was put back from what is kept of it here")
            }
            Ok(Some(NewestMended::SetAside(number))) => format!(
                "record {number} of the log was damaged, and lies in {ASIDE}/ now: what it said is lost unless a copy of it is found, and nothing \
                 else is; whoever wrote last should look whether that is there"
            ),
        };
        Some(Checkup { fixed: true, ..Checkup::warning(AREA, root, detail) })
    }

    /// Whether the log ends before what this user has seen of it.
    fn look_for_going_back(&self, root: &str, kept: Option<Seen>, timeline: &Timeline, fix: Fix) -> Option<Checkup> {
        let kept = kept.filter(|kept| kept.store == timeline.fold().store)?;
        let mut newest = Newest::of(self.newest_file(root)?, kept.clone(), self.observer.clone());
        let it = Checkup::broken(AREA, root, &newest.check(timeline).err()?);
        if fix != Fix::AtACost {
            return Some(it);
        }
        let how = match put_back_end(timeline, &kept) {
            Ok(true) => "it was put back from what is kept of it here".to_owned(),
            Ok(false) => match newest.set_aside() {
                Ok(aside) => {
                    format!("it is taken as it is now; what was kept of the lost end lies in {}", aside.display())
                }
                Err(fault) => return Some(Checkup::broken(AREA, root, &fault)),
            },
            Err(fault) => return Some(Checkup::broken(AREA, root, &fault)),
        };
        Some(Checkup { health: Health::Warning, fixed: true, ..it }.mended_by(how))
    }

    /// No store, or one that lost what makes it one.
    fn why_not_found(&self, text: &str, fault: &Error) -> Checkup {
        let bare = text.trim_end_matches('/');
        let is_headless = fault.kind() == Kind::NotFound
            && self.open_objects(bare, Missing::Fails).and_then(|bucket| log::head(&bucket)).is_ok_and(|head| head > 0);
        match fault.kind() {
            _ if is_headless => {
                let fault = Error::damaged(format!("{STORE_FILE} is missing, and the log of a store is there"));
                Checkup::broken(AREA, bare, &fault).mended_by(mend_command(bare))
            }
            Kind::Unreachable => {
                Checkup::broken(AREA, bare, fault).mended_by(format!("dagset store check {bare} says why"))
            }
            Kind::NotFound => Checkup::broken(AREA, bare, fault)
                .mended_by("mount it if it is a disk that is away, or put it where it was; a new store there would hide what is missing"),
            _ => Checkup::broken(AREA, bare, fault),
        }
    }

    /// Rights, leftovers, the clock.
    fn look_around(&self, bucket: &Bucket, root: &str, fix: bool) -> Vec<Checkup> {
        let mut found = Vec::new();
        if fix && !is_remote(root) {
            sweep_trials(Path::new(&self.absolute(root)));
        }
        match bucket.list("") {
            Err(fault) if is_denied(&fault) => {
                found.push(
                    Checkup::warning(AREA, root, "its objects may not be listed")
                        .mended_by(format!("dagset store check {root}")),
                );
            }
            Err(fault) => found.push(Checkup::broken(AREA, root, &fault)),
            Ok(listing) => {
                let trials = listing.folders.iter().filter(|name| name.starts_with("check-")).count();
                if trials > 0 {
                    let detail = format!("{trials} folders that trials of the place left");
                    found.push(Checkup::warning(AREA, root, detail).mended_by(format!("dagset gc {root}")));
                }
                let aside = ASIDE;
                if listing.folders.iter().any(|name| name == aside) {
                    let kept = bucket.list(aside).map_or(0, |listing| listing.objects.len());
                    if kept > 0 {
                        let detail = format!("{kept} damaged objects are kept in {aside}/ since a repair");
                        found.push(
                            Checkup::warning(AREA, root, detail)
                                .mended_by(format!("remove {root}/{aside} when nobody needs them")),
                        );
                    }
                }
            }
        }
        let folder = self.absolute(root);
        let folder = Path::new(&folder);
        if folder.is_dir() {
            let may = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok();
            if !may {
                let how = format!("ask the owner of {root} for the right to write, if you need it");
                found.push(Checkup::warning(AREA, root, "may only be read by this user").mended_by(how));
            }
        }
        found
    }
}

/// What stands behind the end of the log and is no record. A log whose end can't be told is said to be damaged elsewhere.
fn look_behind_the_log(Located { bucket, store_root: root, .. }: &Located, fix: Fix) -> Option<Checkup> {
    let strangers = log_end::end_and_all_behind(bucket).ok()?.strangers;
    let first = log::record_name(*strangers.first()?);
    let others = match strangers.len() - 1 {
        0 => String::new(),
        others => format!(" (and {others} more)"),
    };
    let detail = format!("{first}{others} is behind the end of the log, no record, and in the way of one to come");
    let it = Checkup::warning(AREA, root, detail).mended_by(format!("dagset doctor {root} --fix"));
    if fix != Fix::AtACost {
        return Some(it);
    }
    Some(match move_strangers(bucket, &strangers, false) {
        Ok(_) => it.fixed_if(true),
        Err(fault) => Checkup::broken(AREA, root, &fault),
    })
}

/// What is wrong with what the newest record names: its time, the newest state, the indexes, and a few packs that aren't there in full.
fn look_at_log(timeline: &Timeline) -> Result<Vec<Error>> {
    let (bucket, fold) = (timeline.bucket(), timeline.fold());
    let mut wrong = Vec::new();
    let mut judge = |outcome: Result<()>| match outcome {
        Err(fault) if fault.kind() == Kind::Unreachable => Err(fault),
        Err(fault) => {
            wrong.push(fault);
            Ok(())
        }
        Ok(()) => Ok(()),
    };
    if fold.number == 0 {
        judge(lost_log::refuse_lost(bucket))?;
    }
    if let Some(newest) = timeline.state() {
        judge(state::read(bucket, newest).map(drop))?;
    }
    let listing = bucket.list(ObjectKind::Index.folder())?;
    for row in fold.indexes.values() {
        let name = row.name.to_string();
        let listed = listing.objects.iter().find(|object| object.name == name);
        let object = format!("{}/{name}", ObjectKind::Index.folder());
        judge(match listed.map(|object| object.bytes) {
            Some(bytes) if bytes == row.bytes => Ok(()),
            Some(bytes) => Err(Error::damaged(format!("{object} has {bytes} bytes, not {}", row.bytes))),
            None if bucket.size(&object)? == Some(row.bytes) => Ok(()),
            None => Err(Error::damaged(format!("{object} is missing"))),
        })?;
    }
    if fold.indexes.values().map(|row| row.bytes).sum::<u64>() <= READ_BYTES {
        let content = Content::new(bucket.clone(), Vec::new());
        let mut packs = BTreeMap::new();
        for row in fold.indexes.values() {
            judge(content.index(row).map(|index| packs.extend(index.packs().map(|pack| (pack.name, pack)))))?;
        }
        for pack in packs.values().rev().step_by(packs.len().div_ceil(SAMPLED_PACKS).max(1)) {
            let object = pack.kind.object(&pack.name);
            judge(match bucket.size(&object)? {
                Some(bytes) if bytes == pack.bytes => Ok(()),
                Some(bytes) => Err(Error::damaged(format!("{object} has {bytes} bytes, not {}", pack.bytes))),
                None => Err(Error::damaged(format!("{object} is missing"))),
            })?;
        }
    }
    if let Ok(time) = crate::flow::gc::clock::time_of_record(bucket, fold.number)
        && time.0 > Time::now().0 + MOST_SKEW_MS
    {
        let message = "its newest record was written in the future, by the store's clock";
        wrong.push(Error::new(Kind::Failed, message).hint("set the clock that is wrong: grace periods rest on both"));
    }
    wrong.dedup_by(|a, b| a.to_string() == b.to_string());
    Ok(wrong)
}

/// What mends a damaged store.
fn mend_command(root: &str) -> String {
    format!("dagset verify {root} --repair-from STORE, where STORE is a copy or has the same content")
}
