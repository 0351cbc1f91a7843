//! Two real users of one group, for what only permissions can tell: root makes them, and commands run as them by `setpriv`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::env::{Outcome, TestEnv};

/// Accounts that are removed with the last test that uses them.
struct Accounts {
    group: String,
    group_number: u32,
    names: [String; 2],
}

/// One at a time: the lists of users and groups are locked while they are changed.
static ACCOUNTS: Mutex<Weak<Accounts>> = Mutex::new(Weak::new());

impl Accounts {
    /// The first user's primary group is the shared one, the second's is another.
    fn get() -> Option<Arc<Accounts>> {
        let mut shared = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(accounts) = shared.upgrade() {
            return Some(accounts);
        }
        let process = std::process::id();
        let [group, first, second] = ["g", "a", "b"].map(|what| format!("dagset-{process}{what}"));
        let done = admin("groupadd", &[&group])
            && admin("useradd", &["-M", "-N", "-g", &group, &first])
            && admin("useradd", &["-M", "-U", "-G", &group, &second]);
        let accounts = Arc::new(Accounts { group_number: number("-g", &first), group, names: [first, second] });
        *shared = Arc::downgrade(&accounts);
        done.then_some(accounts)
    }
}

impl Drop for Accounts {
    fn drop(&mut self) {
        for name in &self.names {
            admin("userdel", &[name]);
        }
        admin("groupdel", &[&self.group]);
    }
}

/// Runs a command that changes accounts; another on this machine may hold their lock.
fn admin(command: &str, arguments: &[&str]) -> bool {
    (0..100).any(|_| {
        let output = Command::new(command).args(arguments).output();
        let is_done = output.is_ok_and(|output| output.status.success());
        if !is_done {
            std::thread::sleep(Duration::from_millis(100));
        }
        is_done
    })
}

fn number(kind: &str, name: &str) -> u32 {
    let output = Command::new("id").args([kind, name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// A user, with a home of his own that the other can't look into.
#[derive(Debug, Clone)]
pub struct User {
    name: String,
    pub number: u32,
    group: u32,
    home: PathBuf,
    umask: &'static str,
}

impl User {
    /// A path in the user's home.
    pub fn home(&self, relative: &str) -> PathBuf {
        self.home.join(relative)
    }
}

/// An environment with both users.
pub struct Users {
    pub env: TestEnv,
    accounts: Arc<Accounts>,
    binary: PathBuf,
    /// The first's umask is 077, the second's 000.
    pub both: [User; 2],
}

impl Users {
    /// `None`, said loudly, where users can't be made.
    pub fn new() -> Option<Users> {
        let accounts = rustix::process::geteuid().is_root().then(Accounts::get).flatten();
        let Some(accounts) = accounts else {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            // Past the capture of a test's output: what is left out must be seen.
            let line = format!("LEFT OUT: {test}: only root can make users (useradd)\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        };
        let env = TestEnv::new();
        env.open_to_all();
        let binary = env.copy_of_binary();
        let mut umasks = ["077", "000"].into_iter();
        let both = accounts.names.clone().map(|name| {
            let home = env.home("").with_file_name(&name);
            let (user, group) = (number("-u", &name), number("-g", &name));
            fs::create_dir(&home).unwrap();
            fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
            chown(&home, Some(user), Some(group)).unwrap();
            User { name, number: user, group, home, umask: umasks.next().unwrap() }
        });
        Some(Users { env, accounts, binary, both })
    }

    pub fn group_number(&self) -> u32 {
        self.accounts.group_number
    }

    /// Runs `dagset` as a user in the user's home.
    pub fn run(&self, user: &User, arguments: &[&str]) -> Outcome {
        let binary = self.binary.to_str().unwrap();
        self.env.finish(self.as_user(user, &[&[binary], arguments].concat()), b"")
    }

    /// Whether a shell's command succeeds for a user.
    pub fn can(&self, user: &User, command: &str) -> bool {
        self.as_user(user, &["/bin/sh", "-c", command]).output().unwrap().status.success()
    }

    fn as_user(&self, user: &User, command: &[&str]) -> Command {
        let mut whole = Command::new("setpriv");
        whole.args(["--reuid", &user.name, "--regid", &user.group.to_string(), "--init-groups", "/bin/sh", "-c"]);
        whole.arg(format!("umask {} && exec \"$@\"", user.umask)).arg("sh").args(command);
        whole.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &user.home).env("DAGSET_AUTHOR", crate::env::AUTHOR);
        whole.current_dir(&user.home);
        whole
    }

    /// The environment's group, as commands name it.
    pub fn group(&self) -> &str {
        &self.accounts.group
    }
}
