//! As whom, and where, a bucket on S3 is spoken to: the environment, the shared configuration and a store's own settings,
//! in the order of AWS' own tools. Nothing is asked of anyone here; helper programs are run by [`Signer::run`].

use std::fmt;
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::access::{Access, StoreSettings};
use super::aws_profile::Profile;
use crate::base::{Error, Kind, Result, Time};

/// A key with its secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
    /// When they stop to work, if they do.
    pub(super) expire: Option<Time>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("id", &self.id).field("expire", &self.expire).finish_non_exhaustive()
    }
}

/// Where credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Keys(Keys),
    /// A program that prints them.
    Signer(Signer),
    /// A token in a file, changed for keys of a role.
    WebIdentity {
        token_file: String,
        role: String,
        session: Option<String>,
    },
    /// The container's own service.
    Container {
        url: String,
        token_file: Option<String>,
    },
    /// The service of the machine in the cloud; nothing else is there.
    Machine,
}

/// A program that prints credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signer {
    /// With its arguments.
    program: Vec<String>,
    /// The profile that it signs in.
    profile: String,
    /// What about the profile asks for it.
    because: &'static str,
}

/// What is known about reaching one bucket on S3.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) source: Source,
    /// Source in words: "access key AKIA… of the environment".
    pub(super) who: String,
    /// The profile that was looked into.
    pub(super) profile: String,
    /// What to do where credentials have expired.
    pub(super) sign_in: String,
    pub(super) region: String,
    /// `None`: Amazon's.
    pub(super) endpoint: Option<String>,
    /// Of the service that changes web identities for keys; `None`: Amazon's.
    pub(super) sts: Option<String>,
}

/// Why a profile has a program of the user's own run.
const CREDENTIAL_PROCESS: &str = "has a credential_process";

/// What is done when nothing that could sign in was found; where it was looked for is in the message.
pub(super) const NO_CREDENTIALS_HINT: &str =
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run `aws configure`";

impl Way {
    /// Finds the way to a bucket by what `access` and its own `settings` say.
    pub(super) fn find(access: &Access, settings: &StoreSettings) -> Result<Way> {
        let variable = |name: &str| access.variable(name);
        let profile = Profile::read(access, settings.profile.as_deref())?;
        let is_ignored =
            variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|it| it.eq_ignore_ascii_case("true"));
        let configured = |own: &str, service: &str| {
            let given = variable(own).or_else(|| variable("AWS_ENDPOINT_URL")).or_else(|| profile.endpoint(service));
            given.filter(|_| !is_ignored).map(str::to_owned)
        };
        let region = settings.region.as_deref().or_else(|| variable("AWS_REGION"));
        let region = region.or_else(|| variable("AWS_DEFAULT_REGION")).or_else(|| profile.get("region"));
        let (source, who) = source(access, settings, &profile)?;
        let sign_in = match &source {
            Source::Signer(signer) => signer.sign_in(),
            Source::Keys(_) => "get new credentials: a session token lives for some hours".to_owned(),
            Source::WebIdentity { .. } => {
                "check the role and the token's file: AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE, or the profile"
                    .to_owned()
            }
            Source::Container { .. } => "check the AWS_CONTAINER_… variables, and the container's role".to_owned(),
            Source::Machine => "check the role that this machine runs as".to_owned(),
        };
        Ok(Way {
            source,
            who,
            profile: profile.name.clone(),
            sign_in,
            region: region.unwrap_or("us-east-1").to_owned(),
            endpoint: settings.endpoint.clone().or_else(|| configured("AWS_ENDPOINT_URL_S3", "s3")),
            sts: configured("AWS_ENDPOINT_URL_STS", "sts"),
        })
    }
}

fn source(access: &Access, settings: &StoreSettings, profile: &Profile) -> Result<(Source, String)> {
    let variable = |name: &str| access.variable(name);
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let keys = |(id, secret, token): (&str, &str, Option<&str>)| {
        Source::Keys(Keys { id: id.to_owned(), secret: secret.to_owned(), token: owned(token), expire: None })
    };
    // A profile that the settings name is meant; one that a variable names comes after the keys beside it.
    if settings.profile.is_none()
        && let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"))
    {
        let found = keys((id, secret, variable("AWS_SESSION_TOKEN")));
        return Ok((found, format!("access key {id} of the environment")));
    }
    let name = &profile.name;
    let by_aws = |because: &'static str| {
        let program = ["aws", "configure", "export-credentials", "--profile", name, "--format", "process"];
        Source::Signer(Signer { program: program.map(str::to_owned).to_vec(), profile: name.clone(), because })
    };
    let web_identity = |token_file: &str, role: &str, session: Option<&str>| Source::WebIdentity {
        token_file: token_file.to_owned(),
        role: role.to_owned(),
        session: owned(session),
    };
    if let Some(role) = profile.get("role_arn") {
        let found = match profile.get("web_identity_token_file") {
            Some(file) => web_identity(file, role, profile.get("role_session_name")),
            None => by_aws("takes on a role"),
        };
        return Ok((found, format!("{role} by profile {name}")));
    }
    if !profile.is_named
        && let (Some(file), Some(role)) = (variable("AWS_WEB_IDENTITY_TOKEN_FILE"), variable("AWS_ROLE_ARN"))
    {
        return Ok((web_identity(file, role, variable("AWS_ROLE_SESSION_NAME")), format!("{role} by web identity")));
    }
    if ["sso_session", "sso_start_url"].iter().any(|key| profile.get(key).is_some()) {
        return Ok((by_aws("signs in by SSO"), format!("profile {name}")));
    }
    if let Some(found) = profile.keys() {
        return Ok((keys(found), format!("access key {} of profile {name}", found.0)));
    }
    if profile.get("login_session").is_some() {
        return Ok((by_aws("signs in by `aws login`"), format!("profile {name}")));
    }
    if let Some(line) = profile.get("credential_process") {
        let program = words(line);
        let signer = Signer { program, profile: name.clone(), because: CREDENTIAL_PROCESS };
        return Ok((Source::Signer(signer), format!("profile {name}")));
    }
    let relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("http://169.254.170.2{path}"));
    if let Some(url) = relative.or_else(|| owned(variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"))) {
        let token_file = owned(variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"));
        return Ok((Source::Container { url, token_file }, "the container's role".to_owned()));
    }
    if variable("AWS_EC2_METADATA_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true")) {
        return Err(no_credentials(name, "the machine's role (AWS_EC2_METADATA_DISABLED)"));
    }
    Ok((Source::Machine, "the machine's role".to_owned()))
}

/// The error where nothing could sign in; `last` is what was tried after all the usual places.
pub(super) fn no_credentials(profile: &str, last: &str) -> Error {
    let looked = format!(
        "tried AWS_ACCESS_KEY_ID, profile {profile} of ~/.aws, AWS_WEB_IDENTITY_TOKEN_FILE, \
         AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, {last}"
    );
    Error::new(Kind::Unreachable, "no credentials for S3 were found").because(looked).hint(NO_CREDENTIALS_HINT)
}

/// What a helper prints, which is AWS' form for `credential_process`, and what the service of a container answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: Option<u32>,
    access_key_id: String,
    secret_access_key: String,
    #[serde(alias = "Token")]
    session_token: Option<String>,
    expiration: Option<String>,
}

impl Signer {
    /// Runs the program and reads what it prints. Blocks while it runs.
    pub(super) fn run(&self, access: &Access) -> Result<Keys> {
        let Signer { program, profile, because } = self;
        let failed = |why: String| {
            Error::new(Kind::Unreachable, format!("profile {profile} {because}, and that failed"))
                .because(why)
                .hint(self.sign_in())
        };
        let name = program.first().ok_or_else(|| failed("its credential_process is empty".to_owned()))?;
        let mut command = Command::new(name);
        command.args(&program[1..]).envs(&access.environment).stdin(Stdio::null());
        if let Some(home) = &access.home {
            command.env("HOME", home);
        }
        let output = match command.output() {
            Ok(output) => output,
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound && name == "aws" => {
                return Err(Error::new(Kind::Unreachable, format!("profile {profile} {because}, which needs the AWS CLI"))
                    .because("there is no program `aws` on the PATH")
                    .hint("install the AWS CLI (version 2), or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"));
            }
            Err(fault) => return Err(failed(format!("{name}: {fault}"))),
        };
        if !output.status.success() {
            // What a program of the user's says may hold secrets.
            if self.is_users_own() {
                let hint = format!("run the credential_process of the profile {profile} by hand to see what it says");
                return Err(failed(format!("{name}: {}", output.status)).hint(hint));
            }
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let last: String = last.chars().filter(|c| !c.is_control()).take(300).collect();
            let last = if last.is_empty() { "said nothing" } else { &last };
            return Err(failed(format!("{name}: {last} ({})", output.status)));
        }
        // What it printed holds secrets, so a fault in it is not shown.
        let (version, keys) = parse_keys(&output.stdout).unzip();
        let keys = keys.filter(|_| version == Some(Some(1)));
        let keys = keys.ok_or_else(|| failed(format!("{name} printed no credentials of version 1")))?;
        match keys.expire.filter(|expire| *expire <= Time::now()) {
            Some(expire) => Err(failed(format!("{name} printed credentials that expired at {expire}"))),
            None => Ok(keys),
        }
    }

    fn is_users_own(&self) -> bool {
        self.because == CREDENTIAL_PROCESS
    }

    fn sign_in(&self) -> String {
        match self.because {
            "signs in by SSO" => format!("`aws sso login --profile {}`", self.profile),
            "signs in by `aws login`" => format!("`aws login --profile {}`", self.profile),
            _ => format!(
                "check the profile {} in the AWS configuration (AWS_CONFIG_FILE, or ~/.aws/config)",
                self.profile
            ),
        }
    }
}

/// Keys as JSON, with the version of their form where they have one.
pub(super) fn parse_keys(printed: &[u8]) -> Option<(Option<u32>, Keys)> {
    let printed: Printed = serde_json::from_slice(printed).ok()?;
    let expire = match &printed.expiration {
        Some(text) => Some(Time(text.parse::<jiff::Timestamp>().ok()?.as_millisecond())),
        None => None,
    };
    let Printed { version, access_key_id: id, secret_access_key: secret, session_token: token, .. } = printed;
    (!id.is_empty()).then_some((version, Keys { id, secret, token, expire }))
}

/// Cuts a command line at spaces; quotes hold words together, and a backslash takes what follows as it is.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
#[path = "aws_tests.rs"]
mod tests;
