//! The one error of the library: what failed, where, why, and of which kind.

use std::error::Error as StdError;
use std::fmt;

/// What a caller can do about an error. Classified once, where the error is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It didn't work, and none of the others says why.
    Failed,
    /// The request makes no sense: a bad address, a forbidden name.
    Usage,
    /// A store, dataset, ref, version or path that isn't there.
    NotFound,
    /// Someone else was first, or what exists disagrees with the request.
    Conflict,
    /// Stored bytes aren't what they must be.
    Damaged,
    /// The store can't be reached, or refuses.
    Unreachable,
    /// A lock is held by another process.
    Busy,
    /// Done, but something was left out.
    Incomplete,
    /// The user stopped it.
    Interrupted,
}

/// An error with its kind and its causes.
///
/// `Display` speaks for this level only; the causes are its `source()` chain.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of everything in the library that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind`; `message` says what and where, without a full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), hint: None, source: None }))
    }

    /// Stored bytes that aren't what they must be.
    pub fn damaged(message: impl Into<String>) -> Self {
        Self::new(Kind::Damaged, message)
    }

    /// Something that isn't there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// A request that makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Someone else was first, or what exists disagrees.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// An input or output error on a local file: says what was tried on which path.
    pub fn io(tried: &str, path: &std::path::Path, source: std::io::Error) -> Self {
        let is_full = matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        let fault = Self::new(Kind::Failed, format!("cannot {tried} {}", path.display())).because(source);
        if is_full { fault.hint("free space (or raise the quota) and run the command again") } else { fault }
    }

    /// Adds the cause.
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds what to do next: a sentence that names a command.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// A new error of the same kind and hint whose cause is this one.
    pub fn within(self, message: impl Into<String>) -> Self {
        let (kind, hint) = (self.0.kind, self.0.hint.clone());
        Error(Box::new(Inner { kind, message: message.into(), hint, source: Some(Box::new(self)) }))
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What to do next, where the place of the error knows it.
    pub fn next_step(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The causes, outermost first, without this error itself.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }

    /// This error and its causes on one line.
    pub fn in_one_line(&self) -> String {
        std::iter::once(self.to_string()).chain(self.causes()).collect::<Vec<_>>().join(": ")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}
