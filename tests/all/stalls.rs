//! A server that accepts and goes silent for ever: every request ends, after as many tries as patience has, and so does the command.

use std::time::Duration;

use dagset::base::{Counter, Error, Kind, Observer, Result};
use dagset::engine::Access;
use dagset::store::{Bucket, backend};

use crate::proxy::{Proxy, Spoil};
use crate::s3::{S3, Server, server};
use crate::stage::whole_text;

const TRIES: u32 = 3;
const NAME: &str = "packs/a";
const BYTES: usize = 200_000;

/// An object on a server, and the proxy that falls silent.
struct Play {
    server: S3,
    proxy: Proxy,
    store: String,
}

impl Play {
    fn new() -> Option<Play> {
        let server = server(Server::Real)?;
        let play = Play { proxy: Proxy::before(&server.endpoint), store: server.url("stalls"), server };
        backend::open(&play.store, &play.server.access(), &Observer::new())
            .and_then(|bucket| bucket.create(NAME, vec![7; BYTES].into()))
            .unwrap();
        Some(play)
    }

    /// The store through the proxy, by who waits a fifth of a second for a byte.
    fn bucket(&self, limit_rate: Option<u64>, change: impl Fn(&mut Access)) -> (Bucket, Observer) {
        let mut access = self.server.through(self.proxy.endpoint.clone()).access();
        access.patience.idle = Duration::from_millis(200);
        access.patience.tries = TRIES;
        access.limit_rate = limit_rate;
        change(&mut access);
        let observer = Observer::new();
        (backend::open(&self.store, &access, &observer).unwrap(), observer)
    }
}

fn silent(outcome: Result<impl Sized>) -> Error {
    let fault = outcome.err().expect("the server is silent");
    let text = whole_text(&fault);
    assert_eq!(fault.kind(), Kind::Unreachable, "{text}");
    assert!(text.contains("went silent for 0.2 s"), "{text}");
    fault
}

#[test]
fn reading_ends_where_no_byte_comes() {
    let Some(play) = Play::new() else { return };
    let acts: [fn(&Bucket) -> Result<()>; 4] = [
        |bucket| bucket.get(NAME).map(drop),
        |bucket| bucket.get_range(NAME, 7, 150_000).map(drop),
        |bucket| bucket.list("packs").map(drop),
        |bucket| bucket.size(NAME).map(drop),
    ];
    for limit_rate in [None, Some(1_000_000)] {
        for (number, act) in acts.into_iter().enumerate() {
            let (bucket, _) = play.bucket(limit_rate, |_| {});
            play.proxy.spoil(1_000, Spoil::StallRequest, |_| true);
            silent(act(&bucket));
            play.proxy.heal();
            let note = format!("{number}, {limit_rate:?}");
            assert_eq!(play.proxy.take_seen().len(), TRIES as usize, "{note}");
            act(&bucket).unwrap_or_else(|fault| panic!("{note}: {}", whole_text(&fault)));
            play.proxy.take_seen();
        }
    }
}

/// Half of the body comes, by a limit of the rate over a longer time than patience is.
#[test]
fn reading_ends_where_a_body_stops_in_its_middle() {
    let Some(play) = Play::new() else { return };
    for limit_rate in [None, Some(200_000)] {
        let (bucket, observer) = play.bucket(limit_rate, |_| {});
        play.proxy.spoil(1_000, Spoil::Stall, |_| true);
        silent(bucket.get(NAME));
        play.proxy.heal();
        assert_eq!(play.proxy.take_seen().len(), TRIES as usize, "{limit_rate:?}");
        let received = observer.get(Counter::ReceivedBytes);
        assert!(received >= u64::from(TRIES) * 90_000, "{limit_rate:?}: all of each half came: {received}");
        assert_eq!(bucket.get(NAME).unwrap().len(), BYTES, "{limit_rate:?}: slowness is no silence");
        play.proxy.take_seen();
    }
}

#[test]
fn writing_ends_where_nothing_is_taken_or_answered() {
    let Some(play) = Play::new() else { return };
    for limit_rate in [None, Some(400_000)] {
        let (bucket, _) = play.bucket(limit_rate, |_| {});
        play.proxy.spoil(1_000, Spoil::StallRequest, |_| true);
        silent(bucket.create("packs/b", vec![7; BYTES].into()));
        play.proxy.heal();
        assert_eq!(play.proxy.take_seen().len(), TRIES as usize, "{limit_rate:?}");
    }
}

/// However many tries are left, none begins when patience has lasted in all.
#[test]
fn patience_ends_in_all() {
    let Some(play) = Play::new() else { return };
    let (bucket, _) = play.bucket(None, |access| {
        access.patience.tries = 1_000;
        access.patience.in_all = Duration::from_millis(100);
    });
    play.proxy.spoil(1_000, Spoil::StallRequest, |_| true);
    silent(bucket.get(NAME));
    assert_eq!(play.proxy.take_seen().len(), 1);
}
