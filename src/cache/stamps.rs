//! What a view was when it was made: a job finds out by some looks whether something was added, removed or renamed in it since, or a file
//! edited through a link.
//!
//! `views/<key>-<random>.folders` has a line for each folder, outer ones first: the second and nanosecond of its last change, as the kernel
//! keeps it (nobody sets that back, and a change of the mode counts), and its path. Of files the time and mode are looked at, and where all are
//! looked at their size together; where a symlink of the view leads to a cached file, at that one. A second job of
//! a view is to wait for a few milliseconds and no more: it looks at [`MOST_FOLDERS`], and at files, from a folder on that is chosen at random, up
//! to [`LOOKS`] of both. So a view with no more of both is looked at whole, and of a larger one each job sees another part. `cache verify`
//! looks at all folders, and reads the files themselves.
//!
//! What an absolute symlink leads to isn't looked at. So a view from before they were relative has too few bytes, and one that is looked at whole is made anew.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Stat, statat};

use crate::base::files::{Durability, random_bytes};
use crate::base::{Error, Event, Result};

use super::files::looks_untouched;
use super::{Cache, Key, View, ViewCard};

/// So many folders are looked at: 20 to 40 ms.
const MOST_FOLDERS: usize = 20_000;
/// As long as there were no more looks than this, files too: 20 ms.
const LOOKS: usize = 8_000;
const STAMPS: &str = ".folders";

impl Cache {
    /// The view, if new jobs may have it and nobody seems to have changed it; if somebody did, it is refused from now on.
    pub fn unchanged_view(&self, key: &str) -> Result<Option<View>> {
        let Some(view) = self.view(key) else { return Ok(None) };
        if self.has_its_stamps(&view.card, MOST_FOLDERS, &mut { LOOKS }) {
            return Ok(Some(view));
        }
        self.refuse_changed(&view).map(|()| None)
    }

    /// Looks at all folders of all views; gives the keys of those that were changed, which new jobs don't get any more.
    pub(super) fn verify_views(&self) -> Result<Vec<String>> {
        let mut changed = Vec::new();
        for view in self.views()?.into_iter().filter(|view| !self.has_its_stamps(&view.card, usize::MAX, &mut 0)) {
            self.refuse_changed(&view)?;
            changed.push(view.key);
        }
        Ok(changed)
    }

    fn refuse_changed(&self, view: &View) -> Result<()> {
        let folder = self.views_folder().join(&view.card.tree);
        if !self.is_writable {
            return Err(Error::damaged(format!("{} was changed since it was made", folder.display())));
        }
        self.observer
            .tell(Event::Warning(format!("{} was changed since it was made, and is made anew", folder.display())));
        self.retire_view(&view.key)
    }

    /// Notes what the folders of a tree are, below it.
    pub(super) fn stamp(&self, tree: &str, folders: &[PathBuf]) -> Result<()> {
        let root = self.views_folder().join(tree);
        let open = File::open(&root).map_err(|fault| Error::io("open", &root, fault))?;
        let mut text = String::new();
        for folder in folders.iter().filter_map(|folder| folder.to_str()) {
            let (second, nanosecond) = changed(&open, folder)
                .ok_or_else(|| Error::io("look at", &root.join(folder), std::io::ErrorKind::NotFound.into()))?;
            // A NUL is in no path.
            write!(text, "{second} {nanosecond} {folder}\0").ok();
        }
        self.write_common(&self.stamps_path(tree), text.as_bytes(), Durability::Renamed)
    }

    /// By a look at so many folders at most, and then at files, as long as there were no more of both than `looks`, of which those that were
    /// taken go off.
    fn has_its_stamps(&self, card: &ViewCard, most_folders: usize, looks: &mut usize) -> bool {
        let path = self.stamps_path(&card.tree);
        let (Ok(text), Ok(made)) = (fs::read_to_string(&path), rustix::fs::stat(&path)) else { return false };
        let Ok(root) = File::open(self.views_folder().join(&card.tree)) else { return false };
        let stamp = |text| {
            let mut parts = str::splitn(text, 3, ' ');
            let mut number = || parts.next()?.parse::<i64>().ok();
            let then = number().zip(number())?;
            Some((then, parts.next()?))
        };
        let stamps: Option<Vec<_>> = text.split_terminator('\0').take(most_folders).map(stamp).collect();
        let Some(stamps) = stamps.filter(|stamps| !stamps.is_empty()) else { return false };
        *looks = looks.saturating_sub(stamps.len());
        let first = random_bytes().map_or(0, |bytes| usize::from(bytes[0]) << 8 | usize::from(bytes[1])) % stamps.len();
        let turned = stamps[first..].iter().chain(&stamps[..first]).map(|(_, folder)| *folder);
        stamps.iter().all(|(then, folder)| changed(&root, folder) == Some(*then))
            && self.has_its_files(card, turned, &made, looks)
    }

    /// By so many looks at the files in these folders, also those that links lead to: where that is all of them, they have as many bytes as the
    /// view was made with. A link that leads anywhere else is the data's own.
    fn has_its_files<'f>(
        &self,
        card: &ViewCard,
        folders: impl Iterator<Item = &'f str>,
        made: &Stat,
        looks: &mut usize,
    ) -> bool {
        if *looks == 0 {
            return true;
        }
        let tree = self.views_folder().join(&card.tree);
        let is_beside = self.has_files_beside_views();
        let mut bytes = 0;
        for folder in folders {
            let way = self.way_to_files(Path::new(folder).components().count() + 2, is_beside);
            for entry in fs::read_dir(tree.join(folder)).into_iter().flatten().flatten() {
                let Ok(kind) = entry.file_type() else { return false };
                if !kind.is_file() && !kind.is_symlink() {
                    continue;
                }
                if *looks == 0 {
                    return true;
                }
                *looks -= 1;
                let stat = match kind.is_file() {
                    true => rustix::fs::lstat(entry.path()),
                    false => match fs::read_link(entry.path()).ok().and_then(|link| cached_behind(&link, &way)) {
                        Some(key) => statat(&self.files, key.relative(), AtFlags::SYMLINK_NOFOLLOW),
                        None => continue,
                    },
                };
                match stat {
                    Ok(stat) if is_as_linked(&stat, made) => bytes += stat.st_size as u64,
                    _ => return false,
                }
            }
        }
        bytes == card.bytes
    }

    pub(super) fn stamps_path(&self, tree: &str) -> PathBuf {
        self.views_folder().join(format!("{tree}{STAMPS}"))
    }
}

/// The cached file that a link of ours leads to, by the way from where it stands.
fn cached_behind(link: &Path, way: &Path) -> Option<Key> {
    let relative = link.strip_prefix(way).ok()?.to_str()?;
    Key::of_name(relative.split_once('/')?.1).filter(|key| key.relative() == relative)
}

/// Whether this is a file as every cached one is, or was not so already when the view was made: another user's may have been touched before.
fn is_as_linked(stat: &Stat, made: &Stat) -> bool {
    let changed = |stat: &Stat| (stat.st_ctime, stat.st_ctime_nsec);
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && (looks_untouched(stat) || changed(stat) < changed(made))
}

/// When a folder was last changed, in seconds since 1970 and nanoseconds.
fn changed(root: &File, folder: &str) -> Option<(i64, i64)> {
    let folder = if folder.is_empty() { Path::new(".") } else { Path::new(folder) };
    let stat = statat(root, folder, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some((stat.st_ctime, i64::try_from(stat.st_ctime_nsec).ok()?))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::base::{Id, Observer, Spot, files};
    use crate::cache::Link;

    /// A cache, and a view in it of so many files in `a` and as many symlinks to others in `b/c`.
    fn staged(stage: &Path, each: u8) -> (Cache, ViewCard) {
        let cache = Cache::open_or_make(&stage.join("cache"), Observer::new()).unwrap();
        let view = cache.begin_view(&Id::of(b"view").to_string()).unwrap();
        for folder in ["a", "b/c"] {
            fs::create_dir_all(view.folder().join(folder)).unwrap();
        }
        for number in 0..each {
            let path = view.folder().join(format!("a/{number}"));
            cache.link_out(put(&cache, &[number]), 1, Link::InView, &Spot::from(&path)).unwrap();
            let path = view.folder().join(format!("b/c/{number}"));
            point_to(&path, &cache.path_in_view(put(&cache, &[number, 0]), &path));
        }
        for (name, leads_to) in [("up", "../a/0"), ("away", "/no/such/file"), ("files", "../files/00/00")] {
            point_to(&view.folder().join("a").join(name), Path::new(leads_to));
        }
        let bytes = u64::from(each) * 3;
        let told = || "told".to_owned();
        let tree = view.tree.clone();
        let card = ViewCard { address: told(), version: told(), list: told(), files: 1, bytes, tree };
        view.publish(&card).unwrap();
        (cache, card)
    }

    fn put(cache: &Cache, content: &[u8]) -> Key {
        let key = Key { content: Id::of(content), executable: false };
        let mut new = cache.begin(key).unwrap();
        new.write_all(content).unwrap();
        new.publish().unwrap();
        key
    }

    fn point_to(link: &Path, leads_to: &Path) {
        files::write_symlink(Spot::from(link), leads_to.to_str().unwrap()).unwrap();
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }

    /// Whether the view is as it was made, and by how many looks of those allowed that was found.
    fn looked(cache: &Cache, card: &ViewCard, looks: usize) -> (bool, usize) {
        let mut left = looks;
        (cache.has_its_stamps(card, MOST_FOLDERS, &mut left), looks - left)
    }

    #[test]
    fn a_view_is_looked_at_whole_or_as_far_as_a_job_can_wait() {
        let stage = tempfile::tempdir().unwrap();
        let (cache, card) = staged(stage.path(), 20);
        let all = 4 + 20 + 20 + 3;
        assert_eq!(looked(&cache, &card, LOOKS), (true, all));
        assert_eq!(looked(&cache, &card, all), (true, all));
        for most in [0, 3, 4, 5, 30, all - 1] {
            assert_eq!(looked(&cache, &card, most), (true, most));
        }
    }

    #[test]
    fn links_lead_out_of_views_that_somebody_keeps_elsewhere() {
        let stage = tempfile::tempdir().unwrap();
        drop(Cache::open_or_make(&stage.path().join("cache"), Observer::new()).unwrap());
        files::rename(&stage.path().join("cache/views"), &stage.path().join("views")).unwrap();
        point_to(&stage.path().join("cache/views"), &stage.path().join("views"));
        let (cache, card) = staged(stage.path(), 2);
        let link = cache.views_folder().join(&card.tree).join("b/c/1");
        assert_eq!(fs::read(&link).unwrap(), [1, 0]);
        assert_eq!(looked(&cache, &card, LOOKS), (true, 4 + 2 + 2 + 3));
        mode(&link, 0o644);
        assert!(!looked(&cache, &card, LOOKS).0);
    }

    #[test]
    fn what_stands_behind_a_link_of_a_view_is_looked_at() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 5] = [
            ("another mode", |path| mode(path, 0o644)),
            ("another time", |path| File::open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap()),
            ("nothing", |path| fs::remove_file(path).unwrap()),
            ("a link to a cached file", |path| {
                fs::remove_file(path).unwrap();
                let other = fs::read_dir(path.parent().unwrap().parent().unwrap()).unwrap();
                let mut files = other.flatten().flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten());
                point_to(path, &files.next().unwrap().path());
            }),
            ("more bytes", |path| {
                mode(path, 0o644);
                File::options().append(true).open(path).unwrap().write_all(b"more").unwrap();
                let fixed = super::super::files::times();
                rustix::fs::utimensat(rustix::fs::CWD, path, &fixed, AtFlags::empty()).unwrap();
                mode(path, 0o444);
            }),
        ];
        for (what, change) in changes {
            let stage = tempfile::tempdir().unwrap();
            let (cache, card) = staged(stage.path(), 3);
            let link = cache.views_folder().join(&card.tree).join("b/c/1");
            change(&link.canonicalize().unwrap());
            assert!(!looked(&cache, &card, LOOKS).0, "{what}");
        }
    }
}
