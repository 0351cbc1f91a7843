//! A proxy on loopback before a real server: it keeps a list of the requests that it sees, and spoils those that a test picks.
//!
//! Heads go on as they are but for `Connection`, which no signature covers, so the server checks what the client signed.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

/// A request as the proxy saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `GET`, `PUT`, `HEAD`, `DELETE`, or `LIST` for the GET of a list.
    pub verb: String,
    /// With its query.
    pub path: String,
    /// Of the session by which it is signed; `""` for lasting keys.
    pub token: String,
    /// Its `x-amz-checksum-sha256`, or `""`.
    pub checksum: String,
}

/// How many bytes of answers went to the clients, by the path that was asked for.
pub type Answered = BTreeMap<String, u64>;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy)]
pub enum Spoil {
    /// The server does what it is asked; its answer never arrives.
    LoseAnswer,
    /// The server does what it is asked; no byte of its answer ever arrives, with the connection open.
    SilenceAnswer,
    /// The server isn't asked: this status and code are the answer.
    Answer(u16, &'static str),
    /// As `Answer`, by a server whose clock shows another day.
    AnswerOnAnotherDay(u16, &'static str),
    /// Half of the answer's body comes, and then nothing more, with the connection open.
    Stall,
    /// Half of the answer's body comes, and the connection ends.
    Cut,
    /// A bit of the answer's body is another one.
    FlipAnswer,
    /// A bit of the request's body is another one.
    FlipRequest,
    /// The connection ends while the request is being sent.
    HangUp,
    /// The request arrives, and is neither passed on nor answered.
    StallRequest,
    /// The server is asked once as many requests wait here as the barrier is for.
    Gather(&'static Barrier),
}

type Picks = Box<dyn Fn(&Seen) -> bool + Send>;

struct Rule {
    picks: Picks,
    spoil: Spoil,
    times: usize,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    rules: Mutex<Vec<Rule>>,
    answered: Mutex<Answered>,
}

/// A running proxy; it ends with the process of the tests.
pub struct Proxy {
    pub endpoint: String,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy before the server at `http://HOST:PORT`.
    pub fn before(endpoint: &str) -> Proxy {
        let server: SocketAddr = endpoint.trim_start_matches("http://").parse().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let own = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let serving = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = serving.clone();
                thread::spawn(move || serve(&shared, client, server));
            }
        });
        Proxy { endpoint: format!("http://{own}"), shared }
    }

    /// Spoils the next `times` requests that `picks` takes.
    pub fn spoil(&self, times: usize, spoil: Spoil, picks: impl Fn(&Seen) -> bool + Send + 'static) {
        self.shared.rules.lock().unwrap().push(Rule { picks: Box::new(picks), spoil, times });
    }

    /// Spoils nothing more; how often the rules so far still wanted to.
    pub fn heal(&self) -> usize {
        self.shared.rules.lock().unwrap().drain(..).map(|rule| rule.times).sum()
    }

    /// All requests since the last call.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.shared.seen.lock().unwrap())
    }

    /// The bytes of all answers since the last call, their heads too.
    pub fn take_answered(&self) -> Answered {
        std::mem::take(&mut self.shared.answered.lock().unwrap())
    }
}

impl Shared {
    fn see(&self, seen: Seen) -> Option<Spoil> {
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| rule.times > 0 && (rule.picks)(&seen));
        self.seen.lock().unwrap().push(seen);
        rule.map(|rule| {
            rule.times -= 1;
            rule.spoil
        })
    }
}

/// Answers the requests of one connection. An error ends it, as it would end a real one.
fn serve(shared: &Shared, client: TcpStream, server: SocketAddr) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut reader = BufReader::new(client.try_clone()?);
    while let Some(head) = read_head(&mut reader)? {
        let request = seen(&head);
        let path = request.path.clone();
        let spoil = shared.see(request);
        let mut body = vec![0; content_length(&head)];
        if let Some(Spoil::HangUp) = spoil {
            let half = body.len() / 2;
            reader.read_exact(&mut body[..half])?;
            return client.shutdown(Shutdown::Both);
        }
        if let Some(Spoil::StallRequest) = spoil {
            // Until the client has had enough.
            std::io::copy(&mut reader, &mut std::io::sink())?;
            return Ok(());
        }
        reader.read_exact(&mut body)?;
        if let Some(Spoil::Gather(barrier)) = spoil {
            barrier.wait();
        }
        if let (Some(Spoil::FlipRequest), false) = (spoil, body.is_empty()) {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
        let answer = match spoil {
            Some(Spoil::Answer(status, code)) => made_up(status, code, ""),
            Some(Spoil::AnswerOnAnotherDay(status, code)) => {
                made_up(status, code, "Date: Sat, 01 Jan 2000 00:00:00 GMT\r\n")
            }
            _ => ask(server, &head, &body)?,
        };
        *shared.answered.lock().unwrap().entry(path).or_default() += answer.len() as u64;
        if !pass_on(&client, answer, spoil)? {
            return client.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

/// Hands the answer to the client; whether the connection goes on.
fn pass_on(mut client: &TcpStream, mut answer: Vec<u8>, spoil: Option<Spoil>) -> io::Result<bool> {
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    let middle = body + (answer.len() - body) / 2;
    match spoil {
        Some(Spoil::LoseAnswer) => return Ok(false),
        Some(Spoil::SilenceAnswer) => {
            // Until the client has had enough.
            client.read_to_end(&mut Vec::new())?;
            return Ok(false);
        }
        Some(Spoil::Cut) => {
            client.write_all(&answer[..middle])?;
            return Ok(false);
        }
        Some(Spoil::Stall) => {
            client.write_all(&answer[..middle])?;
            // Until the client has had enough.
            client.read_to_end(&mut Vec::new())?;
            return Ok(false);
        }
        Some(Spoil::FlipAnswer) if middle < answer.len() => answer[middle] ^= 1,
        _ => {}
    }
    client.write_all(&answer)?;
    Ok(true)
}

/// The lines of a head, with their ends and the empty one; `None` where the client has left.
pub fn read_head(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Vec<String>>> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let is_end = line == "\r\n";
        head.push(line);
        if is_end {
            return Ok(Some(head));
        }
    }
}

fn seen(head: &[String]) -> Seen {
    let mut words = head[0].split_whitespace();
    let (verb, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_list = path.contains("list-type=") || path.contains("comp=list");
    let verb = if verb == "GET" && is_list { "LIST" } else { verb };
    let field = |name: &str| header(head, name).unwrap_or_default().to_owned();
    let (token, checksum) = (field("x-amz-security-token"), field("x-amz-checksum-sha256"));
    Seen { verb: verb.to_owned(), path: path.to_owned(), token, checksum }
}

/// The value of a header, which is named in small letters.
pub fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let fields = head.iter().filter_map(|line| line.split_once(':'));
    fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

pub fn content_length(head: &[String]) -> usize {
    header(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0)
}

/// The server's whole answer, without its wish to end the connection.
fn ask(server: SocketAddr, head: &[String], body: &[u8]) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(server)?;
    let kept = head[..head.len() - 1].iter().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head: String = kept.map(String::as_str).chain(["Connection: close\r\n\r\n"]).collect();
    server.write_all(head.as_bytes())?;
    server.write_all(body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let wish = b"connection: close\r\n";
    let at = answer.windows(wish.len()).position(|window| window.eq_ignore_ascii_case(wish));
    if let Some(at) = at {
        answer.drain(at..at + wish.len());
    }
    Ok(answer)
}

fn made_up(status: u16, code: &str, header: &str) -> Vec<u8> {
    let body = format!("<Error><Code>{code}</Code><Message>Made up.</Message></Error>");
    format!("HTTP/1.1 {status} Made Up\r\n{header}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
