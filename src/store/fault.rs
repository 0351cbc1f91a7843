//! What a system error about a store means to its user.

use std::error::Error as StdError;
use std::io;

use crate::base::{Error, Kind};

/// What messages about a bucket name.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    /// The store's URL.
    pub(super) shown: String,
    pub(super) bucket: String,
    /// The server's URL, without any secret.
    pub(super) server: String,
    /// As whom requests are made: "access key AKIA… of the environment".
    pub(super) who: String,
    /// What to do where its credentials have expired.
    pub(super) sign_in: String,
    /// Whether it is S3 that is spoken, whose rights and variables have names.
    pub(super) is_s3: bool,
}

impl Reached {
    /// What to look at where nobody, or the wrong server, answers.
    pub(super) fn check_endpoint(&self) -> String {
        match self.is_s3 {
            true => "check the network and the endpoint (AWS_ENDPOINT_URL, or `endpoint` of the profile or the remote)"
                .to_owned(),
            false => "check the network and the endpoint".to_owned(),
        }
    }

    /// The right that is needed for `doing`.
    pub(super) fn right_to(&self, doing: &str) -> &'static str {
        match (self.is_s3, doing) {
            (true, "write to") => "write (s3:PutObject)",
            (true, "remove from") => "delete (s3:DeleteObject)",
            (true, _) => "read (s3:GetObject, s3:ListBucket)",
            (false, "write to") => "write",
            (false, "remove from") => "delete",
            (false, _) => "read",
        }
    }
}

/// The store said no.
pub(super) fn refused(doing: &str, shown: &str) -> Error {
    Error::new(Kind::Unreachable, format!("cannot {doing} the store {shown}: permission denied")).hint(match doing {
        "read from" => "check as whom this runs, and who may read that file; its owner shares the store with the group of its folder by `chmod -R g+rX`",
        _ => "check as whom this runs, and that the store's file system has hard links",
    })
}

/// Whether the server knows who asks, and refuses all the same: what is allowed may still be tried.
pub(crate) fn is_denied(fault: &Error) -> bool {
    const WRONG_KEYS: [&str; 4] =
        ["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId"];
    let text = fault.in_one_line();
    text.contains("access denied") && !WRONG_KEYS.iter().any(|code| text.contains(code))
}

/// Whether a write failed for want of space.
pub(crate) fn is_full(fault: &Error) -> bool {
    fault.to_string().ends_with(NO_SPACE)
}

const NO_SPACE: &str = ": no space left";

/// The error for a system error of this kind; `doing` is "read from", "write to", "remove from" or "open".
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
            failed(NO_SPACE).hint("free space (or raise the quota) and run the command again")
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

/// Whether a link leads to itself, which is as nowhere.
pub(super) fn is_loop(kind: io::ErrorKind) -> bool {
    // The kind has no name in this Rust.
    kind == io::Error::from(rustix::io::Errno::LOOP).kind()
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
        assert!(is_full(&classify(io::ErrorKind::StorageFull, "write to", "/s")));
        assert!(!is_full(&classify(io::ErrorKind::NotFound, "write to", "/s")));
        assert_eq!(kind_of(13).0, Kind::Unreachable);
        assert_eq!(kind_of(30).0, Kind::Unreachable);
        assert_eq!(kind_of(116).0, Kind::Unreachable);
    }
}
