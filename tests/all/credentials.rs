//! Every way to sign in, through the binary: a whole job on a real server with keys that a service on loopback or a program hands out,
//! sessions that end while a command runs, and services that fail.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::env::{Outcome, TestEnv, everything_below};
use crate::proxy::{Proxy, Seen, Spoil, header};
use crate::s3::{S3, Server, server};
use crate::service::{Said, Service};

/// Keys of the server for sessions that are numbered, as services hand them out.
#[derive(Clone)]
struct Sessions {
    s3: S3,
    given: Arc<AtomicUsize>,
}

impl Sessions {
    fn new(s3: &S3) -> Sessions {
        Sessions { s3: s3.clone(), given: Arc::default() }
    }

    fn next(&self) -> String {
        format!("session-{}", 1 + self.given.fetch_add(1, Ordering::Relaxed))
    }

    fn json(&self) -> String {
        let S3 { key, secret, .. } = &self.s3;
        let (token, expire) = (self.next(), in_an_hour());
        format!(
            r#"{{"Code":"Success","AccessKeyId":"{key}","SecretAccessKey":"{secret}","Token":"{token}","Expiration":"{expire}"}}"#
        )
    }

    fn xml(&self) -> String {
        let S3 { key, secret, .. } = &self.s3;
        let (token, expire) = (self.next(), in_an_hour());
        format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
             <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
             <SessionToken>{token}</SessionToken><Expiration>{expire}</Expiration>\
             </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )
    }
}

fn in_an_hour() -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string()
}

/// The service of a container, which wants to be shown `token`.
fn container(s3: &S3, token: &'static str) -> Service {
    let sessions = Sessions::new(s3);
    Service::new(move |head| match header(head, "authorization").unwrap_or_default() == token {
        true => Some((200, sessions.json())),
        false => Some((401, String::new())),
    })
}

/// The service of a machine: IMDSv2, which hands out a token first.
fn machine(s3: &S3) -> Service {
    const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
    let sessions = Sessions::new(s3);
    Service::new(move |head| {
        let is_shown = header(head, "x-aws-ec2-metadata-token") == Some("imds-hush");
        Some(match head[0].split(' ').nth(1).unwrap_or_default() {
            "/latest/api/token" if header(head, "x-aws-ec2-metadata-token-ttl-seconds").is_some() => {
                (200, "imds-hush".to_owned())
            }
            _ if !is_shown => (401, String::new()),
            ROLES => (200, "trainer".to_owned()),
            path if path.strip_prefix(ROLES) == Some("trainer") => (200, sessions.json()),
            _ => (404, String::new()),
        })
    })
}

/// The service that changes web identities for keys of a role.
fn changer(s3: &S3) -> Service {
    let sessions = Sessions::new(s3);
    Service::new(move |head| {
        let wanted = ["POST", "Action=AssumeRoleWithWebIdentity", "WebIdentityToken=web-hush", "role%2Ftrainer"];
        match wanted.iter().all(|part| head[0].contains(part)) {
            true => Some((200, sessions.xml())),
            false => Some((403, String::new())),
        }
    })
}

/// A server, the proxy before it, and an environment that knows no keys.
struct Play {
    server: S3,
    proxy: Proxy,
    env: TestEnv,
    store: String,
}

/// What stands in no output and no file of dagset's.
const HUSHED: [&str; 4] = ["web-hush", "imds-hush", "container-hush", "session-"];

impl Play {
    fn new(name: &str) -> Option<Play> {
        let server = server(Server::Real)?;
        let proxy = Proxy::before(&server.endpoint);
        let mut env = TestEnv::new();
        env.set("AWS_ENDPOINT_URL_S3", &proxy.endpoint);
        env.write("source/a.txt", "a\n");
        env.write("source/b/c.bin", vec![7; 300_000]);
        Some(Play { store: server.url(name), server, proxy, env })
    }

    /// Writes a file of the user's.
    fn home(&self, name: &str, content: &str) -> PathBuf {
        let path = self.env.home(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn set_file(&mut self, variable: &str, name: &str, content: &str) {
        let path = self.home(name, content);
        self.env.set(variable, path.to_str().unwrap());
    }

    /// Runs a command that shows all it can; no secret is among it.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Outcome {
        let outcome = self.env.run(arguments.iter().chain(&["-v", "--json"]));
        let hushed = |text: &str| !text.contains(&self.server.secret) && !HUSHED.iter().any(|it| text.contains(it));
        assert!(hushed(&outcome.stdout) && hushed(&outcome.stderr), "{outcome:?}");
        outcome
    }

    /// Runs a command that must succeed; all requests to the store are counted, and no others.
    #[track_caller]
    fn done(&self, arguments: &[&str]) -> Vec<Seen> {
        let document = self.run(arguments).json();
        let seen = self.proxy.take_seen();
        let counted: u64 = document["requests"].as_object().unwrap().values().map(|it| it.as_u64().unwrap()).sum();
        assert_eq!(counted, seen.len() as u64, "{document}");
        seen
    }

    /// A store is made, filled, cloned and got from, and no secret is in what that leaves behind.
    #[track_caller]
    fn job(&self) {
        let dataset = format!("{}/set@1.0", self.store);
        self.done(&["store", "create", &self.store]);
        self.done(&["ingest", "source", "--into", &format!("{}//set", self.store), "--create", "--as", "1.0"]);
        // The store of its own that a workspace has is asked, too, and counted.
        drop(self.run(&["clone", &format!("{}/set", self.store), "copy"]).exits(0));
        self.proxy.take_seen();
        self.done(&["get", &dataset, "got"]);
        assert_eq!(fs::read(self.env.path("got/b/c.bin")).unwrap(), vec![7; 300_000]);
        let written = [self.env.path("."), self.env.home(".cache"), self.env.home(".config")];
        for path in written.iter().flat_map(|folder| everything_below(folder)).filter(|path| path.is_file()) {
            let content = fs::read(&path).unwrap();
            for secret in HUSHED.into_iter().chain([self.server.secret.as_str()]) {
                let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{secret} is in {}", path.display());
            }
        }
    }

    /// As a job; then the session ends while a command writes, and what it begins again ends well.
    #[track_caller]
    fn job_of_sessions(&self, service: &Service, asks: &[&str]) {
        self.job();
        assert_eq!(service.take_asked(), asks.repeat(4), "once for each command");
        let is_over = AtomicBool::new(false);
        let refused = Arc::new(AtomicUsize::new(0));
        let (counted, session) = (refused.clone(), Mutex::new(None::<String>));
        self.proxy.spoil(1000, Spoil::Answer(400, "ExpiredToken"), move |seen| {
            let mut session = session.lock().unwrap();
            let session = session.get_or_insert_with(|| seen.token.clone());
            if seen.verb == "PUT" {
                is_over.store(true, Ordering::Relaxed);
            }
            let is_refused = is_over.load(Ordering::Relaxed) && seen.token == *session;
            counted.fetch_add(usize::from(is_refused), Ordering::Relaxed);
            is_refused
        });
        self.env.write("source/a.txt", "b\n");
        let into = format!("{}//set", self.store);
        let seen = self.done(&["ingest", "source", "--into", &into, "--as", "2.0"]);
        self.proxy.heal();
        assert!(refused.load(Ordering::Relaxed) > 0, "{seen:?}");
        assert_eq!(service.take_asked(), asks.repeat(2), "once to begin with, and once since the server said so");
        assert!(seen.iter().all(|seen| seen.token.starts_with("session-")), "{seen:?}");
    }

    /// What a list says that can't sign in.
    #[track_caller]
    fn complaint(&self) -> String {
        let said = self.run(&["list", "s3://bucket/x"]).exits(6).stderr;
        assert_eq!(self.proxy.take_seen(), [], "the store isn't asked without keys");
        said.lines().filter(|line| !line.contains(" received")).map(|line| format!("{line}\n")).collect()
    }
}

#[test]
fn a_container_signs_in_by_a_token_in_a_file() {
    let Some(mut play) = Play::new("container") else { return };
    let service = container(&play.server, "container-hush");
    play.env.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/v1/credentials", service.endpoint));
    play.set_file("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token", "container-hush\n");
    play.job_of_sessions(&service, &["GET /v1/credentials"]);
}

#[test]
fn a_container_signs_in_by_a_token_of_the_environment_or_by_none() {
    for token in ["container-hush", ""] {
        let Some(mut play) = Play::new("container") else { return };
        let service = container(&play.server, token);
        play.env.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", &service.endpoint);
        play.env.set("AWS_CONTAINER_AUTHORIZATION_TOKEN", token);
        // It would see the token.
        play.env.set("ALL_PROXY", "http://127.0.0.1:1");
        play.job();
        assert_eq!(service.take_asked(), ["GET /"; 4]);
    }
}

#[test]
fn a_machine_signs_in_by_its_role() {
    let Some(mut play) = Play::new("machine") else { return };
    let service = machine(&play.server);
    play.env.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", &format!("{}/", service.endpoint));
    let role = "GET /latest/meta-data/iam/security-credentials/";
    play.job_of_sessions(&service, &["PUT /latest/api/token", role, &format!("{role}trainer")]);
}

#[test]
fn a_pod_signs_in_by_web_identity() {
    let Some(mut play) = Play::new("web") else { return };
    let service = changer(&play.server);
    play.env.set("AWS_ENDPOINT_URL_STS", &service.endpoint);
    play.env.set("AWS_ROLE_ARN", "arn:aws:iam::1:role/trainer");
    play.set_file("AWS_WEB_IDENTITY_TOKEN_FILE", "token", "web-hush");
    play.job_of_sessions(&service, &["POST /"]);
}

/// Profiles of every kind, and what `aws` is asked for those that it signs in.
#[test]
fn profiles_sign_in_by_keys_by_a_program_and_by_aws() {
    let Some(mut play) = Play::new("profiles") else { return };
    let S3 { key, secret, .. } = play.server.clone();
    let printed = format!(
        r#"{{"Version":1,"AccessKeyId":"{key}","SecretAccessKey":"{secret}","SessionToken":"session-1","Expiration":"{}"}}"#,
        in_an_hour()
    );
    let program = play.home("sign", &format!("echo \"$@\" >> \"$HOME/runs\"\necho '{printed}'\n"));
    // By another process: a child that a test beside this one starts could else hold it open for writing, and it couldn't be run.
    let aws = format!(
        "mkdir -p '{0}' && printf '#!/bin/sh\n. \"$HOME/sign\"\n' > '{0}/aws' && chmod 755 '{0}/aws'",
        play.env.home("bin").display()
    );
    assert!(std::process::Command::new("/bin/sh").args(["-c", &aws]).status().unwrap().success());
    play.env.set("PATH", &format!("{}:/usr/bin:/bin", play.env.home("bin").display()));
    play.set_file(
        "AWS_CONFIG_FILE",
        "the-config",
        &format!(
            "[profile sso]\nsso_session = lab\nsso_account_id = 1\n[sso-session lab]\nsso_region = us-east-1\n\
             [profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = keys\n\
             [profile helper]\ncredential_process = /bin/sh '{}' --for \"all of us\"\n",
            program.display()
        ),
    );
    let keys = format!("[keys]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
    play.set_file("AWS_SHARED_CREDENTIALS_FILE", "the-credentials", &keys);
    let exported = |profile: &str| format!("configure export-credentials --profile {profile} --format process\n");
    for (profile, asked) in [
        ("keys", String::new()),
        ("helper", "--for all of us\n".to_owned()),
        ("sso", exported("sso")),
        ("role", exported("role")),
    ] {
        play.env.set("AWS_PROFILE", profile);
        play.store = play.server.url(profile);
        play.job();
        let runs = fs::read_to_string(play.env.home("runs")).unwrap_or_default();
        assert_eq!(runs, asked.repeat(4), "{profile}: once for each command");
        fs::remove_file(play.env.home("runs")).ok();
        fs::remove_dir_all(play.env.path("copy")).unwrap();
        fs::remove_dir_all(play.env.path("got")).unwrap();
    }
}

/// What is said where a service answers so, at each of the places that credentials come from.
fn complaints(name: &str, set: impl Fn(&mut Play, &str)) -> Option<String> {
    let answers: [(&str, Said); 4] = [
        ("a refusal", Some((403, "web-hush".to_owned()))),
        ("an error", Some((500, "imds-hush".to_owned()))),
        ("nonsense", Some((200, "container-hush".to_owned()))),
        ("silence", None),
    ];
    let mut all = String::new();
    for (what, said) in answers {
        let mut play = Play::new(name)?;
        let service = Service::new(move |_| said.clone());
        set(&mut play, &service.endpoint);
        let complaint = play.complaint().replace(play.env.home("").to_str().unwrap(), "HOME/");
        let tries = service.take_asked().len();
        all += &format!("{what}, asked {tries} times:\n{}", complaint.replace(&service.endpoint, "SERVICE"));
    }
    Some(all)
}

#[test]
fn a_container_that_gives_no_credentials_is_named() {
    let set = |play: &mut Play, endpoint: &str| {
        play.env.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{endpoint}/creds"));
        play.env.set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-hush");
    };
    let Some(said) = complaints("container", set) else { return };
    insta::assert_snapshot!(said, @r"
    a refusal, asked 1 times:
    error: cannot read from the store s3://bucket/x
      because:
       1. no credentials were got (the container's role)
       2. 127.0.0.1 answered 403
    hint: check the AWS_CONTAINER_… variables, and the container's role
    an error, asked 3 times:
    error: cannot read from the store s3://bucket/x
      because:
       1. no credentials were got (the container's role)
       2. 127.0.0.1 answered 500
    hint: check the AWS_CONTAINER_… variables, and the container's role
    nonsense, asked 1 times:
    error: cannot read from the store s3://bucket/x
      because:
       1. no credentials were got (the container's role)
       2. what 127.0.0.1 answered holds no credentials
    hint: check the AWS_CONTAINER_… variables, and the container's role
    silence, asked 1 times:
    error: cannot read from the store s3://bucket/x
      because:
       1. no credentials were got (the container's role)
       2. 127.0.0.1: no answer
    hint: check the AWS_CONTAINER_… variables, and the container's role
    ");
}

#[test]
fn a_machine_that_gives_no_credentials_is_named() {
    let set = |play: &mut Play, endpoint: &str| play.env.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint);
    let Some(said) = complaints("machine", set) else { return };
    insta::assert_snapshot!(said, @r"
    a refusal, asked 1 times:
    error: cannot read from the store s3://bucket/x
      because:
       1. no credentials for S3 were found
       2. tried AWS_ACCESS_KEY_ID, profile default of ~/.aws, AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, the machine's role (127.0.0.1 answered 403)
    hint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run `aws configure`
    an error, asked 3 times:
    error: cannot read from the store s3://bucket/x
      because:
       1. no credentials for S3 were found
       2. tried AWS_ACCESS_KEY_ID, profile default of ~/.aws, AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, the machine's role (127.0.0.1 answered 500)
    hint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run `aws configure`
    nonsense, asked 3 times:
    error: cannot read from the store s3://bucket/x
      because:
       1. no credentials for S3 were found
       2. tried AWS_ACCESS_KEY_ID, profile default of ~/.aws, AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, the machine's role (what 127.0.0.1 answered holds no credentials)
    hint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run `aws configure`
    silence, asked 1 times:
    error: cannot read from the store s3://bucket/x
      because:
       1. no credentials for S3 were found
       2. tried AWS_ACCESS_KEY_ID, profile default of ~/.aws, AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, the machine's role (127.0.0.1: no answer)
    hint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run `aws configure`
    ");
}

#[test]
fn a_web_identity_that_gives_no_credentials_is_named() {
    let set = |play: &mut Play, endpoint: &str| {
        play.env.set("AWS_ENDPOINT_URL_STS", endpoint);
        play.env.set("AWS_ROLE_ARN", "arn:aws:iam::1:role/trainer");
        play.set_file("AWS_WEB_IDENTITY_TOKEN_FILE", "token", "web-hush");
    };
    let Some(said) = complaints("web", set) else { return };
    insta::assert_snapshot!(said, @r"
    a refusal, asked 1 times:
    error: cannot read from the store s3://bucket/x
      because:
       1. no credentials were got (arn:aws:iam::1:role/trainer by web identity)
       2. 127.0.0.1 answered 403
    hint: check the role and the token's file: AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE, or the profile
    an error, asked 3 times:
    error: cannot read from the store s3://bucket/x
      because:
       1. no credentials were got (arn:aws:iam::1:role/trainer by web identity)
       2. 127.0.0.1 answered 500
    hint: check the role and the token's file: AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE, or the profile
    nonsense, asked 1 times:
    error: cannot read from the store s3://bucket/x
      because:
       1. no credentials were got (arn:aws:iam::1:role/trainer by web identity)
       2. what 127.0.0.1 answered holds no credentials
    hint: check the role and the token's file: AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE, or the profile
    silence, asked 1 times:
    error: cannot read from the store s3://bucket/x
      because:
       1. no credentials were got (arn:aws:iam::1:role/trainer by web identity)
       2. 127.0.0.1: no answer
    hint: check the role and the token's file: AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE, or the profile
    ");
}

#[test]
fn tokens_that_are_not_there_and_services_that_are_far_are_named() {
    let Some(mut play) = Play::new("absent") else { return };
    play.env.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/creds");
    let absent = play.env.home("absent").to_str().unwrap().to_owned();
    play.env.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &absent);
    let container = play.complaint();
    play.env.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://creds.example.org/");
    let far = play.run(&["list", "s3://bucket/x"]).exits(2).stderr;
    play.env.set("AWS_ROLE_ARN", "arn:aws:iam::1:role/trainer");
    play.env.set("AWS_WEB_IDENTITY_TOKEN_FILE", &absent);
    let web = play.complaint();
    let said = [container, far, web].join("\n").replace(play.env.home("").to_str().unwrap(), "HOME/");
    insta::assert_snapshot!(said, @r"
    error: cannot read from the store s3://bucket/x
      because:
       1. no credentials were got (the container's role)
       2. the token in HOME/absent can't be read: No such file or directory (os error 2)
    hint: check the AWS_CONTAINER_… variables, and the container's role

    error: no credentials are asked for without encryption at creds.example.org
      because: AWS_CONTAINER_CREDENTIALS_FULL_URI is http:// and not on this machine

    error: cannot read from the store s3://bucket/x
      because:
       1. the request could not be made (arn:aws:iam::1:role/trainer by web identity)
       2. Failed to read token file 'HOME/absent': No such file or directory (os error 2)
    hint: check the role and the token's file: AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE, or the profile
    ");
}
