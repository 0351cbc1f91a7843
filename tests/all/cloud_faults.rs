//! A store in a bucket on a real server, with a proxy between that loses, cuts, stalls, flips and refuses: the result is right, or the
//! error is clear. And every request that the server saw is in the counts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dagset::base::{Counter, Error, Kind, Observer, Result};
use dagset::engine::{Access, Engine, Settings, StoreSettings};
use dagset::store::{Bucket, Created, backend};

use crate::proxy::{Proxy, Seen, Spoil};
use crate::s3::{S3, Server, server};
use crate::stage::{contents, findings, get, ingest, lay_out, whole_text};

/// A store of its own on a server, reached through a proxy.
struct Play {
    server: S3,
    proxy: Proxy,
    store: String,
    folder: tempfile::TempDir,
}

impl Play {
    fn new(name: &str) -> Option<Play> {
        let server = server(Server::Real)?;
        let proxy = Proxy::before(&server.endpoint);
        let folder = tempfile::tempdir().unwrap();
        lay_out(&folder.path().join("source"), 1);
        Some(Play { store: server.url(name), server, proxy, folder })
    }

    /// An engine that goes through the proxy, or past it.
    fn engine(&self, through_proxy: bool) -> Engine {
        let endpoint = if through_proxy { &self.proxy.endpoint } else { &self.server.endpoint };
        let mut access = self.server.through(endpoint.clone()).access();
        access.patience.idle = Duration::from_millis(700);
        let settings = Settings {
            folder: PathBuf::from("/"),
            home: None,
            author: "Ada <ada@example.org>".to_owned(),
            provenance: Default::default(),
            default_store: None,
            access,
            jobs: 4,
            state_folder: None,
            caches: Vec::new(),
            user_cache: None,
        };
        Engine::new(settings, Observer::new())
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn dataset(&self) -> String {
        format!("{}//set", self.store)
    }

    fn ingest(&self, engine: &Engine, name: &str) -> Result<()> {
        ingest(engine, &self.source(), &self.dataset(), Some(name)).map(drop)
    }

    fn get(&self, engine: &Engine, name: &str, folder: &str) -> Result<BTreeMap<String, String>> {
        let folder = self.folder.path().join(folder);
        get(engine, &format!("{}@{name}", self.dataset()), &folder)?;
        Ok(contents(&folder))
    }

    /// Looks past the proxy: version 1 is there once, whole, and nothing is damaged.
    fn assert_right(&self, note: &str) {
        let engine = self.engine(false);
        assert_eq!(findings(&engine, &self.store), Vec::<String>::new(), "{note}");
        let log = engine.log(&address(&self.dataset()), Default::default()).unwrap();
        assert_eq!(log.len(), 1, "{note}: {log:?}");
        let got = self.get(&engine, "1", &format!("right-{}", note.replace(['/', ' '], "-"))).unwrap();
        assert_eq!(got, contents(&self.source()), "{note}");
    }
}

fn address(text: &str) -> dagset::engine::Address {
    dagset::engine::Address::parse(text, None).unwrap()
}

/// Picks the requests of a verb for objects of a folder.
fn of(verb: &'static str, part: &'static str) -> impl Fn(&Seen) -> bool + Send + 'static {
    move |seen| (verb == "*" || seen.verb == verb) && seen.path.contains(part)
}

/// What an observer counted equals what a proxy saw, by verb.
#[track_caller]
fn assert_counted(observer: &Observer, seen: &[Seen], note: &str) {
    let verbs = [
        ("GET", Counter::Gets),
        ("PUT", Counter::Puts),
        ("LIST", Counter::Lists),
        ("HEAD", Counter::Heads),
        ("DELETE", Counter::Deletes),
    ];
    for (verb, counter) in verbs {
        let saw = seen.iter().filter(|seen| seen.verb == verb).count() as u64;
        assert_eq!(observer.get(counter), saw, "{note}: {verb} of {seen:#?}");
    }
}

/// Faults that a further try mends, each for requests to write.
#[test]
fn writing_goes_on_through_every_passing_fault() {
    let Some(_) = server(Server::Real) else { return };
    let spoils = [
        Spoil::LoseAnswer,
        Spoil::HangUp,
        Spoil::FlipRequest,
        Spoil::Answer(409, "ConditionalRequestConflict"),
        Spoil::Answer(503, "SlowDown"),
    ];
    for part in ["dagset.json", "/packs/", "/index/", "/meta/", "/log/"] {
        for spoil in spoils {
            let note = format!("{spoil:?} of {part}");
            let play = Play::new("write").unwrap();
            play.proxy.spoil(2, spoil, of("PUT", part));
            let engine = play.engine(true);
            play.ingest(&engine, "1").unwrap_or_else(|fault| panic!("{note}: {}", whole_text(&fault)));
            assert_eq!(play.proxy.heal(), 0, "{note}: was not met");
            assert_counted(&engine.observer, &play.proxy.take_seen(), &note);
            play.assert_right(&note);
        }
    }
}

/// A proxy may answer from what it has kept of another request, and nothing was stored.
#[test]
fn an_object_that_is_said_to_be_there_and_is_not_is_sent_again() {
    let Some(_) = server(Server::Real) else { return };
    for part in ["/packs/", "/index/", "/meta/"] {
        let lie = Spoil::Answer(412, "PreconditionFailed");
        let play = Play::new("taken").unwrap();
        play.proxy.spoil(2, lie, of("PUT", part));
        let engine = play.engine(true);
        play.ingest(&engine, "1").unwrap_or_else(|fault| panic!("{part}: {}", whole_text(&fault)));
        assert_eq!(play.proxy.heal(), 0, "{part}: was not met");
        assert_counted(&engine.observer, &play.proxy.take_seen(), part);
        play.assert_right(part);

        let play = Play::new("taken-for-ever").unwrap();
        play.proxy.spoil(1_000, lie, of("PUT", part));
        let fault = play.ingest(&play.engine(true), "1").unwrap_err();
        assert_eq!(fault.kind(), Kind::Unreachable, "{part}: {}", whole_text(&fault));
        assert!(whole_text(&fault).contains("has no such object"), "{part}: {}", whole_text(&fault));
        play.proxy.heal();
        play.ingest(&play.engine(true), "1").unwrap();
        play.assert_right(part);
    }
}

/// The client's own time-out ends the request, whether the write has landed by then or not.
#[test]
fn a_request_that_is_never_answered_is_made_again() {
    let Some(_) = server(Server::Real) else { return };
    for spoil in [Spoil::StallRequest, Spoil::SilenceAnswer] {
        let play = Play::new("unanswered").unwrap();
        for part in ["dagset.json", "/packs/", "/index/", "/meta/", "/log/"] {
            play.proxy.spoil(1, spoil, of("PUT", part));
        }
        let engine = play.engine(true);
        play.ingest(&engine, "1").unwrap_or_else(|fault| panic!("{spoil:?}: {}", whole_text(&fault)));
        let note = format!("{spoil:?}");
        assert_eq!(play.proxy.heal(), 0, "{note}: was not met");
        assert_counted(&engine.observer, &play.proxy.take_seen(), &note);
        play.assert_right(&note);
    }
}

#[test]
fn as_many_requests_are_under_way_as_there_are_callers() {
    const CALLERS: usize = 32;
    let Some(play) = Play::new("many") else { return };
    let engine = play.engine(true);
    let bucket = backend::open(&play.store, &engine.settings.access, &engine.observer).unwrap();
    bucket.create("packs/a", vec![7; 1000].into()).unwrap();
    // No answer comes before all have asked.
    play.proxy.spoil(CALLERS, Spoil::Gather(Box::leak(Box::new(Barrier::new(CALLERS)))), of("GET", "/packs/a"));
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| assert_eq!(bucket.get("packs/a").unwrap().len(), 1000));
        }
    });
    assert_eq!(engine.observer.get(Counter::Gets), CALLERS as u64, "none was given up");
}

/// Faults that a further try mends, each for requests to read.
#[test]
fn reading_goes_on_through_every_passing_fault() {
    let Some(play) = Play::new("read") else { return };
    play.ingest(&play.engine(false), "1").unwrap();
    let whole = contents(&play.source());
    let spoils = [
        Spoil::LoseAnswer,
        Spoil::Cut,
        Spoil::Stall,
        Spoil::Answer(408, "RequestTimeout"),
        Spoil::Answer(429, "TooManyRequests"),
        Spoil::Answer(500, "InternalError"),
        Spoil::Answer(502, ""),
        Spoil::Answer(504, ""),
        Spoil::Answer(400, "ExpiredToken"),
    ];
    let places = [("GET", "dagset.json"), ("GET", "/packs/"), ("GET", "/meta/"), ("GET", "/log/"), ("LIST", "")];
    for (verb, part) in places {
        for (number, spoil) in spoils.into_iter().enumerate() {
            let note = format!("{spoil:?} of {verb} {part}");
            play.proxy.spoil(1, spoil, of(verb, part));
            let engine = play.engine(true);
            let got = play.get(&engine, "1", &format!("{verb}-{}-{number}", part.replace('/', "")));
            assert_eq!(got.unwrap_or_else(|fault| panic!("{note}: {}", whole_text(&fault))), whole, "{note}");
            assert_eq!(play.proxy.heal(), 0, "{note}: was not met");
            assert_counted(&engine.observer, &play.proxy.take_seen(), &note);
        }
    }
}

#[test]
fn a_flipped_bit_of_an_answer_is_never_believed() {
    let Some(play) = Play::new("flip") else { return };
    play.ingest(&play.engine(false), "1").unwrap();
    let whole = contents(&play.source());
    for (number, part) in ["dagset.json", "/packs/", "/meta/", "/log/"].into_iter().enumerate() {
        play.proxy.spoil(1, Spoil::FlipAnswer, of("GET", part));
        let folder = format!("flip-{number}");
        match play.get(&play.engine(true), "1", &folder) {
            Ok(got) => assert_eq!(got, whole, "{part}"),
            Err(fault) => {
                assert_eq!(fault.kind(), Kind::Damaged, "{part}: {}", whole_text(&fault));
                assert_eq!(play.proxy.heal(), 0, "{part}");
                assert_eq!(play.get(&play.engine(true), "1", &folder).unwrap(), whole, "{part}: the next get mends it");
            }
        }
    }
}

/// What a bit was flipped in on its way is read again, once, before it is called damaged.
#[test]
fn a_flipped_bit_of_an_answer_is_no_damage_of_the_store() {
    let Some(play) = Play::new("flip-once") else { return };
    play.ingest(&play.engine(false), "1").unwrap();
    let verified = |spoilt: Option<&'static str>| {
        let engine = play.engine(true);
        if let Some(part) = spoilt {
            play.proxy.spoil(1, Spoil::FlipAnswer, of("GET", part));
        }
        let bucket = backend::open(&play.store, &engine.settings.access, &engine.observer).unwrap();
        assert!(dagset::store::log::read(&bucket, 1).unwrap().is_some());
        assert_eq!(findings(&engine, &play.store), Vec::<String>::new(), "{spoilt:?}");
        assert_eq!(play.proxy.heal(), 0, "{spoilt:?}");
        engine.observer.get(Counter::Gets)
    };
    let healthy = verified(None);
    for part in ["/log/", "/index/", "/packs/", "/meta/"] {
        assert_eq!(verified(Some(part)), healthy + 1, "{part}");
    }
}

/// A store that stays away is asked as often as patience lasts, and the one look for the record is not patient again.
#[test]
fn a_record_is_not_sent_twice_as_often_as_anything_else() {
    let Some(play) = Play::new("patience") else { return };
    let engine = play.engine(true);
    let was_sent = AtomicBool::new(false);
    play.proxy.spoil(1_000, Spoil::Answer(503, "SlowDown"), move |seen| {
        was_sent.fetch_or(of("PUT", "/log/")(seen), Ordering::Relaxed);
        was_sent.load(Ordering::Relaxed)
    });
    let fault = play.ingest(&engine, "1").unwrap_err();
    assert_eq!(fault.kind(), Kind::Unreachable, "{}", whole_text(&fault));
    let seen = play.proxy.take_seen();
    let last: Vec<&str> = seen.iter().rev().take(11).map(|seen| seen.verb.as_str()).collect();
    assert_eq!(last, [&["GET"][..], &["PUT"; 10]].concat(), "{seen:#?}");
    play.proxy.heal();
    play.ingest(&play.engine(true), "1").unwrap();
    play.assert_right("patience");
}

/// The server did what it was asked, and none of its answers arrived.
#[test]
fn a_record_that_stands_there_is_found_when_patience_has_ended() {
    let Some(play) = Play::new("stands") else { return };
    play.proxy.spoil(10, Spoil::LoseAnswer, of("PUT", "/log/"));
    play.ingest(&play.engine(true), "1").unwrap();
    assert_eq!(play.proxy.heal(), 0);
    play.assert_right("stands");
}

/// The server was silent each time: what it did nobody knows but by looking.
#[test]
fn a_record_whose_every_answer_is_silence_is_found_or_said_not_to_be_there() {
    let Some(_) = server(Server::Real) else { return };
    for (spoil, has_landed) in [(Spoil::SilenceAnswer, true), (Spoil::StallRequest, false)] {
        let note = format!("{spoil:?}");
        let play = Play::new("silence").unwrap();
        play.proxy.spoil(1_000, spoil, of("PUT", "/log/000/000/001"));
        let outcome = play.ingest(&play.engine(true), "1").map_err(|fault| fault.kind());
        assert_eq!(outcome, if has_landed { Ok(()) } else { Err(Kind::Unreachable) }, "{note}");
        assert_ne!(play.proxy.heal(), 1_000, "{note}: was not met");
        play.ingest(&play.engine(true), "1").unwrap();
        play.assert_right(&note);
    }
}

#[test]
fn a_refused_port_is_tried_four_times() {
    let [key, secret, bucket] = ["key", "secret", "b"].map(str::to_owned);
    let s3 = S3 { endpoint: "http://127.0.0.1:1".to_owned(), key, secret, bucket };
    let acts: [fn(&Bucket) -> Result<()>; 3] = [
        |bucket| bucket.get("dagset.json").map(drop),
        |bucket| bucket.list("").map(drop),
        |bucket| bucket.create("packs/a", vec![7].into()).map(drop),
    ];
    for act in acts {
        let observer = Observer::new();
        let fault = act(&backend::open("s3://b/x", &s3.access(), &observer).unwrap()).unwrap_err();
        assert_eq!(fault.kind(), Kind::Unreachable);
        let tries = [Counter::Gets, Counter::Lists, Counter::Puts].map(|counter| observer.get(counter));
        assert_eq!(tries.iter().sum::<u64>(), 4, "{tries:?}");
    }
}

/// A fault that doesn't pass, and what is said of it.
fn lasting(play: &Play, spoil: Spoil) -> Error {
    play.proxy.spoil(1_000, spoil, of("*", ""));
    let engine = play.engine(true);
    let fault = play.get(&engine, "1", "lasting").unwrap_err();
    assert_counted(&engine.observer, &play.proxy.take_seen(), &format!("{spoil:?}"));
    play.proxy.heal();
    assert_eq!(fault.kind(), Kind::Unreachable, "{spoil:?}: {}", whole_text(&fault));
    fault
}

/// The text of an error with what changes from run to run replaced.
fn text(play: &Play, fault: &Error) -> String {
    let text = whole_text(fault).replace(&play.store, "STORE").replace(&play.proxy.endpoint, "SERVER");
    assert!(!text.contains(&play.server.secret), "{text}");
    text
}

#[test]
fn a_fault_that_lasts_is_named() {
    let Some(play) = Play::new("lasting") else { return };
    let spoils = [
        Spoil::Answer(503, "SlowDown"),
        Spoil::Answer(403, "AccessDenied"),
        Spoil::Answer(403, "InvalidAccessKeyId"),
        Spoil::Answer(400, "ExpiredToken"),
        Spoil::Answer(301, "PermanentRedirect"),
        Spoil::Answer(418, "Teapot"),
        Spoil::LoseAnswer,
        Spoil::Stall,
    ];
    let said: Vec<String> = spoils.into_iter().map(|spoil| text(&play, &lasting(&play, spoil))).collect();
    insta::assert_snapshot!(said.join("\n\n"), @r#"
    cannot read from the store STORE: SERVER answered 503 at the last of 10 tries
    dagset.json: SERVER answered 503 SlowDown: Made up.
    hint: try again later

    cannot read from the store STORE: access denied (access key testkey123 of the environment)
    dagset.json: SERVER answered 403 AccessDenied: Made up.
    hint: ask for the right to read (s3:GetObject, s3:ListBucket) in the bucket test

    cannot read from the store STORE: access denied (access key testkey123 of the environment)
    dagset.json: SERVER answered 403 InvalidAccessKeyId: Made up.
    hint: the server doesn't know this access key: check it, and the endpoint

    cannot read from the store STORE: the credentials have expired (access key testkey123 of the environment)
    dagset.json: SERVER answered 400 ExpiredToken: Made up.
    hint: get new credentials: a session token lives for some hours

    cannot read from the store STORE: SERVER sends elsewhere for the bucket test
    dagset.json: SERVER answered 301 PermanentRedirect: Made up.
    hint: set AWS_REGION to the bucket's region; check the network and the endpoint (AWS_ENDPOINT_URL, or `endpoint` of the profile or the remote)

    cannot read from the store STORE: SERVER answered 418
    dagset.json: SERVER answered 418 Teapot: Made up.

    cannot read from the store STORE: SERVER ended 4 connections without an answer
    dagset.json: connection closed before message completed
    hint: check the network and the endpoint (AWS_ENDPOINT_URL, or `endpoint` of the profile or the remote)

    cannot read from the store STORE: SERVER went silent for 0.7 s
    dagset.json: no byte moved
    hint: try again
    "#);
    let skewed = text(&play, &lasting(&play, Spoil::AnswerOnAnotherDay(403, "RequestTimeTooSkewed")));
    assert!(skewed.contains("hours ahead of the server's"), "{skewed}");
}

/// Frames are read by many at once; the first that ends is what the command says.
#[test]
fn a_get_ends_where_packs_go_silent() {
    let Some(play) = Play::new("silent") else { return };
    play.ingest(&play.engine(false), "1").unwrap();
    for (spoil, limit_rate) in [(Spoil::StallRequest, None), (Spoil::Stall, None), (Spoil::Stall, Some(100_000))] {
        let Engine { mut settings, .. } = play.engine(true);
        settings.access.patience.tries = 2;
        settings.access.limit_rate = limit_rate;
        play.proxy.spoil(1_000, spoil, of("GET", "/packs/"));
        let fault = play.get(&Engine::new(settings, Observer::new()), "1", "silent").unwrap_err();
        assert_eq!(fault.kind(), Kind::Unreachable, "{}", whole_text(&fault));
        assert!(whole_text(&fault).contains("went silent for 0.7 s"), "{}", whole_text(&fault));
        play.proxy.heal();
        let seen = play.proxy.take_seen();
        let tries = seen.iter().filter(|seen| of("GET", "/packs/")(seen)).count();
        assert!(tries >= 2, "{seen:#?}");
    }
    assert_eq!(play.get(&play.engine(true), "1", "silent").unwrap(), contents(&play.source()));
}

/// Credentials by a helper that the shared configuration names, and that keeps a list of its runs.
struct Helper {
    home: tempfile::TempDir,
}

impl Helper {
    /// Its keys live for `seconds`.
    fn new(server: &S3, seconds: i64) -> Helper {
        let home = tempfile::tempdir().unwrap();
        let expire = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        let printed = format!(
            r#"{{"Version":1,"AccessKeyId":"{}","SecretAccessKey":"{}","Expiration":"{expire}"}}"#,
            server.key, server.secret
        );
        let path = |name: &str| home.path().join(name);
        std::fs::create_dir(path(".aws")).unwrap();
        let script = format!("echo run >> '{}'\necho '{printed}'\n", path("runs").display());
        std::fs::write(path("helper"), script).unwrap();
        let config = format!("[default]\ncredential_process = /bin/sh '{}'\n", path("helper").display());
        std::fs::write(path(".aws/config"), config).unwrap();
        Helper { home }
    }

    /// How often it ran.
    fn runs(&self) -> usize {
        std::fs::read_to_string(self.home.path().join("runs")).unwrap_or_default().lines().count()
    }

    /// Has an engine sign in by it.
    fn signs(&self, engine: &Engine) -> Engine {
        let mut settings = engine.settings.clone();
        settings.access.home = Some(self.home.path().to_owned());
        settings.access.environment.retain(|name, _| name == "AWS_ENDPOINT_URL");
        Engine::new(settings, Observer::new())
    }
}

#[test]
fn a_helper_for_credentials_runs_once_and_again_when_they_expired() {
    let Some(play) = Play::new("helper") else { return };
    let helper = Helper::new(&play.server, 3600);
    play.ingest(&helper.signs(&play.engine(true)), "1").unwrap();
    assert_eq!(helper.runs(), 1, "for all prefixes and requests of a command");

    let engine = helper.signs(&play.engine(true));
    play.proxy.spoil(1, Spoil::Answer(403, "ExpiredToken"), of("GET", "/meta/"));
    assert_eq!(play.get(&engine, "1", "renewed").unwrap(), contents(&play.source()));
    assert_eq!((play.proxy.heal(), helper.runs()), (0, 3), "once to begin with, and once since the server said so");

    // Keys that die within minutes are not asked for with every request either.
    let hasty = Helper::new(&play.server, 120);
    play.get(&hasty.signs(&play.engine(true)), "1", "hasty").unwrap();
    assert_eq!(hasty.runs(), 1);
}

/// As a bucket wants it that locks its objects.
#[test]
fn every_write_carries_a_checksum() {
    let Some(play) = Play::new("checksum") else { return };
    play.ingest(&play.engine(true), "1").unwrap();
    let seen = play.proxy.take_seen();
    let (puts, others): (Vec<&Seen>, Vec<&Seen>) = seen.iter().partition(|seen| seen.verb == "PUT");
    assert!(puts.iter().all(|seen| seen.checksum.len() == 44) && puts.len() >= 4, "{seen:#?}");
    assert!(others.iter().all(|seen| seen.checksum.is_empty()), "{seen:#?}");
}

#[test]
fn what_was_sent_and_received_is_counted_in_bytes() {
    let Some(play) = Play::new("bytes") else { return };
    let engine = play.engine(true);
    let bucket = backend::open(&play.store, &engine.settings.access, &engine.observer).unwrap();
    bucket.create("packs/a", vec![7; 300_000].into()).unwrap();
    assert_eq!(engine.observer.get(Counter::SentBytes), 300_000);
    assert_eq!(engine.observer.get(Counter::ReceivedBytes), 0);
    assert_eq!(bucket.get("packs/a").unwrap().len(), 300_000);
    assert_eq!(engine.observer.get(Counter::ReceivedBytes), 300_000);
    play.proxy.spoil(1, Spoil::Cut, of("GET", "/packs/a"));
    bucket.get("packs/a").unwrap();
    assert_eq!(
        engine.observer.get(Counter::ReceivedBytes),
        300_000 + 150_000 + 300_000,
        "with those of a try that failed"
    );
    assert_counted(&engine.observer, &play.proxy.take_seen(), "bytes");
}

/// No server for these is at hand: what is tried is that they are asked where and how they should be.
#[test]
fn google_and_azure_are_asked_alike() {
    let proxy = Proxy::before("http://127.0.0.1:1");
    let environment = [
        (
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            r#"{"disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}"#,
        ),
        ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "aHVzaA=="),
    ];
    let settings = StoreSettings { endpoint: Some(proxy.endpoint.clone()), ..StoreSettings::default() };
    let access = Access {
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        stores: ["gs://b", "az://b"].map(|url| (url.to_owned(), settings.clone())).into(),
        ..Access::default()
    };
    for url in ["gs://b/p", "az://b/p"] {
        let observer = Observer::new();
        let bucket = backend::open(url, &access, &observer).unwrap();
        proxy.spoil(3, Spoil::Answer(404, "NoSuchKey"), |seen| seen.verb != "PUT");
        proxy.spoil(1, Spoil::Answer(412, "ConditionNotMet"), of("PUT", ""));
        assert_eq!(bucket.get("x/a").unwrap_err().kind(), Kind::NotFound, "{url}");
        assert_eq!(bucket.size("x/a").unwrap(), None, "{url}");
        assert!(bucket.list("x").unwrap().objects.is_empty(), "{url}");
        assert_eq!(bucket.create("x/a", vec![1; 10].into()).unwrap(), Created::Exists, "{url}");
        let seen = proxy.take_seen();
        assert_counted(&observer, &seen, url);
        assert_eq!(seen.len(), 4);
        let path = |at: usize| seen[at].path.replace("%2F", "/");
        assert!(path(0).contains("/b/p/x/a") && path(2).contains("prefix=p/x/"), "{seen:#?}");
    }
}
