//! Which machine this is, and which of its processes live: so that a note left by another process can be judged.

use std::fs;

use rustix::process::{Pid, getpid};

/// A machine since it was started, as one process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    /// Another for each installed system; empty where none is told, as in most containers.
    pub machine: String,
    /// Another after each start of the machine.
    pub boot: String,
    /// Which numbers of processes are meant: containers have their own.
    pub processes: String,
    /// Which file systems are seen where: containers and jobs may have their own `/tmp`.
    pub mounts: String,
}

/// A process, told from a later one of the same number by when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pub number: i32,
    /// In ticks since the machine started; 0 where it isn't known.
    pub started: u64,
}

impl Host {
    /// The machine that this process runs on.
    pub fn here() -> Host {
        let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
        let space =
            |of: &str| fs::read_link(format!("/proc/self/ns/{of}")).unwrap_or_default().to_string_lossy().into_owned();
        Host {
            name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            machine: Some(read("/etc/machine-id")).filter(|id| is_machine_id(id)).unwrap_or_default(),
            boot: read("/proc/sys/kernel/random/boot_id"),
            processes: space("pid"),
            mounts: space("mnt"),
        }
    }
}

impl Process {
    /// This process.
    pub fn own() -> Process {
        Process::with(getpid().as_raw_pid()).unwrap_or(Process { number: getpid().as_raw_pid(), started: 0 })
    }

    /// The process of this number, if there is one. One that has ended and waits to be asked how is none.
    pub fn with(number: i32) -> Option<Process> {
        let pid = Pid::from_raw(number)?;
        if rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
            return None;
        }
        match look(number) {
            Some((b'Z' | b'X', _)) => None,
            seen => Some(Process { number, started: seen.map_or(0, |(_, started)| started) }),
        }
    }

    /// Whether it still runs. Where the start of another user's process can't be seen, its number is taken for it.
    pub fn lives(&self) -> bool {
        let is_same = |now: Process| now.started == self.started || now.started == 0 || self.started == 0;
        Process::with(self.number).is_some_and(is_same)
    }
}

/// See machine-id(5); images may have another word there, until they are started first.
fn is_machine_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The state and the start of a process: the 3rd and the 22nd field of `stat`, see proc_pid_stat(5); the name before them may hold anything.
fn look(number: i32) -> Option<(u8, u64)> {
    let text = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}
