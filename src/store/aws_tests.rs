use super::*;

const CONFIG: &str = "\
[default]
region = eu-west-1
endpoint_url = http://127.0.0.1:1
[profile sso]
sso_session = x
sso_account_id = 1
[profile role]
role_arn = arn:aws:iam::1:role/r
source_profile = default
[profile web]
role_arn = arn:aws:iam::1:role/r
web_identity_token_file = /run/token
[profile helper]
credential_process = PROGRAM
region = eu-north-1
[profile keys]
aws_access_key_id = AKIAKEYS
aws_secret_access_key = hush
";

/// The way by a home with that configuration, and these variables.
fn way(variables: &[(&str, &str)], settings: &StoreSettings) -> Result<Way> {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    std::fs::write(home.path().join(".aws/config"), CONFIG).unwrap();
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Way::find(&Access { environment, home: Some(home.path().to_owned()), ..Access::default() }, settings)
}

fn by_profile(name: &str) -> Way {
    way(&[], &StoreSettings { profile: Some(name.to_owned()), ..StoreSettings::default() }).unwrap()
}

const STATIC: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "hush")];

#[test]
fn the_order_is_that_of_aws_own_tools() {
    let none = StoreSettings::default();
    let who = |variables: &[(&str, &str)]| way(&[variables, &STATIC].concat(), &none).unwrap().who;
    assert_eq!(who(&[]), "access key AKIAENV of the environment");
    assert_eq!(who(&[("AWS_PROFILE", "keys")]), "access key AKIAENV of the environment");
    let named = StoreSettings { profile: Some("keys".to_owned()), ..none.clone() };
    assert_eq!(way(&STATIC, &named).unwrap().who, "access key AKIAKEYS of profile keys");

    let source = |variables: &[(&str, &str)]| way(variables, &none).unwrap().source;
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "arn:x")];
    assert!(matches!(source(&web), Source::WebIdentity { .. }));
    let container = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c")];
    assert!(matches!(source(&[&web[..], &container].concat()), Source::WebIdentity { .. }));
    assert!(matches!(source(&container), Source::Container { .. }));
    assert_eq!(source(&[]), Source::Machine);
    assert!(matches!(by_profile("web").source, Source::WebIdentity { .. }));
    assert!(matches!(by_profile("helper").source, Source::Signer(_)));
}

#[test]
fn where_nothing_is_found_the_places_are_named() {
    let fault = way(&[("AWS_EC2_METADATA_DISABLED", "true")], &StoreSettings::default()).unwrap_err();
    assert_eq!(fault.kind(), Kind::Unreachable);
    let text = fault.in_one_line();
    for place in ["AWS_ACCESS_KEY_ID", "profile default", "AWS_WEB_IDENTITY_TOKEN_FILE", "machine"] {
        assert!(text.contains(place), "{text}");
    }
    assert_eq!(fault.next_step(), Some(NO_CREDENTIALS_HINT));
}

#[test]
fn endpoint_and_region_have_an_order() {
    let none = StoreSettings::default();
    let place = |variables: &[(&str, &str)], settings: &StoreSettings| {
        let way = way(variables, settings).unwrap();
        (way.endpoint.unwrap_or_default(), way.region)
    };
    assert_eq!(place(&[], &none), ("http://127.0.0.1:1".into(), "eu-west-1".into()));
    let general = ("AWS_ENDPOINT_URL", "http://a");
    assert_eq!(place(&[general, ("AWS_DEFAULT_REGION", "r2")], &none), ("http://a".into(), "r2".into()));
    let own = ("AWS_ENDPOINT_URL_S3", "http://b");
    let both = [("AWS_DEFAULT_REGION", "r2"), ("AWS_REGION", "r1"), general, own];
    assert_eq!(place(&both, &none), ("http://b".into(), "r1".into()));
    let settings =
        StoreSettings { endpoint: Some("http://c".into()), region: Some("r0".into()), ..StoreSettings::default() };
    assert_eq!(place(&both, &settings), ("http://c".into(), "r0".into()));
    let ignoring = [("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"), own];
    assert_eq!(place(&ignoring, &none).0, "");
    assert_eq!(by_profile("helper").region, "eu-north-1");
}

#[test]
fn sso_and_roles_are_left_to_the_aws_cli() {
    for (profile, hint) in [
        ("sso", "`aws sso login --profile sso`"),
        ("role", "check the profile role in the AWS configuration (AWS_CONFIG_FILE, or ~/.aws/config)"),
    ] {
        let way = by_profile(profile);
        assert_eq!(way.sign_in, hint);
        let Source::Signer(signer) = way.source else { panic!("{:?}", way.source) };
        assert_eq!(signer.program[..5], ["aws", "configure", "export-credentials", "--profile", profile]);
    }
}

/// Runs a shell script as the credential process.
fn run(script: &str) -> Result<Keys> {
    let program = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    Signer { program, profile: "p".to_owned(), because: "has a credential_process" }.run(&Access::default())
}

#[test]
fn a_helper_prints_credentials() {
    let printed = r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"hush","SessionToken":"T","Expiration":"2030-01-01T00:00:00Z"}"#;
    let keys = run(&format!("echo '{printed}'")).unwrap();
    let expire = Some(Time(1_893_456_000_000));
    assert_eq!(keys, Keys { id: "A".into(), secret: "hush".into(), token: Some("T".into()), expire });
    assert!(!format!("{keys:?}").contains("hush"));
}

#[test]
fn a_helper_that_fails_is_named_and_its_output_is_not_shown() {
    let fault = run("echo hush; echo >&2 'hush: no session'; exit 3").unwrap_err();
    assert_eq!(fault.kind(), Kind::Unreachable);
    let text = fault.in_one_line();
    assert!(text.contains("profile p has a credential_process") && text.contains("exit status: 3"), "{text}");
    assert!(!text.contains("hush"), "what it says may hold a secret: {text}");
    assert!(fault.next_step().is_some_and(|hint| hint.contains("by hand")), "{fault}");
    for script in [
        "echo hush",
        "echo '{\"Version\":2,\"AccessKeyId\":\"hush\",\"SecretAccessKey\":\"hush\"}'",
        r#"echo '{"Version":1,"AccessKeyId":"hush","SecretAccessKey":"hush","Expiration":"2020-01-01T00:00:00Z"}'"#,
        "yes hush | head -9",
    ] {
        let fault = run(script).unwrap_err();
        assert!(!fault.in_one_line().contains("hush"), "{fault}");
    }
    let absent = Signer { program: vec!["/nowhere/helper".to_owned()], profile: "p".to_owned(), because: "x" };
    let fault = absent.run(&Access::default()).unwrap_err();
    assert!(fault.in_one_line().contains("/nowhere/helper"));
    let hint = "check the profile p in the AWS configuration (AWS_CONFIG_FILE, or ~/.aws/config)";
    assert_eq!(fault.next_step(), Some(hint));
}

#[test]
fn a_command_line_is_cut_like_a_shells() {
    assert_eq!(words(r#"/a/b  --x 'c d' "e \" f" g\ h '' "#), ["/a/b", "--x", "c d", "e \" f", "g h", ""]);
    assert!(words("  ").is_empty());
}
