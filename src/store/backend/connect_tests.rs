use super::*;

/// The URL that requests for `bucket` go to.
fn server(bucket: &str, variables: &[(&str, &str)], settings: StoreSettings) -> Result<String> {
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let plan = Plan::new(Cloud::S3, bucket, &Access { environment, ..Access::default() }, settings)?;
    Ok(plan.server_text())
}

fn path_style(style: bool) -> StoreSettings {
    StoreSettings { path_style: Some(style), ..StoreSettings::default() }
}

#[test]
fn amazons_hosts_name_the_bucket_and_others_do_not() {
    let none = StoreSettings::default;
    let cases = [
        ("b", vec![], none(), "https://b.s3.us-east-1.amazonaws.com"),
        ("b", vec![("AWS_REGION", "eu-west-1")], none(), "https://b.s3.eu-west-1.amazonaws.com"),
        ("b", vec![("AWS_REGION", "cn-north-1")], none(), "https://b.s3.cn-north-1.amazonaws.com.cn"),
        ("b.c", vec![], none(), "https://s3.us-east-1.amazonaws.com"),
        ("b", vec![], path_style(true), "https://s3.us-east-1.amazonaws.com"),
        ("b", vec![("AWS_ENDPOINT_URL", "http://10.0.0.1:9000/")], none(), "http://10.0.0.1:9000"),
        ("b", vec![("AWS_ENDPOINT_URL", "https://s3.example.org")], path_style(false), "https://b.s3.example.org"),
        ("b", vec![("AWS_ENDPOINT_URL", "https://b.s3.example.org")], path_style(false), "https://b.s3.example.org"),
        (
            "b",
            vec![("AWS_ENDPOINT_URL", "https://s3.eu-west-1.amazonaws.com")],
            none(),
            "https://b.s3.eu-west-1.amazonaws.com",
        ),
    ];
    for (bucket, variables, settings, expected) in cases {
        assert_eq!(server(bucket, &variables, settings).unwrap(), expected, "{bucket} {variables:?}");
    }
}

#[test]
fn a_bad_endpoint_is_refused_and_shows_no_password() {
    for endpoint in ["localhost:9000", "ftp://h", "http://", "http://u:hush@h", "u:hush@h", "http://h?x=hush"] {
        let fault = server("b", &[("AWS_ENDPOINT_URL", endpoint)], StoreSettings::default()).unwrap_err();
        assert_eq!(fault.kind(), Kind::Usage, "{endpoint}");
        assert!(!fault.in_one_line().contains("u:hush"), "{fault}");
    }
    let settings = StoreSettings { allow_http: Some(false), ..StoreSettings::default() };
    assert_eq!(server("b", &[("AWS_ENDPOINT_URL", "http://h")], settings).unwrap_err().kind(), Kind::Usage);
}

#[test]
fn each_cloud_has_a_client() {
    let environment = [
        (
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            r#"{"disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}"#,
        ),
        ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "aHVzaA=="),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let access = Access { environment, ..Access::default() };
    for (cloud, authority) in [
        (Cloud::S3, "b.s3.us-east-1.amazonaws.com"),
        (Cloud::Google, "storage.googleapis.com"),
        (Cloud::Azure, "account.blob.core.windows.net"),
    ] {
        let plan = Plan::new(cloud, "b", &access, StoreSettings::default()).unwrap();
        let wire = plan.wire(Limits::default()).unwrap();
        assert_eq!(wire.authority, authority);
        plan.connect(wire).unwrap();
    }
}

#[test]
fn a_ca_file_must_hold_certificates() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for (path, expected) in
        [(file.path(), "holds no certificates"), (Path::new("/nowhere/ca.pem"), "cannot read the certificates")]
    {
        let settings = StoreSettings { ca_file: Some(path.to_owned()), ..StoreSettings::default() };
        let plan = Plan::new(Cloud::S3, "b", &Access::default(), settings).unwrap();
        let fault = plan.wire(Limits::default()).unwrap_err();
        assert!(fault.to_string().contains(expected), "{fault}");
    }
}

#[test]
fn the_way_to_a_bucket_is_known_before_anyone_is_asked() {
    let approach = |variables: &[(&str, &str)]| {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let access = Access { environment, ..Access::default() };
        Plan::new(Cloud::S3, "b", &access, StoreSettings::default()).unwrap().approach().unwrap()
    };
    let keys = [("AWS_ACCESS_KEY_ID", "AKIA1"), ("AWS_SECRET_ACCESS_KEY", "hush")];
    let endpoint = ("AWS_ENDPOINT_URL", "https://s3.lab.example:7480");
    let found = approach(&[keys[0], keys[1], endpoint]);
    assert_eq!((found.server.host.as_str(), found.server.port), ("s3.lab.example", 7480));
    assert_eq!((found.who.as_str(), found.proxy), ("access key AKIA1 of the environment", None));
    let proxy = ("HTTPS_PROXY", "http://me:hush@proxy.example:3128/");
    for (except, expected) in [
        ("", Some("proxy.example:3128")),
        ("other.example, .example", None),
        ("lab.example", None),
        ("ab.example", Some("proxy.example:3128")),
    ] {
        let found = approach(&[keys[0], keys[1], endpoint, proxy, ("NO_PROXY", except)]);
        assert_eq!(found.proxy.as_deref(), expected, "{except}");
    }
    for near in ["http://localhost:9000", "http://127.0.0.1", "http://[::1]:1", "http://169.254.1.1"] {
        let found = approach(&[keys[0], keys[1], ("AWS_ENDPOINT_URL", near), ("ALL_PROXY", "http://proxy.example")]);
        assert_eq!(found.proxy, None, "{near}");
    }
}
