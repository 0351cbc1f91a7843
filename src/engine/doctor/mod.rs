//! `doctor`: a quick look at all that a user's work rests on, and the command that mends each thing.
//!
//! It is run when all else fails, so nothing that it looks at can make it fail: what can't be read is a line of its answer. It writes nothing,
//! but with [`DoctorOptions::fix`], and then only what can be made again. No content is read: that is `verify`'s.

use std::path::PathBuf;

use crate::base::{Error, Event, Kind};
use crate::workspace::control::Control;

use super::Engine;

mod machine;
mod stores;
mod workspace;

/// What to look at, beside what is found by itself.
#[derive(Debug, Clone, Default)]
pub struct DoctorOptions {
    /// A store's path or URL; the workspace's stores and the default store are looked at anyway.
    pub store: Option<String>,
    /// Make anew what can be: mirrors, stat index, usage of caches, an unreadable state of the workspace; and sweep leftovers of processes that
    /// have ended. Of the store that is named also what costs something: a damaged newest record is set aside, a log that went back is taken as it is.
    pub fix: bool,
}

/// What may be mended of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fix {
    Nothing,
    /// What loses nothing.
    WhatIsSafe,
    /// The user has named the store: also what gives up a record.
    AtACost,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Ok,
    /// Work goes on, and somebody should know.
    Warning,
    Broken(Kind),
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkup {
    /// `configuration`, `workspace`, `mirror`, `cache` or `store`.
    pub area: &'static str,
    /// A path, a URL, or a part of the area.
    pub subject: String,
    pub health: Health,
    /// On one line.
    pub detail: String,
    /// The command that mends it, where there is one.
    pub fix: Option<String>,
    /// Whether that was done.
    pub fixed: bool,
}

impl Checkup {
    /// A thing that is as it should be.
    pub fn ok(area: &'static str, subject: impl Into<String>, detail: impl Into<String>) -> Checkup {
        let (subject, detail) = (subject.into(), detail.into());
        Checkup { area, subject, health: Health::Ok, detail, fix: None, fixed: false }
    }

    /// A thing that somebody should know of.
    pub fn warning(area: &'static str, subject: impl Into<String>, detail: impl Into<String>) -> Checkup {
        Checkup { health: Health::Warning, ..Checkup::ok(area, subject, detail) }
    }

    /// A thing that doesn't work; the error's hint is what mends it, where nothing better is said.
    pub fn broken(area: &'static str, subject: impl Into<String>, fault: &Error) -> Checkup {
        let fix = fault.next_step().map(str::to_owned);
        Checkup { health: Health::Broken(fault.kind()), fix, ..Checkup::ok(area, subject, fault.in_one_line()) }
    }

    /// With the command that mends it.
    pub fn mended_by(self, fix: impl Into<String>) -> Checkup {
        Checkup { fix: Some(fix.into()), ..self }
    }

    /// As it is after it was mended, if it was.
    fn fixed_if(self, fixed: bool) -> Checkup {
        if fixed { Checkup { health: Health::Ok, fixed, ..self } } else { self }
    }
}

impl Engine {
    /// Looks at everything; never fails. See [`DoctorOptions`] for what it may write.
    pub fn doctor(&self, options: &DoctorOptions) -> Vec<Checkup> {
        self.observer.tell(Event::Phase("looking"));
        let control = Control::find(&self.settings.folder);
        let mut found = self.look_at_workspace(control.as_ref(), options.fix);
        found.extend(self.look_at_caches(options.fix));
        let config = control.as_ref().and_then(|control| Some((control, control.config().ok()?)));
        let mut stores: Vec<String> = options.store.iter().cloned().collect();
        if let Some((control, config)) = &config {
            stores.push(control.store_text(config));
            stores.extend(config.remotes.values().map(|remote| remote.url.clone()));
        } else if options.store.is_none() {
            stores.extend(self.settings.default_store.clone());
            // The configuration is what says where the store is; an embedded one is where it always is.
            let embedded = self.settings.folder.join(".dagset/store");
            stores.extend(embedded.is_dir().then(|| embedded.to_string_lossy().into_owned()));
        }
        let mut seen: Vec<PathBuf> = Vec::new();
        for text in stores {
            let place = PathBuf::from(self.absolute(text.trim_end_matches('/')));
            if !seen.contains(&place) {
                seen.push(place);
                let fix = match (options.fix, options.store.as_ref() == Some(&text)) {
                    (false, _) => Fix::Nothing,
                    (true, false) => Fix::WhatIsSafe,
                    (true, true) => Fix::AtACost,
                };
                found.extend(self.look_at_store(&text, fix));
            }
        }
        found
    }
}
