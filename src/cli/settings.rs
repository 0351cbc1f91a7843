//! What the environment and the user's configuration say, as the engine's settings.
//!
//! Nothing here refuses to work: a file that isn't there, or can't be read, says nothing. Only a configuration of ours that
//! can't be understood is an error, since what it asks for would be ignored in silence.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use dagset::base::time::parse_duration;
use dagset::base::{Error, Result};
use dagset::engine::{Access, Attrs, CachePlace, Settings, TOOL, Value, refuse_secret};

use super::args::Global;
use super::run_id::github_url;
use super::user_config::UserConfig;

/// The engine's settings.
pub fn settings(global: &Global) -> Result<Settings> {
    settings_of(global, &UserConfig::load()?)
}

/// What they would be if the user had no configuration.
pub fn without_configuration(global: &Global) -> Result<Settings> {
    settings_of(global, &UserConfig::empty())
}

fn settings_of(global: &Global, user: &UserConfig) -> Result<Settings> {
    let folder = folder(global)?;
    let home = home();
    global.store.iter().try_for_each(|store| refuse_secret(store, "a store's URL"))?;
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
        provenance: if global.no_provenance { Attrs::default() } else { provenance() },
        state_folder: xdg("XDG_CACHE_HOME", ".cache").map(|cache| cache.join("dagset")),
        access: Access {
            environment: cloud_variables(),
            home: home.clone(),
            limit_rate: limit_rate(global, user)?,
            offline,
            stores: user.stores()?,
            ..Access::default()
        },
        caches: caches(global, user, home.as_deref())?,
        user_cache: xdg("XDG_CACHE_HOME", ".cache").map(|cache| cache.join("dagset/files")),
        folder,
        home,
        author,
        jobs,
    })
}

/// `--cache`, else `DAGSET_CACHE`, else the configuration's: folders with commas between, `:ro` behind those that are only read.
fn caches(global: &Global, user: &UserConfig, home: Option<&Path>) -> Result<Vec<CachePlace>> {
    let configured = || text("DAGSET_CACHE").or_else(|| user.get("cache")).filter(|all| !all.trim().is_empty());
    let named: Vec<String> = match global.cache.is_empty() {
        true => configured().iter().flat_map(|all| all.split(',')).map(str::to_owned).collect(),
        false => global.cache.clone(),
    };
    let place = |one: &String| {
        let (folder, read_only) = one.trim().strip_suffix(":ro").map_or((one.trim(), false), |folder| (folder, true));
        // Two or three letters are meant as `:ro` is, and would else be a part of the name.
        match folder.rsplit_once(':') {
            Some((_, word)) if word.len() < 4 && word.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                let hint =
                    format!("leave it out for a cache that is filled; a folder of this name is written {folder}/");
                Err(Error::usage(format!("a cache is followed by :ro or nothing, not by :{word}")).hint(hint))
            }
            _ if folder.is_empty() => {
                let message = format!("one of the caches has no name: {:?}", named.join(","));
                Err(Error::usage(message).hint("write them as DIR,DIR:ro"))
            }
            _ => Ok(CachePlace { folder: expanded(folder, home).into(), read_only }),
        }
    };
    named.iter().map(place).collect()
}

/// The variables by which cloud tools are told what to do, and those of proxies.
fn cloud_variables() -> BTreeMap<String, String> {
    const CLOUDS: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
    const PROXIES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];
    let is_wanted = |name: &str| {
        CLOUDS.iter().any(|prefix| name.starts_with(prefix)) || PROXIES.contains(&name.to_ascii_uppercase().as_str())
    };
    let variables =
        env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    variables.filter(|(name, _)| is_wanted(name)).collect()
}

/// `--limit-rate`, else the configuration's.
fn limit_rate(global: &Global, user: &UserConfig) -> Result<Option<u64>> {
    if global.limit_rate.is_some() {
        return Ok(global.limit_rate);
    }
    let Some(text) = user.get("limit_rate") else { return Ok(None) };
    let rate = parse_rate(&text).map_err(|why| {
        Error::usage(format!("limit_rate of the configuration: {why}")).hint("dagset config set limit_rate 10M")
    })?;
    Ok(Some(rate))
}

/// Bytes a second: a number with `k`, `M` or `G` of 1000, or `Ki`, `Mi`, `Gi` of 1024; `B` and `/s` may follow.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let bad = || format!("not a rate: {text:?} (write 500k, 10M, 1.5MB/s)");
    let rest = text.trim().strip_suffix("/s").unwrap_or(text.trim());
    let rest = rest.strip_suffix(['B', 'b']).unwrap_or(rest);
    let at = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, unit) = rest.split_at(at);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "ki" => 1024.0,
        "mi" => 1024.0 * 1024.0,
        "gi" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(bad()),
    };
    let rate = number.parse::<f64>().map_err(|_| bad())? * factor;
    match rate {
        1000.0..=1e15 => Ok(rate as u64),
        _ => Err(format!("not a rate between 1 kB and 1 PB a second: {text:?}")),
    }
}

/// Bytes: a number with the units of [`parse_rate`] and `T`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad = |_| format!("not a size: {text:?} (write 500G, 2T, 100GiB)");
    let lower = text.trim().to_ascii_lowercase();
    match lower.split_once('t') {
        Some((number, "" | "b")) => parse_rate(&format!("{number}g")).map(|size| size * 1000),
        Some((number, "i" | "ib")) => parse_rate(&format!("{number}gi")).map(|size| size * 1024),
        _ => parse_rate(&lower),
    }
    .map_err(bad)
}

/// Parses a duration that may be none, which needs no unit.
pub fn parse_grace(text: &str) -> Result<Duration, String> {
    if text.trim() == "0" { Ok(Duration::ZERO) } else { parse_duration(text) }
}

/// Parses a duration that isn't none: what lasts so long.
pub fn parse_lasting(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err(format!("too short: {text:?} is no time at all (write 90s, 30m, 12h, 7d, 2w)")),
        duration => Ok(duration),
    }
}

/// An error of the engine's as clap shows one of a value.
pub fn with_hint(fault: Error) -> String {
    match fault.next_step() {
        None => fault.in_one_line(),
        Some(hint) => format!("{}: {hint}", fault.in_one_line()),
    }
}

/// The number of a group that has this name, or is it.
pub fn group(name: &str) -> Result<u32> {
    let found = nix::unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
    found.or_else(|| name.parse().ok()).ok_or_else(|| {
        Error::not_found(format!("there is no group {name}")).hint("`getent group` shows all, `id` those you are in")
    })
}

/// A group's name, or its number where it has none here.
pub fn group_name(number: u32) -> String {
    let found = nix::unistd::Group::from_gid(nix::unistd::Gid::from_raw(number)).ok().flatten();
    found.map_or_else(|| number.to_string(), |group| group.name)
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
pub fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn home() -> Option<PathBuf> {
    env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

/// Where the user's configuration is, as far as a home is known.
pub fn user_config_file() -> Option<PathBuf> {
    xdg("XDG_CONFIG_HOME", ".config").map(|config| config.join("dagset/config.toml"))
}

/// Files that hold secrets by which stores in clouds are reached, where they would be.
pub fn credential_files() -> Vec<PathBuf> {
    let of_aws = text("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    let of_aws = of_aws.or_else(|| Some(home()?.join(".aws/credentials")));
    of_aws.into_iter().chain(text("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from)).collect()
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
const CI: [(&str, &str); 16] = [
    ("CI_PROJECT_PATH", "ci_project"),
    ("GITHUB_REPOSITORY", "ci_project"),
    ("CI_PIPELINE_ID", "ci_pipeline"),
    ("GITHUB_RUN_ID", "ci_pipeline"),
    ("CI_JOB_ID", "ci_job"),
    ("GITHUB_JOB", "ci_job"),
    ("BUILD_ID", "ci_job"),
    ("CI_JOB_NAME", "ci_job_name"),
    ("JOB_NAME", "ci_job_name"),
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
    if let Some(url) = text("GITHUB_RUN_ID").and_then(|id| github_url(&id, text)) {
        put("ci_url", without_secrets(&url).chars().take(500).collect());
    }
    for (variable, key) in CI.into_iter().rev() {
        if let Some(value) = text(variable) {
            put(key, without_secrets(&value).chars().take(500).collect());
        }
    }
    attrs
}

/// The command line without what could be secret: passwords and queries of URLs, values of telling keys.
fn shown_command(arguments: impl Iterator<Item = String>) -> String {
    let mut hide_next = false;
    let shown = arguments.enumerate().map(|(at, argument)| {
        let hidden = std::mem::replace(&mut hide_next, argument.starts_with('-') && is_telling(&argument));
        match at {
            0 => "dagset".to_owned(),
            _ if hidden => "***".to_owned(),
            _ => super::ui::quoted(&without_secrets(&argument)),
        }
    });
    shown.collect::<Vec<_>>().join(" ").chars().take(2000).collect()
}

/// Whether what has this name, an option or a variable, is not for all eyes.
fn is_telling(name: &str) -> bool {
    const TELLING: [&str; 6] = ["secret", "token", "password", "passwd", "key", "credential"];
    let name = name.split_once('=').map_or(name, |_| "").to_ascii_lowercase();
    TELLING.iter().any(|word| name.contains(word))
}

/// An argument or a URL without what could be secret.
pub fn without_secrets(argument: &str) -> String {
    if let Some((key, value)) = argument.split_once('=')
        && !key.contains('/')
    {
        return format!("{key}={}", if is_telling(key) { "***".to_owned() } else { without_secrets(value) });
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_is_too_odd_to_be_refused(text in "[ ]?-?[0-9.]{0,24}[ ]?\\PC{0,4}") {
            parse_rate(&text).into_iter().chain(parse_size(&text)).for_each(drop);
            parse_duration(&text).into_iter().for_each(|duration| assert!(duration <= dagset::base::time::LONGEST));
        }

        #[test]
        fn whatever_gits_configuration_is_no_name_holds_a_line(text in "(\\[user\\]|name ?=|email=|[\"#;\\\\\\[\\]=]|\\PC|\n){0,20}") {
            let (name, mail) = git_user(&text);
            prop_assert!(name.into_iter().chain(mail).all(|text| !text.contains('\n') && !text.is_empty()));
        }
    }

    #[test]
    fn gits_user_is_found() {
        let content =
            "[core]\n name = x\n[User]\n\tname = Ann Lee ; hi\n  email = \"ann@x.example\" # no\n[alias]\nname = y\n";
        assert_eq!(git_user(content), (Some("Ann Lee".into()), Some("ann@x.example".into())));
        assert_eq!(git_user("[user]\nname =\n"), (None, None));
    }

    #[test]
    fn rates_have_units() {
        let cases =
            [("1000", 1000), ("10M", 10_000_000), ("1.5MB/s", 1_500_000), ("64KiB/s", 65_536), ("2 g", 2_000_000_000)];
        for (text, rate) in cases {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
        for text in ["", "M", "10X", "-1M", "1e9", "1..2k", "999", "NaN", "inf", "99999999999999999999G"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
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
        let run = ["dagset", "run", "a@1", "--", "train", "--api-key", "abc", "--lr", "1"];
        assert_eq!(shown_command(run.map(str::to_owned).into_iter()), "dagset run a@1 -- train --api-key *** --lr 1");
        assert_eq!(shown_command(["/usr/bin/dagset", "x y"].map(str::to_owned).into_iter()), "dagset 'x y'");
    }
}
