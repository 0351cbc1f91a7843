use proptest::prelude::*;

use super::*;

fn facts(meta: &Attrs) -> Facts<'_> {
    Facts {
        dataset: "vision/signs",
        name: Some("1.2.0"),
        author: Some("Ann"),
        time: Time(1_767_225_600_000),
        versions: 3,
        files: 100,
        bytes: 1 << 40,
        meta,
    }
}

fn meta() -> Attrs {
    let text = |text: &str| Value::Text(text.to_owned());
    let pairs =
        [("task", text("detection")), ("share", Value::Float(0.5)), ("n", Value::Int(7)), ("open", Value::Bool(true))];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn holds(condition: &str) -> bool {
    let filter = Filter::parse(condition).unwrap_or_else(|fault| panic!("{fault}"));
    filter.holds(&facts(&meta())).expect("all is known")
}

#[test]
fn conditions_hold() {
    let all = [
        r#"meta.task = "detection""#,
        "meta.task='detection' and files>=100",
        "dataset = 'vision/signs' and name = '1.2.0' and author != 'Bob' and versions = 3",
        "files < 10 or bytes > 1e12",
        "not files < 10 and not (files > 1000 or meta.open = false)",
        "time >= '2026-01-01' and time < '2026-01-01T00:00:00.001Z'",
        "meta.share = 0.50 and meta.n = 7.0 and meta.n > -1",
        "meta.none = null and meta.none != 'x' and meta.open = true",
        "meta.task > 'd' and meta.task <= 'detection'",
    ];
    all.iter().for_each(|condition| assert!(holds(condition), "{condition}"));
    let none = [
        "meta.none = 'x'",
        "meta.none < 1",
        "meta.task = 1",
        "meta.n = '7'",
        "meta.task < 1 or meta.task > 1",
        "name = null",
        "files > 1 and files < 1 or bytes = 1",
        "not (files = 100)",
    ];
    none.iter().for_each(|condition| assert!(!holds(condition), "{condition}"));
}

#[test]
fn what_depends_on_an_author_is_open_until_one_is_known() {
    let meta = meta();
    let unknown = Facts { author: None, ..facts(&meta) };
    let ask = |condition: &str| Filter::parse(condition).expect("good").holds(&unknown);
    assert_eq!(ask("author = 'Ann'"), None);
    assert_eq!(ask("not author = 'Ann' or files < 1"), None);
    assert_eq!(ask("author = 'Ann' and files < 1"), Some(false));
    assert_eq!(ask("author = 'Ann' or files > 1"), Some(true));
}

#[test]
fn errors_point_at_the_place() {
    let said = |condition: &str| Filter::parse(condition).expect_err(condition).to_string();
    insta::assert_snapshot!(said("meta.task = "), @"
    can't understand the condition: here a value is expected: a text in quotes, a number, true, false or null
      meta.task = 
                  ^
    ");
    insta::assert_snapshot!(said("files > 10 & bytes > 1"), @"
    can't understand the condition: here `and`, `or` or the end is expected
      files > 10 & bytes > 1
                 ^
    ");
    let caret = |condition: &str| said(condition).lines().last().unwrap_or_default().trim_end_matches('^').len() - 2;
    let places = [
        ("", 0),
        ("size > 1", 0),
        ("meta. = 1", 0),
        ("files", 5),
        ("files ~ 1", 6),
        ("files = x", 8),
        ("files = 'x'", 8),
        ("name = 1", 7),
        ("time > 5", 7),
        ("time > 'soon'", 7),
        ("meta.a < true", 9),
        ("meta.a = 'open", 9),
        (r"meta.a = 'a\n'", 11),
        ("(files = 1", 10),
        ("files = 1)", 9),
        ("meta.a = 1e999", 9),
        ("name = 'ä' or or", 14),
    ];
    for (condition, at) in places {
        assert_eq!(caret(condition), at, "{}", said(condition));
    }
}

#[test]
fn conditions_on_files_hold() {
    let attrs = Attrs([("label".to_owned(), Value::Text("cat".to_owned()))].into());
    let meta = Attrs([("task".to_owned(), Value::Text("detection".to_owned()))].into());
    let facts = FileFacts {
        path: "people/ann/face.PNG",
        bytes: 3000,
        executable: false,
        attrs: &attrs,
        name: Some("1.0"),
        time: Time(0),
        meta: &meta,
    };
    let holds = |condition: &str| FileFilter::parse(condition).expect(condition).holds(&facts);
    let all = [
        "path ~ 'people' and path ~ 'people/*/face.PNG' and not path ~ '*.PNG'",
        "path = 'people/ann/face.PNG' and suffix = 'png' and bytes >= 3e3 and executable = false",
        "attr.label ~ 'c?t' and attr.none = null and not attr.none ~ 'x'",
        "name = '1.0' and meta.task = 'detection' and time < '2026-01-31'",
    ];
    all.iter().for_each(|condition| assert!(holds(condition), "{condition}"));
    assert!(!holds("suffix ~ 'jp*g' or path ~ 'people/bob'"));
    let asks = |condition: &str| {
        let filter = FileFilter::parse(condition).expect(condition);
        (filter.asks_of_version(), filter.asks_attributes())
    };
    assert_eq!(asks("path ~ 'a' or bytes < 1"), (false, false));
    assert_eq!(asks("not (path ~ 'a' and meta.x = 1) or attr.y = 2"), (true, true));
    for bad in
        ["path ~ 5", "path ~ 'a['", "bytes ~ 'a'", "files = 1", "dataset ~ 'x'", "executable = 'x'", "path = null"]
    {
        assert!(FileFilter::parse(bad).is_err(), "{bad}");
    }
    assert!(Filter::parse("dataset ~ 'vision/*'").is_ok() && Filter::parse("path ~ 'x'").is_err());
}

#[test]
fn what_is_too_long_or_too_deep_is_refused() {
    let nested = |levels: usize| format!("{}files = 1{}", "(".repeat(levels), ")".repeat(levels));
    assert!(Filter::parse(&nested(32)).is_ok() && Filter::parse(&nested(33)).is_err());
    assert!(Filter::parse(&format!("{}files = 1", "not ".repeat(33))).is_err());
    assert!(Filter::parse(&vec!["files = 1"; 290].join(" and ")).is_ok());
    assert!(Filter::parse(&vec!["files = 1"; 300].join(" and ")).is_err());
}

proptest! {
    #[test]
    fn what_parses_is_written_so_that_it_parses_again(words in proptest::collection::vec(
        prop_oneof![
            Just("files"), Just("meta.a-b"), Just("name"), Just("time"), Just("="), Just("<="), Just("1"), Just("-2.5e3"), Just("'x\\'y'"),
            Just("\"2026-01-31\""), Just("true"), Just("null"), Just("and"), Just("or"), Just("not"), Just("("), Just(")"),
            Just("files = 1"), Just("meta.x != null"), Just("author = \"a\""),
        ], 1..12)) {
        if let Ok(filter) = Filter::parse(&words.join(" ")) {
            prop_assert_eq!(Filter::parse(&filter.to_string()).expect("own text"), filter);
        }
    }
}
