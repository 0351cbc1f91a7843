use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_body_and_no_date_stop_the_reader(
        body in "(</?(Code|Message|Region|Error)>|<Code|[a-zA-Z]{1,9}|\\PC|[\u{0}-\u{1f}]){0,30}",
        date in "\\PC{0,40}",
    ) {
        let mut answer = Answer { status: Some(400), ..Answer::default() };
        answer.read_body(body.as_bytes());
        answer.read_date(&date);
        for said in [&answer.code, &answer.message, &answer.region].into_iter().flatten() {
            prop_assert!(said.chars().count() <= 300 && !said.chars().any(char::is_control));
        }
    }
}

fn refused(status: u16, code: &str) -> Answer {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Because.</Message></Error>");
    let mut answer = Answer { status: Some(status), ..Answer::default() };
    answer.read_body(body.as_bytes());
    answer
}

fn reached() -> Reached {
    Reached {
        shown: "s3://b/p".to_owned(),
        bucket: "b".to_owned(),
        server: "https://h".to_owned(),
        who: "access key A".to_owned(),
        sign_in: "`sign in`".to_owned(),
        is_s3: true,
    }
}

#[test]
fn what_keeps_a_request_is_told_as_it_was() {
    let mut answer = Answer { status: Some(503), ..Answer::default() };
    assert_eq!(answer.delay().as_deref(), Some("answered 503"));
    answer.status = Some(200);
    answer.trouble = Some(Trouble::Stalled(Duration::from_secs(30)));
    assert_eq!(answer.delay().as_deref(), Some("sent nothing more of an answer for 30 s"));
    answer.trouble = Some(Trouble::Broken("reset".to_owned()));
    assert_eq!(answer.delay().as_deref(), Some("broke off in an answer"));
    answer.status = None;
    assert_eq!(answer.delay(), None);
}

#[test]
fn what_follows_from_an_answer() {
    let cases = [
        (404, "NoSuchKey", Next::Absent),
        (404, "NoSuchBucket", Next::GiveUp),
        (412, "PreconditionFailed", Next::Exists),
        (409, "BlobAlreadyExists", Next::Exists),
        (409, "ConditionalRequestConflict", Next::Again { tries: 7 }),
        (429, "TooManyRequests", Next::Again { tries: 7 }),
        (500, "InternalError", Next::Again { tries: 7 }),
        (503, "SlowDown", Next::Again { tries: 7 }),
        (400, "RequestTimeout", Next::Again { tries: 7 }),
        (400, "XAmzContentSHA256Mismatch", Next::Again { tries: 7 }),
        (400, "ExpiredToken", Next::SignInAgain),
        (403, "ExpiredToken", Next::SignInAgain),
        (403, "AccessDenied", Next::GiveUp),
        (403, "RequestTimeTooSkewed", Next::GiveUp),
        (416, "InvalidRange", Next::GiveUp),
        (501, "NotImplemented", Next::GiveUp),
    ];
    for (status, code, next) in cases {
        assert_eq!(refused(status, code).next(7), next, "{status} {code}");
    }
    let head = |status| Answer { status: Some(status), ..Answer::default() };
    assert_eq!(
        (head(403).next(7), head(400).next(7), head(404).next(7)),
        (Next::SignInAgain, Next::SignInAgain, Next::Absent)
    );
    let text = head(403).error("read from", "x", &reached(), 1, Time(0)).to_string();
    assert_eq!(text, "cannot read from the store s3://b/p: access denied (access key A)");
    let lost = Answer { trouble: Some(Trouble::Broken("reset".to_owned())), ..Answer::default() };
    assert_eq!(lost.next(7), Next::Again { tries: 7 });
    let wrong_port = Answer { trouble: Some(Trouble::NoConnection("refused".to_owned())), ..Answer::default() };
    assert_eq!(wrong_port.next(7), Next::Again { tries: TRIES_TO_CONNECT });
}

#[test]
fn what_a_refusal_means_is_said() {
    let said = |status, code: &str, tries| {
        let fault = refused(status, code).error("read from", "x", &reached(), tries, Time(0));
        let text = fault.to_string().replace("cannot read from the store s3://b/p: ", "");
        format!("{text} | {}", fault.next_step().unwrap_or_default())
    };
    let cases = [
        (403, "InvalidObjectState", 1, "an object of it is archived | have it restored"),
        (501, "NotImplemented", 1, "https://h answered 501 | the server can't do what a store needs"),
        (501, "NotImplemented", 3, "https://h answered 501 at the last of 3 tries | "),
        (503, "SlowDown", 7, "https://h answered 503 at the last of 7 tries | try again later"),
        (400, "RequestTimeout", 7, "https://h answered 400 at the last of 7 tries | try again; "),
        (400, "BadDigest", 7, "https://h answered 400 at the last of 7 tries | try again; "),
        (400, "AuthorizationHeaderMalformed", 1, "https://h expects another region | set AWS_REGION"),
    ];
    for (status, code, tries, start) in cases {
        let said = said(status, code, tries);
        assert!(said.starts_with(start), "{status} {code}: {said}");
    }
}

#[test]
fn a_web_server_is_told_from_a_clouds() {
    let plain = |status| Answer { status: Some(status), is_plain: true, ..Answer::default() };
    for status in [301, 302, 400, 401, 403, 404, 405, 501] {
        let answer = plain(status);
        assert_eq!((answer.next(7), answer.is_denied()), (Next::GiveUp, false), "{status}");
        let text = answer.error("read from", "x", &reached(), 1, Time(0)).to_string();
        assert_eq!(text, "cannot read from the store s3://b/p: https://h is not an S3 server", "{status}");
        // Some servers that are S3's have no header of their own, but all have a word for what is wrong.
        let answer = Answer { is_plain: true, ..refused(status, "Because") };
        let text = answer.error("read from", "x", &reached(), 1, Time(0)).to_string();
        assert!(!text.contains("is not an S3 server"), "{text}");
    }
    assert_eq!(Answer { is_plain: true, ..refused(404, "NoSuchKey") }.next(7), Next::Absent);
    // What stands between may be overloaded, and of these the status says all.
    for status in [408, 429, 502, 503, 504] {
        assert_eq!(plain(status).next(7), Next::Again { tries: 7 }, "{status}");
    }
    assert_eq!(plain(412).next(7), Next::Exists);
}

#[test]
fn a_clock_that_is_off_is_measured() {
    let mut answer = refused(403, "RequestTimeTooSkewed");
    answer.read_date("Sat, 21 Nov 2026 09:00:00 GMT");
    let now = |minutes: i64| Time(answer.date.unwrap().0 + minutes * 60_000);
    let text = |minutes| answer.error("read from", "x", &reached(), 1, now(minutes)).to_string();
    assert_eq!(
        text(61),
        "cannot read from the store s3://b/p: this machine's clock is 61 minutes ahead of the server's"
    );
    assert!(text(-300).ends_with("5 hours behind the server's"), "{}", text(-300));
    let dateless = Answer { date: None, ..answer.clone() };
    assert!(dateless.error("read from", "x", &reached(), 1, now(0)).to_string().contains("differ too much"));
}

#[test]
fn an_authority_that_is_not_trusted_is_told_from_a_wrong_port() {
    let trouble = Some(Trouble::NoConnection("invalid peer certificate: UnknownIssuer".to_owned()));
    let fault = Answer { trouble, ..Answer::default() }.error("read from", "x", &reached(), 4, Time(0));
    assert_eq!(fault.to_string(), "cannot read from the store s3://b/p: https://h is not trusted");
    assert!(fault.next_step().unwrap().contains("ca_file"));
}

#[test]
fn a_wrong_region_names_the_right_one() {
    let mut answer = refused(301, "PermanentRedirect");
    let text = |answer: &Answer| answer.error("read from", "x", &reached(), 1, Time(0));
    assert!(text(&answer).next_step().unwrap().contains("AWS_REGION"));
    answer.region = Some("eu-west-1".to_owned());
    assert_eq!(
        text(&answer).to_string(),
        "cannot read from the store s3://b/p: the bucket b is in the region eu-west-1"
    );
    assert_eq!(text(&answer).next_step(), Some("set AWS_REGION=eu-west-1, or `region` of the remote"));
}

#[test]
fn bodies_of_any_kind_are_read() {
    for body in [&b""[..], b"<Code>", b"<Code></Code>", b"\xff<Code>\xff</Code>", b"</Code><Code>"] {
        Answer::default().read_body(body);
    }
    let mut answer = Answer::default();
    answer.read_body(format!("<Code>A\x1b[31m</Code><Message>{}</Message>", "x".repeat(9999)).as_bytes());
    assert_eq!(answer.code.as_deref(), Some("A[31m"));
    assert_eq!(answer.message.unwrap().len(), 300);
}
