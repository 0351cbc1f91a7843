//! A bucket in a cloud: each request is made until it succeeds, is refused for good, or patience ends.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use object_store::{Error as StoreError, ObjectStore};

use super::super::access::{Access, Patience};
use super::super::aws;
use super::answer::{Answer, Next, Unsigned};
use super::connect::{Cloud, Plan};
use super::http::{Attempt, Wire, innermost};
use super::runtime::{runtime, wait};
use super::throttle::Limits;
use super::{Asked, Fault};
use crate::base::{Error, Event, Kind, Observer, Result, Time, files};

/// What a process has open; clones share it.
///
/// Opening another prefix of a bucket takes over the connections, and the credentials that were got for it.
#[derive(Clone, Default)]
pub struct Connections(Arc<Open>);

#[derive(Default)]
struct Open {
    remotes: Mutex<Vec<Arc<Remote>>>,
    /// Of the first rate that was asked for: all share it.
    limits: OnceLock<Limits>,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections")
    }
}

/// One bucket. Its client is made by the first request, and anew when its credentials have expired.
pub(super) struct Remote {
    plan: Plan,
    limits: Limits,
    wire: Mutex<Option<Wire>>,
    client: Mutex<Option<Arc<dyn ObjectStore>>>,
    /// Whether the server has ever answered.
    has_answered: AtomicBool,
    /// The try that the user was told of last since a request was done: of several requests at once, one is told of.
    told: AtomicU32,
}

/// Longer than this nobody is left without a word while the first answer is awaited, or the server says that it can't now.
const LONGEST_MUTE: Duration = Duration::from_secs(10);

impl Remote {
    /// The bucket of a URL, opened already or not; asks nobody.
    pub(super) fn open(cloud: Cloud, bucket: &str, url: &str, access: &Access) -> Result<Arc<Remote>> {
        let plan = Plan::new(cloud, bucket, access, access.settings_of(url))?;
        let Connections(open) = &access.connections;
        let mut remotes = open.remotes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(remote) = remotes.iter().find(|remote| remote.plan.is_same(&plan)) {
            return Ok(remote.clone());
        }
        let limits = open.limits.get_or_init(|| Limits::new(access.limit_rate)).clone();
        let remote = Arc::new(Remote {
            plan,
            limits,
            wire: Mutex::default(),
            client: Mutex::default(),
            has_answered: AtomicBool::default(),
            told: AtomicU32::default(),
        });
        remotes.push(remote.clone());
        Ok(remote)
    }

    pub(super) fn is_azure(&self) -> bool {
        self.plan.is_azure()
    }

    fn client(&self) -> Result<Arc<dyn ObjectStore>> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = client.as_ref() {
            return Ok(client.clone());
        }
        let mut wire = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
        let wire = match wire.as_ref() {
            Some(wire) => wire.clone(),
            None => wire.insert(self.plan.wire(self.limits.clone())?).clone(),
        };
        Ok(client.insert(self.plan.connect(wire)?).clone())
    }

    /// Has the next request sign in anew, unless another thread saw to that since `old` was in use.
    fn sign_in_again(&self, old: &Arc<dyn ObjectStore>) {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if client.as_ref().is_some_and(|client| Arc::ptr_eq(client, old)) {
            *client = None;
        }
    }

    /// Makes the request until something is to be said of it.
    pub(super) fn run<T, F, Fut>(&self, asked: &Asked<'_>, observer: &Observer, make: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: Fn(Arc<dyn ObjectStore>) -> Fut,
        Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let patience = self.plan.access.patience;
        let started = Instant::now();
        let mut signed_in_again = false;
        for tries in 1.. {
            let client = self.client().map_err(Fault::Other)?;
            observer.go_on().map_err(Fault::Other)?;
            let attempt = Attempt::new(observer.clone(), asked.watch.cloned());
            let began = Instant::now();
            let runtime = runtime()
                .map_err(|fault| Fault::Other(Error::new(Kind::Failed, "no thread could be started").because(fault)))?;
            let ran = wait(runtime.spawn(attempt.clone().scope(make(client.clone()))));
            let fault = match ran {
                Ok(Ok(done)) => {
                    self.has_answered.store(true, Ordering::Relaxed);
                    self.told.store(0, Ordering::Relaxed);
                    return Ok(done);
                }
                Ok(Err(fault)) => fault,
                Err(fault) => {
                    return Err(Fault::Other(Error::new(Kind::Failed, "a request's task ended").because(fault)));
                }
            };
            let mut answer = attempt.answer();
            self.has_answered.fetch_or(answer.status.is_some(), Ordering::Relaxed);
            answer.is_first = !self.has_answered.load(Ordering::Relaxed);
            match answer.next(if asked.once { 1 } else { patience.tries }) {
                Next::Absent => return Err(Fault::Absent),
                Next::Exists => return Err(Fault::Exists),
                Next::SignInAgain if !signed_in_again => {
                    signed_in_again = true;
                    self.sign_in_again(&client);
                }
                Next::Again { tries: most } if tries < most && started.elapsed() < patience.in_all => {
                    let mute = patience.idle.min(LONGEST_MUTE);
                    if answer.is_first && began.elapsed() >= mute {
                        let seconds = (began.elapsed().as_secs_f32() * 10.0).round() / 10.0;
                        self.tell(observer, &format!("hasn't answered for {seconds} s"), tries + 1, most);
                    } else if let (Some(why), true) = (answer.delay(), started.elapsed() >= mute) {
                        self.tell(observer, &why, tries + 1, most);
                    }
                    thread::sleep(pause(patience, tries).map_err(Fault::Other)?);
                }
                _ if answer.is_out_of_range() => return Err(Fault::OutOfRange),
                _ if answer.is_denied() => return Err(Fault::Denied(self.error(asked, &answer, tries, fault))),
                _ => return Err(Fault::Other(self.error(asked, &answer, tries, fault))),
            }
        }
        unreachable!("the last try returns")
    }

    /// Says what keeps a request from being done, unless another one's as many tries were told of.
    fn tell(&self, observer: &Observer, why: &str, next: u32, most: u32) {
        if self.told.fetch_max(next, Ordering::Relaxed) < next {
            let server = self.plan.reached("").server;
            observer.tell(Event::Warning(format!("{server} {why}; trying again ({next} of {most})")));
        }
    }

    fn error(&self, asked: &Asked<'_>, answer: &Answer, tries: u32, fault: StoreError) -> Error {
        let Asked { doing, name, shown, .. } = *asked;
        let reached = self.plan.reached(shown);
        if answer.status.is_some() || answer.trouble.is_some() {
            return answer.error(doing, name, &reached, tries, Time::now());
        }
        let fault = match (helpers_error(fault), &answer.unsigned, self.plan.bare_profile()) {
            (Ok(helper), ..) => helper,
            (Err(_), Some(Unsigned { why, .. }), Some(profile)) => {
                aws::no_credentials(profile, &format!("the machine's role ({why})"))
            }
            (Err(_), Some(Unsigned { why, .. }), None) => {
                Error::new(Kind::Unreachable, format!("no credentials were got ({})", reached.who))
                    .because(why.clone())
                    .hint(reached.sign_in.clone())
            }
            (Err(fault), None, _) => {
                Error::new(Kind::Unreachable, format!("the request could not be made ({})", reached.who))
                    .because(innermost(&fault))
                    .hint(reached.sign_in.clone())
            }
        };
        fault.within(format!("cannot {doing} the store {shown}"))
    }
}

/// The error of a helper for credentials, which is ours.
fn helpers_error(fault: StoreError) -> Result<Error, StoreError> {
    match fault {
        StoreError::Generic { store, source } => {
            source.downcast::<Error>().map(|ours| *ours).map_err(|source| StoreError::Generic { store, source })
        }
        other => Err(other),
    }
}

/// A random pause before the next try, of up to twice the last one's bound.
fn pause(patience: Patience, tries: u32) -> Result<Duration> {
    let doubled = patience.first_pause.saturating_mul(1 << (tries - 1).min(16));
    let random = files::random_bytes()?;
    let part = f64::from(u32::from_le_bytes([random[0], random[1], random[2], random[3]])) / f64::from(u32::MAX);
    Ok(doubled.min(Patience::LONGEST_PAUSE).mul_f64(part))
}
