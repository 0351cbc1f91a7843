//! What is said where there are no credentials to be had: which of the ways to sign in was tried, what went wrong, and no secret.

use crate::credentials::Play;
use crate::service::{Said, Service};

/// Profiles that a program signs in, and what it does.
#[test]
fn a_program_that_gives_no_credentials_is_named() {
    let Some(mut play) = Play::new("programs") else { return };
    let script = |play: &Play, does: &str| format!("/bin/sh '{}'", play.home("sign", does).display());
    let mut said = String::new();
    for (what, does) in [
        ("a refusal", "echo web-hush; echo web-hush >&2; exit 3"),
        ("nonsense", "echo container-hush"),
        (
            "old keys",
            r#"echo '{"Version":1,"AccessKeyId":"a","SecretAccessKey":"web-hush","Expiration":"2020-02-03T04:05:06Z"}'"#,
        ),
        ("an end", "kill -9 $$"),
    ] {
        let config = format!("[default]\ncredential_process = {}\n", script(&play, does));
        play.set_file("AWS_CONFIG_FILE", "the-config", &config);
        said += &format!("{what}:\n{}", play.complaint());
    }
    play.set_file("AWS_CONFIG_FILE", "the-config", "[default]\nsso_session = lab\n[sso-session lab]\n");
    play.env.set("PATH", "/nowhere");
    said += &format!("no aws:\n{}", play.complaint());
    insta::assert_snapshot!(said, @r"
    a refusal:
    error: cannot read from the store s3://bucket/x
      because:
       1. profile default has a credential_process, and that failed
       2. /bin/sh: exit status: 3
    hint: run the credential_process of the profile default by hand to see what it says
    nonsense:
    error: cannot read from the store s3://bucket/x
      because:
       1. profile default has a credential_process, and that failed
       2. /bin/sh printed no credentials of version 1
    hint: check the profile default in the AWS configuration (AWS_CONFIG_FILE, or ~/.aws/config)
    old keys:
    error: cannot read from the store s3://bucket/x
      because:
       1. profile default has a credential_process, and that failed
       2. /bin/sh printed credentials that expired at 2020-02-03T04:05:06.000Z
    hint: check the profile default in the AWS configuration (AWS_CONFIG_FILE, or ~/.aws/config)
    an end:
    error: cannot read from the store s3://bucket/x
      because:
       1. profile default has a credential_process, and that failed
       2. /bin/sh: signal: 9 (SIGKILL)
    hint: run the credential_process of the profile default by hand to see what it says
    no aws:
    error: cannot read from the store s3://bucket/x
      because:
       1. profile default signs in by SSO, which needs the AWS CLI
       2. there is no program `aws` on the PATH
    hint: install the AWS CLI (version 2), or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN
    ");
}

/// What is said where a service answers so, at each of the places that credentials come from.
fn complaints(name: &str, set: impl Fn(&mut Play, &str)) -> Option<String> {
    let answers: [(&str, Said); 4] = [
        ("a refusal", Some((403, "<Code>AccessDenied</Code><Message>web-hush</Message>".to_owned()))),
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
       2. 127.0.0.1 answered 403 AccessDenied
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
       2. tried AWS_ACCESS_KEY_ID, profile default of ~/.aws, AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, the machine's role (127.0.0.1 answered 403 AccessDenied)
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
fn a_profile_without_keys_is_named() {
    let Some(mut play) = Play::new("bare") else { return };
    let service = Service::new(|_| Some((404, String::new())));
    play.set_file("AWS_CONFIG_FILE", "the-config", "[profile bare]\nregion = eu-west-1\n");
    play.env.set("AWS_PROFILE", "bare");
    play.env.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", &service.endpoint);
    let said = play.complaint();
    assert!(said.contains("profile bare of ~/.aws") && !said.contains("profile default"), "{said}");
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
       2. 127.0.0.1 answered 403 AccessDenied
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
