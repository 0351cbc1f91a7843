//! What a server said to one request, and what follows from it: try again, sign in anew, or an error in words.

use std::time::Duration;

use jiff::fmt::rfc2822;

use super::super::fault::Reached;
use crate::base::{Error, Kind, Time};

/// What came back for one request to the store, as far as it did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The HTTP status, if there was an answer.
    pub(super) status: Option<u16>,
    /// The server's own word for a failure: `AccessDenied`.
    pub(super) code: Option<String>,
    /// Its explanation.
    pub(super) message: Option<String>,
    /// The region that it says the bucket is in.
    pub(super) region: Option<String>,
    /// Its clock.
    pub(super) date: Option<Time>,
    /// What happened on the way.
    pub(super) trouble: Option<Trouble>,
    /// Whether it lacks all that marks an answer of a cloud's: such headers, which an answer to HEAD may do without.
    pub(super) is_plain: bool,
    /// Whether the server hasn't answered anything yet, of all that this process has asked it.
    pub(super) is_first: bool,
    /// What went wrong with a service that hands out credentials.
    pub(super) unsigned: Option<Unsigned>,
}

/// Why a service handed out no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unsigned {
    pub(super) why: String,
    /// Whether asking again may help. Of one that would be on this machine there is often none.
    pub(super) may_pass: bool,
}

/// What kept an answer from arriving whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nobody could be spoken to.
    NoConnection(String),
    /// No byte moved for this long.
    Stalled(Duration),
    /// The connection broke.
    Broken(String),
    /// What came isn't HTTP.
    Foreign(String),
}

/// What to do about a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask again, at most this often altogether.
    Again { tries: u32 },
    /// Credentials have run out: get new ones, and ask again.
    SignInAgain,
    /// There is no such object.
    Absent,
    /// The name is taken.
    Exists,
    /// Say why.
    GiveUp,
}

/// Tries where only a bad name or a wrong port is likely, as nobody has answered yet: who mistyped doesn't want to wait.
const TRIES_TO_CONNECT: u32 = 4;
/// Tries where an answer came whole and makes no sense.
const TRIES_TO_UNDERSTAND: u32 = 3;

impl Answer {
    /// Reads what an error's body says, of S3, GCS and Azure alike: `<Code>`, `<Message>`, `<Region>`.
    pub(super) fn read_body(&mut self, body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        let element = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            let (value, _) = rest.split_once(&format!("</{name}>"))?;
            let value: String = value.chars().filter(|c| !c.is_control()).take(300).collect();
            (!value.is_empty()).then_some(value)
        };
        self.code = element("Code").or(self.code.take());
        self.message = element("Message").or(self.message.take());
        self.region = self.region.take().or_else(|| element("Region"));
    }

    /// Reads a `Date` header.
    pub(super) fn read_date(&mut self, header: &str) {
        self.date = rfc2822::parse(header).ok().map(|at| Time(at.timestamp().as_millisecond()));
    }

    /// What to do; `tries` is how often a request is made at most.
    pub(super) fn next(&self, tries: u32) -> Next {
        let code = self.code.as_deref().unwrap_or_default();
        let again = |most: u32| Next::Again { tries: most.min(tries) };
        if let Some(unsigned) = &self.unsigned {
            return if unsigned.may_pass { again(TRIES_TO_UNDERSTAND) } else { Next::GiveUp };
        }
        match &self.trouble {
            // Later it may be the wreck of an answer.
            Some(Trouble::Foreign(_)) if self.is_first => return Next::GiveUp,
            Some(Trouble::NoConnection(_)) => return again(TRIES_TO_CONNECT),
            Some(_) if self.is_first => return again(TRIES_TO_CONNECT),
            // Of an answer that broke off, the status alone could mislead.
            Some(_) => return again(tries),
            None => {}
        }
        match self.status {
            Some(_) if self.says_expired() => Next::SignInAgain,
            Some(_) if self.says_spoilt() => again(tries),
            Some(200..=299) | None => again(TRIES_TO_UNDERSTAND),
            Some(_) if self.is_foreign() => Next::GiveUp,
            // An answer to HEAD has no body to say why: new credentials may help.
            Some(400 | 403) if code.is_empty() => Next::SignInAgain,
            Some(404) if !self.says_no_bucket() => Next::Absent,
            Some(304 | 412) => Next::Exists,
            Some(409) if code == "BlobAlreadyExists" => Next::Exists,
            // S3's 409 says that another conditional write was under way, not how that ended.
            Some(408 | 409 | 425 | 429 | 500 | 502 | 503 | 504) => again(tries),
            Some(_) => Next::GiveUp,
        }
    }

    /// What the server did instead of giving what was asked for, where it said anything.
    pub(super) fn delay(&self) -> Option<String> {
        let status = self.status?;
        Some(match &self.trouble {
            Some(Trouble::Stalled(idle)) => format!("sent nothing more of an answer for {} s", idle.as_secs_f32()),
            Some(_) => "broke off in an answer".to_owned(),
            None => format!("answered {status}"),
        })
    }

    /// Whether the range that was asked for begins behind the end.
    pub(super) fn is_out_of_range(&self) -> bool {
        self.status == Some(416)
    }

    /// Whether a server says this that knows nothing of buckets, and not merely one between that is overloaded.
    fn is_foreign(&self) -> bool {
        let may_be_between = matches!(self.status, Some(304 | 408 | 409 | 412 | 416 | 425 | 429 | 500 | 502..) | None);
        self.is_plain && self.code.is_none() && !may_be_between
    }

    fn says_expired(&self) -> bool {
        const EXPIRED: [&str; 4] = ["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"];
        self.code.as_deref().is_some_and(|code| EXPIRED.contains(&code))
    }

    /// Whether what was sent came late, or not as it was sent.
    fn says_spoilt(&self) -> bool {
        const SPOILT: [&str; 4] = ["RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"];
        self.code.as_deref().is_some_and(|code| SPOILT.contains(&code))
    }

    /// Whether it is known who asks, and that isn't allowed. An answer to HEAD doesn't say why.
    pub(super) fn is_denied(&self) -> bool {
        self.status == Some(403) && !self.is_foreign() && matches!(self.code.as_deref(), None | Some("AccessDenied"))
    }

    fn says_no_bucket(&self) -> bool {
        matches!(self.code.as_deref(), Some("NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted"))
    }

    /// The error for an answer that no further try will mend. `doing` is "read from" or "write to".
    pub(super) fn error(&self, doing: &str, name: &str, reached: &Reached, tries: u32, now: Time) -> Error {
        let Reached { shown, bucket, server, who, .. } = reached;
        let unreachable =
            |why: String| Error::new(Kind::Unreachable, format!("cannot {doing} the store {shown}: {why}"));
        let said = self.said(server);
        let asked = |fault: Error| match name {
            "" => fault.because(said.clone()),
            _ => fault.because(format!("{name}: {said}")),
        };
        if let Some(trouble) = &self.trouble {
            let again = match doing {
                "write to" => "try again; what was stored so far is not sent again",
                _ => "try again",
            };
            return asked(match trouble {
                Trouble::NoConnection(why) if why.contains("certificate") => {
                    unreachable(format!("{server} is not trusted"))
                        .hint("name its authority's PEM file by AWS_CA_BUNDLE, or `ca_file` of the remote")
                }
                Trouble::NoConnection(_) => {
                    unreachable(format!("no connection to {server}")).hint(reached.check_endpoint())
                }
                Trouble::Foreign(_) if self.is_first => {
                    let what = if reached.is_s3 { "S3" } else { "the protocol of buckets" };
                    unreachable(format!("{server} doesn't speak {what}, nor HTTP")).hint(reached.check_endpoint())
                }
                Trouble::Broken(_) if self.is_first => {
                    unreachable(format!("{server} ended {tries} connections without an answer"))
                        .hint(reached.check_endpoint())
                }
                Trouble::Stalled(idle) => {
                    unreachable(format!("{server} went silent for {} s", idle.as_secs_f32())).hint(again)
                }
                Trouble::Broken(_) | Trouble::Foreign(_) => {
                    unreachable(format!("the connection to {server} broke {tries} times")).hint(again)
                }
            });
        }
        let code = self.code.as_deref().unwrap_or_default();
        let answered = |status: u16| match tries {
            1 => unreachable(format!("{server} answered {status}")),
            _ => unreachable(format!("{server} answered {status} at the last of {tries} tries")),
        };
        asked(match self.status {
            _ if self.is_foreign() => {
                let what = if reached.is_s3 { "an S3 server" } else { "a server of buckets" };
                unreachable(format!("{server} is not {what}")).hint(reached.check_endpoint())
            }
            Some(404) if self.says_no_bucket() => unreachable(format!("there is no bucket {bucket}"))
                .hint(format!("make the bucket, or check its name; the server is {server}")),
            _ if code == "RequestTimeTooSkewed" => {
                unreachable(self.skew(now)).hint("set this machine's clock: requests are signed with the time")
            }
            Some(301 | 302 | 307 | 308) | Some(400) if self.region.is_some() || self.status != Some(400) => {
                match &self.region {
                    Some(region) => unreachable(format!("the bucket {bucket} is in the region {region}"))
                        .hint(format!("set AWS_REGION={region}, or `region` of the remote")),
                    None => unreachable(format!("{server} sends elsewhere for the bucket {bucket}"))
                        .hint(format!("set AWS_REGION to the bucket's region; {}", reached.check_endpoint())),
                }
            }
            _ if self.says_expired() => {
                unreachable(format!("the credentials have expired ({who})")).hint(reached.sign_in.clone())
            }
            Some(400) if code == "AuthorizationHeaderMalformed" => unreachable(format!("{server} expects another region"))
                .hint("set AWS_REGION to the bucket's region, or `region` of the remote"),
            Some(_) if code == "InvalidObjectState" => unreachable("an object of it is archived".to_owned())
                .hint("have it restored (`aws s3api restore-object`); a rule of the bucket that archives must spare the store"),
            Some(401 | 403) => unreachable(format!("access denied ({who})")).hint(match code {
                "InvalidAccessKeyId" => {
                    "the server doesn't know this access key: check it, and the endpoint".to_owned()
                }
                "SignatureDoesNotMatch" => "the secret doesn't fit the access key: check both".to_owned(),
                _ => format!("ask for the right to {} in the bucket {bucket}", reached.right_to(doing)),
            }),
            Some(status) if self.says_spoilt() => answered(status)
                .hint("try again; if that doesn't help, something between here and the server spoils what is sent"),
            Some(501) => answered(501).hint("the server can't do what a store needs: `dagset store check` shows what"),
            Some(status @ (408 | 409 | 425 | 429 | 500..=599)) => answered(status).hint("try again later"),
            Some(200..=299) => {
                unreachable(format!("an answer of {server} can't be understood")).hint(reached.check_endpoint())
            }
            Some(status) => answered(status),
            None => unreachable("the request could not be made".to_owned()),
        })
    }

    /// What the server said, in one line.
    fn said(&self, server: &str) -> String {
        match (&self.trouble, self.status) {
            (Some(Trouble::NoConnection(why) | Trouble::Broken(why) | Trouble::Foreign(why)), _) => why.clone(),
            (Some(Trouble::Stalled(_)), _) => "no byte moved".to_owned(),
            (None, Some(status)) => {
                let code = self.code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
                let message = self.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
                format!("{server} answered {status}{code}{message}")
            }
            (None, None) => "no request was sent".to_owned(),
        }
    }

    fn skew(&self, now: Time) -> String {
        let Some(date) = self.date else { return "this machine's clock and the server's differ too much".to_owned() };
        let seconds = (now.0 - date.0) / 1000;
        let direction = if seconds < 0 { "behind" } else { "ahead of" };
        let by = match seconds.unsigned_abs() {
            seconds @ 0..7200 => format!("{} minutes", seconds / 60),
            seconds => format!("{} hours", seconds / 3600),
        };
        format!("this machine's clock is {by} {direction} the server's")
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
