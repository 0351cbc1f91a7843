//! The command line on buckets: a whole job on a real server, what goes wrong for users, and that no secret shows.

use std::net::TcpListener;

use crate::env::{Outcome, TestEnv};
use crate::s3::{S3, Server, server};
use crate::service::Service;

/// Credentials that reach nobody.
fn nowhere() -> S3 {
    S3 {
        endpoint: "http://127.0.0.1:1".to_owned(),
        key: "AKIATEST".to_owned(),
        secret: "hush/hush+hush".to_owned(),
        bucket: "bucket".to_owned(),
    }
}

/// Runs a command with all that could show a secret switched on, and looks for one.
#[track_caller]
fn run(env: &TestEnv, s3: &S3, arguments: &[&str]) -> Outcome {
    let outcome = env.run(arguments.iter().chain(&["-v"]));
    for text in [&outcome.stdout, &outcome.stderr] {
        assert!(!text.contains(&s3.secret) && !text.contains("AWS4-HMAC") && !text.contains("X-Amz-"), "{text}");
    }
    outcome
}

/// What a command that fails says, without the line of how many bytes went to and fro, which differs from server to server.
#[track_caller]
fn complaint(env: &TestEnv, s3: &S3, code: i32, arguments: &[&str]) -> String {
    let said = run(env, s3, arguments).exits(code).stderr.replace(&s3.endpoint, "SERVER");
    let lines = said.lines().filter(|line| !line.contains(" received"));
    lines.map(|line| format!("{}\n", line.replace(env.home("").to_str().unwrap(), "HOME/"))).collect()
}

/// Runs a command that must succeed.
#[track_caller]
fn done(env: &TestEnv, s3: &S3, arguments: &[&str]) {
    drop(run(env, s3, arguments).exits(0));
}

#[test]
fn a_job_in_a_bucket() {
    let Some(s3) = server(Server::Real) else { return };
    let mut env = TestEnv::new();
    s3.reach_from(&mut env);
    let (source, store) = (env.lay_out_signs("v1", "signs"), s3.url("job"));
    let dataset = format!("{store}/vision/signs");
    done(&env, &s3, &["store", "create", &store]);
    done(&env, &s3, &["ingest", "signs", "--into", &format!("{store}//vision/signs"), "--create", "--as", "1.0"]);
    let again = run(&env, &s3, &["ingest", "signs", "--into", &dataset, "--json"]).exits(0);
    assert!(again.stdout.contains("\"changed\":false"), "{}", again.stdout);
    done(&env, &s3, &["get", &format!("{dataset}@1.0"), "copy"]);
    assert_eq!(crate::stage::contents(&env.path("copy")), crate::stage::contents(&source));
    done(&env, &s3, &["verify", &store]);
    let inside = run(&env, &s3, &["store", "create", &format!("{store}/inside")]).exits(4);
    assert!(inside.stderr.contains("lies in the store"), "{}", inside.stderr);
    // A profile leads here as well, and so does the trailing slash.
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"] {
        env.set(name, "");
    }
    let profile = format!(
        "[profile lab]\nendpoint_url = {}\ncredential_process = /bin/sh {}\n",
        s3.endpoint,
        env.home("sign").display()
    );
    let printed = format!(r#"{{"Version":1,"AccessKeyId":"{}","SecretAccessKey":"{}"}}"#, s3.key, s3.secret);
    std::fs::create_dir(env.home(".aws")).unwrap();
    std::fs::write(env.home(".aws/config"), profile).unwrap();
    std::fs::write(env.home("sign"), format!("echo '{printed}'\n")).unwrap();
    env.set("AWS_PROFILE", "lab");
    done(&env, &s3, &["list", &format!("{store}/")]);
}

#[test]
fn a_wrong_secret_is_told_from_a_wrong_key() {
    let Some(s3) = server(Server::Real) else { return };
    let mut env = TestEnv::new();
    s3.reach_from(&mut env);
    let show = |env: &TestEnv, s3: &S3| complaint(env, s3, 6, &["list", &format!("s3://{}/x", s3.bucket)]);
    let wrong = S3 { secret: "hush".to_owned(), ..s3.clone() };
    wrong.reach_from(&mut env);
    insta::assert_snapshot!(show(&env, &wrong), @r#"
    error: cannot read from the store s3://test/x: access denied (access key testkey123 of the environment)
      because: dagset.json: SERVER answered 403 SignatureDoesNotMatch
    hint: the secret doesn't fit the access key: check both
    "#);
    let unknown = S3 { key: "AKIATEST".to_owned(), ..s3.clone() };
    unknown.reach_from(&mut env);
    insta::assert_snapshot!(show(&env, &unknown), @r#"
    error: cannot read from the store s3://test/x: access denied (access key AKIATEST of the environment)
      because: dagset.json: SERVER answered 403 InvalidAccessKeyId
    hint: the server doesn't know this access key: check it, and the endpoint
    "#);
    let absent = S3 { bucket: "absent-bucket".to_owned(), ..s3 };
    absent.reach_from(&mut env);
    insta::assert_snapshot!(show(&env, &absent), @r#"
    error: cannot read from the store s3://absent-bucket/x: there is no bucket absent-bucket
      because: dagset.json: SERVER answered 404 NoSuchBucket
    hint: make the bucket, or check its name; the server is SERVER
    "#);
}

/// Whoever writes a secret into a URL, by whichever command, doesn't want to see any of it again.
#[test]
fn a_secret_in_a_url_is_refused_and_not_repeated() {
    let mut env = TestEnv::new();
    nowhere().reach_from(&mut env);
    env.write("data/a", "1");
    let _ = env.run(["init", "ws"]).exits(0);
    for url in
        ["s3://k:hu5h@bucket/x", "s3://k:hu5h/hu5h@bucket/x", "https://bucket/x?sig=hu5h", "s3://b/x@main?sig=hu5h"]
    {
        for command in [
            &["list", url][..],
            &["store", "create", url],
            &["store", "info", url],
            &["store", "check", url],
            &["verify", url],
            &["ls", url],
            &["ls", url, "--offline"],
            &["get", url, "copy"],
            &["warm", url],
            &["clone", url],
            &["log", url],
            &["ingest", "data", "--into", url, "--create"],
            &["list", "--store", url],
            &["ls", "signs", "--store", url],
            &["init", "other", "--store", url],
            &["-C", "ws", "list", "--store", url],
            &["-C", "ws", "store", "info", "--store", url],
            &["-C", "ws", "status", "--store", url],
            &["-C", "ws", "remote", "add", "origin", url],
            &["-C", "ws", "push", url],
            &["-C", "ws", "fetch", url],
            &["-C", "ws", "pull", url],
            &["config", "set", "default_store", url],
        ] {
            let refused = env.run(command.iter().chain(&["-v", "--json"])).exits(2);
            let all = format!("{}{}", refused.stdout, refused.stderr);
            assert!(!all.contains("hu5h") && all.contains("holds no user, key or query"), "{command:?}: {all}");
        }
    }
    env.set("AWS_ENDPOINT_URL", "http://u:hu5h@host");
    insta::assert_snapshot!(complaint(&env, &nowhere(), 2, &["list", "s3://bucket/x"]), @r#"
    error: an endpoint (AWS_ENDPOINT_URL, or `endpoint` of a profile or a store) holds no user, key or query: it is shown, and kept where others may read it (http://…)
    hint: give credentials by the environment (AWS_ACCESS_KEY_ID, …) or a profile (--profile NAME); docs/stores.md says how
    "#);
}

#[test]
fn a_refused_port_is_named() {
    let mut env = TestEnv::new();
    // Nobody listens on a port that was just given back.
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let closed = S3 { endpoint: format!("http://127.0.0.1:{port}"), ..nowhere() };
    closed.reach_from(&mut env);
    insta::assert_snapshot!(complaint(&env, &closed, 6, &["list", "s3://bucket/x"]), @r#"
    error: cannot read from the store s3://bucket/x: no connection to SERVER
      because: dagset.json: Connection refused (os error 111)
    hint: check the network and the endpoint (AWS_ENDPOINT_URL, or `endpoint` of the profile or the remote)
    "#);
}

/// Servers that answer everything, and aren't S3.
#[test]
fn a_web_server_is_not_taken_for_a_store() {
    let answers = [(200, "<html>Welcome</html>"), (404, "<html>Not Found</html>"), (404, ""), (302, ""), (405, "")];
    for (status, body) in answers {
        let service = Service::new(move |_| Some((status, body.to_owned())));
        let web = S3 { endpoint: service.endpoint, ..nowhere() };
        let mut env = TestEnv::new();
        web.reach_from(&mut env);
        env.write("data/a", "1");
        for arguments in [
            &["list", "s3://bucket/x"][..],
            &["store", "create", "s3://bucket/x"],
            &["get", "s3://bucket/x/set", "copy"],
            &["ingest", "data", "--into", "s3://bucket/x/set", "--create"],
        ] {
            let said = complaint(&env, &web, 6, arguments);
            let hint = "hint: check the network and the endpoint (AWS_ENDPOINT_URL,";
            assert!(said.contains("SERVER is not an S3 server\n") && said.contains(hint), "{status}: {said}");
        }
        let checked = run(&env, &web, &["store", "check", "s3://bucket/x"]).exits(6).stdout;
        let failed = checked.lines().find(|line| line.starts_with("failed")).unwrap();
        assert!(failed.starts_with("failed    signed in"), "{status}: {checked}");
        assert!(checked.contains("is not an S3") && checked.contains("the endpoint"), "{status}: {checked}");
    }
}

#[test]
fn a_proxy_is_asked_but_for_hosts_that_are_excepted() {
    let mut env = TestEnv::new();
    let port = || TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let far = S3 { endpoint: "http://store.invalid".to_owned(), ..nowhere() };
    far.reach_from(&mut env);
    env.set("http_proxy", &format!("http://user:hush-hush@127.0.0.1:{}", port()));
    let said = complaint(&env, &far, 6, &["list", "s3://bucket/x"]);
    assert!(said.contains("Connection refused") && !said.contains("hush-hush"), "{said}");
    env.set("NO_PROXY", "store.invalid");
    let said = complaint(&env, &far, 6, &["list", "s3://bucket/x"]);
    assert!(said.contains("no connection") && !said.contains("refused"), "{said}");
}

#[test]
fn what_cannot_be_a_bucket_is_wrong_usage() {
    let mut env = TestEnv::new();
    nowhere().reach_from(&mut env);
    insta::assert_snapshot!(complaint(&env, &nowhere(), 2, &["list", "s3://no bucket/x"]), @r#"
    error: not the name of a bucket: "no bucket"
    hint: a bucket's name has letters, digits, dots and hyphens: s3://BUCKET/PREFIX
    "#);
    insta::assert_snapshot!(complaint(&env, &nowhere(), 2, &["store", "create", "s3://bucket//x"]), @r#"
    error: `//` parts a store from its dataset, and this is to be a store: s3://bucket//x
    hint: write its place without: s3://bucket/x
    "#);
    insta::assert_snapshot!(complaint(&env, &nowhere(), 2, &["list", "s3://bucket//x//y"]), @r#"
    error: not a prefix that a bucket's objects can have: "s3://bucket//x"
    hint: write it without empty parts, `.` and `..`: s3://BUCKET/team/store
    "#);
    let _ = env.run(["store", "create", "./a//b"]).exits(2);
    assert!(!env.path("a").exists());
    insta::assert_snapshot!(complaint(&env, &nowhere(), 2, &["list", "ftp://bucket/x"]), @r#"
    error: no store is reached by ftp://: ftp://bucket/x
    hint: a store is a folder's path, or begins with s3://, gs://, az:// or file:///
    "#);
    env.set("AWS_PROFILE", "absent");
    insta::assert_snapshot!(complaint(&env, &nowhere(), 2, &["list", "s3://bucket/x"]), @r#"
    error: there is no AWS profile "absent"
      because: looked in HOME/.aws/config and HOME/.aws/credentials
    hint: check AWS_PROFILE and `profile` of the remote; `aws configure list-profiles` shows what there is
    "#);
}

#[test]
fn where_nobody_is_signed_in_the_places_are_named() {
    let mut env = TestEnv::new();
    let command = ["list", "s3://bucket/x"];
    env.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
    insta::assert_snapshot!(complaint(&env, &nowhere(), 6, &command), @r#"
    error: cannot read from the store s3://bucket/x
      because:
       1. no credentials for S3 were found
       2. tried AWS_ACCESS_KEY_ID, profile default of ~/.aws, AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, the machine's role (127.0.0.1: Connection refused (os error 111))
    hint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run `aws configure`
    "#);
    env.set("AWS_EC2_METADATA_DISABLED", "true");
    insta::assert_snapshot!(complaint(&env, &nowhere(), 6, &command), @r#"
    error: no credentials for S3 were found
      because: tried AWS_ACCESS_KEY_ID, profile default of ~/.aws, AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, the machine's role (AWS_EC2_METADATA_DISABLED)
    hint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run `aws configure`
    "#);
}
