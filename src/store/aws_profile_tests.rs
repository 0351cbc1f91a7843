use proptest::prelude::*;

use super::*;

const CONFIG: &str = "\
# for all
[default]
region = eu-west-1
s3 =
    addressing_style = path
    max_concurrent_requests = 20
output = json

[profile  dev]
region=eu-north-1
services = near
; by hand
credential_process = /opt/sign in --as 'me = you'
[services near]
s3 =
  endpoint_url = http://127.0.0.1:9000
[sso-session x]
sso_region = us-east-1
";

const CREDENTIALS: &str = "\
[default]
aws_access_key_id = AKIA1
aws_secret_access_key = a/b+c=d

[keys]
AWS_ACCESS_KEY_ID=AKIA2
aws_secret_access_key=two
aws_session_token=tok
";

/// A home with both files, and a variable.
fn access(variable: Option<(&str, &str)>) -> (tempfile::TempDir, Access) {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    std::fs::write(home.path().join(".aws/config"), CONFIG).unwrap();
    std::fs::write(home.path().join(".aws/credentials"), CREDENTIALS).unwrap();
    let environment = variable.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let access = Access { home: Some(home.path().to_owned()), environment, ..Access::default() };
    (home, access)
}

#[test]
fn the_default_profile_is_read_unasked() {
    let (_home, access) = access(None);
    let profile = Profile::read(&access, None).unwrap();
    assert_eq!(profile.keys(), Some(("AKIA1", "a/b+c=d", None)));
    assert_eq!(profile.get("region"), Some("eu-west-1"));
    assert_eq!(profile.get("output"), Some("json"));
    assert_eq!((profile.get("addressing_style"), profile.get("s3.addressing_style")), (None, Some("path")));
    assert!(!profile.is_named);
    assert!(Profile::read(&Access::default(), None).unwrap().keys().is_none(), "no files, no error");
}

#[test]
fn a_profile_is_named_by_the_setting_or_the_environment() {
    let (_home, access) = access(Some(("AWS_PROFILE", "dev")));
    let profile = Profile::read(&access, None).unwrap();
    assert_eq!((profile.endpoint("s3"), profile.endpoint("sts")), (Some("http://127.0.0.1:9000"), None));
    assert_eq!(profile.get("credential_process"), Some("/opt/sign in --as 'me = you'"));
    assert_eq!(profile.keys(), None);
    assert_eq!(Profile::read(&access, Some("keys")).unwrap().keys(), Some(("AKIA2", "two", Some("tok"))));
}

#[test]
fn a_profile_that_is_named_must_be_there() {
    let (_home, access) = access(None);
    let fault = Profile::read(&access, Some("absent")).err().unwrap();
    assert_eq!(fault.kind(), crate::base::Kind::Usage);
    assert_eq!(fault.to_string(), "there is no AWS profile \"absent\"");
    assert!(fault.in_one_line().contains(".aws/credentials"), "{}", fault.in_one_line());
}

proptest! {
    #[test]
    fn no_text_stops_the_parser(text in "[\\[\\]=#; \t\na-z\"é]{0,200}") {
        let keys: usize = parse(&text).values().map(BTreeMap::len).sum();
        prop_assert!(keys <= text.lines().count());
    }

    #[test]
    fn what_is_written_is_read(
        sections in prop::collection::btree_map(
            "[a-z]{1,8}( [a-z]{1,8})?",
            prop::collection::btree_map("[a-z_]{1,10}", "[!-~]([ -~]{0,20}[!-~])?", 0..5),
            0..5,
        )
    ) {
        let text: String = sections
            .iter()
            .map(|(name, keys)| {
                let lines: String = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
                format!("[{name}]\n{lines}")
            })
            .collect();
        prop_assert_eq!(parse(&text), sections);
    }
}
