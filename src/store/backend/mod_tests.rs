use std::os::unix::fs::PermissionsExt;

use super::runtime::runtime;
use super::*;

#[test]
fn opening_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("a/b");
    let text = missing.to_str().unwrap();
    assert_eq!(open_folder(text).unwrap_err().kind(), Kind::NotFound);
    assert!(!folder.path().join("a").exists());
    create_folder(text).unwrap().create("x", Bytes::new()).unwrap();
    assert_eq!(open_folder(text).unwrap().size("x").unwrap(), Some(0));
    let below_a_file = format!("{text}/x/y");
    assert_eq!(open_folder(&below_a_file).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(open_folder(&format!("{text}/x")).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_url_names_a_folder_or_a_prefix_in_a_bucket() {
    let open = |url: &str| open(url, &Access::default(), &Observer::new());
    for (url, shown) in [("s3://b", "s3://b"), ("s3://b/x/y/", "s3://b/x/y"), ("gs://b.c/ü x", "gs://b.c/ü x")] {
        assert_eq!(open(url).unwrap().describe(), shown);
    }
    let bad = [
        "ftp://b",
        "s3://",
        "s3:///x",
        "s3://b//x",
        "s3://b/x//y",
        "s3://b/x/../y",
        "s3://b/a\nb",
        "s3://ü/x",
        "s3://a@b/x",
        "file://b",
    ];
    for url in bad {
        let fault = open(url).unwrap_err();
        assert_eq!(fault.kind(), Kind::Usage, "{url}: {fault}");
        assert!(fault.next_step().is_some(), "{url}");
    }
    assert_eq!(open("az://b/x").unwrap_err().kind(), Kind::Usage, "no account");
    assert_eq!(open(&format!("s3://b/{}", "x".repeat(1000))).unwrap_err().kind(), Kind::Usage);

    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    open(&url).unwrap().create("a", Bytes::new()).unwrap();
    assert!(folder.path().join("a").exists());
    assert_eq!(open(&format!("{url}/none")).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_path_may_hold_what_urls_encode() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a b#1/%41~^é?[x]");
    let bucket = create_folder(root.to_str().unwrap()).unwrap();
    bucket.create("log/000/000/001", Bytes::from_static(b"one")).unwrap();
    assert_eq!(std::fs::read(root.join("log/000/000/001")).unwrap(), b"one");
    assert_eq!(bucket.list("log/000/000").unwrap().objects[0].name, "001");
    assert_eq!(bucket.list("").unwrap().folders, ["log"]);
}

#[test]
fn staging_leftovers_are_neither_listed_nor_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = open_folder(folder.path().to_str().unwrap()).unwrap();
    std::fs::write(folder.path().join("a#1"), b"half").unwrap();
    assert_eq!(bucket.create("a", Bytes::from_static(b"whole")).unwrap(), Created::New);
    assert_eq!(bucket.create("a", Bytes::from_static(b"other")).unwrap(), Created::Exists);
    assert_eq!(bucket.get("a").unwrap(), "whole");
    assert_eq!(bucket.list("").unwrap().objects.len(), 1);
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "the object and the old leftover");
}

#[test]
fn a_store_that_vanished_is_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let bucket = create_folder(root.to_str().unwrap()).unwrap();
    std::fs::remove_dir(&root).unwrap();
    assert_eq!(bucket.create("packs/a", Bytes::new()).unwrap_err().kind(), Kind::Unreachable);
    assert!(!root.exists());
}

#[test]
fn a_refusal_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = open_folder(folder.path().to_str().unwrap()).unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o555)).unwrap();
    let refused = bucket.create("a", Bytes::new());
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    // The superuser is refused nothing.
    if let Err(fault) = refused {
        assert_eq!(fault.kind(), Kind::Unreachable);
        let expected = format!("cannot write to the store {}: permission denied", folder.path().display());
        assert_eq!(fault.to_string(), expected);
        assert!(fault.next_step().is_some());
    }
}

#[test]
fn calls_from_inside_async_code_do_not_panic() {
    let folder = tempfile::tempdir().unwrap();
    let buckets = [memory(), open_folder(folder.path().to_str().unwrap()).unwrap()];
    runtime().unwrap().block_on(async {
        for bucket in &buckets {
            bucket.create("a", Bytes::from_static(b"x")).unwrap();
            assert_eq!(bucket.get("a").unwrap(), "x");
            bucket.delete("a").unwrap();
            assert_eq!(bucket.list("").unwrap(), Listing::default());
        }
    });
}
