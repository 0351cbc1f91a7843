//! A pin or a lease, and whether it still holds.
//!
//! A lease can be judged only by who sees what it names: the same machine, and there the same processes and folders. For all others it holds
//! until its end.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::Time;
use crate::base::host::{Host, Process};

use super::Cache;
use super::views::key_of_tree;

/// Nobody can tell whether a job on another machine lives: its lease ends a day after it was last renewed.
pub const LEASE_MS: i64 = 24 * 3600 * 1000;

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Held {
    /// By the name of its tree.
    View(String),
    List(String),
}

/// A pin, or a lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    pub held: Held,
    /// The address, for people.
    pub address: String,
    /// The version.
    pub version: String,
    pub files: u64,
    pub bytes: u64,
    pub is_pin: bool,
    pub host: String,
    /// As [`Host::machine`](crate::base::host::Host::machine); empty where it isn't known.
    #[serde(default)]
    pub machine: String,
    pub boot: String,
    pub processes: String,
    #[serde(default)]
    pub mounts: String,
    /// The number of the process that reads, and when it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<(i32, u64)>,
    /// The process that is about to put the link, likewise: the lease is there before it, and holds as long as that process runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker: Option<(i32, u64)>,
    /// A job, by a name that only its scheduler can judge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// What the job reads through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<PathBuf>,
    /// Milliseconds since 1970.
    pub made: i64,
    /// Milliseconds since 1970; a pin may have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<i64>,
}

/// From where holds are judged.
pub(super) struct Viewpoint {
    pub(super) here: Host,
    pub(super) now: Time,
    /// The cache's folder of views.
    views: PathBuf,
    /// Whether only this machine uses the cache's disk.
    is_on_own_disk: bool,
}

impl Viewpoint {
    pub(super) fn of(cache: &Cache) -> Viewpoint {
        Viewpoint {
            here: Host::here(),
            now: Time::now(),
            views: cache.views_folder(),
            is_on_own_disk: cache.is_on_own_disk(),
        }
    }
}

impl Hold {
    /// Whether it was put on this machine, by who counts processes as this process does.
    ///
    /// Machines may share a name, and the first of each has the same space of processes. But no two starts of machines have one id. Where
    /// that is another, this machine was started anew if it is surely the same: by its own id, or, where that isn't known, since no other comes to this disk.
    pub(super) fn is_of(&self, from: &Viewpoint) -> bool {
        let here = &from.here;
        let is_same_start = !self.boot.is_empty() && self.boot == here.boot;
        let is_same_machine = match self.machine.is_empty() || here.machine.is_empty() {
            true => from.is_on_own_disk,
            false => self.machine == here.machine,
        };
        self.host == here.name && self.processes == here.processes && (is_same_start || is_same_machine)
    }

    /// Whether it still holds. Of this machine's own the process or the link is looked at; of others', and of what this user may not
    /// look at, only the time is known. The link to a view must still lead there.
    pub(super) fn lives(&self, from: &Viewpoint) -> bool {
        let not_ended = self.ends.is_none_or(|ends| from.now.0 < ends);
        if self.is_pin || !self.is_of(from) {
            return not_ended;
        }
        let runs = |(number, started)| self.boot == from.here.boot && Process { number, started }.lives();
        match (self.process, &self.link) {
            (Some(process), _) => runs(process),
            _ if self.maker.is_some_and(runs) => true,
            // `/tmp` may be the job's own.
            (None, Some(_)) if self.mounts != from.here.mounts => not_ended,
            (None, Some(link)) => self.leads_there(link, &from.views).unwrap_or(not_ended),
            (None, None) => not_ended,
        }
    }

    /// Whether the job's link still stands; `None` where that can't be seen.
    fn leads_there(&self, link: &Path, views: &Path) -> Option<bool> {
        let stands = match &self.held {
            Held::View(tree) => {
                let key = key_of_tree(tree).unwrap_or(tree);
                fs::read_link(link).map(|leads_to| is_view(&leads_to, views, key))
            }
            Held::List(_) => fs::symlink_metadata(link).map(|_| true),
        };
        match stands.map_err(|fault| fault.kind()) {
            Ok(stands) => Some(stands),
            Err(ErrorKind::PermissionDenied) => None,
            // Gone, or something else stands there.
            Err(_) => Some(false),
        }
    }

    /// Whether another is the same lease, put again by who runs a command again.
    pub(super) fn is_again(&self, other: &Hold) -> bool {
        let told =
            |hold: &Hold| (hold.held.clone(), hold.link.clone(), hold.process, hold.job.clone(), hold.mounts.clone());
        !self.is_pin && !other.is_pin && told(self) == told(other)
    }
}

/// Whether a path is that of a view; users may come to a cache by different paths.
pub(super) fn is_view(path: &Path, views: &Path, key: &str) -> bool {
    let folder = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    path.file_name().is_some_and(|name| name == key) && path.parent().and_then(folder) == folder(views)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn lease() -> Hold {
        let told = r#"{"held": {"view": "key-tree"}, "address": "set@1", "version": "1", "files": 1, "bytes": 1, "is_pin": false,
            "host": "node", "boot": "start", "processes": "pid:[4026531836]", "link": "/no/such/link", "made": 0, "ends": 86400000}"#;
        serde_json::from_str(told).unwrap()
    }

    /// This machine, on a disk of its own or on one that others use too.
    fn here(machine: &str, boot: &str, is_on_own_disk: bool) -> Viewpoint {
        let told = |text: &str| text.to_owned();
        let here = Host {
            name: told("node"),
            machine: told(machine),
            boot: told(boot),
            processes: told("pid:[4026531836]"),
            mounts: String::new(),
        };
        Viewpoint { here, now: Time(HOUR_MS), views: "/no/such/views".into(), is_on_own_disk }
    }

    #[test]
    fn only_its_own_machine_ends_a_lease_whose_link_is_not_there() {
        // Its machine, this one, this one's start, a disk of its own, whether it lives.
        for (machine, here_machine, boot, own_disk, lives) in [
            ("a", "a", "start", false, false),
            ("a", "a", "later", false, false),
            ("a", "b", "later", false, true),
            ("a", "b", "later", true, true),
            // Containers with ids of their own, on one machine.
            ("a", "b", "start", false, false),
            ("", "a", "start", false, false),
            ("", "a", "later", false, true),
            ("", "", "later", false, true),
            ("a", "", "later", false, true),
            // Nobody else comes to this disk, so the machine was started anew.
            ("", "", "later", true, false),
            ("", "a", "later", true, false),
        ] {
            let lease = Hold { machine: machine.to_owned(), ..lease() };
            let from = here(here_machine, boot, own_disk);
            assert_eq!(lease.lives(&from), lives, "{machine:?} {here_machine:?} {boot} {own_disk}");
            let at_its_end = Viewpoint { now: Time(24 * HOUR_MS), ..from };
            assert!(!lease.lives(&at_its_end), "it ends by itself");
        }
    }

    #[test]
    fn a_process_of_an_earlier_start_has_ended_and_one_of_another_machine_is_not_known() {
        let own = Process::own();
        let lease = Hold { machine: "a".to_owned(), process: Some((own.number, own.started)), link: None, ..lease() };
        assert!(lease.lives(&here("a", "start", false)));
        assert!(!lease.lives(&here("a", "later", false)));
        assert!(lease.lives(&here("b", "later", false)), "until its end");
        let dead = Hold { process: Some((own.number, own.started + 1)), ..lease };
        assert!(!dead.lives(&here("a", "start", false)));
        assert!(dead.lives(&here("b", "later", false)));
    }

    #[test]
    fn a_lease_is_there_before_its_link_while_its_maker_runs() {
        let own = Process::own();
        let made = |started| Hold { maker: Some((own.number, started)), ..lease() };
        assert!(made(own.started).lives(&here("a", "start", false)));
        assert!(!made(own.started + 1).lives(&here("a", "start", false)));
        assert!(!made(own.started).lives(&here("a", "later", true)));
    }
}
