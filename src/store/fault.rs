//! What a system error about a store means to its user.

use std::error::Error as StdError;
use std::io;

use crate::base::{Error, Kind};

/// The store said no.
pub(super) fn refused(doing: &str, shown: &str) -> Error {
    Error::new(Kind::Unreachable, format!("cannot {doing} the store {shown}: permission denied"))
        .hint("check as whom this runs, and that the store's file system has hard links")
}

/// The error for a system error of this kind; `doing` is "read from", "write to" or "open".
pub(super) fn classify(kind: io::ErrorKind, doing: &str, shown: &str) -> Error {
    use io::ErrorKind as Io;
    let unreachable = |why: &str| Error::new(Kind::Unreachable, format!("cannot {doing} the store {shown}: {why}"));
    let failed = |why: &str| Error::new(Kind::Failed, format!("cannot {doing} the store {shown}{why}"));
    match kind {
        Io::PermissionDenied => refused(doing, shown),
        Io::ReadOnlyFilesystem => unreachable("it is on a read-only file system"),
        Io::NotFound | Io::NotADirectory => unreachable("its folder is gone"),
        Io::StaleNetworkFileHandle | Io::HostUnreachable | Io::NetworkUnreachable | Io::NetworkDown | Io::TimedOut => {
            unreachable("its file system doesn't answer")
        }
        Io::StorageFull | Io::QuotaExceeded => {
            failed(": no space left").hint("free space (or raise the quota) and run the command again")
        }
        Io::Unsupported => failed(": its file system can't link or sync files")
            .hint("keep the store on a file system with hard links, or in a bucket"),
        _ => failed(""),
    }
}

/// The kind and text of the input or output error at the bottom of `fault`, if one is there.
pub(super) fn io_cause(fault: &(dyn StdError + 'static)) -> Option<(io::ErrorKind, String)> {
    let mut found = None;
    let mut next = Some(fault);
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            found = Some((io.kind(), io.to_string()));
        }
        next = cause.source();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_get_the_fitting_kind() {
        let kind_of = |code: i32| {
            let fault = Error::damaged("outer").because(io::Error::from_raw_os_error(code));
            let (kind, _) = io_cause(&fault).unwrap();
            let error = classify(kind, "write to", "/s");
            (error.kind(), error.to_string())
        };
        assert_eq!(kind_of(28), (Kind::Failed, "cannot write to the store /s: no space left".into()));
        assert_eq!(kind_of(122).0, Kind::Failed);
        assert_eq!(kind_of(13).0, Kind::Unreachable);
        assert_eq!(kind_of(30).0, Kind::Unreachable);
        assert_eq!(kind_of(116).0, Kind::Unreachable);
    }
}
