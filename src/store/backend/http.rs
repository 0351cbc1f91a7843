//! Every request to a bucket passes here: it is counted, its bytes are counted and kept to the rate, its silence is bounded,
//! and what the server says is noted down for [`Answer`].
//!
//! Requests to services that hand out credentials pass too. They aren't the store's: they are neither counted nor slowed.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, Method};
use http_body::{Body, Frame, SizeHint};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use tokio::time::{Sleep, sleep, timeout, timeout_at};

use super::answer::{Answer, Trouble, Unsigned};
use super::throttle::{Limits, Throttle};
use crate::base::{Counter, Observer};
use crate::store::objects::Watch;

/// The most of an error's body that is read.
const ERROR_BODY_MAX_BYTES: usize = 64 * 1024;

/// What is sent at once where there is no limit.
const PIECE: usize = 64 * 1024;

/// How long a service that hands out credentials may take; on the machine itself, where there is often none, and elsewhere.
const NEAR: Duration = Duration::from_secs(2);
const FAR: Duration = Duration::from_secs(20);

tokio::task_local! {
    /// The try that this task makes.
    static ATTEMPT: Arc<Attempt>;
}

/// One try of a request: who counts it, and what came of it.
pub(super) struct Attempt {
    observer: Observer,
    watch: Option<Watch>,
    answer: Mutex<Answer>,
}

impl Attempt {
    pub(super) fn new(observer: Observer, watch: Option<Watch>) -> Arc<Attempt> {
        Arc::new(Attempt { observer, watch, answer: Mutex::default() })
    }

    /// Runs `future`; all requests that it makes count as this try's.
    pub(super) async fn scope<F: Future>(self: Arc<Self>, future: F) -> F::Output {
        ATTEMPT.scope(self, future).await
    }

    /// What the server said last.
    pub(super) fn answer(&self) -> Answer {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn moved(&self, counter: Counter, bytes: usize) {
        self.observer.add(counter, bytes as u64);
        if let Some(watch) = &self.watch {
            watch(bytes as u64);
        }
    }

    fn note(&self, change: impl FnOnce(&mut Answer)) {
        change(&mut self.answer.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn trouble(&self, trouble: Trouble) -> HttpError {
        let text = format!("{trouble:?}");
        self.note(|answer| answer.trouble = Some(trouble));
        HttpError::new(HttpErrorKind::Unknown, std::io::Error::other(text))
    }

    fn broken(&self, fault: &reqwest::Error) -> HttpError {
        let why = innermost(fault);
        self.trouble(match fault.is_connect() {
            true => Trouble::NoConnection(why),
            false if isnt_http(fault) => Trouble::Foreign(why),
            false => Trouble::Broken(why),
        })
    }
}

/// Whether the server said something else than HTTP.
fn isnt_http(fault: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(fault);
    while let Some(cause) = next {
        // One that speaks before it is asked may be faster than our request; of that error there is only the text.
        let is_foreign = |fault: &hyper::Error| fault.is_parse() || fault.to_string().contains("unexpected message");
        if cause.downcast_ref().is_some_and(is_foreign) {
            return true;
        }
        next = cause.source();
    }
    false
}

/// The last cause: the outer ones name URLs, which can hold signatures.
pub(super) fn innermost(fault: &(dyn StdError + 'static)) -> String {
    let mut last = fault;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// The way to one bucket's server; cheap to clone.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) client: reqwest::Client,
    /// Host, and port where it isn't the usual one, of the store's server.
    pub(super) authority: String,
    pub(super) limits: Limits,
    /// How long nothing may move.
    pub(super) idle: Duration,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire({})", self.authority)
    }
}

impl HttpConnector for Wire {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let attempt = ATTEMPT.with(Arc::clone);
        // Servers of one's own often hand out credentials, too; those are asked for by POST, and objects never.
        let is_stores = request.uri().authority().is_some_and(|it| it.as_str() == self.authority);
        match is_stores && request.method() != Method::POST {
            true => self.ask_store(request, attempt).await,
            false => self.ask_elsewhere(request, &attempt).await,
        }
    }
}

impl Wire {
    async fn ask_store(&self, request: HttpRequest, attempt: Arc<Attempt>) -> Result<HttpResponse, HttpError> {
        // What an earlier page of the same list said is past.
        attempt.note(|answer| *answer = Answer::default());
        attempt.observer.add(counter(&request), 1);
        let moved = Arc::new(Mutex::new(Instant::now()));
        let has_body = !request.body().is_end_stream();
        let is_head = request.method() == Method::HEAD;
        let upload = |body: HttpRequestBody| Upload {
            left: Bytes::new(),
            parts: body,
            throttle: self.limits.up.clone(),
            pause: None,
            is_paid: false,
            moved: moved.clone(),
            attempt: attempt.clone(),
        };
        let request = as_reqwest(request, |body| reqwest::Body::wrap(upload(body)))?;

        // While a body is sent, each piece of it puts the end of patience off. When the last has left for the system's buffers,
        // those have to drain before there can be an answer.
        let patience = if has_body { 2 * self.idle } else { self.idle };
        let mut execute = pin!(self.client.execute(request));
        let response = loop {
            let until = *moved.lock().unwrap_or_else(PoisonError::into_inner) + patience;
            match timeout_at(until.into(), &mut execute).await {
                Ok(response) => break response.map_err(|fault| attempt.broken(&fault))?,
                Err(_) if *moved.lock().unwrap_or_else(PoisonError::into_inner) + patience > Instant::now() => {}
                Err(_) => return Err(attempt.trouble(Trouble::Stalled(self.idle))),
            }
        };

        let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        attempt.note(|answer| {
            answer.status = Some(parts.status.as_u16());
            answer.is_plain = !is_head && !parts.headers.keys().any(is_of_cloud);
            let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
            answer.region = header("x-amz-bucket-region").map(str::to_owned);
            answer.code = header("x-ms-error-code").map(str::to_owned);
            answer.read_date(header("date").unwrap_or_default());
        });
        let mut body = Download {
            body,
            throttle: self.limits.down.clone(),
            pause: None,
            idle: self.idle,
            silence: Box::pin(sleep(self.idle)),
            attempt: attempt.clone(),
        };
        if parts.status.is_success() {
            return Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)));
        }
        let said = read_up_to(&mut body, ERROR_BODY_MAX_BYTES).await?;
        attempt.note(|answer| answer.read_body(&said));
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(said)))
    }

    async fn ask_elsewhere(&self, request: HttpRequest, attempt: &Attempt) -> Result<HttpResponse, HttpError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let is_near = is_near(&host);
        let patience = if is_near { NEAR } else { FAR };
        let fail = |why: String| {
            let unsigned = Unsigned { why: format!("{host}: {why}"), may_pass: !is_near };
            attempt.note(|answer| answer.unsigned = Some(unsigned));
            HttpError::new(HttpErrorKind::Unknown, std::io::Error::other(why))
        };
        let request = as_reqwest(request, |body| match body.as_bytes() {
            Some(bytes) => reqwest::Body::from(bytes.clone()),
            None => reqwest::Body::wrap(body),
        })?;
        let answered = timeout(patience, self.client.execute(request)).await;
        let response = answered.map_err(|_| fail("no answer".to_owned()))?.map_err(|fault| fail(innermost(&fault)))?;
        let status = response.status();
        attempt.note(|answer| {
            let why = match status.is_success() {
                // So it is as long as the store isn't asked with them.
                true => format!("what {host} answered holds no credentials"),
                false => format!("{host} answered {}", status.as_u16()),
            };
            let may_pass = status.is_server_error() || status.as_u16() == 429;
            answer.unsigned = Some(Unsigned { why, may_pass });
        });
        let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        let mut body = Box::pin(body);
        let all = timeout(patience, read_up_to(&mut body, 1024 * 1024)).await;
        let all = all.map_err(|_| fail("no answer".to_owned()))?.map_err(|fault| fail(innermost(&fault)))?;
        if let (false, Some(code)) = (status.is_success(), error_code(&all)) {
            attempt.note(|answer| answer.unsigned.iter_mut().for_each(|unsigned| unsigned.why += &format!(" {code}")));
        }
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(all)))
    }
}

/// The word for what is wrong in an answer that may hold secrets besides.
fn error_code(body: &[u8]) -> Option<String> {
    let mut answer = Answer::default();
    answer.read_body(body);
    answer.code.filter(|code| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn as_reqwest(
    request: HttpRequest,
    body: impl FnOnce(HttpRequestBody) -> reqwest::Body,
) -> Result<reqwest::Request, HttpError> {
    let (parts, content) = request.into_parts();
    let url = parts.uri.to_string().parse().map_err(|_| {
        HttpError::new(HttpErrorKind::Unknown, std::io::Error::other("the request's URL can't be understood"))
    })?;
    let mut made = reqwest::Request::new(parts.method, url);
    *made.headers_mut() = parts.headers;
    if !content.is_end_stream() {
        *made.body_mut() = Some(body(content));
    }
    Ok(made)
}

/// Hosts that are this machine, or what a cloud puts beside it, as `NO_PROXY` names them.
pub(super) const NEAR_HOSTS: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fd00:ec2::/32,metadata.google.internal";

/// Whether a host is one of [`NEAR_HOSTS`].
pub(super) fn is_near(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.segments()[..2] == [0xfd00, 0x0ec2],
        Err(_) => matches!(host, "localhost" | "metadata.google.internal"),
    }
}

/// Whether only clouds send such a header.
fn is_of_cloud(name: &HeaderName) -> bool {
    ["x-amz-", "x-goog-", "x-guploader-", "x-ms-"].iter().any(|start| name.as_str().starts_with(start))
}

fn counter(request: &HttpRequest) -> Counter {
    let query = request.uri().query().unwrap_or_default();
    let is_list = |part: &str| part.starts_with("list-type=") || part == "comp=list";
    match *request.method() {
        Method::HEAD => Counter::Heads,
        Method::PUT => Counter::Puts,
        Method::DELETE => Counter::Deletes,
        Method::GET if query.split('&').any(is_list) => Counter::Lists,
        _ => Counter::Gets,
    }
}

/// What a body begins with; what follows is dropped.
async fn read_up_to<B>(body: &mut B, most: usize) -> Result<Vec<u8>, B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut read = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        if let Ok(bytes) = frame?.into_data() {
            read.extend_from_slice(&bytes[..bytes.len().min(most - read.len())]);
        }
        if read.len() == most {
            break;
        }
    }
    Ok(read)
}

/// A body on its way to the store.
struct Upload {
    parts: HttpRequestBody,
    /// Of the part that is being sent.
    left: Bytes,
    throttle: Option<Arc<Throttle>>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Whether the next piece has had its pause.
    is_paid: bool,
    /// When a piece was last taken from here.
    moved: Arc<Mutex<Instant>>,
    attempt: Arc<Attempt>,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        while self.left.is_empty() {
            match ready!(Pin::new(&mut self.parts).poll_frame(context)) {
                Some(frame) => self.left = frame?.into_data().unwrap_or_default(),
                None => return Poll::Ready(None),
            }
        }
        let piece = self.throttle.as_ref().map_or(PIECE, |throttle| throttle.piece()).min(self.left.len());
        if let (Some(throttle), false) = (&self.throttle, self.is_paid) {
            self.pause = Some(Box::pin(sleep(throttle.reserve(piece))));
            self.is_paid = true;
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        self.is_paid = false;
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.attempt.moved(Counter::SentBytes, piece);
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.parts.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.left.len() as u64;
        SizeHint::with_exact(left + self.parts.size_hint().exact().unwrap_or_default())
    }
}

/// A body on its way from the store.
struct Download {
    body: reqwest::Body,
    throttle: Option<Arc<Throttle>>,
    pause: Option<Pin<Box<Sleep>>>,
    idle: Duration,
    /// Ends when patience does.
    silence: Pin<Box<Sleep>>,
    attempt: Arc<Attempt>,
}

impl Body for Download {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
            self.put_off_silence();
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.attempt.moved(Counter::ReceivedBytes, bytes);
                self.pause = self.throttle.as_ref().map(|throttle| Box::pin(sleep(throttle.reserve(bytes))));
                self.put_off_silence();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(fault))) => Poll::Ready(Some(Err(self.attempt.broken(&fault)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(self.silence.as_mut().poll(context));
                Poll::Ready(Some(Err(self.attempt.trouble(Trouble::Stalled(self.idle)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Download {
    fn put_off_silence(&mut self) {
        let until = Instant::now() + self.idle;
        self.silence.as_mut().reset(until.into());
    }
}
