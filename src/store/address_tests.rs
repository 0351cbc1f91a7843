use super::*;
use crate::base::Kind;

fn home() -> Option<&'static Path> {
    Some(Path::new("/home/ann"))
}

/// `location|ref|path`, `-` where there is none.
fn shown(address: Result<Address>) -> String {
    let Address { location, reference, path } = match address {
        Ok(address) => address,
        Err(fault) => {
            assert_eq!(fault.kind(), Kind::Usage);
            return "error".to_owned();
        }
    };
    let location = match location {
        Location::Here => "here".to_owned(),
        Location::Dataset(name) => format!("dataset {name}"),
        Location::Store { text } => format!("store {text}"),
    };
    let none = || "-".to_owned();
    format!("{location}|{}|{}", reference.map_or_else(none, |r| r.to_string()), path.unwrap_or_else(none))
}

#[track_caller]
fn check(text: &str, outside: &str, inside: &str) {
    assert_eq!(shown(Address::parse(text, home())), outside, "{text} outside a workspace");
    assert_eq!(shown(Address::parse_in_workspace(text, home())), inside, "{text} in a workspace");
}

#[track_caller]
fn check_both(text: &str, expected: &str) {
    check(text, expected, expected);
}

#[test]
fn stores() {
    check_both("s3://bucket/data/vision/bdd100k@1.2.0:train/", "store s3://bucket/data/vision/bdd100k|1.2.0|train/");
    check_both("s3://bucket/data/set:train/", "store s3://bucket/data/set|-|train/");
    check_both("s3://bucket/data/set", "store s3://bucket/data/set|-|-");
    check_both("s3://bucket", "store s3://bucket|-|-");
    check_both("s3+http://user@host:9000/bucket/set@a:b", "error");
    check_both("./store/signs:labels.csv", "store ./store/signs|-|labels.csv");
    check_both("../store/signs@main", "store ../store/signs|main|-");
    check_both("/data/store/signs@feature/x~2:a/b", "store /data/store/signs|feature/x~2|a/b");
    check_both("~/store/signs@main~", "store /home/ann/store/signs|main~1|-");
    check_both(".", "store .|-|-");
    check_both("..", "store ..|-|-");
    check_both("/", "store /|-|-");
    check_both("./signs@", "store ./signs|-|-");
}

#[test]
fn paths_may_hold_the_signs_of_cuts() {
    check_both("/s/signs@1.0:img@2x.png", "store /s/signs|1.0|img@2x.png");
    check_both("/s/signs:img@2x.png", "store /s/signs|-|img@2x.png");
    check_both("/s/signs:a:b@c:d", "store /s/signs|-|a:b@c:d");
    check_both("/s/signs:~/^/é \n", "store /s/signs|-|~/^/é \n");
    check_both("other@main:a@b", "dataset other|main|a@b");
    check_both("/s/signs:", "store /s/signs|-|");
}

#[test]
fn a_store_path_may_hold_them_before_a_double_slash() {
    check_both("/home/ann@corp/store//signs", "store /home/ann@corp/store//signs|-|-");
    check_both("/home/ann@corp/store//a/b@1.0:x@y", "store /home/ann@corp/store//a/b|1.0|x@y");
    check_both("/mnt/nas:share//signs@1.0:train", "store /mnt/nas:share//signs|1.0|train");
    check_both("s3://b/x@y//z@main", "store s3://b/x@y//z|main|-");
    check_both("~/s//z", "store /home/ann/s//z|-|-");
    check_both("//server/s/z@main", "store //server/s/z|main|-");
    // Without it the last @ before the first colon cuts. It is also right where a REF follows.
    check_both("/home/ann@corp/store/signs@main", "store /home/ann@corp/store/signs|main|-");
    check_both("/home/ann@corp/store/signs", "store /home/ann|corp/store/signs|-");
}

#[test]
fn words() {
    check("signs", "dataset signs|-|-", "here|signs|-");
    check("vision/signs", "dataset vision/signs|-|-", "here|vision/signs|-");
    check("signs:a/b", "dataset signs|-|a/b", "here|signs|a/b");
    check_both("signs@1.0", "dataset signs|1.0|-");
    check_both("signs@", "dataset signs|-|-");
    check_both("signs@~3^2", "dataset signs|~3^2|-");
    check(":a/b", "error", "here|-|a/b");
    check(":", "error", "here|-|");
    check("@main", "error", "here|main|-");
    check("", "error", "here|-|-");
    check("main~2", "error", "here|main~2|-");
    check("~1", "error", "here|~1|-");
    check("^2:x", "error", "here|^2|x");
    check("~", "error", "here|~1|-");
    check(".hidden", "error", "error");
    check_both("a b", "error");
    check_both("a@b@c", "error");
    check_both("a//b", "error");
    check_both(".@main", "store .|main|-");
}

#[test]
fn steps() {
    let parsed = RefExpr::parse("v1.0~2^^3~0").unwrap();
    let steps = vec![Step::Ancestor(2), Step::Parent(1), Step::Parent(3), Step::Ancestor(0)];
    assert_eq!(parsed, RefExpr { base: RefBase::Word("v1.0".into()), steps });
    assert_eq!(RefExpr::parse("~~").unwrap().steps, [Step::Ancestor(1), Step::Ancestor(1)]);
    assert_eq!(RefExpr::parse("^").unwrap().base, RefBase::Default);
    for bad in ["", "a~x", "a^0", "a~4294967296", "a~1b", "a:b", "a@b", "/a", "a/", "a//b", "-a", "a~é", "é"] {
        assert_eq!(RefExpr::parse(bad).map_err(|fault| fault.kind()), Err(Kind::Usage), "{bad}");
    }
}

#[test]
fn home_must_be_known() {
    assert_eq!(shown(Address::parse("~/s/d", None)), "error");
    assert_eq!(shown(Address::parse("~/s/d", Some(Path::new("/")))), "store /s/d|-|-");
}

#[test]
fn what_is_shown_parses_to_the_same() {
    for text in ["/s/a@main~2:x", "s3://b/s//a:x@y", "other@", "other@v1^2:p", ":p", "main:p", "~3", ""] {
        let parsed = Address::parse_in_workspace(text, home()).unwrap();
        assert_eq!(Address::parse_in_workspace(&parsed.to_string(), home()).unwrap(), parsed, "{text}");
    }
}
