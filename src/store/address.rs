//! Addresses: `[STORE/]DATASET[@REF][:PATH]`. Parsing is pure: nothing is looked up.
//!
//! The rule, which is all there is:
//! 1. **Store or not.** A text that begins with `/`, `./`, `../`, `~/` or `scheme://`, or whose part before PATH and
//!    REF is `.` or `..`, names a store. Any other doesn't: in a workspace it is `REF`, `REF:PATH` or `:PATH`, and
//!    `DATASET@[REF][:PATH]` with an `@`; elsewhere it is a dataset of the user's store.
//! 2. **Where the cuts are looked for.** After the last `//` (the scheme's and a leading one aside) if there is one,
//!    for what stands before it is the store, whatever it holds; else after `scheme://host`; else from the start.
//! 3. **PATH** is what follows the first `:` there. **REF** is what follows the last `@` before that. A PATH may
//!    therefore hold `@` and `:`; a REF and a dataset's name can hold neither. A store whose own path holds `@` or `:`
//!    needs its `//`: `/home/ann@corp/store//signs`, `/mnt/nas:share//signs@1.0:train`.
//!
//! A URL that holds a user, a key or a query is refused before anything of it is repeated.
//!
//! STORE and DATASET stay together in [`Location::Store`]: which prefix holds the store is known only to
//! [`locate`](super::locate()), but where `//` says it.
//!
//! REF is a word (version name, tag, branch or id prefix; none is the default branch) and steps: `~n` n first parents
//! up, `^n` the nth parent; a bare `~` or `^` is 1. PATH is kept as written; `:` with nothing after it is the path
//! `""`.

use std::fmt;
use std::path::Path;

use crate::base::{BranchName, DatasetName, Error, Id, Result};

/// Where an address points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub location: Location,
    /// `None`: the default (in a workspace its own, else the branch `main`).
    pub reference: Option<RefExpr>,
    /// Inside the version; as written, so perhaps not a path that a version can have.
    pub path: Option<String>,
}

/// The part of an address before REF and PATH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// The workspace's dataset.
    Here,
    /// A dataset of the store that the caller takes for granted.
    Dataset(DatasetName),
    /// A store, with a dataset or without, undivided or divided by `//`; `~/` is expanded.
    Store { text: String },
}

/// A version by a word and steps from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefExpr {
    pub base: RefBase,
    pub steps: Vec<Step>,
}

/// Where the steps begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefBase {
    /// What no REF at all means.
    Default,
    /// A version name, tag, branch or id prefix.
    Word(String),
    /// One version and no other, whatever is named like it; never written so, but taken from a lock file.
    Pinned { version: Id, manifest: Id },
}

/// A step to an older version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `~n`: n times the first parent; 0 stays.
    Ancestor(u32),
    /// `^n`: the nth parent, from 1.
    Parent(u32),
}

impl Address {
    /// Parses an address outside a workspace, where a bare word is a dataset. `home` is what `~/` stands for.
    pub fn parse(text: &str, home: Option<&Path>) -> Result<Address> {
        let parts = Parts::of(text)?;
        let location = match names_a_store(text, parts.location) {
            true => store_location(parts.location, home)?,
            false if parts.location.is_empty() => {
                return Err(Error::usage(format!("names no dataset: {text:?}")).hint("write DATASET[@REF][:PATH]"));
            }
            false => Location::Dataset(DatasetName::new(parts.location)?),
        };
        parts.finish(location)
    }

    /// Parses an argument in a workspace, where a bare word is a REF.
    pub fn parse_in_workspace(text: &str, home: Option<&Path>) -> Result<Address> {
        let mut parts = Parts::of(text)?;
        let location = if names_a_store(text, parts.location) {
            store_location(parts.location, home)?
        } else if parts.location.is_empty() {
            Location::Here
        } else if parts.reference.is_some() {
            Location::Dataset(DatasetName::new(parts.location)?)
        } else {
            parts.reference = Some(parts.location);
            Location::Here
        };
        parts.finish(location)
    }
}

/// Refuses a URL in which a secret may stand, without repeating any of it but its scheme.
///
/// A secret may hold a `/`, which ends what looks like the host: then a `:` is left there, which only a port needs. What is no URL, or is
/// a folder's, passes.
pub fn refuse_secret(url: &str, what: &str) -> Result<()> {
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(()) };
    let host = rest.split('/').next().unwrap_or_default();
    let may_have_port = matches!(scheme, "http" | "https");
    let is_port = |text: &str| may_have_port && (text.ends_with(']') || text.bytes().all(|byte| byte.is_ascii_digit()));
    let has_key = host.contains('@') || host.rsplit_once(':').is_some_and(|(_, after)| !is_port(after));
    if scheme == "file" || !has_key && !rest.contains('?') {
        return Ok(());
    }
    Err(Error::usage(format!("{what} holds no user, key or query: it is shown, and kept where others may read it ({scheme}://…)"))
        .hint("give credentials by the environment (AWS_ACCESS_KEY_ID, …) or a profile (--profile NAME); docs/stores.md says how"))
}

struct Parts<'a> {
    location: &'a str,
    reference: Option<&'a str>,
    path: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Parts<'a>> {
        let from = match divide(text) {
            Some((_, dataset)) => text.len() - dataset.len(),
            None => authority_end(text),
        };
        let (front, path) = match text[from..].find(':') {
            Some(colon) => (&text[..from + colon], Some(&text[from + colon + 1..])),
            None => (text, None),
        };
        if scheme_end(text) > 0 {
            refuse_secret(front, "a store's URL")?;
        }
        Ok(match front[from..].rfind('@') {
            Some(at) => Parts { location: &front[..from + at], reference: Some(&front[from + at + 1..]), path },
            None => Parts { location: front, reference: None, path },
        })
    }

    fn finish(self, location: Location) -> Result<Address> {
        let reference = self.reference.filter(|text| !text.is_empty()).map(RefExpr::parse).transpose()?;
        Ok(Address { location, reference, path: self.path.map(str::to_owned) })
    }
}

/// Cuts `STORE//DATASET` at its last `//`; `None` where there is none with something on both sides.
pub fn divide(text: &str) -> Option<(&str, &str)> {
    let from = scheme_end(text);
    let at = from + text[from..].rfind("//")?;
    let (store, dataset) = (&text[..at], &text[at + 2..]);
    (at > from && !store.trim_end_matches('/').is_empty() && !dataset.is_empty()).then_some((store, dataset))
}

/// The store of `STORE//`; any other text as it is.
pub fn without_mark(text: &str) -> &str {
    text.strip_suffix("//").filter(|store| store.len() > scheme_end(text)).unwrap_or(text)
}

/// Whether the text of a store is a URL of something else than a folder.
pub fn is_remote(text: &str) -> bool {
    scheme_end(text) > 0 && !text.starts_with("file://")
}

/// The path that `file:///path` means; any other text as it is.
pub fn without_file_scheme(text: &str) -> &str {
    text.strip_prefix("file://").filter(|path| path.starts_with('/')).unwrap_or(text)
}

/// Length of `scheme://`, 0 without.
pub(super) fn scheme_end(text: &str) -> usize {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b))
    };
    text.find("://").filter(|&at| is_scheme(&text[..at])).map_or(0, |at| at + 3)
}

/// Length of `scheme://host`, 0 without a scheme.
pub(super) fn authority_end(text: &str) -> usize {
    match scheme_end(text) {
        0 => 0,
        scheme => text[scheme..].find('/').map_or(text.len(), |slash| scheme + slash),
    }
}

fn names_a_store(text: &str, location: &str) -> bool {
    ["/", "./", "../", "~/"].iter().any(|prefix| text.starts_with(prefix))
        || matches!(location, "." | "..")
        || scheme_end(text) > 0
}

fn store_location(text: &str, home: Option<&Path>) -> Result<Location> {
    let text = without_file_scheme(text);
    let Some(below) = text.strip_prefix("~/") else { return Ok(Location::Store { text: text.to_owned() }) };
    let home = home.ok_or_else(|| Error::usage(format!("no home folder is known: {text:?}")))?;
    let home =
        home.to_str().ok_or_else(|| Error::usage(format!("the home folder is not UTF-8: {}", home.display())))?;
    Ok(Location::Store { text: format!("{}/{below}", home.trim_end_matches('/')) })
}

impl RefExpr {
    /// Parses a REF alone.
    pub fn parse(text: &str) -> Result<RefExpr> {
        let (word, mut rest) = text.split_at(text.find(['~', '^']).unwrap_or(text.len()));
        let base = match word {
            "" if rest.is_empty() => return Err(Error::usage("a reference is empty")),
            "" => RefBase::Default,
            // The alphabet of branches holds that of every other name, and of ids.
            word => match BranchName::new(word) {
                Ok(_) => RefBase::Word(word.to_owned()),
                Err(_) => return Err(Error::usage(format!("not a reference: {text:?}"))),
            },
        };
        let mut steps = Vec::new();
        while let Some(sign) = rest.chars().next() {
            let after = &rest[sign.len_utf8()..];
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            let bad = |why: &str| Error::usage(format!("not a reference: {text:?} {why}"));
            let count = match &after[..digits] {
                "" => 1,
                digits => digits.parse().map_err(|_| bad("steps too far"))?,
            };
            steps.push(match (sign, count) {
                ('~', count) => Step::Ancestor(count),
                ('^', 0) => return Err(bad("counts parents from 0: the first is ^1")),
                ('^', count) => Step::Parent(count),
                _ => return Err(bad("holds something else than ~ and ^ after its name")),
            });
            rest = &after[digits..];
        }
        Ok(RefExpr { base, steps })
    }
}

impl fmt::Display for RefExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.base {
            RefBase::Default => {}
            RefBase::Word(word) => f.write_str(word)?,
            RefBase::Pinned { version, .. } => write!(f, "{version}")?,
        }
        self.steps.iter().try_for_each(|step| match step {
            Step::Ancestor(count) => write!(f, "~{count}"),
            Step::Parent(count) => write!(f, "^{count}"),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Location::Here => {}
            Location::Dataset(name) => write!(f, "{name}@")?,
            Location::Store { text } => f.write_str(text)?,
        }
        if let Some(reference) = &self.reference {
            let at = if matches!(self.location, Location::Store { .. }) { "@" } else { "" };
            write!(f, "{at}{reference}")?;
        }
        self.path.iter().try_for_each(|path| write!(f, ":{path}"))
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
