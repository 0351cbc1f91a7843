//! A tiny web server on loopback, for what isn't S3: services that hand out credentials, and servers met by mistake.

use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::proxy::{content_length, read_head};

/// What a service says; `None` is silence, with the connection open.
pub type Said = Option<(u16, String)>;

/// A running service; it ends with the process of the tests.
pub struct Service {
    pub endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// Answers each request, whose head `answer` is given, by a connection of its own.
    pub fn new(answer: impl Fn(&[String]) -> Said + Send + Sync + 'static) -> Service {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (noted, answer) = (asked.clone(), Arc::new(answer));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (noted, answer) = (noted.clone(), answer.clone());
                thread::spawn(move || serve(client, &noted, &*answer));
            }
        });
        Service { endpoint, asked }
    }

    /// The first lines of all requests since the last call, without version and query.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn serve(mut client: TcpStream, asked: &Mutex<Vec<String>>, answer: &dyn Fn(&[String]) -> Said) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let Some(head) = read_head(&mut reader)? else { return Ok(()) };
    let line = head[0].split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ");
    asked.lock().unwrap().push(line);
    // Who ends a connection before all was read may cut its own answer off.
    reader.read_exact(&mut vec![0; content_length(&head)])?;
    match answer(&head) {
        Some((status, body)) => {
            let length = body.len();
            write!(client, "HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
        }
        // Until the client has had enough.
        None => reader.read_to_end(&mut Vec::new()).map(drop),
    }
}
