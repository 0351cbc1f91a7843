//! Servers that speak no HTTP, say nothing, or hang up: a user who mistyped a port is told soon, and told what it is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use dagset::base::{Event, Kind, Observer};
use dagset::store::backend;

use crate::env::TestEnv;
use crate::s3::S3;

/// A listener that does `act` with each connection; ends with the process of the tests.
struct Stranger {
    s3: S3,
    connections: Arc<AtomicUsize>,
}

impl Stranger {
    fn new(act: fn(TcpStream)) -> Stranger {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::<AtomicUsize>::default();
        let counted = connections.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::Relaxed);
                thread::spawn(move || act(client));
            }
        });
        let text = |text: &str| text.to_owned();
        Stranger {
            s3: S3 { endpoint, key: text("AKIATEST"), secret: text("hush"), bucket: text("bucket") },
            connections,
        }
    }

    fn take_connections(&self) -> usize {
        self.connections.swap(0, Ordering::Relaxed)
    }
}

/// Says who it is without being asked, as SSH, FTP, SMTP and databases do.
fn greet(mut client: TcpStream) {
    client.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n").ok();
    client.read_to_end(&mut Vec::new()).ok();
}

/// Answers what it can't understand in its own way.
fn grumble(mut client: TcpStream) {
    client.read_exact(&mut [0; 1]).ok();
    client.write_all(b"-ERR unknown command 'GET'\r\n").ok();
    client.read_to_end(&mut Vec::new()).ok();
}

/// Each command that meets `stranger` first, with the connections it may make, says `what`, and nothing of stored work.
fn met_by_each_command(stranger: &Stranger, most: usize, what: &str) {
    let mut env = TestEnv::new();
    stranger.s3.reach_from(&mut env);
    env.write("data/a", "1");
    for command in [
        &["list", "s3://bucket/x"][..],
        &["store", "create", "s3://bucket/x"],
        &["store", "check", "s3://bucket/x"],
        &["verify", "s3://bucket/x"],
        &["clone", "s3://bucket/x/set", "copy"],
        &["ingest", "data", "--into", "s3://bucket/x/set", "--create"],
    ] {
        let outcome = env.run(command).exits(6);
        // A check breaks its lines.
        let words: Vec<_> = outcome.stdout.split_whitespace().chain(outcome.stderr.split_whitespace()).collect();
        let said = words.join(" ").replace(&stranger.s3.endpoint, "SERVER");
        assert!(said.contains(what) && said.contains("check the network and the endpoint"), "{command:?}: {said}");
        assert!(!said.contains("stored so far"), "{command:?}: {said}");
        // A check connects once more, to see whether anybody does.
        let tried = stranger.take_connections();
        assert!(tried <= most + usize::from(command[1] == "check"), "{command:?}: {tried} connections");
    }
}

#[test]
fn who_speaks_no_http_is_known_at_once() {
    // The connection may be closed over the greeting before the request is sent, which then takes another.
    met_by_each_command(&Stranger::new(greet), 4, "SERVER doesn't speak S3, nor HTTP");
    met_by_each_command(&Stranger::new(grumble), 1, "SERVER doesn't speak S3, nor HTTP");
}

#[test]
fn who_hangs_up_is_tried_as_often_as_a_refused_port() {
    met_by_each_command(&Stranger::new(drop), 4, "SERVER ended 4 connections without an answer");
}

#[test]
fn the_silence_of_a_server_is_told_while_it_lasts() {
    let stranger = Stranger::new(|mut client| drop(client.read_to_end(&mut Vec::new())));
    let mut access = stranger.s3.access();
    access.patience.idle = Duration::from_millis(100);
    let observer = Observer::new();
    let bucket = backend::open("s3://bucket/x", &access, &observer).unwrap();
    let fault = bucket.get("dagset.json").unwrap_err();
    assert_eq!(fault.kind(), Kind::Unreachable);
    assert!(fault.to_string().contains("went silent for 0.1 s"), "{fault}");
    assert_eq!(stranger.take_connections(), 4);
    let told: Vec<_> = observer
        .take_events()
        .into_iter()
        .map(|event| match event {
            Event::Warning(text) => text.replace(&stranger.s3.endpoint, "SERVER"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told.len(), 3, "{told:?}");
    for (line, next) in told.iter().zip(2..) {
        let tries = format!("s; trying again ({next} of 4)");
        assert!(line.starts_with("SERVER hasn't answered for 0.") && line.ends_with(&tries), "{line}");
    }
}

#[test]
fn a_server_that_cannot_now_is_told_of_while_that_lasts() {
    let stranger = Stranger::new(|mut client| {
        let lines = BufReader::new(&client).lines().map_while(Result::ok);
        lines.take_while(|line| !line.is_empty()).for_each(drop);
        let body = "<Error><Code>SlowDown</Code></Error>";
        let head = format!("HTTP/1.1 503 Busy\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        client.write_all(format!("{head}{body}").as_bytes()).ok();
    });
    let mut access = stranger.s3.access();
    // Long enough for a try, and all pauses together are far longer.
    access.patience.idle = Duration::from_millis(200);
    access.patience.tries = 8;
    access.patience.first_pause = Duration::from_millis(100);
    let observer = Observer::new();
    let bucket = backend::open("s3://bucket/x", &access, &observer).unwrap();
    let fault = bucket.get("dagset.json").unwrap_err();
    let said = fault.to_string().replace(&stranger.s3.endpoint, "SERVER");
    assert!(said.ends_with("SERVER answered 503 at the last of 8 tries"), "{said}");
    let told = observer.take_events();
    let Some(Event::Warning(last)) = told.last() else { panic!("{told:?}") };
    assert_eq!(last.replace(&stranger.s3.endpoint, "SERVER"), "SERVER answered 503; trying again (8 of 8)");
}
