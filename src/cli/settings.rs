//! What the environment and the user's configuration say, as the engine's settings.
//!
//! Nothing here refuses to work: a file that isn't there, or can't be read, says nothing. Only a configuration of ours that
//! can't be understood is an error, since what it asks for would be ignored in silence.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use dagset::base::{Error, Result};
use dagset::engine::{Access, Attrs, Settings, TOOL, Value};

use super::args::Global;

/// Keys of the user's configuration, and what they mean.
pub const KEYS: [(&str, &str); 2] =
    [("author", "who versions are by"), ("default_store", "the store of datasets that are named without one")];

/// The engine's settings.
pub fn settings(global: &Global) -> Result<Settings> {
    let user = UserConfig::load()?;
    let folder = folder(global)?;
    let home = home();
    let default_store = global.store.clone().or_else(|| text("DAGSET_STORE")).or_else(|| user.get("default_store"));
    let author = global
        .author
        .clone()
        .or_else(|| text("DAGSET_AUTHOR"))
        .or_else(|| user.get("author"))
        .or_else(|| git_author(home.as_deref()))
        .unwrap_or_else(|| format!("{}@{}", user_name(), host_name()));
    let offline = global.offline || text("DAGSET_OFFLINE").is_some_and(|value| value != "0");
    let jobs = global.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, |jobs| jobs.get());
    Ok(Settings {
        default_store: default_store.map(|store| expanded(&store, home.as_deref())),
        provenance: provenance(),
        state_folder: xdg("XDG_CACHE_HOME", ".cache").map(|cache| cache.join("dagset")),
        access: Access { home: home.clone(), offline, ..Access::default() },
        folder,
        home,
        author,
        jobs,
    })
}

/// `-C`, else where the command is run.
pub fn folder(global: &Global) -> Result<PathBuf> {
    let here = env::current_dir()
        .map_err(|fault| Error::new(dagset::base::Kind::Failed, "the working folder is gone").because(fault))?;
    let Some(directory) = &global.directory else { return Ok(here) };
    let folder = here.join(directory);
    match folder.is_dir() {
        true => Ok(folder),
        false => Err(Error::not_found(format!("-C: there is no folder {}", directory.display()))),
    }
}

/// A variable that is set, not empty, and text.
fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn home() -> Option<PathBuf> {
    env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

/// A folder of the XDG rules: the variable if it is absolute, else below the home folder.
fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let set = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| Some(home()?.join(below_home)))
}

fn expanded(store: &str, home: Option<&Path>) -> String {
    match (store.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest).to_string_lossy().into_owned(),
        _ => store.to_owned(),
    }
}

/// The user's configuration: a TOML table of texts.
pub struct UserConfig {
    pub path: Option<PathBuf>,
    pub table: toml::Table,
}

impl UserConfig {
    /// Reads it; an absent one is empty.
    pub fn load() -> Result<UserConfig> {
        let path = xdg("XDG_CONFIG_HOME", ".config").map(|config| config.join("dagset/config.toml"));
        let content = path.as_deref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        let table = content.parse::<toml::Table>().map_err(|fault| {
            let shown = path.as_deref().unwrap_or(Path::new("config.toml")).display().to_string();
            Error::usage(format!("the configuration {shown} can't be understood")).because(fault.message().to_owned())
        })?;
        Ok(UserConfig { path, table })
    }

    /// The value of a key, if it is set.
    pub fn get(&self, key: &str) -> Option<String> {
        self.table.get(key).and_then(toml::Value::as_str).filter(|value| !value.is_empty()).map(str::to_owned)
    }
}

/// `user.name <user.email>` of git's own files; what they include is not followed.
fn git_author(home: Option<&Path>) -> Option<String> {
    let files =
        [xdg("XDG_CONFIG_HOME", ".config").map(|it| it.join("git/config")), home.map(|it| it.join(".gitconfig"))];
    let (mut name, mut mail) = (None, None);
    // The later file wins, as with git.
    for content in files.into_iter().flatten().filter_map(|path| fs::read_to_string(path).ok()) {
        let (found_name, found_mail) = git_user(&content);
        name = found_name.or(name);
        mail = found_mail.or(mail);
    }
    match (name, mail) {
        (Some(name), Some(mail)) => Some(format!("{name} <{mail}>")),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => None,
    }
}

fn git_user(content: &str) -> (Option<String>, Option<String>) {
    let (mut name, mut mail) = (None, None);
    let mut in_user = false;
    for line in content.lines().map(str::trim) {
        if line.starts_with('[') {
            in_user = line.eq_ignore_ascii_case("[user]");
        } else if let (true, Some((key, value))) = (in_user, line.split_once('=')) {
            let value = value.trim();
            let value = match value.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                Some((quoted, _)) => quoted,
                None => value.split([';', '#']).next().unwrap_or_default().trim(),
            };
            let value = (!value.is_empty()).then(|| value.to_owned());
            match key.trim().to_ascii_lowercase().as_str() {
                "name" => name = value,
                "email" => mail = value,
                _ => {}
            }
        }
    }
    (name, mail)
}

fn user_name() -> String {
    let named = ["USER", "LOGNAME"].into_iter().find_map(text);
    let uid = rustix::process::getuid().as_raw();
    named.or_else(|| user_of(uid)).unwrap_or_else(|| format!("uid{uid}"))
}

/// The local name of a user id, where there is one.
fn user_of(uid: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Variables of CI systems, and the attribute that each becomes.
const CI: [(&str, &str); 14] = [
    ("CI_PROJECT_PATH", "ci_project"),
    ("GITHUB_REPOSITORY", "ci_project"),
    ("CI_PIPELINE_ID", "ci_pipeline"),
    ("GITHUB_RUN_ID", "ci_pipeline"),
    ("CI_JOB_ID", "ci_job"),
    ("GITHUB_JOB", "ci_job"),
    ("BUILD_ID", "ci_job"),
    ("CI_JOB_URL", "ci_url"),
    ("BUILD_URL", "ci_url"),
    ("CI_COMMIT_SHA", "git_commit"),
    ("GITHUB_SHA", "git_commit"),
    ("GITHUB_RUN_ATTEMPT", "ci_attempt"),
    ("SLURM_JOB_ID", "slurm_job"),
    ("CI_RUNNER_ID", "ci_runner"),
];

/// Where a version comes from, recorded with it.
fn provenance() -> Attrs {
    let mut attrs = Attrs::default();
    let mut put = |key: &str, value: String| drop(attrs.0.insert(key.to_owned(), Value::Text(value)));
    put("host", host_name());
    put("user", user_name());
    put("tool", TOOL.to_owned());
    put("command", shown_command(env::args_os().map(|argument| argument.to_string_lossy().into_owned())));
    for (variable, key) in CI.into_iter().rev() {
        if let Some(value) = text(variable) {
            put(key, value.chars().take(500).collect());
        }
    }
    attrs
}

/// The command line without what could be secret: passwords and queries of URLs, values of telling keys.
fn shown_command(arguments: impl Iterator<Item = String>) -> String {
    let shown = arguments.enumerate().map(|(at, argument)| match at {
        0 => "dagset".to_owned(),
        _ => super::ui::quoted(&without_secrets(&argument)),
    });
    shown.collect::<Vec<_>>().join(" ").chars().take(2000).collect()
}

fn without_secrets(argument: &str) -> String {
    const TELLING: [&str; 6] = ["secret", "token", "password", "passwd", "key", "credential"];
    if let Some((key, value)) = argument.split_once('=')
        && !key.contains('/')
    {
        let is_telling = TELLING.iter().any(|word| key.to_ascii_lowercase().contains(word));
        return format!("{key}={}", if is_telling { "***".to_owned() } else { without_secrets(value) });
    }
    let Some((scheme, rest)) = argument.split_once("://") else { return argument.to_owned() };
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // Before the host only: a later @ begins a REF.
    let host = match host.split_once('@') {
        Some((user, host)) if user.contains(':') || !path.is_empty() => host,
        _ => host,
    };
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_user_is_found() {
        let content =
            "[core]\n name = x\n[User]\n\tname = Ann Lee ; hi\n  email = \"ann@x.example\" # no\n[alias]\nname = y\n";
        assert_eq!(git_user(content), (Some("Ann Lee".into()), Some("ann@x.example".into())));
        assert_eq!(git_user("[user]\nname =\n"), (None, None));
    }

    #[test]
    fn secrets_are_not_recorded() {
        let cases = [
            ("s3://key:secret@host/data/set@1.0", "s3://host/data/set@1.0"),
            ("s3://bucket/set?X-Token=1", "s3://bucket/set"),
            ("api_key=abc", "api_key=***"),
            ("--meta=token=abc", "--meta=token=***"),
            ("lr=0.1", "lr=0.1"),
            ("./store/a=b", "./store/a=b"),
        ];
        for (argument, shown) in cases {
            assert_eq!(without_secrets(argument), shown);
        }
        assert_eq!(shown_command(["/usr/bin/dagset", "x y"].map(str::to_owned).into_iter()), "dagset 'x y'");
    }
}
